"""The validation costs of runs, read as their logs grow: never the same byte twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lfadsq.paths import RunPaths

__all__ = ["NUM_COSTS", "CostTails", "valid_costs"]

# Cells of a line: epoch,%d, step,%d, total,%f,%f, ... (FORMATS.md 6).
_NUM_CELLS = 19
_TOTAL, _VALID = 4, 6

NUM_COSTS = 240
"""So many of the last epochs are kept."""

# A line has some 140 bytes: at first so much of the end is read, however long the log is.
_FIRST_BYTES = 48 * 1024
_MOST_BYTES = 1024 * 1024
_MOST_KEPT = 500
_FIT_LOG = str(RunPaths(Path()).output.fit_log())


class CostTails:
    """Keeps the last validation costs of runs that are looked at.

    Parameters
    ----------
    collection : Path

    Attributes
    ----------
    num_bytes : int
        Read so far, for measurements.
    """

    def __init__(self, collection: Path) -> None:
        self._folder = str(collection)
        self._tails: dict[str, _Tail] = {}
        self.num_bytes = 0

    def read(self, names: Iterable[str]) -> dict[str, tuple[float, ...]]:
        """Give the last validation costs of runs, oldest first.

        Parameters
        ----------
        names : iterable of str
            ``param_<HASH>/<run name>``.

        Returns
        -------
        dict of str to tuple of float
            Without those that have no costs yet, or a log that cannot be read.
        """
        costs = {}
        for name in names:
            # What was wanted last is last, so that the rest is forgotten first.
            tail = self._tails.pop(name, None) or _Tail()
            self._tails[name] = tail
            with suppress(OSError):
                self.num_bytes += tail.read(f"{self._folder}/{name}/{_FIT_LOG}")
            if tail.costs:
                costs[name] = tuple(tail.costs)
        while len(self._tails) > _MOST_KEPT:
            del self._tails[next(iter(self._tails))]
        return costs


def valid_costs(content: bytes) -> list[float]:
    """List the validation costs of complete lines, in their order; NaN where one is none.

    Parameters
    ----------
    content : bytes
        A piece of a ``fitlog.csv``. Lines that are not those of one are passed over.
    """
    costs = []
    for line in content.split(b"\n"):
        cells = line.split(b",")
        if len(cells) == _NUM_CELLS and cells[_TOTAL].strip() == b"total":
            with suppress(ValueError):
                costs.append(float(cells[_VALID]))
    return costs


class _Tail:
    """The end of one log."""

    def __init__(self) -> None:
        self.costs: deque[float] = deque(maxlen=NUM_COSTS)
        self._position = 0
        self._identity: tuple[int, int] | None = None
        self._seen: tuple[int, int] | None = None

    def read(self, path: str) -> int:
        """Take in what is new; give how much was read [bytes]."""
        found = os.stat(path)  # noqa: PTH116 - a Path costs as much as the call
        identity = (found.st_dev, found.st_ino)
        if identity != self._identity or found.st_size < self._position:
            # It was begun anew, by a training from scratch.
            self.costs.clear()
            self._identity, self._position = identity, 0
        elif self._seen == (found.st_mtime_ns, found.st_size):
            return 0
        begin = self._position or max(0, found.st_size - _FIRST_BYTES)
        if found.st_size - begin > _MOST_BYTES:
            begin = found.st_size - _FIRST_BYTES
        content = _read(path, begin, found.st_size - begin)
        # A first piece that begins within a line has a broken one, which is passed over; what
        # follows the last line break is read again when its line is complete.
        complete = content[: content.rfind(b"\n") + 1]
        self.costs.extend(valid_costs(complete))
        self._position = begin + len(complete)
        self._seen = (found.st_mtime_ns, found.st_size)
        return len(content)


def _read(path: str, begin: int, length: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, length, begin)
    finally:
        os.close(descriptor)
