from __future__ import annotations

import io
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lfadsq.queue.board import Board
from lfadsq.queue.events import (
    Event,
    Failure,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    StopAsked,
    StopRequested,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskInterrupted,
    TaskLeft,
    TaskRetried,
    TasksAdded,
    TaskStarted,
    Usage,
)
from lfadsq.queue.interrupts import GOES_ON
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.report import ConsoleReporter, QuietReporter, Reporters
from lfadsq.queue.tasks import Task

from .conftest import wait_until

STARTED = QueueStarted("q", 3, 1, ("GPU 0 (A100)",), 1, "")
SUMMARY = QueueSummary("q", ("a",), ("z",), (), (), (), 75.0)


def task_in(folder: Path, name: str = "a") -> Task:
    return Task(name, "true", 1.0, folder / "lfads.out", folder / "lfads.done")


def attempt(number: int = 1) -> Attempt:
    return Attempt(number, "true", "h", "GPU-x", "GPU 0 (A100)", "2018", 0, pid=77)


def failure_in(folder: Path, name: str = "a", problem: str = "") -> Failure:
    return Failure(
        name,
        Cause.GPU_MEMORY,
        "exit status 1",
        "take less",
        "GPU 0",
        folder / "lfads.out",
        "one\ntwo",
        "bash x",
        problem,
        tried=("attempt 1 on GPU 1: not a number",),
    )


class Screen(io.StringIO):
    """A terminal that knows what rich says to it: lines, carriage returns, up, and erase."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = [""]
        self._row = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\n|\r|[^\x1b\n\r]+", text):
                self._take(piece)
        return len(text)

    def _take(self, piece: str) -> None:
        if piece == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append("")
        elif piece.endswith("A") and piece.startswith("\x1b"):
            self._row = max(0, self._row - int(piece[2:-1] or 1))
        elif piece == "\x1b[2K":
            self._lines[self._row] = ""
        elif not piece.startswith("\x1b"):
            self._lines[self._row] += piece

    def shown(self) -> str:
        with self._lock:
            return "\n".join(self._lines)


def told(*events: Event) -> list[str]:
    """Give the lines that events make where there is no terminal."""
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out))
    for event in events:
        reporter.report(event)
    reporter.close()
    return out.getvalue().splitlines()


def test_plain_lines_when_there_is_no_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out))
    task = task_in(tmp_path, "[bold]a[/]")
    reporter.report(STARTED)
    reporter.report(TaskStarted(task, attempt(2)))
    reporter.report(TaskFinished(task, attempt(2)))
    reporter.report(Noted("mind the gap", is_warning=True))
    reporter.report(QueueEnded(SUMMARY))
    reporter.close()
    text = out.getvalue()
    assert "queue q: 3 tasks, 1 of them done already" in text
    assert "started      [bold]a[/] on GPU 0 (A100) (attempt 2)" in text
    assert "finished     [bold]a[/] after 0.0 s" in text
    assert "warning: mind the gap" in text
    assert "queue q: 1 finished, 1 done before in 1 min 15 s" in text
    assert "\x1b" not in text


def test_a_failure_shows_all_there_is(tmp_path: Path) -> None:
    text = "\n".join(told(TaskFailed(task_in(tmp_path), failure_in(tmp_path))))
    for words in ("out of GPU memory (exit status 1)", "| one", "| two", "bash x", "take less"):
        assert words in text
    assert "tried before:    attempt 1 on GPU 1: not a number" in text
    assert str(tmp_path / "lfads.out") in text


def test_a_retry_says_what_went_wrong_what_is_done_and_where_the_log_is(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    retried = TaskRetried(task, failure_in(tmp_path), "alone on its GPU, at once")
    assert told(TaskStarted(task, attempt()), retried)[1:] == [
        "again        a on GPU 0 after 0.0 s: out of GPU memory (exit status 1): two",
        "  next:            alone on its GPU, at once",
        f"  log:             {tmp_path / 'lfads.out'}",
    ]
    of_the_disk = TaskRetried(task, failure_in(tmp_path, problem="the disk is full"), "in 60 s")
    assert told(of_the_disk)[0].endswith("(exit status 1): the disk is full")


def test_what_people_do_to_a_queue_is_told(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    assert told(
        TasksAdded((task, task_in(tmp_path, "b")), num_done=1),
        TaskInterrupted(task),
        TaskInterrupted(task, will_go_on=True),
        TaskCancelled(task),
        TaskLeft(task, attempt()),
        StopRequested("SIGINT", 2, 20.0, leaves=True),
        StopRequested("SIGINT", 2, 20.0),
        StopRequested("SIGINT", 2, 0.0),
    ) == [
        "added        2 tasks, 1 of them done already",
        "interrupted  a",
        "interrupted  a, and goes on later",
        "cancelled    a",
        "left running a on GPU 0 (A100) (process 77)",
        f"  log:             {tmp_path / 'lfads.out'}",
        "SIGINT: leaving 2 running tasks to go on by themselves; the next queue takes them up",
        "SIGINT: ending 2 running tasks, for 20 s at most (once more to kill them now)",
        "SIGINT again: killing 2 running tasks",
    ]


def test_each_task_is_counted_where_it_is(tmp_path: Path) -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out), heartbeat_s=0.02)
    reporter.report(replace(STARTED, num_tasks=1, num_skipped=1))
    tasks = tuple(task_in(tmp_path, name) for name in "abcdefg")
    # Nothing was to do: it comes to life with what is added.
    reporter.report(TasksAdded((*tasks, task_in(tmp_path, "z")), num_done=1))
    for task in tasks[:6]:
        reporter.report(TaskStarted(task, attempt()))
    reporter.report(TaskFinished(tasks[0], attempt()))
    reporter.report(TaskFailed(tasks[1], failure_in(tmp_path, "b")))
    reporter.report(TaskCancelled(tasks[2]))
    reporter.report(TaskLeft(tasks[3], attempt()))
    reporter.report(TaskRetried(tasks[4], failure_in(tmp_path, "e"), "later"))
    beat = "1 of 7 finished, 1 failed, 1 cancelled, 1 left, 1 running, 2 waiting"
    wait_until(lambda: beat in out.getvalue(), "a sign of life")
    reporter.close()


def test_the_summary_names_the_best_run(tmp_path: Path) -> None:
    line = (
        "epoch,1, step,1, total,9.0,{cost}, recon,1.0,1.0, kl,1.0,1.0, l2,0.5,"
        " klweight,1.00, l2weight,1.00\n"
    )
    events: list[Event] = [STARTED]
    for name, cost in (("a", 5.0), ("b", 4.0), ("c", None)):
        task = task_in(tmp_path / name, name)
        (tmp_path / name / "lfadsOutput").mkdir(parents=True)
        if cost is not None:
            (tmp_path / name / "lfadsOutput" / "fitlog.csv").write_text(line.format(cost=cost))
        events.append(TaskFinished(task, attempt()))
    usage = Usage({"a": 36.0}, 36.0, 0.0, 0.25)
    lines = told(*events, QueueEnded(replace(SUMMARY, usage=usage)))
    assert lines[-4:] == [
        "queue q: 1 finished, 1 done before in 1 min 15 s",
        "  devices: 0.01 GPU hours, idle 25.0% of the time",
        "  slowest: a (36.0 s)",
        "  lowest validation cost: b (4.00)",
    ]


class Broken(QuietReporter):
    """Fails at everything, and says how often."""

    calls = 0

    def report(self, event: Event) -> None:
        self.calls += 1
        raise RuntimeError("broken")

    def close(self) -> None:
        self.calls += 1
        raise RuntimeError("broken")


class Listener(QuietReporter):
    def __init__(self) -> None:
        self.got: list[object] = []

    def report(self, event: Event) -> None:
        self.got.append(event)

    def close(self) -> None:
        self.got.append("closed")


def test_one_of_several_reporters_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    broken, listener = Broken(), Listener()
    reporters = Reporters(broken, listener)
    reporters.report(STARTED)
    reporters.report(Noted("x"))
    reporters.close()
    assert listener.got == [STARTED, Noted("x"), "closed"]
    assert broken.calls == 3
    assert caplog.text.count("Broken failed; the queue goes on") == 1


def test_whoever_interrupts_is_heard_through_reporters() -> None:
    class Interrupted(QuietReporter):
        def report(self, event: Event) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Reporters(Interrupted()).report(STARTED)


def test_a_sign_of_life_in_between(tmp_path: Path) -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out), heartbeat_s=0.02)
    reporter.report(STARTED)
    reporter.report(TaskStarted(task_in(tmp_path), attempt()))
    beat = "0 of 2 finished, 0 failed, 1 running, 1 waiting"
    wait_until(lambda: beat in out.getvalue(), "a sign of life")
    (tmp_path / "lfads.out").write_text("Epoch:1\nEpoch:2\n")
    line = f"  {task_in(tmp_path).name}: Epoch:2"
    wait_until(lambda: line in out.getvalue(), "what the task printed last")
    reporter.close()
    length = len(out.getvalue())
    time.sleep(0.1)
    assert len(out.getvalue()) == length


def test_a_table_on_a_terminal_with_the_last_line_of_the_log(tmp_path: Path) -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, force_terminal=True, width=120))
    reporter.report(STARTED)
    (tmp_path / "lfads.out").write_text("Epoch:1\nEpoch:2 [red]cost[/]\n")
    reporter.report(TaskStarted(task_in(tmp_path), attempt()))
    wait_until(lambda: "Epoch:2 [red]cost[/]" in out.getvalue(), "the table")
    assert "1 running, 1 waiting" in out.getvalue()
    reporter.close()
    assert "Epoch:1" not in out.getvalue()


def test_a_name_the_console_cannot_show_is_no_error(tmp_path: Path) -> None:
    raw = io.BytesIO()
    reporter = ConsoleReporter(Console(file=io.TextIOWrapper(raw, encoding="ascii")))
    reporter.report(TaskStarted(task_in(tmp_path, "ünï\udcff"), attempt()))
    assert b"started      \\xfcn\\xef\\udcff" in raw.getvalue()


def test_a_closed_console_is_no_error(tmp_path: Path) -> None:
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out))
    out.close()
    reporter.report(TaskStarted(task_in(tmp_path), attempt()))
    reporter.close()


def test_a_task_that_is_tried_again_counts_once(tmp_path: Path) -> None:
    board = Board()
    board.take(replace(STARTED, num_tasks=2, num_skipped=0))
    a, b = task_in(tmp_path, "a"), task_in(tmp_path, "b")
    board.take(TaskCancelled(b))
    board.take(TaskFailed(a, failure_in(tmp_path, "a")))
    assert board.counts_text() == "0 of 2 finished, 1 failed, 1 cancelled, 0 running, 0 waiting"
    for task in (a, b):
        board.take(TaskStarted(task, attempt(2)))
    assert board.counts_text() == "0 of 2 finished, 0 failed, 2 running, 0 waiting"
    for task in (a, b):
        board.take(TaskFinished(task, attempt(2)))
    assert board.counts_text() == "2 of 2 finished, 0 failed, 0 running, 0 waiting"


def test_one_and_none_are_said_as_such() -> None:
    lines = told(replace(STARTED, num_tasks=1, num_skipped=0), StopRequested("SIGTERM", 0, 20.0))
    assert lines[0] == "queue q: 1 task"
    assert lines[-1] == "SIGTERM: the queue ends; it has started nothing that still runs"
    assert told(StopRequested("lfadsq queue stop", 1, 20.0)) == [
        "lfadsq queue stop: ending 1 running task, for 20 s at most"
    ]


@pytest.mark.parametrize("answer", [Noted(GOES_ON), StopRequested("Ctrl-C", 1, 20.0)])
def test_a_question_is_not_written_into_and_no_line_is_lost(tmp_path: Path, answer: Event) -> None:
    screen = Screen()
    reporter = ConsoleReporter(Console(file=screen, force_terminal=True, width=80))
    a, b = task_in(tmp_path, "a"), task_in(tmp_path, "b")
    for event in (STARTED, TaskStarted(a, attempt()), TaskStarted(b, attempt())):
        reporter.report(event)
    wait_until(lambda: "┏" in screen.shown(), "the table")
    reporter.report(StopAsked(2))
    screen.write("What now? ")
    asked = screen.shown()
    reporter.report(TaskFinished(a, attempt()))
    reporter.report(Noted("mind the gap", is_warning=True))
    assert screen.shown() == asked
    screen.write("\n")
    reporter.report(answer)
    wait_until(lambda: "┏" in screen.shown(), "the table again")
    reporter.report(QueueEnded(SUMMARY))
    reporter.close()
    text = screen.shown()
    told_of = [
        "queue q: 3 tasks",
        "started      a",
        "started      b",
        "What now?",
        "finished     a",
    ]
    told_of += [
        "mind the gap",
        GOES_ON if isinstance(answer, Noted) else "Ctrl-C: ending",
        "1 done",
    ]
    assert [text.find(words) for words in told_of] == sorted(text.find(words) for words in told_of)
    assert all(words in text for words in told_of)
    assert "┏" not in text
