"""A log as lines that a terminal can be given, while it grows."""

from __future__ import annotations

import io
import time
from pathlib import Path

from lfadsq.watching.log_lines import LogWriter
from lfadsq.watching.log_reading import LogFollower

__all__ = ["NUM_LINES", "LogFeed"]

NUM_LINES = 2000
"""So many of the last lines are read at first, and kept."""

_TAB = 8


class LogFeed:
    """Gives what is new in a log, line by line and harmless; used by one thread at a time.

    Parameters
    ----------
    path : Path
        It need not exist yet.

    Raises
    ------
    StorageError
        If it is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._follower = LogFollower(path, NUM_LINES)
        self._out = io.BytesIO()
        # The prefix makes it write whole lines only; of a line that a program writes over and
        # over, such as a progress bar, what stands there last.
        self._writer = LogWriter(self._out, "|", is_terminal=True)

    @property
    def exists(self) -> bool:
        """Whether there was a log so far."""
        return self._follower.exists

    def news(self) -> list[str]:
        """Give the lines that were completed since the last time.

        Raises
        ------
        StorageError
            If the log is there and cannot be read.
        """
        for block in self._follower.news(time.monotonic()):
            self._writer.write(block)
        text = self._out.getvalue().decode("utf-8", "replace")
        self._out.seek(0)
        self._out.truncate()
        # Only "\n" ends a line here: others may be in it.
        lines = text.split("\n")[:-1]
        return [line[1:].expandtabs(_TAB) for line in lines[-NUM_LINES:]]

    def close(self) -> None:
        """Let go of the file."""
        self._follower.__exit__(None, None, None)
