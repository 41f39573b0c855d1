"""``lfadsq queue`` and ``lfadsq explain`` on real folders, with queues that publish snapshots."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from lfadsq.cli import effects, queue_status
from lfadsq.cli.main import lfadsq
from lfadsq.errors import ConfigError, LfadsqError, QueueError, RunExistsError, RunNotFoundError
from lfadsq.queue.overview import look
from lfadsq.queue.records import Cause, Record
from lfadsq.queue.status import DeviceStatus, QueueState, Snapshot, TaskState
from lfadsq.queue.wishes import END, LEAVE, Wishes


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "PATIENCE_S", 0.3)


def call(*words: object, answer: str | None = None) -> Result:
    """Call the command line; what it raises comes through."""
    result = CliRunner().invoke(lfadsq, list(map(str, words)), input=answer)
    if isinstance(result.exception, LfadsqError):
        raise result.exception
    return result


def said(*words: object, answer: str | None = None) -> str:
    result = call(*words, answer=answer)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@contextlib.contextmanager
def obeying_queue(
    collection: Any, snapshot: Snapshot, obey: Callable[[Wishes, Snapshot], Snapshot]
) -> Iterator[None]:
    """A queue that looks at wishes and shows that it obeys, as a real one does."""
    is_over = threading.Event()

    def run() -> None:
        with collection.control.join(snapshot.queue_id) as presence:
            presence.publish(snapshot)
            is_there.set()
            seen = None
            while not is_over.wait(0.01):
                now = collection.control.fingerprint()
                if now != seen:
                    seen = now
                    presence.publish(obey(collection.control.read(), snapshot), at_once=True)

    is_there = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert is_there.wait(10)
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def with_cancelled(wishes: Wishes, snapshot: Snapshot) -> Snapshot:
    tasks = tuple(
        replace(task, state=TaskState.CANCELLED) if task.name in wishes.cancelled else task
        for task in snapshot.tasks
    )
    return replace(snapshot, tasks=tasks)


def statuses(collection: Any, *states: TaskState) -> list[Any]:
    return [
        collection.status(name, state)
        for name, state in zip(collection.names, states, strict=False)
    ]


# --- cancel --------------------------------------------------------------------------------------


def test_cancel_asks_first_and_names_what_it_will_end(collection: Any) -> None:
    a, b = collection.names[:2]
    with collection.live_queue(*statuses(collection, TaskState.RUNNING, TaskState.WAITING)):
        with pytest.raises(ConfigError, match="nothing was cancelled"):
            call("queue", "cancel", collection.folder, a, b, answer="n\n")
        assert collection.control.read().cancelled == frozenset()
        result = call("queue", "cancel", collection.folder, a, b, answer="y\n")
    assert "ends 1 task at work and keeps 1 from starting" in result.stderr
    assert a in result.stderr
    assert collection.control.read().cancelled == {a, b}


def test_cancel_with_nobody_to_ask_does_nothing_and_says_how(collection: Any) -> None:
    collection.write_script()
    with pytest.raises(ConfigError) as caught:
        call("queue", "cancel", collection.folder, "run001", answer="")
    assert "--yes" in str(caught.value)
    assert collection.control.read() == Wishes()


def test_cancel_tells_what_the_live_queue_made_of_it(collection: Any) -> None:
    name = collection.names[0]
    snapshot = collection.snapshot(*statuses(collection, TaskState.RUNNING))
    with obeying_queue(collection, snapshot, with_cancelled):
        output = said("queue", "cancel", "-C", collection.folder, name, "--yes")
    assert "1 task cancelled" in output
    assert "queue demo on node1 has ended and given them up" in output


def test_cancel_says_so_if_the_queue_is_slow(collection: Any) -> None:
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        output = said("queue", "cancel", "-C", collection.folder, "run001", "-y")
    assert "has not finished doing so" in output


def test_cancel_without_a_queue_is_kept_for_the_next(collection: Any) -> None:
    collection.write_script()
    collection.tasks[collection.names[0]].donefile.touch()
    output = said("queue", "cancel", collection.folder, "--all", "-y")
    assert "3 tasks cancelled" in output
    assert "no queue runs here now: this is kept for the next one" in output
    assert collection.control.read().cancelled == set(collection.names[1:])
    again = said("queue", "cancel", collection.folder, "--all", "-y")
    assert "nothing to cancel" in again
    assert "kept" not in again


def test_cancel_ends_what_goes_on_without_a_queue(collection: Any) -> None:
    name = collection.names[0]
    collection.write_script()
    program = "trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done"
    with collection.left_task(name, program):
        output = said("queue", "cancel", collection.folder, name, "-y")
        assert f"{name} ran without a queue, and has ended" in output
    task = collection.tasks[name]
    assert not task.donefile.exists()
    last = Record.read(task.files.record, name).last
    assert last is not None
    assert last.cause is Cause.CANCELLED


def test_cancel_says_where_something_runs_that_it_cannot_end(collection: Any) -> None:
    name = collection.names[0]
    collection.write_script()
    with collection.left_task(name, "sleep 60", host="node77"):
        output = said("queue", "cancel", collection.folder, name, "-y")
    assert "still runs on node77, without a queue" in output


def test_cancel_needs_runs_or_all_and_not_both(collection: Any) -> None:
    collection.write_script()
    for words in [(), ("run001", "--all")]:
        result = CliRunner().invoke(lfadsq, ["queue", "cancel", str(collection.folder), *words])
        assert result.exit_code == 2
        assert "one of the two" in result.output


# --- pause and resume ----------------------------------------------------------------------------


def with_pause(wishes: Wishes, snapshot: Snapshot) -> Snapshot:
    def obeying(task: Any) -> Any:
        if task.state is TaskState.RUNNING and wishes.ends(task.name):
            return replace(task, state=TaskState.PAUSED)
        if task.state is TaskState.WAITING and wishes.holds_back(task.name):
            return replace(task, state=TaskState.PAUSED)
        return task

    state = QueueState.PAUSED if wishes.is_paused else QueueState.RUNNING
    return replace(snapshot, state=state, tasks=tuple(map(obeying, snapshot.tasks)))


def test_pause_and_resume_of_all(collection: Any) -> None:
    both = statuses(collection, TaskState.RUNNING, TaskState.WAITING)
    with obeying_queue(collection, collection.snapshot(*both), with_pause):
        output = said("queue", "pause", collection.folder)
        assert "all is paused; what runs is finished" in output
        assert "has paused" in output
        assert not collection.control.read().ends(collection.names[0])
        assert "and what runs ends" in said("queue", "pause", collection.folder, "--now")
        assert collection.control.read().ends(collection.names[0])
        output = said("queue", "resume", collection.folder)
        assert "has gone on" in output
    assert collection.control.read() == Wishes()


def test_pause_of_single_runs(collection: Any) -> None:
    a, b = collection.names[:2]
    both = statuses(collection, TaskState.RUNNING, TaskState.WAITING)
    with obeying_queue(collection, collection.snapshot(*both), with_pause):
        assert "has held them back" in said("queue", "pause", collection.folder, a, b)
        wishes = collection.control.read()
        assert (wishes.is_paused, wishes.paused, wishes.ends(a)) == (False, {a, b}, False)
        assert "has held them back" in said("queue", "pause", collection.folder, a, "--now")
        assert collection.control.read().ends(a)
        said("queue", "resume", collection.folder, a)
    assert collection.control.read().paused == {b}


def test_resume_of_a_run_while_all_is_paused_says_that_it_will_not_go_on(collection: Any) -> None:
    collection.write_script()
    said("queue", "pause", collection.folder)
    said("queue", "cancel", collection.folder, "run001", "-y")
    assert "but all is paused" in said("queue", "resume", collection.folder, "run001")
    assert collection.control.read().cancelled == frozenset()


def test_pause_of_what_is_finished_is_nothing(collection: Any) -> None:
    collection.write_script()
    collection.tasks[collection.names[0]].donefile.touch()
    assert "nothing to hold back" in said("queue", "pause", collection.folder, "run001")
    assert collection.control.read() == Wishes()


# --- retry, priority, stop -----------------------------------------------------------------------


def test_retry_forgives_what_the_record_says_was_tried(collection: Any) -> None:
    collection.write_script()
    a, b, c, _ = collection.names
    for name in (a, b):
        collection.record(name, collection.failed(name, 3))
    said("queue", "cancel", collection.folder, c, "-y")
    output = said("queue", "retry", collection.folder, "--failed")
    assert "2 tasks to be tried again" in output
    assert collection.control.read().forgiven == {a: 3, b: 3}
    assert collection.control.read().cancelled == {c}
    said("queue", "retry", collection.folder, c)
    assert collection.control.read().cancelled == frozenset()
    assert "nothing to try again" in said("queue", "retry", collection.folder, "--failed")


def test_retry_knows_of_an_attempt_that_the_snapshot_does_not(collection: Any) -> None:
    name = collection.names[0]
    collection.record(name, collection.failed(name, 5))
    stale = collection.status(name, TaskState.FAILED, attempt=4)
    with collection.live_queue(stale):
        said("queue", "retry", collection.folder, name)
    assert collection.control.read().forgiven == {name: 5}


@pytest.mark.parametrize("words", [["10"], ["--priority", "10"], ["--priority", "-3"]])
def test_priority(collection: Any, words: list[str]) -> None:
    collection.write_script()
    said("queue", "priority", collection.folder, "*run00[12]*", *words)
    number = int(words[-1])
    assert collection.control.read().priorities == dict.fromkeys(collection.names[:2], number)


@pytest.mark.parametrize("words", [["high"], ["run001"], [], ["10"]])
def test_priority_without_runs_or_number_is_wrong_use(collection: Any, words: list[str]) -> None:
    collection.write_script()
    result = CliRunner().invoke(lfadsq, ["queue", "priority", str(collection.folder), *words])
    assert result.exit_code == 2


def test_stop_asks_the_live_queues_and_forgets_dead_ones(collection: Any) -> None:
    collection.control.edit(lambda wishes: wishes.with_stops(["dead"], END))
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        output = said("queue", "stop", collection.folder, "--leave")
        assert collection.control.read().stops == {"q1": LEAVE}
        said("queue", "stop", collection.folder)
        assert collection.control.read().stops == {"q1": END}
    assert "runs at work go on" in output


def test_stop_without_a_queue_is_an_error(collection: Any) -> None:
    collection.write_script()
    with pytest.raises(QueueError, match="no queue of"):
        call("queue", "stop", collection.folder)


# --- add -----------------------------------------------------------------------------------------


def test_add_takes_new_tasks_and_passes_over_those_that_are_there(
    collection: Any, tmp_path: Path
) -> None:
    collection.write_script()
    new = collection.spec("lfads_param_ABC_run009_single")
    file = tmp_path / "more.json"
    file.write_text(json.dumps([collection.specs[0], new]))
    output = said("queue", "add", file, "-C", collection.folder)
    assert "1 task added, 1 there already" in output
    assert collection.control.read().added == (new,)
    again = said("queue", "add", file, "-C", collection.folder)
    assert "0 tasks added, 2 there already" in again
    assert collection.control.read().added == (new,)


def test_add_reads_standard_input_and_makes_paths_whole(
    collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.write_script()
    monkeypatch.chdir(collection.folder)
    spec = {**collection.spec("lfads_p_ABC_run009"), "outfile": "o", "donefile": "d/lfads.done"}
    said("queue", "add", "-", answer=json.dumps([spec]))
    (added,) = collection.control.read().added
    assert added["outfile"] == str(collection.folder / "o")
    assert added["donefile"] == str(collection.folder / "d" / "lfads.done")


def test_add_refuses_others_of_the_same_name_and_then_adds_none(collection: Any) -> None:
    new = collection.spec("lfads_param_ABC_run009_single")
    other = {**collection.specs[0], "command": "rm -rf results"}
    for live in (True, False):
        collection.write_script()
        queue = collection.live_queue(*statuses(collection, TaskState.RUNNING))
        with queue if live else contextlib.nullcontext(), pytest.raises(RunExistsError) as caught:
            call("queue", "add", "-", "-C", collection.folder, answer=json.dumps([new, other]))
        assert "another command" in caught.value.problem
        assert collection.control.read().added == ()


def test_add_refuses_files_of_another_task(collection: Any) -> None:
    collection.write_script()
    thief = {**collection.specs[0], "name": "thief"}
    with pytest.raises(RunExistsError, match="belongs to task"):
        call("queue", "add", "-", "-C", collection.folder, answer=json.dumps([thief]))


@pytest.mark.parametrize("text", ["", "{}", "3", "[3]", '[{"name": "a"}]'])
def test_add_of_what_are_no_tasks_is_an_error(collection: Any, text: str) -> None:
    collection.write_script()
    with pytest.raises(ConfigError):
        call("queue", "add", "-", "-C", collection.folder, answer=text)
    assert collection.control.read() == Wishes()


def test_add_takes_the_tasks_of_a_script_beside_the_main_one(collection: Any) -> None:
    main = collection.write_script()
    new = collection.spec("lfads_param_ABC_run009_single")
    (collection.folder / "more.json").write_text(json.dumps([collection.specs[0], new]))
    script = collection.folder / "run_lfadsqueue_more.py"
    script.write_text(main.read_text().replace("specs.json", "more.json"))
    assert "1 task added" in said("queue", "add", "--script", script)
    assert collection.control.read().added == (new,)


def test_add_of_a_script_written_again_to_a_live_queue(collection: Any) -> None:
    script = collection.write_script()
    with collection.live_queue(*statuses(collection, TaskState.RUNNING, TaskState.DONE)):
        assert "2 tasks added" in said("queue", "add", "--script", script)
    assert [spec["name"] for spec in collection.control.read().added] == collection.names[2:]


# --- status and explain --------------------------------------------------------------------------


def test_status_of_a_live_queue(collection: Any) -> None:
    a, b, c, d = collection.names
    collection.tasks[a].outfile.write_text("of the attempt before\nepoch 7 [cost] 12.5\n")
    collection.record(a, collection.attempt(a, 2, log_offset=22))
    with collection.live_queue(
        collection.status(a, TaskState.RUNNING, device_name="GPU 0 (A100)"),
        collection.status(b, TaskState.WAITING, reason="GPU 0 lacks 300 MB"),
        collection.status(c, TaskState.WAITING, reason="GPU 0 lacks 300 MB"),
        collection.status(d, TaskState.FAILED, cause="not a number"),
        tensorboard="http://localhost:6006",
    ):
        output = said("queue", "status", collection.folder)
    for words in (
        "queue demo on node1 (process 4321) is running",
        "TensorBoard: http://localhost:6006",
        "0 of 4 done, 2 waiting, 1 running, 1 failed",
        "GPU 0 (A100)",
        "38000",
        "epoch 7 [cost] 12.5",
        "2 waiting: GPU 0 lacks 300 MB",
        f"{d}: not a number",
        str(collection.tasks[d].outfile),
    ):
        assert words in output, output
    assert "attempt before" not in output


def test_status_says_what_keeps_runs_from_starting_if_the_queue_does_not(collection: Any) -> None:
    a, b, c, d = collection.names
    waiting = [
        replace(collection.status(name, TaskState.WAITING), memory_mb=need_mb)
        for name, need_mb in [(b, 39000.0), (c, 39000.0), (d, 10.0)]
    ]
    (device,) = collection.snapshot().devices
    device = replace(device, tasks=(a,), max_tasks=2)
    running = collection.status(a, TaskState.RUNNING)
    with collection.live_queue(running, *waiting, devices=(device,), max_tasks=1):
        output = said("queue", "status", collection.folder)
    assert "2 waiting: 1 device is short of memory (1000 MB at least)" in output
    assert "1 waiting: 1 device is not to be used by more tasks" in output


def test_status_without_a_queue_says_so(collection: Any) -> None:
    collection.write_script()
    assert "no queue runs here, and none is known" in said("queue", "status", collection.folder)
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        pass
    assert "the last one, demo on node1, ended" in said("queue", "status", collection.folder)
    snapshot = collection.control.paths.snapshot("q1")
    snapshot.write_text(snapshot.read_text().replace('"ended"', '"running"'))
    assert "died without a word" in said("queue", "status", collection.folder)


def test_status_cuts_long_lists_short_unless_told_otherwise(collection: Any) -> None:
    waiting = [
        replace(collection.status(collection.names[0], TaskState.WAITING), name=f"task{n:02d}")
        for n in range(30)
    ]
    with collection.live_queue(*waiting):
        short = said("queue", "status", collection.folder)
        whole = said("queue", "status", collection.folder, "--all")
    assert "and 27 more" in short
    assert "task29" not in short
    assert "task29" in whole


def test_status_as_json(collection: Any) -> None:
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        data = json.loads(said("queue", "status", collection.folder, "--json"))
    assert data["queues"][0]["queue_id"] == "q1"
    assert data["tasks"][0] == {
        **collection.status(collection.names[0], TaskState.RUNNING).to_dict(),
        "state": "running",
    }


def test_watch_ends_with_the_queue(collection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection.write_script()
    with contextlib.ExitStack() as stack:
        presence = stack.enter_context(
            collection.live_queue(*statuses(collection, TaskState.RUNNING))
        )
        news = iter(
            [
                lambda: presence.publish(
                    collection.snapshot(*statuses(collection, TaskState.DONE)), at_once=True
                ),
                stack.close,
            ]
        )
        clock = SimpleNamespace(time=time.time, sleep=lambda _seconds: next(news)())
        monkeypatch.setattr(queue_status, "time", clock)
        output = said("queue", "status", collection.folder, "--watch")
    assert "0 of 1 done, 1 running\n1 of 1 done\n" in output
    assert "no queue runs here" in output


def test_explain_from_the_run_directory(collection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection.write_script()
    name = collection.names[1]
    collection.record(name, collection.failed(name, 1, Cause.STORAGE))
    assert f"{name}: failed" in said("explain", collection.run_of(name))
    monkeypatch.chdir(collection.run_of(name))
    assert f"{name}: failed" in said("explain", ".")
    data = json.loads(said("explain", "run002", "--json"))
    assert data["attempts"][0]["cause"] == "storage"
    assert data["command_by_hand"]


def test_explain_of_several_or_none_is_an_error(collection: Any) -> None:
    collection.write_script()
    with pytest.raises(RunNotFoundError, match="fits 4 runs"):
        call("explain", "*run*", "-C", collection.folder)
    with pytest.raises(RunNotFoundError, match="no task"):
        call("explain", "run999", "-C", collection.folder)


def test_a_run_that_the_live_queue_does_not_know_is_found_in_the_scripts(collection: Any) -> None:
    collection.write_script()
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        assert f"{collection.names[3]}: waiting" in said(
            "explain", "run004", "-C", collection.folder
        )


def test_a_script_that_fails_is_the_reason_why_no_run_is_known(collection: Any) -> None:
    collection.write_script().write_text("import nonsense_of_ours")
    with pytest.raises(RunNotFoundError, match="nonsense_of_ours"):
        call("explain", "run001", "-C", collection.folder)


@pytest.mark.parametrize("run", ["x" * 5000, "a\0b", "~nobody-of-that-name/run", "/", "[", ""])
def test_a_word_that_is_no_run_is_an_error_and_no_bug(
    collection: Any, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    collection.write_script()
    monkeypatch.chdir(collection.folder)
    for verb in (["queue", "pause"], ["explain"]):
        with pytest.raises(RunNotFoundError):
            call(*verb, run)


def test_a_run_directory_tells_its_collection(
    collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.write_script()
    monkeypatch.chdir(collection.folder.parent)
    run = collection.run_of(collection.names[2])
    said("queue", "pause", run)
    said("queue", "pause", os.path.relpath(collection.run_of(collection.names[0])))
    assert collection.control.read().paused == {collection.names[2], collection.names[0]}


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "priority", "add", "stop"])
def test_every_wish_can_be_answered_as_json(collection: Any, verb: str) -> None:
    collection.write_script()
    new = collection.spec("lfads_param_ABC_run009_single")
    words = {
        "cancel": ["run001", "-y"],
        "priority": ["run001", "3"],
        "add": ["-"],
        "stop": [],
    }.get(verb, ["run001"])
    with collection.live_queue(*statuses(collection, TaskState.FAILED)):
        text = said(
            "queue", verb, "-C", collection.folder, *words, "--json", answer=json.dumps([new])
        )
    data = json.loads(text)
    assert data["verb"] == verb
    assert data["collection"] == str(collection.folder)
    assert isinstance(data["queues"], list)


@pytest.mark.parametrize(
    "verb", ["", "status", "cancel", "pause", "resume", "retry", "priority", "add", "stop"]
)
def test_help_has_examples(verb: str) -> None:
    output = said("queue", *filter(None, [verb]), "--help")
    assert f"lfadsq queue {verb}".strip() in output.partition("Examples:")[2]


def test_names_that_no_terminal_can_show_are_shown_somehow(collection: Any) -> None:
    name = "odd\udc80 [red]name[/red]"
    task = replace(collection.status(collection.names[0], TaskState.FAILED), name=name)
    with collection.live_queue(task):
        shown = said("queue", "status", collection.folder)
        assert r"odd\udc80 [red]name[/red]" in shown
        assert r"odd\udc80" in said("queue", "cancel", collection.folder, "odd*", "-y")
    assert collection.control.read().cancelled == {name}


def test_help_of_all_is_quick_and_light() -> None:
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "from lfadsq.cli.main import lfadsq\n"
        "for words in (['--help'], ['queue', '--help'], ['queue', 'status', '--help'],"
        " ['explain', '--help']):\n"
        "    lfadsq.main(words, standalone_mode=False)\n"
        "took = time.perf_counter() - began\n"
        "heavy = {'rich', 'dask', 'distributed', 'numpy', 'psutil', 'lfadsq.queue'}\n"
        "print('heavy:', *(heavy & {*sys.modules}), file=sys.stderr)\n"
        "print('took:', took, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "heavy:\n" in ended.stderr
    assert float(ended.stderr.rpartition("took: ")[2]) < 0.5


def test_the_installed_command_reports_errors_in_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lfadsq", "queue", "status", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


def test_status_on_a_narrow_terminal_cuts_no_name(collection: Any) -> None:
    device = DeviceStatus("GPU-1", "GPU 0 (A100)", 40000.0, 30000.0, 20000.0, 2)
    tasks = statuses(collection, TaskState.RUNNING, TaskState.WAITING)
    for task in tasks:
        Path(task.outfile).write_text("a long line " * 20 + "\n")
    with collection.live_queue(*tasks, devices=(device,)):
        overview = look(collection.folder)
        for width in (40, 80, 200):
            console = Console(file=io.StringIO(), width=width)
            console.print(queue_status._render(overview, None, width))
            lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
            assert max(map(len, lines)) <= width
            joined = "".join(line.strip() for line in lines)
            assert all(task.name in joined for task in tasks)
            assert "30000" in joined
            assert "GPU 0 (A100)" in " ".join(line.strip() for line in lines)
            assert sum(line.strip().startswith("a long line") for line in lines) <= 1


def test_explain_takes_the_collection_first(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    assert f"{name}: waiting" in said("explain", collection.folder, name)
    for words in ([collection.folder], [collection.folder, *collection.names[:2]], []):
        result = call("explain", *words)
        assert result.exit_code == 2, words


def test_retry_of_what_is_paused_says_that_it_will_not_start(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, collection.failed(name))
    collection.control.edit(lambda wishes: wishes.with_paused([name]))
    assert "1 of them paused still: `lfadsq queue resume`" in said(
        "queue", "retry", collection.folder, name
    )


def test_add_names_what_is_wrong_with_its_source(collection: Any, tmp_path: Path) -> None:
    collection.write_script()
    with pytest.raises(ConfigError, match=r"standard input: task 1.*; nothing was added"):
        call("queue", "add", "-", "-C", collection.folder, answer='[{"name": "x"}]')
    with pytest.raises(ConfigError, match="standard input is no JSON"):
        call("queue", "add", "-", "-C", collection.folder, answer="{")
    assert not collection.control.paths.wishes.exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [(TaskState.RUNNING, "has taken note"), (TaskState.WAITING, "has not finished")],
)
def test_priority_waits_for_no_sign_of_what_runs(
    collection: Any, state: TaskState, words: str
) -> None:
    with collection.live_queue(*statuses(collection, state)):
        assert words in said("queue", "priority", collection.folder, collection.names[0], 3)
