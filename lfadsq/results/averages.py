"""Averages over the trials of each condition, in one pass and without copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from lfadsq.errors import ConfigError
from lfadsq.results.condition_ids import condition_array, condition_labels, has_condition
from lfadsq.results.labelled import variable_attrs
from lfadsq.results.posterior_variables import MS_PER_S
from lfadsq.results.trial_arrays import TrialArray, TrialValues
from lfadsq.results.variables import VARIABLES

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["condition_averages", "group_averages"]


_CHOICES = ("all", "train", "valid")


def condition_averages(
    means: PosteriorMeans, variable: str, trials: str, conditions: npt.ArrayLike | None
) -> xr.DataArray:
    """Average over the trials of each condition; see `PosteriorMeans.condition_averages`."""
    if trials not in _CHOICES:
        raise ConfigError(f"there are no trials {trials!r}", f"choose among {', '.join(_CHOICES)}")
    array, scale = _source(means, variable)
    labels = _labels(means, conditions)
    chosen = has_condition(labels)
    if trials != "all":
        chosen &= means.is_valid == (trials == "valid")
    if not chosen.any():
        raise ConfigError(
            f"no trial of {means.dataset_name} ({trials}) has a condition",
            "give conditions=, one for each trial",
        )
    names, groups = np.unique(labels[chosen], return_inverse=True)
    group_of = np.full(means.num_trials, -1)
    group_of[chosen] = groups
    averages = group_averages(array, group_of, len(names))
    if scale != 1.0:
        averages *= scale
    coordinates = {
        "condition": ("condition", names, {"long_name": "condition"}),
        "num_trials": ("condition", np.bincount(groups), {"long_name": "trials averaged"}),
    }
    dims = ("condition", *VARIABLES[variable].dims[1:])
    if "time" in dims:
        time = {"units": "ms", "long_name": "start of the bin"}
        coordinates["time"] = ("time", means.time_ms, time)
    attrs = {**variable_attrs(variable, means), "dataset": means.dataset_name, "trials": trials}
    return xr.DataArray(averages, coordinates, dims, variable, attrs)


def group_averages(
    array: TrialValues, group_of: npt.NDArray[np.int64], num_groups: int
) -> npt.NDArray[np.float64]:
    """Average the trials of each group.

    Parameters
    ----------
    array : TrialArray or numpy.ndarray, shape (trial, ...)
        Values; what lies in files is read in pieces.
    group_of : numpy.ndarray, shape (trial,), int64
        Group of each trial, from 0; a trial of -1 is left out, and not read.
    num_groups : int
        Number of groups.

    Returns
    -------
    numpy.ndarray, shape (group, ...), float64
        NaN for a group without trials.

    Examples
    --------
    >>> group_averages(np.array([[1.0], [2.0], [4.0], [8.0]]), np.array([0, 1, 0, -1]), 2).tolist()
    [[2.5], [2.0]]
    """
    rest = array.shape[1:]
    sums = np.zeros((num_groups, int(np.prod(rest))))
    for trials, block in _blocks(array, group_of):
        flat = block.reshape(len(block), -1)
        for group, row in zip(group_of[trials].tolist(), flat, strict=True):
            # In place: sums[group] += row would copy the row of sums onto itself.
            total = sums[group]
            np.add(total, row, out=total)
    numbers = np.bincount(group_of[group_of >= 0], minlength=num_groups)
    with np.errstate(invalid="ignore"):
        sums /= numbers[:, np.newaxis]
    return sums.reshape(num_groups, *rest)


def _blocks(
    array: TrialValues, group_of: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
    """Give trials that have a group, group by group where that costs nothing.

    The sums of one group then stay in the processor's cache while its trials pass.
    """
    if isinstance(array, TrialArray):
        yield from array.blocks(np.flatnonzero(group_of >= 0))
        return
    values = np.asarray(array)
    order = np.argsort(group_of, kind="stable")[np.count_nonzero(group_of < 0) :]
    for at, trial in enumerate(order.tolist()):
        yield order[at : at + 1], values[trial : trial + 1]


def _source(means: PosteriorMeans, variable: str) -> tuple[TrialValues, float]:
    """Give what to average, and what to multiply the averages with."""
    array = means.lazy(variable)
    if array is None:
        raise ConfigError(
            f"{means.dataset_name} has no {variable}",
            f"there are {', '.join(means.variable_names)}",
        )
    if variable == "rates" and variable not in means.__dict__:
        return _source(means, "output_means")[0], MS_PER_S / means.bin_ms
    # What was read before need not be read again.
    return means.__dict__.get(variable, array), 1.0


def _labels(means: PosteriorMeans, conditions: npt.ArrayLike | None) -> npt.NDArray[Any]:
    found = means.condition_ids if conditions is None else condition_array(conditions)
    if found is None:
        raise ConfigError(
            f"the trials of {means.dataset_name} have no conditions",
            "give conditions=, one for each trial, or conditionId where the run is prepared",
        )
    if len(found) != means.num_trials:
        raise ConfigError(
            f"conditions are of {len(found)} trials, {means.dataset_name} has {means.num_trials}",
            "give one for each trial, in the order of the recording",
        )
    return condition_labels(found)
