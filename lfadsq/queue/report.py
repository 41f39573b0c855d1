"""Telling people what the queue does: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lfadsq.queue.events import (
    Event,
    Failure,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    StopRequested,
    TaskFailed,
    TaskFinished,
    TaskHeld,
    TaskInterrupted,
    TaskStarted,
)
from lfadsq.queue.failures import last_lines, log_tail

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["ConsoleReporter", "QuietReporter", "duration_text", "failure_text", "summary_text"]

_HEARTBEAT_S = 60.0
_REFRESH_HZ = 2
_TAIL_BYTES = 4096
_ROWS_SHOWN = 20
_ROWS_IN_BEAT = 4


class QuietReporter:
    """Tells nobody."""

    def report(self, event: Event) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass
class _Running:
    event: TaskStarted
    since_s: float

    @property
    def name(self) -> str:
        return self.event.task.name

    def last_line(self) -> str:
        attempt, log = self.event.attempt, self.event.task.outfile
        tail = log_tail(log, since=attempt.log_offset, max_bytes=_TAIL_BYTES)
        return "".join(last_lines(tail, 1))


class ConsoleReporter:
    """Tells the console.

    On a terminal, running tasks are a table that is kept up to date, with the last line of each
    log. Elsewhere there is a line whenever something changes, and a sign of life in between, with
    the last lines of a few of them.

    Parameters
    ----------
    console : rich.console.Console, optional
        Standard output by default.
    heartbeat_s : float, default 60
        How long to be silent at most where there is no terminal [s].
    """

    def __init__(
        self, console: Console | None = None, *, heartbeat_s: float = _HEARTBEAT_S
    ) -> None:
        from rich.console import Console

        self._console = console or Console(soft_wrap=True, highlight=False)
        self._heartbeat_s = heartbeat_s
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._num_to_do = 0
        self._num_finished = 0
        self._num_failed = 0
        self._is_gone = False
        self._live: Any = None
        self._closed = threading.Event()
        self._heart: threading.Thread | None = None

    def report(self, event: Event) -> None:
        """Tell of an event."""
        line, style = self._note(event)
        if line and not self._is_gone:
            self._write(line, style)
        if isinstance(event, QueueStarted):
            self._begin()
        elif isinstance(event, QueueEnded):
            self.close()
            if not self._is_gone:
                self._write(summary_text(event.summary), "bold")

    def close(self) -> None:
        """Take the table off the terminal."""
        self._closed.set()
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._heart is not None:
            self._heart.join()
            self._heart = None

    def _write(self, text: str, style: str = "") -> None:
        """Write a line; a console that went away must not end the training."""
        file = self._console.file
        try:
            if self._console.is_terminal:
                from rich.text import Text

                # As Text, so that rich reads no [brackets] in names and logs as markup.
                self._console.print(Text(text, style=style))
            else:
                encoding = getattr(file, "encoding", None) or "utf-8"
                file.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
                file.flush()
        except (OSError, ValueError, SystemExit):
            # ValueError: the file is closed. SystemExit is rich's answer to a broken pipe.
            self._is_gone = True

    def _begin(self) -> None:
        if self._num_to_do == 0:
            return
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._table,
                console=self._console,
                refresh_per_second=_REFRESH_HZ,
                transient=True,
            )
            self._live.start()
        else:
            self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._heart.start()

    def _beat(self) -> None:
        while not self._closed.wait(self._heartbeat_s) and not self._is_gone:
            with self._lock:
                running = list(self._running.values())
                lines = [self._counts()]
            lines += [f"  {task.name}: {task.last_line()}" for task in running[:_ROWS_IN_BEAT]]
            if len(running) > _ROWS_IN_BEAT:
                lines.append(f"  and {len(running) - _ROWS_IN_BEAT} more")
            self._write("\n".join(lines))

    def _note(self, event: Event) -> tuple[str, str]:
        """Keep the books; give a line to write, and its style."""
        with self._lock:
            handler = _HANDLERS.get(type(event))
            return handler(self, event) if handler else ("", "")

    def _on_queue_started(self, event: QueueStarted) -> tuple[str, str]:
        self._num_to_do = event.num_tasks - event.num_skipped
        lines = [f"queue {event.queue_name}: {event.num_tasks} tasks"]
        if event.num_skipped:
            lines[0] += f", {event.num_skipped} of them done already"
        if self._num_to_do == 0:
            return lines[0] + "; nothing to do", "bold"
        if event.reason:
            lines.append(f"  {event.reason}: training on the processors")
        lines.append(f"  up to {event.max_tasks} at a time on {', '.join(event.device_names)}")
        return "\n".join(lines), "bold"

    def _on_task_started(self, event: TaskStarted) -> tuple[str, str]:
        self._running[event.task.name] = _Running(event, time.monotonic())
        number = event.attempt.number
        again = f" (attempt {number})" if number > 1 else ""
        return f"started      {event.task.name} on {event.attempt.device_name}{again}", ""

    def _on_task_finished(self, event: TaskFinished) -> tuple[str, str]:
        self._num_finished += 1
        took = self._took(event.task.name)
        by_whom = " by another queue" if event.attempt is None else took
        return f"finished     {event.task.name}{by_whom}", "green"

    def _on_task_failed(self, event: TaskFailed) -> tuple[str, str]:
        self._num_failed += 1
        took = self._took(event.task.name)
        return failure_text(event.failure, took), "red"

    def _on_task_interrupted(self, event: TaskInterrupted) -> tuple[str, str]:
        return f"interrupted  {event.task.name}{self._took(event.task.name)}", "yellow"

    def _on_task_held(self, event: TaskHeld) -> tuple[str, str]:
        who = f"process {event.pid}" if event.pid else "another process"
        host = f" on {event.host}" if event.host else ""
        return (
            f"elsewhere    {event.task.name} is being run by {who}{host} already: waiting for it",
            "yellow",
        )

    def _on_stop_requested(self, event: StopRequested) -> tuple[str, str]:
        if event.grace_s == 0:
            return f"{event.signal} again: killing {event.num_running} tasks", "bold yellow"
        return (
            f"{event.signal}: ending {event.num_running} running tasks, for {event.grace_s:g} s"
            " at most (once more to kill them now)",
            "bold yellow",
        )

    def _on_noted(self, event: Noted) -> tuple[str, str]:
        return f"{'warning: ' if event.is_warning else ''}{event.text}", (
            "yellow" if event.is_warning else ""
        )

    def _took(self, name: str) -> str:
        running = self._running.pop(name, None)
        return f" after {duration_text(time.monotonic() - running.since_s)}" if running else ""

    def _counts(self) -> str:
        num_waiting = self._num_to_do - self._num_finished - self._num_failed - len(self._running)
        return (
            f"{self._num_finished} of {self._num_to_do} finished, {self._num_failed} failed,"
            f" {len(self._running)} running, {max(0, num_waiting)} waiting"
        )

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            running = list(self._running.values())
            title = self._counts()
        table = Table(title=title, title_justify="left", expand=True)
        table.add_column("task", no_wrap=True)
        table.add_column("device", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("last line of its log", ratio=1, min_width=20, no_wrap=True)
        now_s = time.monotonic()
        for task in running[:_ROWS_SHOWN]:
            table.add_row(
                Text(task.name),
                Text(task.event.attempt.device_name),
                duration_text(now_s - task.since_s),
                Text(task.last_line()),
            )
        if len(running) > _ROWS_SHOWN:
            table.add_row(f"and {len(running) - _ROWS_SHOWN} more", "", "", "")
        return table


_HANDLERS: dict[type, Callable[[ConsoleReporter, Any], tuple[str, str]]] = {
    QueueStarted: ConsoleReporter._on_queue_started,
    TaskStarted: ConsoleReporter._on_task_started,
    TaskFinished: ConsoleReporter._on_task_finished,
    TaskFailed: ConsoleReporter._on_task_failed,
    TaskInterrupted: ConsoleReporter._on_task_interrupted,
    TaskHeld: ConsoleReporter._on_task_held,
    StopRequested: ConsoleReporter._on_stop_requested,
    Noted: ConsoleReporter._on_noted,
}


def duration_text(seconds: float) -> str:
    """Write a duration for people.

    >>> duration_text(7.26), duration_text(75), duration_text(7380), duration_text(90000)
    ('7.3 s', '1 min 15 s', '2 h 03 min', '1 d 1 h')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def failure_text(failure: Failure, took: str = "") -> str:
    """Write a failure with all that is needed to look into it."""
    where = f" on {failure.device_name}" if failure.device_name else ""
    ending = f" ({failure.ending})" if failure.ending else ""
    lines = [f"FAILED       {failure.name}{where}{took}: {failure.cause.value}{ending}"]
    if failure.problem:
        lines.append(f"  what went wrong: {failure.problem}")
    lines += [f"  | {line}" for line in failure.log_tail.splitlines()]
    lines += [
        f"  log:             {failure.log}",
        f"  by hand:         {failure.command_by_hand}",
        f"  what to do:      {failure.remedy}",
    ]
    return "\n".join(lines)


def summary_text(summary: QueueSummary) -> str:
    """Write what a queue did in one line, and a line for each task that failed."""
    counts = [f"{len(summary.finished)} finished"]
    if summary.skipped:
        counts.append(f"{len(summary.skipped)} done before")
    if summary.failed:
        counts.append(f"{len(summary.failed)} failed")
    if summary.interrupted:
        counts.append(f"{len(summary.interrupted)} interrupted")
    if summary.not_started:
        counts.append(f"{len(summary.not_started)} not started")
    lines = [
        f"queue {summary.queue_name}: {', '.join(counts)} in {duration_text(summary.wall_s)}",
        *(f"  failed: {f.name}: {f.cause.value} (log: {f.log})" for f in summary.failed),
    ]
    return "\n".join(lines)
