"""Writing files so that no reader ever sees half of one.

A file appears under its final name complete, or not at all: it is written under a temporary name in
the same folder, flushed to the disk, and renamed. "Done means a file appeared" rests on this.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lfadsq.errors import StorageError

__all__ = [
    "check_readable",
    "make_folder",
    "move_into_place",
    "remove_asides",
    "storage_errors",
    "write_text",
    "written_aside",
]

# mkstemp makes files private, but results are for the lab: the user's own umask decides, though
# nothing is ever writable by everyone. A umask can only be read by setting it, so this happens
# once, on import, before there are threads to race with.
_UMASK = os.umask(0o077)
os.umask(_UMASK)

_LONGEST_SHOWN_BYTES = 200
_ASIDE_SUFFIX = ".tmp"

_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, then run the same again",
    errno.EDQUOT: "your quota on that disk is used up: free some space, then run the same again",
    errno.EFBIG: "the limit on file sizes (ulimit -f) or the disk allows no larger file: raise it",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "that disk is read-only: choose another folder",
    errno.ENOTDIR: "a file is where a folder should be: rename it, or choose another folder",
    errno.EEXIST: "something else is there: rename it, or choose another folder",
    errno.ENAMETOOLONG: "choose shorter names for datasets, runs, or folders",
    errno.EISDIR: "a folder is where a file should be: rename it",
}
_REMEDIES_FOR_READING = {
    errno.ENOENT: "it, or what it links to, is missing: copy or prepare it again",
    errno.EACCES: "ask its owner for permission to read it, and the folders it is in",
    errno.EPERM: "ask its owner for permission to read it, and the folders it is in",
}


@contextmanager
def storage_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the system's errors into a `StorageError` that names the file and the remedy.

    Parameters
    ----------
    path : Path
        The file or folder the block works on.
    doing : str
        What the block does, as it reads after "cannot": ``"write"``, ``"read"``.

    Raises
    ------
    StorageError
        In place of any `OSError` of the block that is not one of ours.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        # HDF5 raises an OSError whose errno is only in its text.
        code = error.errno
        if code is None and (found := re.search(r"errno = (\d+)", str(error))):
            code = int(found[1])
        reason = os.strerror(code) if code else str(error)
        remedies = _REMEDIES | _REMEDIES_FOR_READING if doing == "read" else _REMEDIES
        remedy = remedies.get(code or 0, "see that it is usable")
        if doing == "read" and not code:
            remedy = "it is damaged or incomplete: make it again"
        raise StorageError(f"cannot {doing} {path}: {reason}", remedy) from error


@contextmanager
def written_aside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary file to write, which becomes `path` when the block ends well.

    Parameters
    ----------
    path : Path
        The final name. Its folder must exist. An existing file is replaced in one step.
    durable : bool, default True
        Flush file and folder to the disk, so that the file survives a loss of power.

    Yields
    ------
    Path
        A new empty file in the same folder, with the permissions of a newly made file.

    Raises
    ------
    StorageError
        If the file cannot be written. The old file, if any, is then untouched, and the temporary
        one is gone; so it is when the block raises.
    """
    with storage_errors(path, "write"):
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=_aside_prefix(path), suffix=_ASIDE_SUFFIX
        )
        aside = Path(name)
        try:
            os.fchmod(descriptor, 0o664 & ~_UMASK)
            os.close(descriptor)
            yield aside
            if durable:
                _flush(aside, os.O_RDWR)
            aside.replace(path)
            if durable:
                _flush(path.parent, os.O_RDONLY)
        finally:
            with suppress(FileNotFoundError):
                aside.unlink()


def write_text(path: Path, text: str, *, durable: bool = True, executable: bool = False) -> None:
    """Write a text file in one step (see `written_aside`).

    Parameters
    ----------
    path : Path
        The final name.
    text : str
        What it shall hold, written as UTF-8.
    durable : bool, default True
        Flush to the disk before and after the rename.
    executable : bool, default False
        Let whoever may read the file also run it.

    Raises
    ------
    StorageError
        If it cannot be written; an existing file is then untouched.
    """
    with written_aside(path, durable=durable) as aside:
        aside.write_text(text, encoding="utf-8")
        if executable:
            mode = aside.stat().st_mode
            aside.chmod(mode | (mode & 0o444) >> 2)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a complete file into another folder of the same disk, and flush that folder.

    Raises
    ------
    StorageError
        If it cannot be moved; `source` is then still there, and an old `target` too.
    """
    with storage_errors(target, "write"):
        source.replace(target)
        _flush(target.parent, os.O_RDONLY)


def remove_asides(*paths: Path) -> None:
    """Remove what was written aside for files by processes that were killed before the rename.

    Only while nobody can be writing them. What cannot be removed stays: it does no harm.

    Parameters
    ----------
    *paths : Path
        The final names, all in one folder.
    """
    starts = tuple(map(_aside_prefix, paths))
    with suppress(OSError):
        for aside in paths[0].parent.iterdir():
            if aside.name.startswith(starts) and aside.name.endswith(_ASIDE_SUFFIX):
                aside.unlink()


def _aside_prefix(path: Path) -> str:
    # Results of a dataset with a long name have names that bear no addition.
    shown = os.fsencode(path.name)[:_LONGEST_SHOWN_BYTES].decode("utf-8", errors="ignore")
    return f".{shown}."


def make_folder(path: Path) -> Path:
    """Make a folder and its parents if they are missing, and return it.

    Raises
    ------
    StorageError
        If it cannot be made.
    """
    with storage_errors(path, "make the folder"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_readable(path: Path) -> None:
    """Refuse a file that the system does not let us read, before a library stumbles over it.

    Raises
    ------
    StorageError
        With the system's own reason, which HDF5 buries in a message of several lines.
    """
    with storage_errors(path, "read"), path.open("rb") as stream:
        stream.read(1)


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
