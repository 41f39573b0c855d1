"""Locks on what only one process may write at a time; the kernel frees them, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lfadsq.errors import RunError
from lfadsq.files import make_folder, storage_errors

__all__ = ["take_lock", "training_lock"]

_LOCK_NAME = ".lfads_train.lock"


def take_lock(file: IO[Any], doing: str) -> None:
    """Lock an open file until it is closed.

    Parameters
    ----------
    file : file object
        Open for writing.
    doing : str
        What the process does that has it: ``computing ...``.

    Raises
    ------
    RunError
        If another process has it locked.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(f"another process is {doing}", "wait for it, or end it") from None
    except OSError:
        # Some network disks have no locks; then nothing tells of the other process.
        pass


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Keep a folder for one training.

    Parameters
    ----------
    folder : Path
        ``lfads_save_dir``. It is made if it is missing, and is gone again if nothing was written.

    Raises
    ------
    RunError
        If another process trains there.
    StorageError
        If the folder or the lock cannot be made.
    """
    make_folder(folder)
    path = folder / _LOCK_NAME
    with _locked(path, f"training in {folder}"):
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
                if not any(folder.iterdir()):
                    folder.rmdir()


def _locked(path: Path, doing: str) -> IO[Any]:
    while True:
        with storage_errors(path, "write"):
            file = path.open("a")
        try:
            take_lock(file, doing)
            with suppress(FileNotFoundError):
                # Whoever had it before removed the file that was locked here, if they differ.
                if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()
