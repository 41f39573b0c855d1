"""``lfadsq status``: the screen, the JSON, the exit status."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from lfadsq.cli.boundary import run_command
from lfadsq.cli.main import lfadsq
from lfadsq.queue.records import Cause
from lfadsq.queue.status import TaskState, TaskStatus
from lfadsq.queue.tasks import tasks_from_specs

from .verbs import said


def call(*words: object) -> Result:
    """Call it as the installed command does, for which what a verb returns is its exit status."""
    return CliRunner().invoke(in_boundary, list(map(str, words)))


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def in_boundary(words: tuple[str, ...]) -> None:
    run_command(lfadsq, list(words))


PROGRESS = {
    "version": 1, "state": "training", "num_epochs": 12, "learning_rate": 0.0041,
    "total": [300.0, float("nan")], "lowest_valid_total": 309.25, "steps_per_s": 35.2,
    "epoch_s": 0.5, "remaining_s": 75.0, "is_lower_bound": True, "host": "node7", "pid": 1,
    "updated": "2099-01-31T00:00:00+00:00",
}  # fmt: skip


def say(collection: Any, name: str, **changes: Any) -> None:
    output = collection.run_of(name) / "lfadsOutput"
    output.mkdir(exist_ok=True)
    text = json.dumps({**PROGRESS, **changes}).replace("NaN", "null")
    (output / "progress.json").write_text(text)


def test_one_screen(collection: Any) -> None:
    a, b, c, d = collection.names
    say(collection, a)
    say(collection, d, state="finished", lowest_valid_total=5.0)
    collection.tasks[d].donefile.touch()
    with collection.live_queue(
        collection.status(a, TaskState.RUNNING, device_name="GPU 0 (NVIDIA A100)"),
        collection.status(b, TaskState.WAITING),
        collection.status(c, TaskState.FAILED, cause="not a number"),
        collection.status(d, TaskState.DONE),
    ):
        result = call("status", collection.folder)
    for words in (
        str(collection.folder),
        "queue demo on node1 (process 4321) is running",
        "4 runs: 1 done, 1 training, 1 waiting, 1 failed",
        "param_ABC/run001 GPU 0@node7    12     - 0.0041    35.2 >1m15s",
        "not a number: see param_ABC/run003/lfads.out",
        "the same seed and settings will do it again",
        "lowest validation cost on run001",
        "309.25 (training)",
    ):
        assert words in result.output, result.output
    assert result.exit_code == 1


def test_the_exit_status_tells_whether_a_run_failed(collection: Any) -> None:
    a, b, *_ = collection.names
    collection.tasks[a].donefile.touch()
    assert call("status", collection.folder).exit_code == 0
    collection.record(b, collection.failed(b))
    assert call("status", collection.folder).exit_code == 1
    assert call("status", "--json", collection.folder).exit_code == 1
    assert call("status", "-C", collection.folder).exit_code == 1
    for words in (["--no-such"], ["--best", "-1"], ["--failed", "--json"], ["-C", ".", "."]):
        assert call("status", *words).exit_code == 2
    nowhere = call("status", "/nonexistent")
    assert nowhere.exit_code == 1
    assert nowhere.output.startswith("error: there is no /nonexistent")


def test_json_for_programs(collection: Any) -> None:
    a, b, *_ = collection.names
    say(collection, a, state="finished")
    collection.tasks[a].donefile.touch()
    collection.record(b, collection.failed(b, cause=Cause.GPU_MEMORY))
    told = json.loads(call("status", "--json", collection.folder, "--best", 1).output)
    assert told["schema_version"] == 1
    assert told["counts"]["done"] == told["counts"]["failed"] == 1
    assert sorted(told) == [
        "at", "best", "collection", "counts", "disk", "is_paused", "last_queue", "num_runs",
        "queues", "runs", "schema_version", "varying", "warnings",
    ]  # fmt: skip
    done, failed = told["runs"]
    assert sorted(done) == [
        "cause", "device", "epoch_s", "host", "is_lower_bound", "learning_rate", "log",
        "lowest_valid_cost", "name", "num_epochs", "param_hash", "phase", "reason", "remaining_s",
        "remedy", "run_name", "since", "state", "steps_per_s", "task", "train_cost", "updated",
        "valid_cost",
    ]  # fmt: skip
    assert (done["state"], done["valid_cost"], done["train_cost"]) == ("done", None, 300.0)
    assert (failed["cause"], failed["log"]) == (
        "out of GPU memory",
        str(collection.tasks[b].outfile),
    )
    assert told["best"][0]["run"] == done["name"]


def test_failed_lists_every_one_with_the_end_of_its_log(collection: Any) -> None:
    for name in collection.names[:2]:
        collection.record(name, collection.failed(name, cause=Cause.IMPORT_ERROR))
        collection.tasks[name].outfile.write_text(f"begun\nNo module named {name}\n")
    output = call("status", "--failed", collection.folder).output
    for name in collection.names[:2]:
        assert f"| No module named {name}" in output
        assert f"log: {collection.tasks[name].outfile}" in output
    assert "2 failed: import error" in output
    for name in collection.names[:2]:
        collection.tasks[name].donefile.touch()
    assert said("status", "--failed", collection.folder) == "no run failed\n"


def test_hostile_names_do_nothing_to_the_terminal(collection: Any) -> None:
    run = collection.folder / "param_ABC" / "a\x1b[31m\n\udcff"
    (run / "lfadsInput").mkdir(parents=True)
    (run / "lfads.out").write_text("\x1b]0;title\x07No space left on device\n")
    for words in ([], ["--failed"], ["--json"]):
        output = call("status", *words, collection.folder).output
        assert "\x1b" not in output
        assert r"a\x1b[31m\n\udcff" in output or r"a\u001b[31m\n\udcff" in output


def test_it_fits_on_a_small_terminal_without_colour(collection: Any) -> None:
    """A real terminal of 80 x 24, on which more runs are at work than there are lines."""
    statuses = []
    for number in range(60):
        run = collection.folder / "param_ABC" / f"run{number:04d}_{'long' * 12}"
        (run / "lfadsOutput").mkdir(parents=True)
        if number % 3:
            (run / "lfadsOutput" / "progress.json").write_text(
                json.dumps({**PROGRESS, "total": None, "lowest_valid_total": None})
            )
        state = TaskState.FAILED if number % 3 == 0 else TaskState.RUNNING
        cause = list(Cause)[number // 3 % 5].value if number % 3 == 0 else ""
        statuses.append(
            TaskStatus(
                f"task{number}", state, cause=cause, device_name="GPU 0 (A100)",
                donefile=str(run / "lfads.done"), outfile=str(run / "lfads.out"), command="true",
            )
        )  # fmt: skip
    with collection.live_queue(*statuses):
        for settings in ({"NO_COLOR": "1"}, {}):
            status, lines = on_terminal(collection.folder, settings)
            assert status == 1
            assert len(lines) <= 24, lines
            has_colour = any(re.search(r"\x1b\[[\d;]*3\d", line) for line in lines)
            assert has_colour is not bool(settings)
            assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in lines) <= 80
            assert any("and 34 more runs" in line for line in lines), lines


def on_terminal(folder: Path, settings: dict[str, str]) -> tuple[int, list[str]]:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    process = subprocess.Popen(
        [sys.executable, "-m", "lfadsq", "status", str(folder)],
        env={**environment, "TERM": "xterm", **settings},
        stdout=follower,
        stdin=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    return process.wait(timeout=30), shown.decode().replace("\r", "").splitlines()


def test_all_shows_all_that_is_at_work(collection: Any) -> None:
    names = [f"lfads_param_ABC_run{number:03d}_single" for number in range(1, 31)]
    collection.specs += [collection.spec(name) for name in names[4:]]
    collection.tasks |= {task.name: task for task in tasks_from_specs(collection.specs)}
    with collection.live_queue(*[collection.status(n, TaskState.RUNNING) for n in names]):
        few = said("status", collection.folder)
        every = said("status", "--all", collection.folder)
    assert "and 24 more runs (--all)" in few
    assert few.count("param_ABC/run") == 6
    assert every.count("param_ABC/run") == 30


def test_it_imports_neither_tensorflow_nor_numpy(collection: Any) -> None:
    say(collection, collection.names[0])
    (collection.folder / "summary.txt").write_text("    [1 param_ABCABC data_ABCABC] P c_a=1\n")
    program = (
        "import sys; from lfadsq.cli.main import lfadsq\n"
        f"lfadsq(['status', {str(collection.folder)!r}], standalone_mode=False)\n"
        "assert 'lfadsq.watching.run_states' in sys.modules\n"
        "print([name for name in ('tensorflow', 'numpy', 'distributed') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed.splitlines()[-1] == "[]"
