"""Which runs a collection has on disk, with their links and scripts; contents are not looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import RunNotFoundError, StorageError
from lfadsq.files import storage_errors
from lfadsq.manager.param_values import DATA_PREFIX, PARAM_PREFIX
from lfadsq.paths import INPUT_FILE_STEM, RunPaths
from lfadsq.preflight.findings import Finding, Severity

__all__ = ["InputLink", "RunFolder", "find_runs", "read_run", "unreadable"]

_INFO_PREFIX, _INFO_SUFFIX = "inputInfo_", ".mat"
_INPUT_PREFIX, _INPUT_SUFFIX = f"{INPUT_FILE_STEM}_", ".h5"


@dataclass(frozen=True)
class InputLink:
    """One file in ``lfadsInput``.

    Attributes
    ----------
    path : Path
    dataset : str
    is_info : bool
        Whether it is the ``inputInfo`` file, not the trainer's input.
    link : str or None
        Where it links to, as it is written; None if it is no link.
    leads_to : Path
        That from the root; the file itself if it is no link. A folder of data may be a link in
        turn, to another disk: that is left as it is.
    target : Path
        What it stands for, with all links resolved.
    exists : bool
        Whether that is there.
    """

    path: Path
    dataset: str
    is_info: bool
    link: str | None
    leads_to: Path
    target: Path
    exists: bool

    def data_hash(self, collection: Path) -> str | None:
        """Give the hash of the folder of data that it leads to; None if it leads elsewhere."""
        try:
            first = self.leads_to.relative_to(collection).parts[0]
        except (ValueError, IndexError):
            return None
        return first.removeprefix(DATA_PREFIX) if first.startswith(DATA_PREFIX) else None


@dataclass(frozen=True)
class RunFolder:
    """One run as it is on disk.

    Attributes
    ----------
    name : str
        ``param_<HASH>/<run name>``.
    paths : RunPaths
    inputs, infos : dict of str to InputLink
        By dataset, in the order of names.
    scripts : dict of Path to str or None
        Text of each script that is there; None for one that cannot be read.
    is_done : bool
    unwritable : tuple of Path
        What training would have to write, and cannot.
    """

    name: str
    paths: RunPaths
    inputs: dict[str, InputLink]
    infos: dict[str, InputLink]
    scripts: dict[Path, str | None]
    is_done: bool
    unwritable: tuple[Path, ...]

    @property
    def param_hash(self) -> str:
        """Hash of its setting."""
        return self.paths.folder.parent.name.removeprefix(PARAM_PREFIX)

    @property
    def run_name(self) -> str:
        """Name of its run specification."""
        return self.paths.folder.name


def find_runs(path: Path) -> tuple[Path, tuple[Path, ...]]:
    """Find the collection that a path is in, and the runs that are meant.

    Parameters
    ----------
    path : Path
        The folder of a collection (all its runs are meant), a ``param_<HASH>`` folder (its runs), a
        run folder, or a file or folder within one of these.

    Returns
    -------
    collection : Path
    runs : tuple of Path
        Run folders, in order.

    Raises
    ------
    RunNotFoundError
        If there is none.
    StorageError
        If a folder cannot be read.
    """
    path = path.expanduser()
    with storage_errors(path, "read"):
        # Links in the path are followed: relative links in the collection start where it really is.
        path = Path(os.path.realpath(path))
        if not path.exists():
            raise RunNotFoundError(f"there is no {path}", "name the folder of a collection")
        found = _runs_meant(path)
    for folder in path.parents:
        if found is None:
            with suppress(OSError):  # nobody has asked about what lies above
                found = _runs_meant(folder)
    if found is not None:
        return found
    raise RunNotFoundError(
        f"{path} is in no collection: there are no runs ({PARAM_PREFIX}<HASH>/<run name>)",
        "name the folder of a collection, or of a run, that prepare_for_lfads has written",
    )


def _runs_meant(folder: Path) -> tuple[Path, tuple[Path, ...]] | None:
    if _is_run(folder):
        return folder.parent.parent, (folder,)
    if not folder.is_dir():
        return None
    if folder.name.startswith(PARAM_PREFIX) and (runs := _runs_in(folder)):
        return folder.parent, runs
    runs = _all_runs(folder)
    return (folder, runs) if runs else None


def _is_run(folder: Path) -> bool:
    if not folder.parent.name.startswith(PARAM_PREFIX):
        return False
    paths = RunPaths(folder)
    return paths.lfads_input.is_dir() or paths.train_script.is_file()


def _runs_in(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return tuple(folder / name for name in names if _is_run(folder / name))


def _all_runs(collection: Path) -> tuple[Path, ...]:
    with os.scandir(collection) as entries:
        names = sorted(entry.name for entry in entries if entry.name.startswith(PARAM_PREFIX))
    return tuple(run for name in names for run in _runs_in(collection / name))


def read_run(folder: Path) -> RunFolder:
    """Look at a run.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    StorageError
        If its folder cannot be read.
    """
    paths = RunPaths(folder)
    with storage_errors(folder, "read"):
        links = list(_links_in(paths.lfads_input))
        return RunFolder(
            name=_name_of(folder),
            paths=paths,
            inputs={link.dataset: link for link in links if not link.is_info},
            infos={link.dataset: link for link in links if link.is_info},
            scripts=dict(_scripts_of(paths)),
            is_done=paths.done.exists(),
            unwritable=tuple(_unwritable(paths)),
        )


def unreadable(folder: Path, error: StorageError) -> Finding:
    """Make a finding of a run that could not be looked at."""
    return Finding(
        Severity.ERROR,
        "run_unreadable",
        "the folder of a run cannot be read",
        error.remedy,
        _name_of(folder),
        path=folder,
        detail=error.problem,
    )


def _name_of(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _links_in(folder: Path) -> Iterator[InputLink]:
    if not folder.is_dir():
        return
    for name in sorted(path.name for path in folder.iterdir()):
        if name.startswith(_INFO_PREFIX) and name.endswith(_INFO_SUFFIX):
            dataset, is_info = name[len(_INFO_PREFIX) : -len(_INFO_SUFFIX)], True
        elif name.startswith(_INPUT_PREFIX) and name.endswith(_INPUT_SUFFIX):
            dataset, is_info = name[len(_INPUT_PREFIX) : -len(_INPUT_SUFFIX)], False
        else:
            continue
        path = folder / name
        try:
            link = str(path.readlink())
        except OSError:
            link = None
        leads_to = Path(os.path.normpath(folder / (link or name)))
        target = Path(os.path.realpath(path))
        yield InputLink(path, dataset, is_info, link, leads_to, target, _is_there(target))


def _is_there(path: Path) -> bool:
    with suppress(OSError):  # in a folder that may not be entered
        return path.exists()
    return False


def _scripts_of(paths: RunPaths) -> Iterator[tuple[Path, str | None]]:
    for script in paths.scripts:
        try:
            yield script, script.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            continue
        except OSError:
            yield script, None


def _unwritable(paths: RunPaths) -> Iterator[Path]:
    files: Sequence[Path] = (paths.log, paths.done)
    for folder in (paths.folder, paths.lfads_output):
        is_there = os.path.lexists(folder)
        if is_there and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            yield folder
    for path in files:
        if os.path.lexists(path) and (path.is_dir() or not os.access(path, os.W_OK)):
            yield path
