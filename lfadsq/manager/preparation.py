"""Preparing runs for LFADS: everything is checked first, and only then do files appear.

Data are written into a hidden folder of the collection while they are checked, dataset by dataset,
and moved into place when all of them are there. So bad input in the last dataset leaves nothing
behind, and no more than one dataset is in memory. Where datasets are aligned, averages of each are
kept beside them until all of a run have been read; the matrices are then added to the files.
"""

from __future__ import annotations

import errno
import filecmp
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lfadsq.errors import ConfigError, DatasetError
from lfadsq.files import make_folder, move_into_place, storage_errors
from lfadsq.manager.alignment import (
    AlignmentOptions,
    MultisessionAlignmentTool,
    average_for_alignment,
)
from lfadsq.manager.condition_averages import ConditionAverages
from lfadsq.manager.datasets import Dataset
from lfadsq.manager.inputs import InputShape, add_alignment, write_input_h5, write_input_info
from lfadsq.manager.param_checks import check_params
from lfadsq.manager.progress import showing_progress
from lfadsq.manager.runs import Run
from lfadsq.manager.script_files import write_run_scripts
from lfadsq.manager.staleness import (
    find_dataset_changes,
    find_trained_users,
    prepared_datasets,
    refuse_changed_alignment,
    warn_of_changed_data,
)
from lfadsq.manager.trainer_commands import OUR_TRAINER, TrainerCommands
from lfadsq.manager.versions import check_layout
from lfadsq.paths import DataPaths

__all__ = ["prepare_runs", "read_input_shapes"]

_log = logging.getLogger(__name__)

_STAGING_PREFIX = ".prepare_for_lfads."
_ABANDONED_AFTER_S = 24 * 3600
_MOST_LISTED = 5


@dataclass
class _Input:
    """Input of one dataset, shared by all runs with the same data hash and run specification."""

    dataset: Dataset
    paths: DataPaths
    runs: list[Run] = field(default_factory=list)

    @property
    def h5(self) -> Path:
        return self.paths.input_h5(self.dataset.name)

    @property
    def info(self) -> Path:
        return self.paths.input_info(self.dataset.name)

    @property
    def is_there(self) -> bool:
        with storage_errors(self.h5, "read"):
            return self.h5.exists() and self.info.exists()

    @property
    def may_be_aligned(self) -> bool:
        """Whether it would have an alignment matrix if its run were on more or fewer datasets."""
        params = self.runs[0].params
        return params.useAlignmentMatrix or params.useSingleDatasetAlignmentMatrix

    @property
    def aligned_with(self) -> tuple[Path, ...]:
        """Inputs whose alignment matrices are computed together with this one's, and its own."""
        run = self.runs[0]
        if not run.uses_alignment_matrix:
            return ()
        return tuple(run.data_paths.input_h5(name) for name in run.dataset_names)


def prepare_runs(
    folder: Path,
    runs: Sequence[Run],
    *,
    regenerate: bool = False,
    trainer: TrainerCommands = OUR_TRAINER,
) -> None:
    """Write the trainer's input and the scripts of runs.

    Parameters
    ----------
    folder : Path
        The collection's folder.
    runs : sequence of Run
        Runs of this collection.
    regenerate : bool, default False
        Replace files that exist, instead of keeping them.
    trainer : TrainerCommands
        What the scripts call; by default our own trainer.

    Raises
    ------
    ConfigError
        If a setting cannot be trained, or does not fit a dataset or the trainer.
    DatasetError
        If a dataset is missing, damaged, or holds what LFADS cannot be given.
    RunExistsError
        If a run was trained on other datasets than its run specification names now.
    StorageError
        If the disk is full or a file cannot be written. In all these cases nothing on disk has
        changed, unless the disk failed after the data were written: then what is there is complete,
        and preparing again writes the rest.
    """
    for params in {id(run.params): run.params for run in runs}.values():
        check_params(params)
        trainer.check_flags(params)
    check_layout(folder, runs[0].params.version)
    changes = find_dataset_changes(runs)
    inputs = _list_inputs(runs)
    missing = _list_missing(inputs, changes, regenerate=regenerate)
    users = find_trained_users(folder, [one.h5 for one in missing])
    if not regenerate:
        refuse_changed_alignment(users)
    _check_alignments(missing)
    _check_files_exist(missing)
    for one in inputs:
        if one not in missing:
            _check_shape(one, InputShape.of_file(one.h5))
    _check_places(runs, missing)
    if missing:
        warn_of_changed_data(users, _write_inputs(folder, missing))
    with storage_errors(folder, "write into"):
        for run in runs:
            _link_inputs(run, regenerate=regenerate)
    write_run_scripts(runs, changes, trainer, regenerate=regenerate)


def read_input_shapes(runs: Sequence[Run]) -> list[list[InputShape]]:
    """Read how large the prepared input of each run is.

    Parameters
    ----------
    runs : sequence of Run
        Runs that were prepared.

    Returns
    -------
    list of list of InputShape
        For each run, the sizes of its datasets.

    Raises
    ------
    ConfigError
        If a run was not prepared.
    StorageError
        If its input is damaged.
    """
    known: dict[Path, InputShape] = {}
    for one in _list_inputs(runs):
        if not one.is_there:
            raise ConfigError(
                f"{one.runs[0].generate_title()} is not prepared", "call prepare_for_lfads first"
            )
        known[one.h5] = InputShape.of_file(one.h5)
    return [[known[run.data_paths.input_h5(name)] for name in run.dataset_names] for run in runs]


def _list_inputs(runs: Sequence[Run]) -> list[_Input]:
    inputs: dict[Path, _Input] = {}
    for run in runs:
        for dataset in run.datasets:
            key = run.data_paths.input_h5(dataset.name)
            inputs.setdefault(key, _Input(dataset, run.data_paths)).runs.append(run)
    return list(inputs.values())


def _list_missing(
    inputs: Sequence[_Input], changes: Collection[Path], *, regenerate: bool
) -> list[_Input]:
    """List what is to be written; inputs that are aligned together are written together."""
    missing = {
        one.h5
        for one in inputs
        if regenerate
        or not one.is_there
        or (one.may_be_aligned and any(run.path in changes for run in one.runs))
    }
    return [one for one in inputs if one.h5 in missing or not missing.isdisjoint(one.aligned_with)]


def _check_alignments(inputs: Sequence[_Input]) -> None:
    """Refuse runs that share an input, but need different alignment matrices in it."""
    for one in inputs:
        # Only collections of before 20171107 can have such.
        needs = {
            (run.dataset_names, run.params.c_factors_dim) if run.uses_alignment_matrix else None
            for run in one.runs
        }
        if len(needs) > 1:
            titles = [run.generate_title() for run in one.runs[:_MOST_LISTED]]
            raise ConfigError(
                f"{', '.join(titles)} share {one.h5}, but need different alignment matrices in it",
                "give the RunCollection version=20171107, or each its own collection",
            )


def _check_files_exist(inputs: Sequence[_Input]) -> None:
    missing: dict[str, None] = {}
    for path in (
        one.dataset.path
        for one in inputs
        # A class that loads data in its own way may not have a file.
        if type(one.dataset).load_data is Dataset.load_data
    ):
        with storage_errors(path, "read"):
            if not path.is_file():
                missing[str(path)] = None
    if missing:
        raise DatasetError(
            f"there is no dataset {', '.join(missing)}",
            "check the path of the dataset collection, and that its disk is mounted",
        )


def _check_places(runs: Sequence[Run], inputs: Sequence[_Input]) -> None:
    """Refuse what is in the way of a folder or a file, before any of them is made."""
    folders = {run.paths.lfads_input for run in runs} | {one.paths.folder for one in inputs}
    nearest = {_nearest_existing(folder): folder for folder in folders}
    for existing, folder in nearest.items():
        with storage_errors(existing, "use as a folder"):
            if not existing.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, str(existing))
        with storage_errors(existing, "write into"):
            if existing != folder and not os.access(existing, os.W_OK | os.X_OK):
                is_read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
                raise PermissionError(errno.EROFS if is_read_only else errno.EACCES, str(existing))
    files = [path for run in runs for path in run.paths.scripts]
    for path in (*files, *(path for one in inputs for path in (one.h5, one.info))):
        with storage_errors(path, "write"):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, str(path))


def _nearest_existing(folder: Path) -> Path:
    with storage_errors(folder, "read"):
        return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _check_shape(prepared: _Input, shape: InputShape) -> None:
    """Refuse settings that do not fit a dataset, all in one message."""
    name = prepared.dataset.name
    largest_batch = min(shape.num_train, shape.num_valid)
    if largest_batch < 1:
        raise DatasetError(
            f"{name} has {shape.num_train + shape.num_valid} trials, of which {shape.num_train} "
            f"would train and {shape.num_valid} validate",
            "leave it out: it takes at least one of each",
        )
    violations: dict[str, None] = {}
    for params in (run.params for run in prepared.runs):
        if params.c_batch_size > largest_batch:
            violations[
                f"c_batch_size {params.c_batch_size} is too large for {name}, of which "
                f"{shape.num_train} trials train and {shape.num_valid} validate with "
                f"trainToTestRatio {params.trainToTestRatio}: the largest that fits is "
                f"{largest_batch}"
            ] = None
        if params.c_ext_input_dim not in (0, shape.num_inputs):
            violations[
                f"c_ext_input_dim is {params.c_ext_input_dim}, but {name} has {shape.num_inputs} "
                "external inputs"
            ] = None
    if violations:
        listed = list(violations)[:_MOST_LISTED]
        if len(violations) > len(listed):
            listed.append(f"and {len(violations) - len(listed)} more like these")
        raise ConfigError("\n".join(listed))


# --- data -----------------------------------------------------------------------------------------


def _write_inputs(folder: Path, missing: Sequence[_Input]) -> list[Path]:
    """Write what is missing, and list the files of the trainer that are not what they were."""
    changed = []
    with _staging(folder) as staging, showing_progress("Preparing data", len(missing)) as advance:
        staged: list[tuple[_Input, DataPaths]] = []
        averages: list[ConditionAverages] = []
        for number, one in enumerate(missing):
            aside = DataPaths(make_folder(staging / str(number)))
            averages += _stage(one, aside)
            staged.append((one, aside))
            if averages and len(averages) == len(one.aligned_with):
                _align(staged[-len(averages) :], averages)
                averages = []
            advance(one.dataset.name)
        for one, aside in staged:
            make_folder(one.paths.folder)
            new = aside.input_h5(one.dataset.name)
            if one.h5.exists() and not filecmp.cmp(new, one.h5, shallow=False):
                changed.append(one.h5)
            move_into_place(aside.input_info(one.dataset.name), one.info)
            move_into_place(new, one.h5)
    return changed


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Give a hidden folder on the collection's disk; it vanishes, and so do folders left empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    staging = None
    try:
        make_folder(folder)
        with storage_errors(folder, "write into"):
            _remove_abandoned(folder)
            staging = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=folder))
        yield staging
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _remove_abandoned(folder: Path) -> None:
    """Remove what a preparation left that was killed; a younger one may still be at work."""
    for path in folder.glob(f"{_STAGING_PREFIX}*"):
        with suppress(FileNotFoundError):  # its owner may end, and remove it, meanwhile
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(path, ignore_errors=True)


def _stage(one: _Input, aside: DataPaths) -> list[ConditionAverages]:
    """Write the files of a dataset, and give its averages if it is to be aligned."""
    run = one.runs[0]
    name = one.dataset.name
    counts = run.generate_checked_counts(one.dataset)
    spike_bin_ms, ratio = run.params.spikeBinMs, run.params.trainToTestRatio
    _check_shape(one, InputShape.of_counts(counts, spike_bin_ms, ratio, name))
    averages = []
    if one.aligned_with:
        found = average_for_alignment(run, one.dataset, counts)
        averages.append(_on_disk(found, aside.folder / "averages.npy"))
        del found
    write_input_info(aside.input_info(name), counts, ratio, run.data_hash)
    write_input_h5(aside.input_h5(name), counts, spike_bin_ms, ratio, name)
    return averages


def _on_disk(averages: ConditionAverages, path: Path) -> ConditionAverages:
    """Move averages into a file: those of many datasets together outgrow a dataset."""
    with storage_errors(path, "write"):
        np.save(path, averages.counts)
    return replace(averages, counts=np.load(path, mmap_mode="r"))


def _align(
    staged: Sequence[tuple[_Input, DataPaths]], averages: Sequence[ConditionAverages]
) -> None:
    options = AlignmentOptions.of_params(staged[0][0].runs[0].params)
    tool = MultisessionAlignmentTool(averages, options)
    tool.log_quality()
    for (one, aside), aligned in zip(staged, tool.datasets, strict=True):
        add_alignment(aside.input_h5(one.dataset.name), aligned.matrix, aligned.bias)


# --- links ----------------------------------------------------------------------------------------


def _link_inputs(run: Run, *, regenerate: bool) -> None:
    make_folder(run.paths.lfads_input)
    for name in prepared_datasets(run.paths) - set(run.dataset_names):
        # The trainer would read these, too.
        for left_over in (run.paths.input_info(name), run.paths.input_h5(name)):
            left_over.unlink(missing_ok=True)
    for name in run.dataset_names:
        for target, link in (
            (run.data_paths.input_info(name), run.paths.input_info(name)),
            (run.data_paths.input_h5(name), run.paths.input_h5(name)),
        ):
            _link(os.path.relpath(target, link.parent), link, replace_file=regenerate)
    _check_links(run)


def _check_links(run: Run) -> None:
    """See that the trainer finds its data: a link is read from where the folder really is."""
    real = os.path.realpath(run.path)
    lost = [name for name in run.dataset_names if not run.paths.input_h5(name).exists()]
    if lost:
        raise ConfigError(
            f"the links in {run.paths.lfads_input} lead nowhere ({', '.join(lost)}), as they are "
            f"relative, and the folder really is {real}",
            "move the whole collection instead of a part of it, and link to that",
        )


def _link(target: str, link: Path, *, replace_file: bool) -> None:
    if link.is_symlink():
        if str(link.readlink()) == target:
            return
    elif link.exists() and not replace_file:
        return  # a copy of the collection in which links became files
    aside = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    aside.symlink_to(target)
    aside.replace(link)
