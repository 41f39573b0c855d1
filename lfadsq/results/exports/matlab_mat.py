"""MAT files whose variables have the names of LFADS Run Manager's classes.

``pm = load('posteriorMeans_dataset001.mat')`` gives a struct with the properties of PosteriorMeans:
``pm.rates`` is (unit, time, trial). MAT v5 where every variable fits, else v7.3, which needs
MATLAB R2006b or later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.files import written_aside
from lfadsq.matfile import StreamedArray, smallest_dtype, write_mat
from lfadsq.matfile73 import write_mat73
from lfadsq.results.exports.export_files import ExportFile
from lfadsq.results.exports.exported_run import ExportedRun, encodable, trial_blocks
from lfadsq.results.exports.matlab_properties import (
    arrays_of_trials,
    condition_values,
    fit_log_properties,
    params_of_datasets,
    params_of_model,
    small_properties,
)
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import TrialValues

__all__ = ["mat_files"]

Array = npt.NDArray[Any]

_LARGEST_V5_BYTES = 2**31 - 2**16
"""MATLAB reads no larger variable from a v5 file."""

_LONGEST_NAME = 63
_BLOCK_TRIALS = 32
_OF_INPUT = {"rawCounts": "counts", "externalInputs": "externalInputs"}


def mat_files(run: ExportedRun, folder: Path) -> list[ExportFile]:
    """Plan ``modelTrainedParams.mat``, ``fitLog.mat`` and ``posteriorMeans_<dataset>.mat``.

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
        folder / "modelTrainedParams.mat",
        "trained parameters",
        run.title,
        partial(_write_params, run),
        run.load_params,
    )
    log = ExportFile(
        folder / "fitLog.mat",
        "costs of the training",
        run.title,
        partial(_write_log, run),
        run.load_fit_log,
    )
    means = [
        ExportFile(
            folder / f"posteriorMeans_{name}.mat",
            f"posterior means of {name}",
            run.title,
            partial(_write_means, run, find),
            find,
        )
        for name in run.chosen
        for find in (run.means_once(name),)
    ]
    return [weights, log, *means]


def _write_params(run: ExportedRun, path: Path) -> None:
    params = run.load_params()
    variables: dict[str, Any] = {
        "dataset_names": _cell([encodable(name) for name in params.dataset_names]),
        **params_of_model(params),
    }
    for name, of_datasets in params_of_datasets(params).items():
        empty = np.zeros((0, 0))
        variables[name] = _cell([of_datasets.get(one, empty) for one in params.dataset_names])
    with written_aside(path) as aside:
        write_mat(aside, variables, {})


def _write_log(run: ExportedRun, path: Path) -> None:
    values = fit_log_properties(run.load_fit_log(), run)
    with written_aside(path) as aside:
        write_mat(aside, values, {})


def _write_means(run: ExportedRun, find: Callable[[], PosteriorMeans], path: Path) -> None:
    means = find()
    number = run.dataset_names.index(means.dataset_name) + 1
    variables: dict[str, Any] = {
        "kind": run.kind,
        "datasetName": encodable(means.dataset_name),
        "params": _struct(run.hyperparams),
        **small_properties(means, number),
    }
    conditions = condition_values(means)
    if conditions is not None:
        is_text = isinstance(conditions, list)
        variables["conditionIds"] = _cell(conditions) if is_text else conditions
    streamed = {name: _streamed(array) for name, array in arrays_of_trials(means).items()}
    if run.has_input_info(means.dataset_name):
        info = run.load_input_info(means.dataset_name, list(_OF_INPUT.values()))
        for name, key in _OF_INPUT.items():
            if key in info and np.size(info[key]):
                streamed[name] = _streamed_for_matlab(np.atleast_3d(info[key]))
    if all(array.num_bytes <= _LARGEST_V5_BYTES for array in streamed.values()):
        with written_aside(path) as aside:
            write_mat(aside, variables, streamed)
    else:
        write_mat73(path, variables, streamed)


def _cell(values: Any) -> Array:
    """Give MATLAB's cell, n x 1."""
    cell = np.empty((len(values), 1), dtype=object)
    for number, value in enumerate(values):
        cell[number, 0] = value
    return cell


def _struct(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give values as a struct's fields; lists of numbers are rows, other lists text."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        is_name = name.isascii() and name.isidentifier() and not name.startswith("_")
        if not is_name or len(name) > _LONGEST_NAME:  # MATLAB has no such fields
            continue
        if isinstance(value, bool | str):
            fields[name] = value if isinstance(value, bool) else encodable(value)
        elif isinstance(value, int | float):
            fields[name] = float(value)
        else:
            fields[name] = _list(value)
    return fields


def _list(value: object) -> Any:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return encodable(str(value))
    return np.atleast_2d(array)


def _streamed(array: TrialValues) -> StreamedArray:
    # Row-major (trial, time, unit) is column-major (unit, time, trial); a list becomes a column.
    shape = array.shape[::-1] if len(array.shape) > 1 else (array.shape[0], 1)
    pieces = (values for _, values in trial_blocks(array))
    return StreamedArray(shape, "<f8", pieces, compressed=False)


def _streamed_for_matlab(values: Array) -> StreamedArray:
    """Give an array (unit, time, trial); whole numbers are stored as small as they are."""

    def pieces() -> Iterator[Array]:
        for first in range(0, values.shape[2], _BLOCK_TRIALS):
            part = values[:, :, first : first + _BLOCK_TRIALS].transpose(2, 1, 0)
            yield np.ascontiguousarray(part, dtype)

    is_whole = values.dtype.kind in "biu" and values.min() >= 0
    dtype = smallest_dtype(float(values.max())) if is_whole else np.dtype("<f8")
    return StreamedArray(values.shape, dtype, pieces())
