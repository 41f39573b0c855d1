"""Exporting results of runs: which runs, and where to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsq.errors import ConfigError, ResultNotReadyError, RunNotFoundError
from lfadsq.manager.collection_folders import CollectionFolders
from lfadsq.manager.datasets import Dataset
from lfadsq.paths import CollectionPaths
from lfadsq.results.exports.export_files import ExportFile, write_files
from lfadsq.results.exports.exported_run import ExportedRun
from lfadsq.results.exports.formats import SUFFIXES, plan_files

if TYPE_CHECKING:
    from lfadsq.manager.runs import Run
    from lfadsq.results.exports.session_times import Recording

__all__ = ["export_runs", "has_results", "plan_exports", "results_of"]

_OF_ONE = ("nwb", "event_times", "num_bins")
_KINDS = ("posterior_sample_and_average", "posterior_push_mean")


def export_runs(
    runs: Iterable[Run],
    to: str,
    folder: str | Path | None = None,
    *,
    of_collection: bool = False,
    force: bool = False,
    tell: Callable[[int, ExportFile], None] = lambda number, file: None,
    **choices: Any,
) -> list[Path]:
    """Export results of runs; see `plan_exports` for parameters and errors.

    Returns
    -------
    list of Path
        What was written, each complete.
    """
    files = plan_exports(runs, to, folder, of_collection=of_collection, **choices)
    write_files(files, force=force, tell=tell)
    return [file.path for file in files]


def plan_exports(
    runs: Iterable[Run],
    to: str,
    folder: str | Path | None = None,
    *,
    of_collection: bool = False,
    dataset_names: Sequence[str] | None = None,
    kind: str | None = None,
    **options: Any,
) -> list[ExportFile]:
    """Say which files an export of runs writes.

    Parameters
    ----------
    runs : iterable of Run
        The runs, of one collection.
    to : {"h5", "mat", "netcdf", "nwb", "zip"}
        The format.
    folder : str or Path, optional
        Where files go. Of several runs, each has a folder in it, ``<run name>``, or
        ``param_<HASH>/<run name>`` where settings differ. A name with the format's ending is that
        of the file, if there is only one. By default ``export`` in the folder of each run, or
        ``posterior_means_export`` in that of the collection.
    of_collection : bool, default False
        Whether these are all runs of a collection.
    dataset_names : sequence of str, optional
        Which datasets; by default all.
    kind : str, optional
        Kind of posterior means; by default that of each run.
    **options
        Of the format: those of `ArchiveOptions` for ``zip``, of `NwbOptions` for ``nwb``.

    Returns
    -------
    list of ExportFile

    Raises
    ------
    RunNotFoundError
        If a run has no such dataset.
    ConfigError
        If there is no such format, kind or option.
    """
    chosen = list(runs)
    if to not in SUFFIXES:
        raise ConfigError(f"there is no format {to!r}", f"choose one of {', '.join(SUFFIXES)}")
    if to == "zip" and (dataset_names is not None or kind is not None):
        raise ConfigError(
            "a zip holds the whole run, with all its datasets and kinds",
            "leave dataset and kind out, or choose another format",
        )
    files: list[ExportFile] = []
    place = None if folder is None else Path(folder).expanduser()
    file_name = None
    if place is not None and place.suffix == SUFFIXES[to] and not place.is_dir():
        file_name, place = place.name, place.parent
    datasets: set[str] = set()
    several_settings = len({run.param_hash for run in chosen}) > 1
    if of_collection and chosen:
        # Those on the disk, so that folders stay where they are while more runs are trained.
        several_settings = len(CollectionFolders(chosen[0].path.parent.parent).param_hashes) > 1
    for run in chosen:
        results = results_of(run, dataset_names, kind)
        datasets |= set(results.chosen)
        target = results.paths.export if place is None else place
        if place is None and of_collection:
            target = CollectionPaths(results.paths.folder.parent.parent).export
        if of_collection or (place is not None and len(chosen) > 1):
            target = target / results.title if several_settings else target / run.name
        files += plan_files(results, to, target, _options(run, results, to, options))
    if to == "nwb" and len(datasets) > 1 and any(options.get(name) is not None for name in _OF_ONE):
        raise ConfigError(
            f"a recording or event times are of one dataset, and {len(datasets)} are exported",
            f"choose one of {', '.join(sorted(datasets))} with --dataset (dataset_names=[...])",
        )
    if file_name is None or place is None:
        return files
    if len(files) != 1:
        raise ConfigError(
            f"{file_name} is one file, and {len(files)} would be written",
            "name a folder, or one run and dataset",
        )
    return [replace(files[0], path=place / file_name)]


def _options(run: Run, results: ExportedRun, to: str, given: dict[str, Any]) -> Any:
    if to == "zip":
        from lfadsq.results.exports.archive import ArchiveOptions

        name = results.paths.folder.parent.parent.name
        return _checked(
            partial(ArchiveOptions, name, partial(_summary_of, run)), ArchiveOptions, given
        )
    if to == "nwb":
        from lfadsq.results.exports.nwb import NwbOptions

        recordings = {dataset.name: _recording(dataset) for dataset in run.datasets}
        return _checked(partial(NwbOptions, recordings.__getitem__), NwbOptions, given)
    if given:
        raise ConfigError(f"{', '.join(given)} cannot be chosen for {to}", "leave it out")
    return None


def _recording(dataset: Dataset) -> Recording:
    from lfadsq.manager.opened_collection import OpenedDataset
    from lfadsq.results.exports.session_times import Recording

    # What a class of the lab's own reads tells at which event it cut; a plain file does not.
    is_own = type(dataset).load_data not in (Dataset.load_data, OpenedDataset.load_data)
    return Recording(dataset.path, dataset.load_data if is_own else None)


def _checked(make: Callable[..., Any], cls: type, given: dict[str, Any]) -> Any:
    try:
        return make(**given)
    except TypeError as error:
        known = [one.name for one in fields(cls) if one.repr]
        raise ConfigError(
            f"a choice is unknown ({error})", f"known are {', '.join(known)}"
        ) from error


def _summary_of(run: Run) -> str:
    """Describe a collection with this run only."""
    from lfadsq.manager.collection import RunCollection

    folder = run.path.parent.parent
    collection = RunCollection(
        folder.parent,
        folder.name,
        run.datasets[0].collection,
        version=run.params.version,
        run_class=type(run),
    )
    collection.add_params(run.params)
    collection.add_run_spec(run.run_spec)
    return collection.generate_summary_text()


def results_of(
    run: Run, dataset_names: Sequence[str] | None = None, kind: str | None = None
) -> ExportedRun:
    """Describe the results of a run for an export.

    Parameters
    ----------
    run : Run
        The run.
    dataset_names : sequence of str, optional
        Which datasets; by default all.
    kind : str, optional
        Kind of posterior means; by default that of the run.

    Returns
    -------
    ExportedRun

    Raises
    ------
    RunNotFoundError
        If the run has no such dataset.
    ConfigError
        If there is no such kind.
    """
    chosen = run.dataset_names if dataset_names is None else tuple(dict.fromkeys(dataset_names))
    unknown = [name for name in chosen if name not in run.dataset_names]
    if unknown or not chosen:
        raise RunNotFoundError(
            f"{run.generate_title()} has no dataset {', '.join(map(repr, unknown))}"
            if unknown
            else f"no dataset of {run.generate_title()} was chosen",
            f"give one of {', '.join(run.dataset_names)}",
        )
    if kind is not None and kind not in _KINDS:
        raise ConfigError(f"there is no kind {kind!r}", f"choose {' or '.join(_KINDS)}")
    return ExportedRun(
        paths=run.paths,
        data_paths=run.data_paths,
        dataset_names=run.dataset_names,
        chosen=chosen,
        kind=kind or run.params.posterior_mean_kind,
        bin_ms=run.params.spikeBinMs,
        hyperparams=run.params.to_dict(),
        load_input_info=run.load_input_info,
    )


def has_results(
    run: Run, dataset_names: Sequence[str] | None = None, kind: str | None = None
) -> bool:
    """Tell whether a run has posterior means to export, of all datasets that are wanted.

    Raises
    ------
    RunNotFoundError
        If it has no such dataset.
    ResultShapeError, StorageError
        If they are damaged, or cannot be read.
    """
    results = results_of(run, dataset_names or None, kind)
    try:
        for name in results.chosen:
            results.load_means(name)
    except ResultNotReadyError:
        return False
    return True
