"""The lock of a run: held while a task of it works, even if the queue that started it is gone.

It is a ``flock`` on a file beside the done-marker. The kernel ties such a lock to the open file,
which the task's process inherits: it ends when the last of queue and task is gone, however they
died, and there is no stale lock to clean up. Two queues, also on two machines that share a file
system, therefore never train one run directory at the same time.

The file is also the journal of whoever holds it: a first line in JSON by the queue, then ``pid
<n>`` and ``exit <status>`` by the task's own supervisor (`lfadsq.queue.execution`), so that a
later queue can judge a task whose queue was killed. Format version 1; change `LOCK_VERSION` with
it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.files import storage_errors

__all__ = ["LOCK_VERSION", "Journal", "RunLock", "read_journal"]

LOCK_VERSION = 1

_JOURNAL_LINE = re.compile(r"^(pid|exit) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Journal:
    """What the last holder of a lock left in its file.

    Attributes
    ----------
    attempt : dict
        The attempt as it began (`lfadsq.queue.records.Attempt.to_dict`); empty if unreadable.
    donefile : str
        Marker of the task that held the lock; empty if unreadable.
    pid : int or None
        The task's process on its host, which leads its session and process group.
    exit_status : int or None
        What the command ended with; None if it has not ended, or died with its supervisor.
    """

    attempt: dict[str, Any]
    donefile: str
    pid: int | None
    exit_status: int | None


class RunLock:
    """A held lock; made by `try_acquire`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def try_acquire(cls, path: Path) -> RunLock | None:
        """Take the lock if nobody has it, without waiting.

        Returns
        -------
        RunLock or None
            None if another process, here or on another machine, holds it.

        Raises
        ------
        StorageError
            If the file cannot be made or opened.
        """
        with storage_errors(path, "lock"):
            # O_APPEND: queue and supervisor write to one open file, and neither over the other.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o664)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except OSError:
                os.close(descriptor)
                raise
        return cls(path, descriptor)

    @property
    def descriptor(self) -> int:
        """The open file to hand to the task's process."""
        return self._descriptor

    def journal(self) -> Journal:
        """Read what the holder before us left; call before `begin`."""
        return read_journal(self._path)

    def begin(self, attempt: dict[str, Any], donefile: Path) -> None:
        """Start a journal of our own, in place of the last one."""
        line = json.dumps({"version": LOCK_VERSION, "donefile": str(donefile), "attempt": attempt})
        with storage_errors(self._path, "write"):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, line.encode() + b"\n")

    def clear(self) -> None:
        """Empty the journal: the record now says everything."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def release(self) -> None:
        """Give the lock up, whoever else has inherited the open file."""
        try:
            # Closing would leave the lock with any process that a task left behind.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)


def read_journal(path: Path) -> Journal:
    """Read the journal of a lock, held or not; damage and absence give an empty one.

    Raises
    ------
    StorageError
        If the file is there and cannot be read.
    """
    with storage_errors(path, "read"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return Journal({}, "", None, None)
    first, _, rest = text.partition("\n")
    attempt: dict[str, Any] = {}
    donefile = ""
    with contextlib.suppress(ValueError, AttributeError):
        holder = json.loads(first)
        if holder.get("version") == LOCK_VERSION:
            attempt, donefile = dict(holder["attempt"]), str(holder["donefile"])
    numbers = {key: int(value) for key, value in _JOURNAL_LINE.findall(rest)}
    return Journal(attempt, donefile, numbers.get("pid"), numbers.get("exit"))
