"""Posterior means as an `xarray.Dataset` that reads from the files what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from lfadsq.results.condition_ids import condition_labels
from lfadsq.results.trial_arrays import TrialArray, TrialValues
from lfadsq.results.variables import VARIABLES

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["labelled_dataset", "labelled_variable", "trial_coordinates", "variable_attrs"]


class _Lazy(BackendArray):
    """What xarray indexes; it asks for each axis by itself, as `TrialArray` is indexed."""

    def __init__(self, array: TrialArray) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self.array.__getitem__
        )


def labelled_dataset(means: PosteriorMeans) -> xr.Dataset:
    """Give all variables of posterior means; see `PosteriorMeans.to_xarray`."""
    variables = {
        name: labelled_variable(array, VARIABLES[name].dims, variable_attrs(name, means))
        for name in means.variable_names
        if (array := means.lazy(name)) is not None
    }
    time = ("time", means.time_ms, {"units": "ms", "long_name": "start of the bin"})
    coordinates = {**trial_coordinates(means), "time": time}
    attrs = {"dataset": means.dataset_name, "kind": means.kind, "bin_ms": means.bin_ms}
    return xr.Dataset(variables, coordinates, {**attrs, **means.origin})


def labelled_variable(
    array: TrialValues, dims: tuple[str, ...], attrs: Mapping[str, str]
) -> xr.Variable:
    """Give an array with names of its axes, without reading it."""
    if not isinstance(array, TrialArray):
        return xr.Variable(dims, array, attrs)
    # As `xarray.open_dataset` wraps what lies in files: a variable read as a whole is kept.
    wrappers: Any = indexing
    lazy = wrappers.CopyOnWriteArray(wrappers.LazilyIndexedArray(_Lazy(array)))
    return xr.Variable(dims, wrappers.MemoryCachedArray(lazy), attrs)


def trial_coordinates(means: PosteriorMeans) -> dict[str, tuple[str, npt.NDArray[Any], Any]]:
    """Give the labels of the trials: number, split and, where there are any, condition."""
    split = np.where(means.is_valid, "valid", "train")
    coordinates: dict[str, tuple[str, npt.NDArray[Any], Any]] = {
        "trial": ("trial", means.trials + 1, {"long_name": "trial of the recording, from 1"}),
        "split": ("trial", split, {"long_name": "whether the trial trained or validated"}),
    }
    if means.condition_ids is not None:
        labels = condition_labels(means.condition_ids)
        coordinates["condition"] = ("trial", labels, {"long_name": "condition"})
    return coordinates


def variable_attrs(name: str, means: PosteriorMeans) -> dict[str, str]:
    """Give unit and description of a variable."""
    variable = VARIABLES[name]
    attrs = {"long_name": variable.long_name}
    # What unit gaussian data have, only the recording knows.
    if variable.units and not (means.is_gaussian and variable.units.startswith("spikes")):
        attrs["units"] = variable.units
    return attrs
