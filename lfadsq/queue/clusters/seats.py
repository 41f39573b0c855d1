"""Seats: how many jobs of a kind may work on a collection at once, however many were submitted.

A seat is a ``flock`` on a file in ``<collection>/.lfadsqueue``. The kernel ends it with the process
that holds it, however that dies, so there is never a stale one to clean up. The file itself holds
what one job leaves to the next in its seat. Its format is versioned by `SCHEMA_VERSION`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from lfadsq.files import storage_errors
from lfadsq.queue.control_paths import ControlPaths, is_locked

__all__ = ["SCHEMA_VERSION", "Seat", "holders", "seat_name"]

SCHEMA_VERSION = 1

_LONGEST_BYTES = 4096


def seat_name(kind: str, script: Path) -> str:
    """Name the seats of a queue script: each script of a collection has its own.

    Parameters
    ----------
    kind : str
        What sits there, such as ``queue``.
    script : Path
        May have any name, also one that is no good as a part of others.
    """
    return f"{kind}-{hashlib.sha256(os.fsencode(script.name)).hexdigest()[:12]}"


class Seat:
    """A seat that is held; made by `take`."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self._kept = _parse(os.pread(descriptor, _LONGEST_BYTES, 0))
        self.note(self.num_fruitless)

    @classmethod
    def take(cls, paths: ControlPaths, name: str, num_seats: int = 1) -> Seat | None:
        """Take the first free seat, without waiting.

        Parameters
        ----------
        paths : ControlPaths
            Of the collection; its folder is made if it is missing.
        name : str
            Of all these seats (`seat_name`).
        num_seats : int, default 1
            How many there are.

        Returns
        -------
        Seat or None
            None if others sit on all of them.

        Raises
        ------
        QueueError
            If strangers could write there.
        StorageError
            If the files cannot be made or locked.
        """
        paths.make()
        for path in _paths(paths, name, num_seats):
            with storage_errors(path, "lock"):
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                descriptor = os.open(path, flags, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return cls(descriptor, path)
                except BlockingIOError:
                    os.close(descriptor)
                except BaseException:
                    os.close(descriptor)
                    raise
        return None

    @property
    def num_fruitless(self) -> int:
        """How many jobs in a row have left this seat to the next without getting anywhere."""
        number = self._kept.get("num_fruitless")
        return number if isinstance(number, int) and number > 0 else 0

    def note(self, num_fruitless: int) -> None:
        """Write down how many jobs in a row got nowhere.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        self._kept = {
            "schema_version": SCHEMA_VERSION,
            "holder": f"process {os.getpid()} on {socket.gethostname()}",
            "num_fruitless": num_fruitless,
        }
        with storage_errors(self._path, "write"):
            # In place: a rename would take the lock's file away from under those who wait.
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(self._kept).encode(), 0)

    def leave(self) -> None:
        """Let others sit here, also if a process of ours has inherited the open file."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)


def holders(paths: ControlPaths, name: str, num_seats: int = 1) -> list[str]:
    """Tell who sits on these seats now, for people.

    Raises
    ------
    QueueError
        If strangers could write there.
    StorageError
        If the system does not let us look.
    """
    if not paths.exists():
        return []
    found = []
    for path in _paths(paths, name, num_seats):
        if is_locked(path):
            with storage_errors(path, "read"):
                kept = _parse(path.read_bytes()[:_LONGEST_BYTES])
            found.append(str(kept.get("holder") or "somebody"))
    return found


def _paths(paths: ControlPaths, name: str, num_seats: int) -> list[Path]:
    return [paths.folder / f"{name}-{number}.seat" for number in range(num_seats)]


def _parse(content: bytes) -> dict[str, Any]:
    """Read what was left; damage, or what another version wrote, counts as nothing."""
    with contextlib.suppress(ValueError, AttributeError):
        kept = json.loads(content)
        if kept.get("schema_version") == SCHEMA_VERSION:
            return dict(kept)
    return {}
