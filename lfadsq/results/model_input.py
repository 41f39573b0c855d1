"""`ModelInput`: what the model was given of each trial, and what else is known of the trials."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.datasets.mat_elements import check_mat5
from lfadsq.datasets.matlab import read_hdf5, read_mat5
from lfadsq.errors import ResultShapeError
from lfadsq.files import check_readable, storage_errors
from lfadsq.hdf5 import hdf5_for_reading
from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.condition_ids import condition_array
from lfadsq.results.trial_arrays import FileTrials, TrialArray, TrialValues
from lfadsq.results.trial_split import TrialSplit, input_places

__all__ = ["ModelInput", "load_model_input"]

_log = logging.getLogger(__name__)

_CONDITIONS, _TIMES = "conditionId", "seq_timeVector"


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the model was given of each trial, trials in the order of the recording.

    Attributes
    ----------
    counts : TrialArray or numpy.ndarray or None, shape (trial, time, channel), int64 [spikes/bin]
        Counts in the bins that the model saw; float64 for gaussian output.
    true_rates : TrialArray or numpy.ndarray or None, shape (trial, time, channel), float64
        Mean truth in each bin, in the unit in which the recording has it [spikes/s].
    external_inputs : TrialArray or numpy.ndarray or None, shape (trial, time, input), float64
        Mean of each external input in each bin, in the unit of the recording.
    condition_ids : numpy.ndarray or None, shape (trial,)
        See `lfadsq.results.condition_ids.condition_array`.
    start_ms : float, default 0 [ms]
        Time of the first bin, as the recording counts it.
    """

    counts: TrialValues | None = None
    true_rates: TrialValues | None = None
    external_inputs: TrialValues | None = None
    condition_ids: npt.NDArray[Any] | None = None
    start_ms: float = 0.0


def load_model_input(
    paths: RunPaths, dataset_name: str, data_paths: DataPaths | None, split: TrialSplit
) -> ModelInput:
    """Find what the model was given of a dataset, without reading the arrays.

    Parameters
    ----------
    paths : RunPaths
        Files of the run, which link to its data.
    dataset_name : str
        The dataset.
    data_paths : DataPaths, optional
        Where its data lie, for collections whose links lead elsewhere by now.
    split : TrialSplit
        Which trials trained and which validated.

    Returns
    -------
    ModelInput
        None stands for what is not there; a word is logged if the trainer's input as a whole is
        not.

    Raises
    ------
    ResultShapeError
        If a file is damaged, or has other trials than `split`.
    StorageError
        If a file cannot be read.
    """
    inputs, infos = input_places(paths, dataset_name, data_paths)
    arrays: dict[str, TrialValues] = {}
    for path in inputs:
        with storage_errors(path, "read"):
            is_there = path.exists()
        if is_there:
            arrays = _arrays_of(path, split)
            break
    else:
        _log.warning(
            "the trainer's input of %s is not there (%s): counts and truth are None",
            dataset_name,
            " nor ".join(map(str, inputs)),
        )
    conditions, start_ms = None, 0.0
    for path in infos:
        with storage_errors(path, "read"):
            is_there = path.exists()
        if is_there:
            conditions, start_ms = _read_info(path, split)
            break
    return ModelInput(**arrays, condition_ids=conditions, start_ms=start_ms)


def _arrays_of(path: Path, split: TrialSplit) -> dict[str, TrialValues]:
    with hdf5_for_reading(path) as stored:
        # The trainer's bins hold sums over raw bins; this makes them means (FORMATS.md 4).
        factor = stored.get("conversion_factor")
        scale = 1.0 if factor is None else float(np.ravel(factor[()])[0])
        found = {
            "counts": _array_of(stored, path, "data", split, None),
            "true_rates": _array_of(stored, path, "truth", split, scale),
            "external_inputs": _array_of(stored, path, "ext_input", split, scale),
        }
    return {name: array for name, array in found.items() if array is not None}


def _array_of(
    stored: h5py.File, path: Path, key: str, split: TrialSplit, scale: float | None
) -> TrialArray | None:
    parts = []
    for name, trials in split.positions.items():
        variable = stored.get(f"{name}_{key}")
        if variable is None:
            if not len(trials):
                continue
            return None
        if variable.ndim != 3 or len(variable) != len(trials):
            raise ResultShapeError(
                f"{name}_{key} of {path} has shape {variable.shape}, for {len(trials)} trials",
                "prepare the run again",
            )
        parts.append(FileTrials(path, f"{name}_{key}", trials, variable.shape, scale=scale))
    if not parts:
        return None
    stored_type = stored[parts[0].key].dtype
    dtype = np.int64 if scale is None and stored_type.kind in "biu" else np.float64
    return TrialArray(parts, (split.num_trials, *parts[0].shape[1:]), dtype)


def _read_info(path: Path, split: TrialSplit) -> tuple[npt.NDArray[Any] | None, float]:
    check_readable(path)
    names = (_CONDITIONS, _TIMES)
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as stored:
                values = read_hdf5(stored, names)
        else:
            check_mat5(path)
            values = read_mat5(path, names)
        times = np.ravel(np.asarray(values.get(_TIMES, ()), dtype=np.float64))
        conditions = condition_array(values.get(_CONDITIONS))
    # The readers raise whatever the damaged bytes make them stumble over.
    except Exception as error:
        raise ResultShapeError(
            f"{path} does not tell the conditions and times of its trials ({error!r})",
            "copy it again, or prepare the run again",
        ) from error
    if conditions is not None:
        needed = int(split.trials[-1]) + 1 if split.num_trials else 0
        if len(conditions) < needed:
            raise ResultShapeError(
                f"{path} has the conditions of {len(conditions)} trials, of {needed}",
                "prepare the run again",
            )
        conditions = conditions[split.trials]
    return conditions, float(times[0]) if len(times) else 0.0
