"""The HDF5 files of LFADS Run Manager's ``exportResultsToH5``.

Every numeric property of its classes PosteriorMeans and ModelTrainedParams is a dataset under its
name, also what they compute (``nTrials``); what is empty is left out, and properties of each
dataset are groups with one dataset for each. MATLAB's arrays with two axes or more are reversed
before they are written, so that Python, R and C see ``(unit, time, trial)``, as its documentation
has it, and ``h5read`` in MATLAB ``(trial, time, unit)``; vectors are written as they are, so that
``h5read`` gives lists of trials as columns, and biases as rows.

What it leaves out is here where it would be missed: condition ids that are text, as strings of any
length, and means and variances of gaussian output. Attributes, which it does not write, say units
and axes.

References
----------
LFADS Run Manager (Apache-2.0): ``exportToHDF5`` of both classes, ``Utils.reverseDims``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.hdf5 import hdf5_written_aside, stream_aside
from lfadsq.results.exports.export_files import ExportFile
from lfadsq.results.exports.exported_run import ExportedRun, encodable, trial_blocks
from lfadsq.results.exports.matlab_properties import (
    UNITS,
    arrays_of_trials,
    condition_values,
    params_of_datasets,
    params_of_model,
    small_properties,
)
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import TrialValues

__all__ = ["h5_files"]

Array = npt.NDArray[Any]

_CHUNK_TRIALS = 32
_CHUNK_BYTES = 2**20
_SMALL_BYTES = 2**22
_OF_INPUT = {"rawCounts": "counts", "externalInputs": "externalInputs"}


def h5_files(run: ExportedRun, folder: Path) -> list[ExportFile]:
    """Plan the files of a run: ``modelTrainedParams.h5`` and ``posteriorMeans_<dataset>.h5``.

    Parameters
    ----------
    run : ExportedRun
        The run.
    folder : Path
        Where they go.

    Returns
    -------
    list of ExportFile
    """
    weights = ExportFile(
        folder / "modelTrainedParams.h5",
        "trained parameters",
        run.title,
        partial(_write_params, run),
        run.load_params,
    )
    means = [
        ExportFile(
            folder / f"posteriorMeans_{name}.h5",
            f"posterior means of {name}",
            run.title,
            partial(_write_means, run, find),
            find,
        )
        for name in run.chosen
        for find in (run.means_once(name),)
    ]
    return [weights, *means]


def _write_params(run: ExportedRun, path: Path) -> None:
    params = run.load_params()
    with hdf5_written_aside(path) as stored:
        stored.attrs.update(run.provenance())
        _write_texts(stored, "dataset_names", params.dataset_names)
        for name, value in params_of_model(params).items():
            _write_value(stored, name, value)
        for name, of_datasets in params_of_datasets(params).items():
            group = stored.create_group(name)
            for dataset_name, value in of_datasets.items():
                _write_value(group, encodable(dataset_name), value)


def _write_means(run: ExportedRun, find: Callable[[], PosteriorMeans], path: Path) -> None:
    means = find()
    with stream_aside(path) as stream, h5py.File(stream, "w") as stored:
        stored.attrs.update(run.provenance(means.dataset_name))
        for name, array in arrays_of_trials(means).items():
            _write_trials(stored, name, array, stream.check)
        number = run.dataset_names.index(means.dataset_name) + 1
        for name, value in small_properties(means, number).items():
            _write_value(stored, name, value)
        conditions = condition_values(means)
        if isinstance(conditions, list):
            _write_texts(stored, "conditionIds", conditions)
        elif conditions is not None:
            _write_value(stored, "conditionIds", conditions)
        _write_input(stored, run, means, stream.check)


def _write_input(
    stored: h5py.File, run: ExportedRun, means: PosteriorMeans, check: Callable[[], None]
) -> None:
    """Write what inputInfo holds (unit, time, trial), in raw bins, as MATLAB's doubles."""
    if not run.has_input_info(means.dataset_name):
        return
    info = run.load_input_info(means.dataset_name, list(_OF_INPUT.values()))
    for name, key in _OF_INPUT.items():
        if key not in info or not np.size(info[key]):
            continue
        values = np.atleast_3d(info[key])
        # Counts are mostly zeros.
        target = _create(stored, name, values.shape, np.float64, compression=1, shuffle=True)
        for first in range(0, values.shape[2], _CHUNK_TRIALS):
            part = slice(first, first + _CHUNK_TRIALS)
            target[:, :, part] = values[:, :, part].astype(np.float64)
            check()
        _say(target, name, "unit", "time in raw bins", "trial")


def _write_trials(
    stored: h5py.File, name: str, array: TrialValues, check: Callable[[], None]
) -> None:
    if len(array.shape) == 3:
        target = _create(stored, name, array.shape[::-1], array.dtype)
        # A chunk that is written in two parts would be read again in between.
        for trials, values in trial_blocks(array, _CHUNK_TRIALS):
            target[:, :, trials] = values.transpose(2, 1, 0)
            check()
        _say(target, name, "unit", "time", "trial")
    elif len(array.shape) == 2:
        target = _write_value(stored, name, np.asarray(array).T)
        if target.shape[0] == array.shape[1]:
            _say(target, name, "unit", "trial")
    else:
        _write_value(stored, name, np.asarray(array)[:, None])


def _create(
    stored: h5py.File, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, **options: Any
) -> h5py.Dataset:
    """Make a dataset (unit, time, trial) that is quick to write some trials at a time."""
    num_units, num_bins, num_trials = shape
    itemsize = np.dtype(dtype).itemsize
    if num_units * num_bins * num_trials * itemsize <= _SMALL_BYTES and not options:
        return stored.create_dataset(name, shape, dtype)
    trials = min(_CHUNK_TRIALS, num_trials)
    units = min(max(_CHUNK_BYTES // (num_bins * trials * itemsize), 1), num_units)
    return stored.create_dataset(name, shape, dtype, chunks=(units, num_bins, trials), **options)


def _write_value(place: h5py.Group, name: str, value: Array) -> h5py.Dataset:
    """Write an array of MATLAB's shape as MATLAB would: a matrix reversed first, a vector not."""
    is_vector = 1 in value.shape
    target = place.create_dataset(name, data=value.T if is_vector else value)
    if name in UNITS:
        target.attrs["units"] = UNITS[name]
    return target


def _write_texts(place: h5py.Group, name: str, texts: Sequence[str]) -> None:
    encoded = [encodable(text) for text in texts]
    place.create_dataset(name, data=encoded, dtype=h5py.string_dtype("utf-8"))


def _say(target: h5py.Dataset, name: str, *axes: str) -> None:
    target.attrs["axes_in_python"] = ", ".join(axes)
    target.attrs["axes_in_matlab"] = ", ".join(reversed(axes))
    if name in UNITS:
        target.attrs["units"] = UNITS[name]
