"""Opening a run collection from disk, without the drive script that made it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lfadsq.errors import ConfigError, RunNotFoundError
from lfadsq.manager.collection_folders import CollectionFolders
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.opened_collection import (
    UNKNOWN_FOLDER,
    OpenedDataset,
    OpenedRun,
    add_datasets,
    find_datasets_folder,
)
from lfadsq.manager.params import RunParams
from lfadsq.manager.run_evidence import TrainerRecord
from lfadsq.manager.runs import Run, RunSpec
from lfadsq.manager.settings_reading import SettingsReading
from lfadsq.manager.summary_reading import SummaryText, read_summary
from lfadsq.manager.trainer_commands import OUR_TRAINER, TrainerCommands
from lfadsq.paths import CollectionPaths

if TYPE_CHECKING:
    from lfadsq.manager.collection import RunCollection

__all__ = ["open_collection"]

_log = logging.getLogger(__name__)

_Collection = TypeVar("_Collection", bound="RunCollection")

_MOST_LISTED = 5


def open_collection(
    cls: type[_Collection],
    path: str | Path,
    *,
    params_class: type[RunParams] | None = None,
    run_class: type[Run] | None = None,
    dataset_class: type[Dataset] | None = None,
) -> _Collection:
    """Open a run collection from disk; see `RunCollection.open`.

    Parameters
    ----------
    cls : type
        What is made.
    path : str or Path
        Folder of the collection.
    params_class, run_class, dataset_class : type, optional
        The lab's own classes.

    Returns
    -------
    RunCollection

    Raises
    ------
    RunNotFoundError
        If there is no run collection.
    StorageError
        If it cannot be read.
    """
    place = Path(path).expanduser().absolute()
    if ".." in place.parts:
        place = place.resolve()
    folders = _folders_of(place)
    paths = CollectionPaths(place)
    summary = read_summary(paths.summary)
    if not (folders.param_hashes or summary.settings or summary.run_specs):
        raise RunNotFoundError(
            f"{place} is no run collection: it has no folder param_<HASH>, and no summary.txt that "
            "lists runs",
            _nearby(place),
        )
    version = summary.notes.version or folders.version()
    run_specs = _run_specs(summary, folders, version)
    datasets = _datasets(summary, place, run_specs, dataset_class or OpenedDataset)
    collection = cls(
        place.parent,
        place.name,
        datasets,
        version=version,
        comment=summary.notes.comment,
        run_class=run_class or OpenedRun,
        trainer=_trainer(summary),
    )
    reading = SettingsReading(
        collection.paths, folders, summary, run_specs, params_class or RunParams
    )
    collection.add_params(reading.settings())
    collection.add_run_spec([RunSpec(name, datasets, names) for name, names in run_specs.items()])
    _warn_of_scripts(folders)
    return collection


def _folders_of(place: Path) -> CollectionFolders:
    if not place.is_dir():
        what = "a file" if place.exists() else "not there"
        raise RunNotFoundError(
            f"{place} is {what}, not the folder of a run collection", _nearby(place)
        )
    return CollectionFolders(place)


def _nearby(place: Path) -> str:
    """Offer the collection in which a place lies, or those that lie in it."""
    for above in place.parents:
        if above.is_dir() and CollectionFolders(above).param_hashes:
            return f"did you mean {above}?"
    if place.is_dir():
        within = [one for one in sorted(place.iterdir()) if one.is_dir()]
        found = [str(one) for one in within if CollectionFolders(one).param_hashes]
        if found:
            return f"did you mean {' or '.join(found[:_MOST_LISTED])}?"
    return "give the folder that prepare_for_lfads wrote, <root>/<collection>"


def _run_specs(
    summary: SummaryText, folders: CollectionFolders, version: int
) -> dict[str, Sequence[str]]:
    """Give the datasets of each run specification: of the summary, then of other folders."""
    run_specs: dict[str, Sequence[str]] = dict(summary.run_specs)
    for param_hash in folders.param_hashes:
        for run in folders.runs(param_hash):
            if run_specs.get(run.name) or (run.name not in run_specs and not run.is_run):
                continue
            run_specs[run.name] = folders.datasets_of_run(run.name, version)
    without = [name for name, datasets in run_specs.items() if not datasets]
    if without:
        _log.warning(
            "left out the runs %s, of which nothing tells their datasets; copy their lfadsInput, "
            "or the collection's summary.txt",
            ", ".join(map(repr, without[:_MOST_LISTED])),
        )
    return {name: datasets for name, datasets in run_specs.items() if datasets}


def _datasets(
    summary: SummaryText,
    place: Path,
    run_specs: Mapping[str, Sequence[str]],
    dataset_class: type[Dataset],
) -> DatasetCollection:
    folder = find_datasets_folder(summary.datasets_path, summary.path, place)
    name = summary.datasets_name or (None if folder == UNKNOWN_FOLDER else folder.name)
    datasets = DatasetCollection(folder, name=name or place.name)
    names = dict.fromkeys(name for datasets in run_specs.values() for name in datasets)
    add_datasets(datasets, list(names), summary.notes.dataset_files, dataset_class)
    return datasets


def _trainer(summary: SummaryText) -> TrainerCommands:
    try:
        return TrainerCommands(**summary.notes.trainer)
    except (ConfigError, TypeError) as error:
        _log.warning(
            "the summary's trainer is not understood (%s): new scripts would call lfadsq train; "
            "set the trainer of the run collection to have another",
            error,
        )
        return OUR_TRAINER


def _warn_of_scripts(folders: CollectionFolders) -> None:
    """Tell if scripts would train elsewhere: MATLAB wrote into them where they were."""
    runs = (run for param_hash in folders.param_hashes for run in folders.runs(param_hash))
    script = next((run for run in runs if run.paths.train_script.is_file()), None)
    if script is None:
        return
    where = TrainerRecord.of_run(script.paths).flags.get("lfads_save_dir", ())
    written = Path(where[-1]).expanduser() if where else Path()
    here = script.paths.lfads_output
    if written.is_absolute() and written.resolve() != here.resolve():
        _log.warning(
            "the scripts of %s train in another place: %s writes into %s. To train here, call "
            "prepare_for_lfads(), which mends links, and write_run_scripts()",
            folders.folder,
            script.paths.train_script,
            written,
        )
