"""Controlling queues through files: no port, no daemon, and nothing lost if a queue dies.

Wishes lie in ``<collection>/.lfadsqueue/`` and are replaced as a whole, under a lock, by whoever
changes them. Queues look at them from time to time (`ControlFolder.fingerprint`), and show what
they do in files of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lfadsq.errors import QueueError
from lfadsq.files import storage_errors, written_aside
from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths
from lfadsq.queue.presence import Presence, list_queues, read_snapshot
from lfadsq.queue.status import Snapshot
from lfadsq.queue.versioned import parse_versioned
from lfadsq.queue.wishes import SCHEMA_VERSION, Wishes

__all__ = ["ControlFolder", "Wishes"]

_logger = logging.getLogger(__name__)

_LOCK_PATIENCE_S = 10.0
_POLL_S = 0.01


class ControlFolder:
    """The control files of a collection.

    Parameters
    ----------
    folder : Path
        ``<collection>/.lfadsqueue``; made when it is first written to, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = ControlPaths(folder)

    @classmethod
    def of(cls, collection: Path) -> ControlFolder:
        """Give the control folder of a collection."""
        return cls(collection / FOLDER_NAME)

    def read(self) -> Wishes:
        """Read what people want.

        Returns
        -------
        Wishes
            None at all if the file is not there. A damaged one is moved aside to
            ``wishes.json.damaged``, with a warning, and counts as none.

        Raises
        ------
        QueueError
            If a newer lfadsq wrote it, or strangers could have.
        StorageError
            If it cannot be read.
        """
        if not self.paths.exists():
            return Wishes()
        wishes = self._read()
        if wishes is None:
            with self._locked():
                wishes = self._read_or_move_aside()
        return wishes

    def edit(self, change: Callable[[Wishes], Wishes]) -> Wishes:
        """Change what people want; others who do so at the same time wait for us.

        Parameters
        ----------
        change : callable
            Takes the wishes as they are, and gives them as they shall be. If it raises, nothing is
            changed.

        Returns
        -------
        Wishes
            As they are now, on the disk.

        Raises
        ------
        QueueError
            As `read`; or if somebody holds the lock for too long.
        StorageError
            If they cannot be written; they are then as they were.
        """
        self.paths.make()
        with self._locked():
            old = self._read_or_move_aside()
            new = change(old)
            if new != old:
                self._write(new)
        return new

    def fingerprint(self) -> object:
        """Give something that differs whenever wishes have changed; cheap, for polling.

        Raises
        ------
        StorageError
            If the system does not let us look.
        """
        with storage_errors(self.paths.wishes, "read"):
            try:
                found = self.paths.wishes.stat()
            except FileNotFoundError:
                return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def join(self, queue_id: str) -> Presence:
        """Give what shows that a queue lives, and what it does; a context manager."""
        return Presence(self.paths, queue_id)

    def queues(self, max_dead: int | None = None) -> list[tuple[Snapshot, bool]]:
        """Read what queues do or did, newest first, and whether each still lives.

        Parameters
        ----------
        max_dead : int, optional
            Of those that live no more, only so many; by default all that were kept.

        Raises
        ------
        QueueError
            If strangers could have written it.
        StorageError
            If the system does not let us look.
        """
        if not self.paths.exists():
            return []
        found = []
        num_dead = 0
        for queue_id, lives in list_queues(self.paths):
            if not lives and max_dead is not None and num_dead >= max_dead:
                continue
            snapshot = read_snapshot(self.paths, queue_id)
            if snapshot is not None:
                found.append((snapshot, lives))
                num_dead += not lives
        return found

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.paths.wishes_lock
        with storage_errors(path, "lock"):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
        try:
            with storage_errors(path, "lock"):
                if os.fstat(descriptor).st_uid == os.geteuid():
                    os.fchmod(descriptor, self.paths.file_mode)
                _wait_for_lock(descriptor, path)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> Wishes | None:
        """Read the file; None if it is damaged."""
        path = self.paths.wishes
        with storage_errors(path, "read"):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                return Wishes()
        try:
            return Wishes.from_dict(parse_versioned(path, text, SCHEMA_VERSION))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def _read_or_move_aside(self) -> Wishes:
        wishes = self._read()
        if wishes is None:
            path = self.paths.wishes
            aside = path.with_name(f"{path.name}.damaged")
            with storage_errors(path, "move aside"):
                path.replace(aside)
            _logger.warning("%s was damaged and is now %s: say again what you want", path, aside)
            wishes = Wishes()
        return wishes

    def _write(self, wishes: Wishes) -> None:
        path = self.paths.wishes
        before_ns = path.stat().st_mtime_ns if path.exists() else 0
        with written_aside(path) as aside:
            aside.write_text(json.dumps(wishes.to_dict(), indent=1) + "\n", encoding="utf-8")
            aside.chmod(self.paths.file_mode)
            # Clocks of file systems tick slowly, and inodes are used again: the fingerprint is to
            # differ even from that of a moment ago.
            at_ns = max(time.time_ns(), before_ns + 1)
            os.utime(aside, ns=(at_ns, at_ns))


def _wait_for_lock(descriptor: int, path: Path) -> None:
    deadline_s = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise QueueError(
                    f"somebody has held {path} for {_LOCK_PATIENCE_S:.0f} s",
                    "see who does (`fuser` names the process), then try again",
                ) from None
            time.sleep(_POLL_S)
