"""Running queues that are told what people want, and tasks that outlive their queue."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.status import QueueState, Snapshot, TaskState
from lfadsq.queue.wishes import END, LEAVE

from ...nvml_standin.standin import StandInGpus
from .conftest import (
    QUEUE_PROGRAM,
    QueueProcess,
    attempts_of,
    is_alive,
    is_done,
    spec_of,
    wait_until,
)

StartQueue = Callable[..., QueueProcess]

WORKS = (
    "echo start >> {0}/starts; echo $$ > {0}/pid; trap 'touch {0}/saved; exit 0' TERM;"
    " while ! test -e {1}/go; do sleep 0.05; done"
)


def works(root: Path, name: str, **more: Any) -> dict[str, Any]:
    """Make a task that goes on until the file ``go`` is there, and saves when it is ended."""
    return spec_of(root, name, WORKS.format(root / name, root)) | more


def starts_of(spec: dict[str, Any]) -> int:
    path = Path(spec["donefile"]).with_name("starts")
    return path.read_text().count("start") if path.exists() else 0


def pid_of(spec: dict[str, Any]) -> int:
    return int(Path(spec["donefile"]).with_name("pid").read_text())


def runs(spec: dict[str, Any]) -> bool:
    path = Path(spec["donefile"]).with_name("pid")
    return path.exists() and bool(path.read_text()) and is_alive(pid_of(spec))


def states(root: Path) -> dict[str, TaskState]:
    snapshot = newest(root)
    return {task.name: task.state for task in snapshot.tasks} if snapshot else {}


def newest(root: Path) -> Snapshot | None:
    queues = ControlFolder.of(root).queues()
    return queues[0][0] if queues else None


def all_run(*specs: dict[str, Any]) -> Callable[[], bool]:
    return lambda: all(runs(spec) for spec in specs)


# --- detached ------------------------------------------------------------------------------------


def test_running_tasks_outlive_a_detached_queue_and_the_next_takes_them_up(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    specs = [works(tmp_path, f"t{n}") for n in range(3)]
    first = start_queue(specs, max_tasks_simultaneously=2, detach=True)
    wait_until(all_run(*specs[:2]), "two tasks")
    first.send_signal(signal.SIGINT)
    assert first.wait(20) != 0
    assert all_run(*specs[:2])()
    second = start_queue(specs, max_tasks_simultaneously=2)
    second.wait_for("t0 is being run by process", "t1 is being run by process")
    wait_until(
        lambda: states(tmp_path) == {"t0": "elsewhere", "t1": "elsewhere", "t2": "waiting"},
        "the books of the second queue",
    )
    # They count: two at a time are two at a time.
    assert starts_of(specs[2]) == 0
    (tmp_path / "go").touch()
    assert sorted(second.finished()) == ["t0", "t1", "t2"]
    assert [starts_of(spec) for spec in specs] == [1, 1, 1]
    assert all(is_done(spec) for spec in specs)
    assert [a["outcome"] for a in attempts_of(specs[0])] == ["succeeded"]


def test_a_gpu_that_a_left_task_uses_is_not_given_to_another(
    tmp_path: Path, start_queue: StartQueue, gpus: StandInGpus
) -> None:
    gpus.put_alike(2, total=1000)
    specs = [works(tmp_path, f"t{n}") for n in range(3)]
    first = start_queue(specs[:1], max_tasks_simultaneously=4, detach=True)
    wait_until(all_run(specs[0]), "the task")
    first.send_signal(signal.SIGTERM)
    first.wait(20)
    second = start_queue(specs, max_tasks_simultaneously=4)
    wait_until(all_run(specs[1]), "the second task")
    wait_until(lambda: states(tmp_path).get("t1") == "running", "the books")
    assert starts_of(specs[2]) == 0
    (tmp_path / "go").touch()
    second.finished()
    devices = [attempts_of(spec)[0]["device"] for spec in specs[:2]]
    assert len(set(devices)) == 2


def test_left_tasks_end_with_the_queue_that_took_them_up(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    spec = works(tmp_path, "t")
    first = start_queue([spec], detach=True)
    wait_until(all_run(spec), "the task")
    first.send_signal(signal.SIGTERM)
    first.wait(20)
    second = start_queue([spec], detach=False)
    second.wait_for("t is being run by process")
    pid = pid_of(spec)
    second.send_signal(signal.SIGTERM)
    second.wait(30)
    assert not is_alive(pid)
    assert (tmp_path / "t/saved").exists()
    assert [a["outcome"] for a in attempts_of(spec)] == ["interrupted"]
    assert not is_done(spec)


def test_a_queue_outlives_its_terminal(tmp_path: Path, start_queue: StartQueue) -> None:
    specs = [works(tmp_path, f"t{n}") for n in range(2)]
    queue = start_queue(specs, max_tasks_simultaneously=1)
    wait_until(all_run(specs[0]), "the task")
    queue.send_signal(signal.SIGHUP)
    log = ControlFolder.of(tmp_path).paths.log
    wait_until(lambda: "the terminal is gone" in log.read_text(), "the note")
    (tmp_path / "go").touch()
    assert queue.wait() == 0
    assert "finished     t1" in log.read_text()


class Terminal:
    """A queue at a terminal of its own, where somebody can press Ctrl-C and type."""

    def __init__(self, specs: list[dict[str, Any]]) -> None:
        self._master, slave = pty.openpty()
        # A test run in the background has Ctrl-C ignored.
        head = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{head}\n{QUEUE_PROGRAM}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps({"specs": specs})],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm"},
            preexec_fn=lambda: _control_terminal(0),
        )
        os.close(slave)
        self.shown = ""

    def press(self, keys: str) -> None:
        # No person presses Ctrl-C twice within the time in which a second one is an echo.
        time.sleep(0.2)
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> None:
        def has_shown() -> bool:
            self.shown += os.read(self._master, 4096).decode(errors="replace")
            return text in self.shown

        wait_until(has_shown, text)

    def wait(self) -> int:
        try:
            while select.select([self._master], [], [], 30)[0] and os.read(self._master, 4096):
                pass
        except OSError:
            pass  # that is how its end shows
        return self._process.wait(30)


def _control_terminal(descriptor: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def test_ctrl_c_asks_and_continues_or_leaves(tmp_path: Path, start_queue: StartQueue) -> None:
    spec = works(tmp_path, "t")
    terminal = Terminal([spec])
    wait_until(all_run(spec), "the task")
    terminal.press("\x03")
    terminal.wait_for("[c]ontinue?")
    terminal.press("what\n")
    terminal.wait_for("[c]ontinue?")
    terminal.press("c\n")
    terminal.wait_for("the queue goes on")
    terminal.press("\x03")
    terminal.wait_for("[c]ontinue?")
    terminal.press("l\n")
    assert terminal.wait() != 0
    assert runs(spec)
    (tmp_path / "go").touch()
    assert start_queue([spec]).finished() == ["t"]
    assert starts_of(spec) == 1


def test_ctrl_c_twice_ends_the_tasks(tmp_path: Path) -> None:
    spec = works(tmp_path, "t")
    terminal = Terminal([spec])
    wait_until(all_run(spec), "the task")
    terminal.press("\x03")
    terminal.wait_for("[c]ontinue?")
    terminal.press("\x03")
    assert terminal.wait() != 0
    assert not runs(spec)
    assert (tmp_path / "t/saved").exists()
    assert [a["outcome"] for a in attempts_of(spec)] == ["interrupted"]


# --- wishes --------------------------------------------------------------------------------------


def test_cancel_ends_all_processes_of_a_run_and_lasts_until_it_is_tried_again(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    stray = f"setsid sh -c 'echo $$ > {tmp_path}/stray; sleep 1000' & "
    spec = works(tmp_path, "t")
    spec["command"] = stray + spec["command"]
    other = works(tmp_path, "other")
    control = ControlFolder.of(tmp_path)
    queue = start_queue([spec, other], max_tasks_simultaneously=2)
    wait_until(all_run(spec, other), "both tasks")
    told = tmp_path / "stray"
    stray_pid = int(wait_until(lambda: told.exists() and told.read_text(), "the stray process"))
    control.edit(lambda wishes: wishes.with_cancelled(["t"]))
    wait_until(lambda: not runs(spec) and not is_alive(stray_pid), "the end of all of it")
    wait_until(lambda: states(tmp_path)["t"] == "cancelled", "the books")
    assert (tmp_path / "t/saved").exists()
    assert runs(other)
    (attempt,) = attempts_of(spec)
    assert (attempt["outcome"], attempt["cause"]) == ("cancelled", "cancelled by user")
    (tmp_path / "go").touch()
    assert queue.finished() == ["other"]
    assert queue.wait() == 0
    assert start_queue([spec, other]).finished() == []
    assert starts_of(spec) == 1
    control.edit(lambda wishes: wishes.with_retried({"t": 1}))
    (tmp_path / "stray").unlink()
    spec["command"] = spec["command"].removeprefix(stray)
    assert start_queue([spec, other]).finished() == ["t"]


def test_pause_lets_go_on_what_runs_and_starts_nothing(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    specs = [works(tmp_path, f"t{n}") for n in range(2)]
    control = ControlFolder.of(tmp_path)
    queue = start_queue(specs, max_tasks_simultaneously=1)
    wait_until(all_run(specs[0]), "the first task")
    control.edit(lambda wishes: wishes.with_paused())
    wait_until(lambda: states(tmp_path).get("t1") == "paused", "the pause")
    assert runs(specs[0])
    (tmp_path / "go").touch()
    wait_until(lambda: states(tmp_path).get("t0") == "done", "the end of what ran")
    snapshot = newest(tmp_path)
    assert snapshot is not None
    assert snapshot.state is QueueState.PAUSED
    assert starts_of(specs[1]) == 0
    control.edit(lambda wishes: wishes.with_resumed())
    assert sorted(queue.finished()) == ["t0", "t1"]


def test_pause_now_frees_the_devices_and_resume_goes_on_uncharged(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    spec = works(tmp_path, "t")
    control = ControlFolder.of(tmp_path)
    queue = start_queue([spec])
    for number in (1, 2, 3):
        wait_until(lambda n=number: starts_of(spec) == n and runs(spec), f"start {number}")
        control.edit(lambda wishes: wishes.with_paused(now=True))
        wait_until(lambda: not runs(spec), "its end")
        wait_until(lambda: states(tmp_path).get("t") == "paused", "the pause")
        control.edit(lambda wishes: wishes.with_resumed())
    wait_until(lambda: starts_of(spec) == 4, "the last start")
    (tmp_path / "go").touch()
    assert queue.finished() == ["t"]
    assert [a["outcome"] for a in attempts_of(spec)] == ["interrupted"] * 3 + ["succeeded"]
    assert attempts_of(spec)[0]["cause"] == "paused by user"


def test_a_failed_run_is_tried_again_by_the_queue_that_runs(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    bad = spec_of(tmp_path, "bad", f"test -e {tmp_path}/mended")
    other = works(tmp_path, "other")
    queue = start_queue([bad, other], max_tasks_simultaneously=2)
    wait_until(lambda: states(tmp_path).get("bad") == "failed", "the failure")
    (tmp_path / "mended").touch()
    ControlFolder.of(tmp_path).edit(lambda wishes: wishes.with_retried({"bad": 1}))
    wait_until(lambda: is_done(bad), "another try")
    (tmp_path / "go").touch()
    assert sorted(queue.finished()) == ["bad", "other"]


def test_priorities_change_while_tasks_wait(tmp_path: Path, start_queue: StartQueue) -> None:
    first = works(tmp_path, "first")
    rest = [spec_of(tmp_path, f"t{n}", f"echo t{n} >> {tmp_path}/order") for n in range(3)]
    queue = start_queue([first, *rest], max_tasks_simultaneously=1)
    wait_until(all_run(first), "the first task")
    ControlFolder.of(tmp_path).edit(lambda wishes: wishes.with_priorities(["t2"], 5))

    def is_known() -> bool:
        snapshot = newest(tmp_path)
        return snapshot is not None and snapshot.tasks[3].priority == 5

    wait_until(is_known, "the new priority")
    (tmp_path / "go").touch()
    queue.finished()
    assert (tmp_path / "order").read_text().split() == ["t2", "t0", "t1"]


def test_stop_ends_or_leaves_what_runs(tmp_path: Path, start_queue: StartQueue) -> None:
    spec = works(tmp_path, "t")
    control = ControlFolder.of(tmp_path)
    for how in (LEAVE, END):
        queue = start_queue([spec])
        queue.wait_for("being run by" if how is END else "started")
        wait_until(all_run(spec), "the task")
        (alive,) = wait_until(
            lambda: [snapshot for snapshot, lives in control.queues() if lives], "the queue"
        )
        control.edit(lambda w, how=how, id=alive.queue_id: w.with_stops([id], how))
        assert queue.wait(30) == 1
        assert runs(spec) is (how is LEAVE)
    assert control.read().stops == {}
    assert (tmp_path / "t/saved").exists()


def test_tasks_are_added_by_wish_and_by_a_script_that_changes(tmp_path: Path) -> None:
    def script_of(names: list[str]) -> str:
        return (
            "import sys\nimport lfadsqueue as lq\n"
            f"specs = {[works(tmp_path, name) for name in names]!r}\n"
            "if __name__ == '__main__':\n"
            "    lq.run_lfads_queue('grows', None, specs, script=__file__, argv=sys.argv[1:])\n"
        )

    def write(names: list[str]) -> None:
        aside = tmp_path / "aside"
        aside.write_text(script_of(names))
        aside.replace(tmp_path / "run_lfadsqueue.py")

    write(["a"])
    with subprocess.Popen(
        [
            sys.executable,
            str(tmp_path / "run_lfadsqueue.py"),
            "--json",
            "--max-tasks-simultaneously=3",
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        text=True,
    ) as queue:
        try:
            wait_until(lambda: states(tmp_path).get("a") == "running", "the first task")
            write(["a", "b"])
            wait_until(lambda: states(tmp_path).get("b") == "running", "the second task")
            extra = works(tmp_path, "c")
            ControlFolder.of(tmp_path).edit(lambda wishes: wishes.with_added([extra]))
            wait_until(lambda: states(tmp_path).get("c") == "running", "the third task")
        finally:
            (tmp_path / "go").touch()
        assert queue.stdout is not None
        summary = json.loads(queue.stdout.read())
        assert queue.wait(30) == 0
    assert sorted(summary["finished"]) == ["a", "b", "c"]
