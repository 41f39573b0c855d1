"""Writing logs of several runs to one place: line by line, each with the run it is of."""

from __future__ import annotations

import codecs
import json
from typing import BinaryIO, Protocol

from lfadsq.texts import harmless

__all__ = ["JsonLogWriter", "LogWriter", "PiecesWriter"]

# A line that never ends must not fill the memory.
_LONGEST_LINE = 64 * 1024


class PiecesWriter(Protocol):
    """Writes one log, piece by piece."""

    def write(self, block: bytes) -> None:
        """Write a piece."""

    def end(self) -> None:
        """Write what is kept."""


class JsonLogWriter:
    """Writes one log as JSON: an object a line, ``{"run": ..., "line": ...}``, in ASCII.

    Bytes that are no UTF-8 become U+FFFD. The line is without its end; one of more than 64 kB comes
    in pieces.

    Parameters
    ----------
    out : binary file
        Several writers may have the same.
    run : str
        Name of the run.
    """

    def __init__(self, out: BinaryIO, run: str) -> None:
        self._out = out
        self._run = run
        self._pending = b""

    def write(self, block: bytes) -> None:
        """Write a piece; what follows its last line break is kept for later.

        Raises
        ------
        BrokenPipeError
            If nobody reads any more.
        """
        *lines, self._pending = (self._pending + block).split(b"\n")
        for line in lines:
            self._put(line)
        if len(self._pending) > _LONGEST_LINE:
            self._put(self._pending)
            self._pending = b""

    def end(self) -> None:
        """Write what is kept, as a line."""
        if self._pending:
            self._put(self._pending)
            self._pending = b""

    def _put(self, line: bytes) -> None:
        told = {"run": self._run, "line": line.decode("utf-8", "replace").removesuffix("\r")}
        self._out.write(json.dumps(told).encode("ascii") + b"\n")


class LogWriter:
    """Writes one log.

    Parameters
    ----------
    out : binary file
        Several writers may have the same.
    prefix : str
        Before each line; empty for none: then what is written need not be whole lines.
    is_terminal : bool
        Whether a terminal reads it: then control characters are made harmless. Otherwise every byte
        is written as it is.
    """

    def __init__(self, out: BinaryIO, prefix: str, *, is_terminal: bool) -> None:
        self._out = out
        # Names of runs may come from any file system.
        self._prefix = harmless(prefix)
        self._is_terminal = is_terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = b""
        self._is_within_line = False

    def write(self, block: bytes) -> None:
        """Write a piece; with a prefix, what follows its last line break is kept for later.

        Raises
        ------
        BrokenPipeError
            If nobody reads any more.
        """
        if not block:
            return
        self._is_within_line = not block.endswith(b"\n")
        if not self._prefix:
            self._put_piece(block)
            return
        *lines, self._pending = (self._pending + block).split(b"\n")
        for line in lines:
            self._put_line(line)
        if len(self._pending) > _LONGEST_LINE:
            self._put_line(self._pending)
            self._pending = b""

    def end(self) -> None:
        """Write what is kept, as a line; what else is written begins on a new one."""
        if self._pending:
            self._put_line(self._pending)
            self._pending = b""
        elif self._is_within_line and self._is_terminal and not self._prefix:
            self._out.write(b"\n")
        self._is_within_line = False

    def _put_piece(self, block: bytes) -> None:
        if self._is_terminal:
            block = harmless(self._decoder.decode(block)).encode()
        self._out.write(block)

    def _put_line(self, line: bytes) -> None:
        if self._is_terminal:
            # Its return would put the next words over the name of the run.
            shown = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
            line = harmless(shown).encode()
        self._out.write(self._prefix.encode() + line + b"\n")
