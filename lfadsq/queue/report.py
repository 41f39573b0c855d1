"""Telling people what the queue does: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from lfadsq.queue.board import Board
from lfadsq.queue.events import (
    Event,
    Noted,
    QueueEnded,
    QueueStarted,
    StopAsked,
    StopRequested,
    TasksAdded,
)
from lfadsq.queue.interrupts import GOES_ON
from lfadsq.queue.reporters import QuietReporter, Reporters
from lfadsq.queue.summary import summary_text, validation_costs
from lfadsq.queue.texts import failure_text
from lfadsq.texts import StyledLine, duration_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "ConsoleReporter",
    "QuietReporter",
    "Reporters",
    "duration_text",
    "failure_text",
    "summary_text",
]

_HEARTBEAT_S = 60.0
_REFRESH_HZ = 2
_ROWS_SHOWN = 20
_ROWS_IN_BEAT = 4


def _is_answer(event: Event) -> bool:
    """Tell whether the question at the terminal is over: it was answered, or nobody waits."""
    is_refusal = isinstance(event, Noted) and event.text == GOES_ON
    return is_refusal or isinstance(event, (StopRequested, QueueEnded))


class ConsoleReporter:
    """Tells the console.

    On a terminal, running tasks are a table that is kept up to date, with the last line of each
    log. Elsewhere there is a line whenever something changes, and a sign of life in between, with
    the last lines of a few of them.

    Events may come from several threads.

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
        self._write_lock = threading.Lock()
        self._board = Board()
        self._is_gone = False
        self._live: Any = None
        # While a question is at the terminal: what would be written into it.
        self._held: list[StyledLine] | None = None
        self._closed = threading.Event()
        self._heart: threading.Thread | None = None

    def report(self, event: Event) -> None:
        """Tell of an event."""
        with self._lock:
            line = self._board.take(event)
        if isinstance(event, StopAsked):
            self._make_room()
        elif self._held is not None and _is_answer(event):
            self._go_on()
        if line.text and self._held is not None:
            self._held.append(line)
        elif line.text and not self._is_gone:
            self._write(line.text, line.style)
        if isinstance(event, (QueueStarted, TasksAdded)):
            self._begin()
        elif isinstance(event, QueueEnded):
            self.close()
            if not self._is_gone:
                costs = validation_costs(self._board.donefiles)
                self._write(summary_text(event.summary, costs), "bold")

    def close(self) -> None:
        """Take the table off the terminal."""
        self._closed.set()
        self._go_on()
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._heart is not None:
            self._heart.join()
            self._heart = None

    def _write(self, text: str, style: str = "") -> None:
        """Write a line; a console that went away must not end the training."""
        try:
            if self._console.is_terminal:
                from rich.text import Text

                # As Text, so that rich reads no [brackets] in names and logs as markup.
                self._console.print(Text(text, style=style))
            else:
                file = self._console.file
                encoding = getattr(file, "encoding", None) or "utf-8"
                with self._write_lock:
                    file.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
                    file.flush()
        except (OSError, ValueError, SystemExit):
            # ValueError: the file is closed. SystemExit is rich's answer to a broken pipe.
            self._is_gone = True

    def _begin(self) -> None:
        has_begun = self._live is not None or self._heart is not None
        if has_begun or self._closed.is_set() or self._board.num_to_do == 0:
            return
        if self._console.is_terminal:
            if self._held is None:
                self._show_table()
        else:
            self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._heart.start()

    def _show_table(self) -> None:
        from rich.live import Live

        # A new one each time: one that is started again would first wipe out as many lines as the
        # table had, though others stand there now.
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=_REFRESH_HZ,
            transient=True,
        )
        self._live.start()

    def _make_room(self) -> None:
        """Leave the terminal to a question."""
        if self._console.is_terminal and self._held is None:
            self._held = []
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _go_on(self) -> None:
        """Say what was held back during a question."""
        held, self._held = self._held or [], None
        for line in held:
            self._write(line.text, line.style)
        self._begin()

    def _beat(self) -> None:
        while not self._closed.wait(self._heartbeat_s) and not self._is_gone:
            with self._lock:
                running = list(self._board.running.values())
                lines = [self._board.counts_text()]
            lines += [f"  {task.name}: {task.last_line()}" for task in running[:_ROWS_IN_BEAT]]
            if len(running) > _ROWS_IN_BEAT:
                lines.append(f"  and {len(running) - _ROWS_IN_BEAT} more")
            self._write("\n".join(lines))

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            running = list(self._board.running.values())
            title = self._board.counts_text()
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
