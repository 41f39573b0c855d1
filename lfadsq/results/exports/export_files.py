"""`ExportFile`: a file that an export writes, and writing several of them safely."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lfadsq.errors import ConfigError
from lfadsq.files import make_folder, remove_asides, storage_errors

__all__ = ["ExportFile", "write_files"]

_MOST_LISTED = 5


@dataclass(frozen=True)
class ExportFile:
    """A file that an export writes.

    Attributes
    ----------
    path : Path
        The file.
    what : str
        What it holds, in a few words.
    run : str
        Of which run, ``param_<HASH>/<run name>``.
    write : callable
        Given `path`, writes it; it appears complete or not at all.
    check : callable
        Raises what would keep it from being written, as far as that can be foreseen.
    """

    path: Path
    what: str
    run: str
    write: Callable[[Path], None] = field(repr=False)
    check: Callable[[], object] = field(repr=False, default=lambda: None)


def write_files(
    files: Sequence[ExportFile],
    *,
    force: bool = False,
    tell: Callable[[int, ExportFile], None] = lambda number, file: None,
) -> None:
    """Write files, each aside and renamed, once it is known that all can be.

    Parameters
    ----------
    files : sequence of ExportFile
        In the order in which to write them.
    force : bool, default False
        Replace files that are there.
    tell : callable, optional
        Called with the number of a file, from 0, and the file, before it is written.

    Raises
    ------
    ConfigError
        If a file is there already, or two would be one; nothing was written.
    ResultError
        If results are missing or damaged; what can be foreseen of that is found out before
        anything is written.
    StorageError
        If the disk is full, or a folder cannot be made. Files written before are complete.
    """
    _check_different(files)
    if not force:
        _check_new(files)
    for file in files:
        if file.path.is_dir():
            raise ConfigError(f"{file.path} is a folder", "say with -o where else to write")
        file.check()
    for number, file in enumerate(files):
        tell(number, file)
        make_folder(file.path.parent)
        # What an export that was killed left behind.
        remove_asides(file.path)
        file.write(file.path)


def _check_different(files: Sequence[ExportFile]) -> None:
    by_path: dict[Path, ExportFile] = {}
    for file in files:
        other = by_path.setdefault(file.path.resolve(), file)
        if other is not file:
            raise ConfigError(
                f"{file.what} of {file.run} and {other.what} of {other.run} would both be "
                f"{file.path}",
                "export them into different folders",
            )


def _check_new(files: Sequence[ExportFile]) -> None:
    there = []
    for file in files:
        with storage_errors(file.path, "read"):
            if os.path.lexists(file.path):
                there.append(str(file.path))
    if there:
        more = f" and {len(there) - _MOST_LISTED} more" if len(there) > _MOST_LISTED else ""
        raise ConfigError(
            f"already there: {', '.join(there[:_MOST_LISTED])}{more}",
            "say --force (force=True) to replace, or -o (folder=...) to write elsewhere",
        )
