"""The lock of a run: held while a task of it works, even if the queue that started it is gone.

It is a ``flock`` on a file beside the done-marker. The kernel ties such a lock to the open file,
which the task's process inherits: it ends when the last of queue and task is gone, however they
died, and there is no stale lock to clean up. Two queues, also on two machines that share a file
system, therefore never train one run directory at the same time.

The file is also the journal of whoever holds it: a first line in JSON by the queue, then ``pid
<n>`` and ``exit <status>``, with ``signalled`` behind it if it had been asked to end, by the task's
own supervisor (`lfadsq.queue.execution`), so that a later queue can judge a task whose queue was
killed. An empty journal means that all books are closed. Format version 2; change `LOCK_VERSION`
with it, and keep reading old ones.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfadsq.files import storage_errors

__all__ = ["LOCK_VERSION", "Journal", "RunLock", "read_journal"]

LOCK_VERSION = 2

_SIGNALLED = b" signalled\n"
_TOLD = ("attempt", "name", "donefile", "outfile", "token")
_JOURNAL_LINE = re.compile(r"^(pid|exit) (\d+)( signalled)?$", re.MULTILINE)


@dataclass(frozen=True)
class Journal:
    """What the last holder of a lock left in its file.

    Attributes
    ----------
    attempt : dict
        The attempt as it began (`lfadsq.queue.records.Attempt.to_dict`); empty if unreadable.
    name, donefile, outfile : str
        Of the task that held the lock; empty if unreadable.
    token : str
        By which its processes are found (`lfadsq.queue.processes.TOKEN_VARIABLE`).
    pid : int or None
        The task's process on its host, which leads its session and process group.
    exit_status : int or None
        What the command ended with; None if it has not ended, or died with its supervisor.
    was_signalled : bool
        Whether it had been asked to end by then: an exit status of 0 says nothing.
    """

    attempt: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    donefile: str = ""
    outfile: str = ""
    token: str = ""
    pid: int | None = None
    exit_status: int | None = None
    was_signalled: bool = False


class RunLock:
    """A held lock; made by `try_acquire`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._is_left = False

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

    def was_signalled(self) -> bool:
        """Tell whether the task that ended last had been asked to end by then."""
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, len(_SIGNALLED), max(0, size - len(_SIGNALLED)))
        return tail == _SIGNALLED

    def begin(self, journal: Journal) -> None:
        """Start a journal of our own, in place of the last one.

        Raises
        ------
        StorageError
            If it cannot be written; nothing must be started then.
        """
        told = {key: getattr(journal, key) for key in _TOLD}
        line = json.dumps({"version": LOCK_VERSION, **told}).encode() + b"\n"
        with storage_errors(self._path, "write"):
            os.ftruncate(self._descriptor, 0)
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def clear(self) -> None:
        """Empty the journal: the record now says everything."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def leave(self) -> None:
        """Leave the lock to the task that has inherited it; it is free when that has ended."""
        os.close(self._descriptor)
        self._is_left = True

    def release(self) -> None:
        """Give the lock up, whoever else has inherited the open file; not if it was left."""
        if self._is_left:
            return
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
            return Journal()
    first, _, rest = text.partition("\n")
    told: dict[str, Any] = {}
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        holder = json.loads(first)
        if holder.get("version") in (1, LOCK_VERSION):
            told = {key: holder[key] for key in _TOLD if key in holder}
            told["attempt"] = dict(told["attempt"])
    lines = _JOURNAL_LINE.findall(rest)
    numbers = {key: int(value) for key, value, _ in lines}
    return Journal(
        **told,
        pid=numbers.get("pid"),
        exit_status=numbers.get("exit"),
        was_signalled=any(signalled for _, _, signalled in lines),
    )
