"""Finding the files of posterior means of a run, and what is in them (FORMATS.md 6)."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import storage_errors
from lfadsq.hdf5 import hdf5_for_reading
from lfadsq.paths import RunPaths
from lfadsq.results.available import OLD_KINDS
from lfadsq.results.trial_arrays import FileTrials, TrialArray, TrialValues
from lfadsq.results.trial_split import TrialSplit
from lfadsq.results.variables import FILE_KEYS, REQUIRED

__all__ = ["find_posterior_means", "posterior_means_path"]

_log = logging.getLogger(__name__)

_OUTPUT = REQUIRED[0]
# Without a controller there is nothing to be missed.
_NOT_MISSED = "controller_outputs"


def posterior_means_path(paths: RunPaths, dataset_name: str, split: str, kind: str) -> Path:
    """Give the file of posterior means of a dataset: that of an older name, if only it is there.

    Parameters are those of `find_posterior_means`, and `split` is ``train`` or ``valid``.
    """
    path = paths.output.posterior_means(dataset_name, split, kind)
    if not path.exists() and kind in OLD_KINDS:
        older = paths.output.posterior_means(dataset_name, split, OLD_KINDS[kind])
        return older if older.exists() else path
    return path


def find_posterior_means(
    paths: RunPaths, dataset_name: str, kind: str, split: TrialSplit
) -> dict[str, TrialValues]:
    """Find the posterior means of a dataset, without reading the arrays.

    Parameters
    ----------
    paths : RunPaths
        Files of the run.
    dataset_name : str
        The dataset, without extension.
    kind : {"posterior_sample_and_average", "posterior_push_mean"}
        How they were computed. Older files of the first kind are named ``posterior_sample``.
    split : TrialSplit
        Which trials trained and which validated.

    Returns
    -------
    dict of str to TrialArray
        By the names of `lfadsq.results.variables.VARIABLES`, those that the files hold. What older
        files lack is named in the log.

    Raises
    ------
    ResultNotReadyError
        If the run has not written them.
    ResultShapeError
        If a file does not fit the run's input.
    StorageError
        If a file cannot be read, or is damaged.
    """
    if not split.num_trials:
        raise ResultShapeError(
            f"the input of {dataset_name} in {paths.lfads_input} has no trials",
            "prepare the run again",
        )
    remedy = f"sample again: bash {paths.posterior_mean_script}"
    files: dict[Path, dict[str, h5py.Dataset]] = {}
    positions = {}
    for name, trials in split.positions.items():
        if len(trials):
            path = posterior_means_path(paths, dataset_name, name, kind)
            shapes = _shapes_of(path)
            _check_output(path, shapes[_OUTPUT][0], len(trials), split.num_channels, remedy)
            files[path], positions[path] = shapes, trials
    missing = [key for key in FILE_KEYS.values() if any(key not in one for one in files.values())]
    missed = [key for key in missing if key != _NOT_MISSED]
    if missed:
        _log.warning(
            "posterior means of %s in %s have no %s: None stands in their place",
            dataset_name,
            paths.lfads_output,
            ", ".join(missed),
        )

    def array_of(key: str) -> TrialArray:
        first, *others = ((path, *shapes[key]) for path, shapes in files.items())
        for path, shape, _ in (first, *others):
            if shape[:1] != positions[path].shape or shape[1:] != first[1][1:]:
                raise ResultShapeError(
                    f"{key} of {path} has shape {shape}, which fits neither its trials nor "
                    f"{key} of {first[0]}",
                    remedy,
                )
        parts = [
            FileTrials(path, key, positions[path], shape) for path, shape, _ in (first, *others)
        ]
        dtype = np.result_type(*(dtype for _, _, dtype in (first, *others)))
        return TrialArray(parts, (split.num_trials, *first[1][1:]), dtype)

    arrays: dict[str, TrialValues] = {
        name: array_of(key) for name, key in FILE_KEYS.items() if key not in missing
    }
    output = array_of(_OUTPUT)
    arrays["output_means"] = output.columns(0, split.num_channels)
    if output.shape[2] > split.num_channels:
        arrays["output_variances"] = output.columns(split.num_channels, split.num_channels)
    return arrays


def _shapes_of(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    with storage_errors(path, "read"):
        is_there = path.exists()
    if not is_there:
        raise ResultNotReadyError(
            f"{path} is not there", "train the run first; it is written when training has ended"
        )
    with hdf5_for_reading(path) as stored:
        keys = [key for key in (*REQUIRED, *FILE_KEYS.values()) if key in stored]
        shapes = {key: (stored[key].shape, stored[key].dtype) for key in keys}
    missing = sorted(set(REQUIRED) - set(shapes))
    if missing:
        raise ResultShapeError(f"{path} has no {', '.join(missing)}", "write it again")
    return shapes


def _check_output(
    path: Path, shape: tuple[int, ...], num_trials: int, num_channels: int, remedy: str
) -> None:
    if len(shape) != 3 or shape[2] not in (num_channels, 2 * num_channels):
        raise ResultShapeError(
            f"{path} has {shape[-1] if shape else 1} values in a bin, for {num_channels} channels",
            remedy,
        )
    if shape[0] != num_trials:
        raise ResultShapeError(
            f"{path} has {shape[0]} trials, the run's input {num_trials}", remedy
        )
