"""A log of what queues do, which outlives the terminal."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from lfadsq.queue.board import Board
from lfadsq.queue.events import Event, QueueEnded
from lfadsq.queue.records import iso_time
from lfadsq.queue.summary import summary_text

__all__ = ["LogReporter"]

_logger = logging.getLogger(__name__)


class LogReporter:
    """Adds a line for everything that happens to a file, each with its time.

    Parameters
    ----------
    path : Path
        Made if missing; several queues may write to one.
    mode : int, default 0o600
        Permissions it is made with.
    """

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self._path = path
        self._mode = mode
        self._board = Board()
        self._descriptor: int | None = None
        self._has_complained = False

    def report(self, event: Event) -> None:
        """Add the lines of an event."""
        text = self._board.take(event).text
        if isinstance(event, QueueEnded):
            text = summary_text(event.summary)
        if not text:
            return
        lines = text.splitlines()
        text = f"{iso_time(time.time())} {lines[0]}\n" + "".join(f"  {li}\n" for li in lines[1:])
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, self._mode)
            # One write in append mode: lines of two queues do not mix.
            os.write(self._descriptor, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            if not self._has_complained:
                _logger.warning("%s cannot be written: %s", self._path, error.strerror)
            self._has_complained = True

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
