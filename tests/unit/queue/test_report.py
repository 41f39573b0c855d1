from __future__ import annotations

import io
import time
from pathlib import Path

from rich.console import Console

from lfadsq.queue.events import (
    Failure,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    TaskFailed,
    TaskFinished,
    TaskStarted,
)
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.report import ConsoleReporter
from lfadsq.queue.tasks import Task

from .conftest import wait_until

STARTED = QueueStarted("q", 3, 1, ("GPU 0 (A100)",), 1, "")
SUMMARY = QueueSummary("q", ("a",), ("z",), (), (), (), 75.0)


def task_in(folder: Path, name: str = "a") -> Task:
    return Task(name, "true", 1.0, folder / "lfads.out", folder / "lfads.done")


def attempt(number: int = 1) -> Attempt:
    return Attempt(number, "true", "h", "GPU-x", "GPU 0 (A100)", "2018", 0)


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
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out))
    failure = Failure(
        "a",
        Cause.GPU_MEMORY,
        "exit status 1",
        "take less",
        "GPU 0",
        tmp_path / "log",
        "one\ntwo",
        "bash x",
    )
    reporter.report(TaskFailed(task_in(tmp_path), failure))
    text = out.getvalue()
    for words in ("out of GPU memory (exit status 1)", "| one", "| two", "bash x", "take less"):
        assert words in text
    assert str(tmp_path / "log") in text


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
