"""Reading logs of any size: their end is found from behind, and what is new is read piece by piece.

Logs grow, are emptied, or are moved aside and begun anew while they are read, also from other
machines. So whatever is read goes by the open file, and what the name stands for is looked at again
each time.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lfadsq.errors import StorageError
from lfadsq.files import storage_errors

__all__ = ["LogFollower", "begin_of_tail", "read_range"]

_BLOCK_BYTES = 64 * 1024
# A line without an end (a progress bar, a dump) must not make the end of a log the whole of it.
_LONGEST_TAIL_BYTES = 1024 * 1024
_LONGEST_LINE_BYTES = 8 * 1024
# Long enough to tell what was read from what was written in its place.
_REMEMBERED_BYTES = 64
# What a program still writes into a log that was moved aside comes within this.
_FORMER_S = 10.0


def begin_of_tail(descriptor: int, num_lines: int, begin: int = 0, end: int | None = None) -> int:
    """Find where the last lines of a file begin, reading no more than them.

    Parameters
    ----------
    descriptor : int
        The open file.
    num_lines : int
        How many; a last line without an end is one.
    begin, end : int
        Nothing before, nothing from here on [bytes]; by default all of it.

    Returns
    -------
    int
        A place between `begin` and `end` [bytes]. It is within a line if lines are so long that
        they would take more than 1 MB and 8 kB for each.
    """
    size = os.fstat(descriptor).st_size
    end = size if end is None else min(end, size)
    if num_lines <= 0:
        return end
    begin = max(begin, end - _LONGEST_TAIL_BYTES - num_lines * _LONGEST_LINE_BYTES)
    at, missing = end, num_lines
    while at > begin:
        length = min(_BLOCK_BYTES, at - begin)
        block = os.pread(descriptor, length, at - length)
        # The break that ends the last line begins no line.
        search_to = length - 1 if at == end and block.endswith(b"\n") else length
        while (found := block.rfind(b"\n", 0, search_to)) >= 0:
            missing -= 1
            if missing == 0:
                return at - length + found + 1
            search_to = found
        at -= length
    return begin


def read_range(descriptor: int, begin: int, end: int | None = None) -> Iterator[bytes]:
    """Read a file from one place to another, or to its end, piece by piece."""
    while end is None or begin < end:
        length = _BLOCK_BYTES if end is None else min(_BLOCK_BYTES, end - begin)
        block = os.pread(descriptor, length, begin)
        if not block:
            return
        yield block
        begin += len(block)


class _OpenLog:
    """An open file, and how far it was read."""

    def __init__(self, descriptor: int, position: int) -> None:
        self.descriptor = descriptor
        self.position = position
        found = os.fstat(descriptor)
        self.identity = (found.st_dev, found.st_ino)
        self._remembered = b""
        self._remember()

    def _remember(self) -> None:
        begin = max(0, self.position - _REMEMBERED_BYTES)
        self._remembered = os.pread(self.descriptor, self.position - begin, begin)

    def _was_emptied(self) -> bool:
        # It may have grown past the place again: then what lies before it is something else.
        begin = self.position - len(self._remembered)
        there = os.pread(self.descriptor, len(self._remembered), begin)
        return there != self._remembered

    def news(self) -> Iterator[bytes]:
        if os.fstat(self.descriptor).st_size < self.position or self._was_emptied():
            self.position = 0
        for block in read_range(self.descriptor, self.position):
            self.position += len(block)
            yield block
        self._remember()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


class LogFollower:
    """Gives what is added to a log, whatever becomes of the file: a context manager.

    A log that is emptied is read from its beginning again. One that is moved aside is read to its
    end, also what is still written to it for a while, and then the new one from its beginning. One
    that is missing is waited for.

    Parameters
    ----------
    path : Path
    num_lines : int or None
        Begin so many lines before the end; None for the beginning.
    begin : int, default 0
        Nothing before this place of the file that is there now [bytes].

    Raises
    ------
    StorageError
        If the log is there and cannot be read.
    """

    def __init__(self, path: Path, num_lines: int | None = None, *, begin: int = 0) -> None:
        self._path = path
        self._current: _OpenLog | None = None
        self._former: _OpenLog | None = None
        self._former_until_s = 0.0
        descriptor = self._open()
        if descriptor is None:
            return
        try:
            with storage_errors(path, "read"):
                if num_lines is not None:
                    begin = begin_of_tail(descriptor, num_lines, begin)
                self._current = _OpenLog(descriptor, min(begin, os.fstat(descriptor).st_size))
        except StorageError:
            os.close(descriptor)
            raise

    def __enter__(self) -> LogFollower:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._former, self._current):
            if one is not None:
                one.close()

    @property
    def exists(self) -> bool:
        """Whether there was a log so far."""
        return self._current is not None

    def news(self, now_s: float) -> Iterator[bytes]:
        """Give what came since the last time, in pieces.

        Parameters
        ----------
        now_s : float
            By a clock that never goes back [s].

        Raises
        ------
        StorageError
            If the log is there and cannot be read.
        """
        with storage_errors(self._path, "read"):
            if self._former is not None:
                yield from self._read(self._former)
                if now_s >= self._former_until_s:
                    self._former.close()
                    self._former = None
            if self._current is not None:
                yield from self._read(self._current)
            if not self._was_replaced():
                return
            descriptor = self._open()
            if descriptor is None:
                return
            if self._former is not None:
                self._former.close()
            if self._current is not None:
                # Between the reading above and now it may have got its last words.
                yield from self._read(self._current)
            self._former, self._former_until_s = self._current, now_s + _FORMER_S
            self._current = _OpenLog(descriptor, 0)
            yield from self._read(self._current)

    def _read(self, log: _OpenLog) -> Iterator[bytes]:
        try:
            yield from log.news()
        except OSError as error:
            # Another machine removed it, and a network file system holds nothing for us.
            if error.errno != errno.ESTALE:
                raise
            log.identity = (0, 0)

    def _was_replaced(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return self._current is None or self._current.identity != (found.st_dev, found.st_ino)

    def _open(self) -> int | None:
        with storage_errors(self._path, "read"):
            try:
                # Not to wait if somebody put a pipe there.
                return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                return None
