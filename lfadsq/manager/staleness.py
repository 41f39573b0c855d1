"""Whether what a collection has on disk is still what its runs are: before anything is replaced.

A run's ``lfadsInput`` tells which datasets it was prepared with, as the trainer reads all files in
it. What a model was trained on must stay what it was; what was only prepared may be replaced.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from lfadsq.errors import RunExistsError
from lfadsq.files import storage_errors
from lfadsq.manager.runs import Run
from lfadsq.manager.trainings import has_output, recorded_datasets
from lfadsq.paths import RunPaths, input_dataset_name

__all__ = [
    "find_dataset_changes",
    "find_trained_users",
    "prepared_datasets",
    "refuse_changed_alignment",
    "warn_of_changed_data",
]

_log = logging.getLogger(__name__)

_MOST_LISTED = 5


def prepared_datasets(paths: RunPaths) -> frozenset[str]:
    """Name the datasets whose input is, or is linked, in a run's ``lfadsInput``.

    Raises
    ------
    StorageError
        If the folder cannot be read.
    """
    with storage_errors(paths.lfads_input, "read"):
        try:
            names = [path.name for path in paths.lfads_input.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
    return frozenset(filter(None, map(input_dataset_name, names)))


def find_dataset_changes(runs: Sequence[Run]) -> dict[Path, frozenset[str]]:
    """Find runs that were prepared with other datasets than their run specification names now.

    Parameters
    ----------
    runs : sequence of Run

    Returns
    -------
    dict of Path to frozenset of str
        By the folder of each such run, the datasets it was prepared with.

    Raises
    ------
    RunExistsError
        If a run has been trained on others: those that the trainer recorded, else those it was
        prepared with.
    StorageError
        If a folder cannot be read.
    """
    changes: dict[Path, frozenset[str]] = {}
    trained = []
    for run in runs:
        now = frozenset(run.dataset_names)
        before = prepared_datasets(run.paths)
        if has_output(run.paths):
            before = recorded_datasets(run.paths.output) or before
            if before and before != now:
                trained.append(
                    f"{run.path} was trained on {', '.join(sorted(before))}, but its run "
                    f"specification is now on {', '.join(run.dataset_names)}"
                )
        elif before and before != now:
            changes[run.path] = before
    if trained:
        more = len(trained) - _MOST_LISTED
        raise RunExistsError(
            "\n".join(trained[:_MOST_LISTED]) + (f"\nand {more} more like these" * (more > 0)),
            "give the run specification another name, or delete what was trained with "
            "delete_lfads_output",
        )
    return changes


def find_trained_users(folder: Path, files: Collection[Path]) -> dict[Path, list[Path]]:
    """Find trained runs that read files through a link, also runs that no drive script names.

    Parameters
    ----------
    folder : Path
        Of the collection.
    files : collection of Path
        The trainer's input of some datasets.

    Returns
    -------
    dict of Path to list of Path
        By file, the folders of the trained runs that link to it, if any.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    with storage_errors(folder, "read"):
        wanted = {os.path.realpath(file): file for file in files if file.exists()}
        users: dict[Path, list[Path]] = {}
        for run_folder in sorted(folder.glob("param_*/*")) if wanted else ():
            paths = RunPaths(run_folder)
            links = [paths.input_h5(name) for name in prepared_datasets(paths)]
            read = [wanted[real] for real in map(os.path.realpath, links) if real in wanted]
            if read and has_output(paths):
                for file in read:
                    users.setdefault(file, []).append(run_folder)
    return users


def refuse_changed_alignment(users: Mapping[Path, Sequence[Path]]) -> None:
    """Refuse to align datasets anew because others joined or left, if models were trained on them.

    Raises
    ------
    RunExistsError
        If there are such.
    """
    folders = sorted({str(user) for of_file in users.values() for user in of_file})
    if folders:
        raise RunExistsError(
            "the datasets of a run specification have changed, so its data must be aligned anew, "
            f"but models were trained on them: {_listed(folders)}",
            "give the run specification another name, or delete these trained runs",
        )


def warn_of_changed_data(users: Mapping[Path, Sequence[Path]], changed: Collection[Path]) -> None:
    """Warn of models whose data were replaced, on demand, by others.

    Parameters
    ----------
    users : mapping of Path to sequence of Path
        Trained runs by the file that they read.
    changed : collection of Path
        Files that are not what they were.
    """
    folders = sorted({str(user) for file in changed for user in users.get(file, ())})
    if folders:
        _log.warning(
            "the data of %d trained runs are no longer what these were trained on; delete what "
            "was trained with delete_lfads_output, and train again: %s",
            len(folders),
            _listed(folders),
        )


def _listed(folders: Sequence[str]) -> str:
    more = [f"and {len(folders) - _MOST_LISTED} more"] if len(folders) > _MOST_LISTED else []
    return ", ".join([*folders[:_MOST_LISTED], *more])
