"""Where control files lie, and who may touch them: their permissions are the only protection.

Whoever can write there has commands run in the name of those whose queues obey. So the folder is
made for its owner alone; a lab that wants to share it opens it to its group with ``chmod``, and
the files in it follow.
"""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lfadsq.errors import QueueError
from lfadsq.files import storage_errors

__all__ = ["FOLDER_NAME", "MINUTES_SUFFIX", "SAMPLES_SUFFIX", "ControlPaths", "is_locked"]

FOLDER_NAME = ".lfadsqueue"
"""In the folder of a collection."""

SAMPLES_SUFFIX, MINUTES_SUFFIX = ".samples", ".minutes"


@dataclass(frozen=True)
class ControlPaths:
    """Every file by which people and queues talk.

    Parameters
    ----------
    folder : Path
        ``<collection>/.lfadsqueue``.
    """

    folder: Path

    @cached_property
    def wishes(self) -> Path:
        """What people want (`lfadsq.queue.wishes`)."""
        return self.folder / "wishes.json"

    @cached_property
    def wishes_lock(self) -> Path:
        """Held while wishes are changed."""
        return self.folder / "wishes.lock"

    @cached_property
    def queues(self) -> Path:
        """Folder of the files of each queue."""
        return self.folder / "queues"

    @cached_property
    def log(self) -> Path:
        """What queues without a terminal print."""
        return self.folder / "queue.log"

    def snapshot(self, queue_id: str) -> Path:
        """Give the file of what a queue does now (`lfadsq.queue.status`)."""
        return self.queues / f"{queue_id}.json"

    def task_list(self, queue_id: str) -> Path:
        """Give the file of what never changes about its tasks: its snapshot is written often."""
        return self.queues / f"{queue_id}.tasks"

    @cached_property
    def gpu_history(self) -> Path:
        """Folder of what GPUs did while queues ran (`lfadsq.queue.gpu_log`)."""
        return self.folder / "gpus"

    def gpu_samples(self, queue_id: str, number: int) -> Path:
        """Give the file of a queue's samples of its GPUs on one of its days."""
        return self.gpu_history / f"{queue_id}.{number:04d}{SAMPLES_SUFFIX}"

    def gpu_minutes(self, queue_id: str) -> Path:
        """Give the file of the minutes of a queue's GPUs, and of what ran on them."""
        return self.gpu_history / f"{queue_id}{MINUTES_SUFFIX}"

    def lock(self, queue_id: str) -> Path:
        """Give the file that a queue holds as long as it lives."""
        return self.queues / f"{queue_id}.lock"

    @property
    def file_mode(self) -> int:
        """Permissions of new files: those of the folder, without write for everybody."""
        return 0o600 | (stat.S_IMODE(self.folder.stat().st_mode) & 0o664)

    def exists(self) -> bool:
        """Tell whether the folder is there, and see that it is safe to obey.

        Raises
        ------
        QueueError
            If strangers could write what our queues obey.
        StorageError
            If the system does not let us look.
        """
        with storage_errors(self.folder, "read"):
            try:
                found = self.folder.lstat()
            except FileNotFoundError:
                return False
            around = self.folder.parent.stat()
        if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
            kind = "a link" if stat.S_ISLNK(found.st_mode) else "no folder"
            raise QueueError(
                f"{self.folder} is {kind}: what queues obey must lie in the collection itself",
                "remove or rename it",
            )
        if found.st_mode & stat.S_IWOTH:
            raise QueueError(
                f"everybody may write to {self.folder}, and so have commands run in your name",
                f"look at what is in it, then close it with `chmod o-w {self.folder}`",
            )
        if around.st_mode & stat.S_IWOTH and found.st_uid != os.geteuid():
            raise QueueError(
                f"{self.folder} belongs to somebody else, and everybody may make such a folder in"
                f" {self.folder.parent}",
                f"close the collection with `chmod o-w {self.folder.parent}`",
            )
        return True

    def make(self) -> None:
        """Make the folders if they are missing, for the owner alone.

        Raises
        ------
        QueueError
            As `exists`.
        StorageError
            If they cannot be made.
        """
        with storage_errors(self.folder, "make the folder"):
            self.folder.mkdir(mode=0o700, exist_ok=True)
        self.exists()
        self._make_inside(self.queues)

    def make_gpu_history(self) -> None:
        """Make the folder of what GPUs did, if it is missing.

        Raises
        ------
        QueueError, StorageError
            As `make`.
        """
        self.make()
        self._make_inside(self.gpu_history)

    def _make_inside(self, folder: Path) -> None:
        with storage_errors(folder, "make the folder"):
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                return
            # Whoever may change wishes may join; the umask has no say.
            folder.chmod(stat.S_IMODE(self.folder.stat().st_mode))


def is_locked(path: Path) -> bool:
    """Tell whether somebody, here or on another machine, holds the ``flock`` on a file.

    Parameters
    ----------
    path : Path
        Of a queue or of a run. A missing one is not locked.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    with storage_errors(path, "read"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look do not see each other, and reading is all it needs.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
