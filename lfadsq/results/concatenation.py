"""Posterior means of several datasets or runs, one after another along the trials."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from lfadsq.errors import ConfigError
from lfadsq.results.condition_ids import condition_array, condition_labels
from lfadsq.results.labelled import labelled_variable, variable_attrs
from lfadsq.results.trial_arrays import TrialArray, TrialValues, joined_trials
from lfadsq.results.variables import VARIABLES

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["concatenate"]

_log = logging.getLogger(__name__)


def concatenate(
    several: Iterable[PosteriorMeans], *, same_channels: bool | None = None
) -> xr.Dataset:
    """Put posterior means one after another; see `PosteriorMeans.concatenate`."""
    all_means = list(several)
    _check_times(all_means)
    names = {means.dataset_name for means in all_means}
    if same_channels is None:
        same_channels = len(names) == 1
    if same_channels:
        _check_channels(all_means)
    variables, left_out = {}, []
    for name in VARIABLES:
        if all(name not in means.variable_names for means in all_means):
            continue
        dims = VARIABLES[name].dims
        arrays = [means.lazy(name) if name in means.variable_names else None for means in all_means]
        joined = _joined(arrays) if same_channels or "channel" not in dims else None
        if joined is None:
            left_out.append(name)
        else:
            attrs = variable_attrs(name, all_means[0])
            variables[name] = labelled_variable(joined, dims, attrs)
    if left_out:
        _log.info(
            "%s of %s differ in channels or units, or are not everywhere, and are left out",
            ", ".join(left_out),
            ", ".join(sorted(names)),
        )
    first = all_means[0]
    time = ("time", first.time_ms, {"units": "ms", "long_name": "start of the bin"})
    kinds = ", ".join(sorted({means.kind for means in all_means}))
    coordinates = {**_trial_coordinates(all_means), "time": time}
    return xr.Dataset(variables, coordinates, {"kind": kinds, "bin_ms": first.bin_ms})


def _joined(arrays: Sequence[TrialValues | None]) -> TrialValues | None:
    there = [array for array in arrays if array is not None]
    if len(there) < len(arrays) or len({array.shape[1:] for array in there}) > 1:
        return None
    lazy = [array for array in there if isinstance(array, TrialArray)]
    if len(lazy) == len(there):
        return joined_trials(lazy)
    return np.concatenate([np.asarray(array) for array in there])


def _trial_coordinates(
    all_means: Sequence[PosteriorMeans],
) -> dict[str, tuple[str, npt.NDArray[Any], dict[str, str]]]:
    def of_each(values: Iterable[str]) -> npt.NDArray[Any]:
        return np.repeat(np.array(list(values)), [means.num_trials for means in all_means])

    runs = ["/".join(_run_of(means)) for means in all_means]
    is_valid = np.concatenate([means.is_valid for means in all_means])
    numbers = np.concatenate([means.trials + 1 for means in all_means])
    coordinates: dict[str, tuple[str, npt.NDArray[Any], dict[str, str]]] = {
        "trial": ("trial", numbers, {"long_name": "trial of its recording, from 1"}),
        "dataset": ("trial", of_each(one.dataset_name for one in all_means), {}),
        "split": ("trial", np.where(is_valid, "valid", "train"), {}),
    }
    if len(set(runs)) > 1:
        coordinates["run"] = ("trial", of_each(runs), {})
    conditions: list[Any] = []
    for means in all_means:
        known = means.condition_ids
        conditions += [None] * means.num_trials if known is None else list(known)
    array = condition_array(conditions)
    if array is not None:
        coordinates["condition"] = ("trial", condition_labels(array), {})
    return coordinates


def _run_of(means: PosteriorMeans) -> list[str]:
    parts = (means.origin.get(name, "") for name in ("collection", "param_hash", "run"))
    return [part for part in parts if part]


def _check_times(all_means: Sequence[PosteriorMeans]) -> None:
    if not all_means:
        raise ConfigError("there are no posterior means to concatenate", "give some")
    first = all_means[0]
    for other in all_means[1:]:
        is_same = (
            first.bin_ms == other.bin_ms
            and first.time_ms.shape == other.time_ms.shape
            and np.allclose(first.time_ms, other.time_ms, rtol=0, atol=1e-6 * first.bin_ms)
        )
        if not is_same:
            raise ConfigError(
                f"{_times(first)}, {_times(other)}: their bins are not the same",
                "concatenate those whose trials are as long, in the same bins",
            )


def _times(means: PosteriorMeans) -> str:
    time_ms = means.time_ms
    return (
        f"{means.dataset_name} has {len(time_ms)} bins of {means.bin_ms:g} ms from {time_ms[0]:g}"
    )


def _check_channels(all_means: Sequence[PosteriorMeans]) -> None:
    numbers = {means.dataset_name: means.inferred["output_means"].shape[2] for means in all_means}
    if len({means.inferred["output_means"].shape[2] for means in all_means}) > 1:
        told = ", ".join(f"{name} has {number}" for name, number in numbers.items())
        raise ConfigError(
            f"datasets of different numbers of channels: {told}",
            "leave same_channels out: factors and all that has no channels is then concatenated",
        )
