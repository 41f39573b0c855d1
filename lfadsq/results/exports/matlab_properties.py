"""What the classes of LFADS Run Manager hold and compute, under their names.

PosteriorMeans, ModelTrainedParams and FitLog as its documentation names them; shapes are those that
MATLAB shows, indices count from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.results.condition_ids import condition_labels
from lfadsq.results.exports.exported_run import ExportedRun, encodable
from lfadsq.results.fit_log import FitLog
from lfadsq.results.model_trained_params import ModelTrainedParams
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import TrialValues

__all__ = [
    "GAUSSIAN",
    "UNITS",
    "arrays_of_trials",
    "condition_values",
    "fit_log_properties",
    "params_of_datasets",
    "params_of_model",
    "small_properties",
]

Array = npt.NDArray[Any]

_MS_PER_S = 1000.0
_OF_TRIALS = (
    "controller_outputs",
    "factors",
    "post_g0_mean",
    "post_g0_logvar",
    "generator_ics",
    "generator_states",
    "rates",
    "costs",
    "nll_bound_vaes",
    "nll_bound_iwaes",
)
"""Properties of PosteriorMeans that are here under the same names."""

GAUSSIAN = ("output_means", "output_variances")
"""Of gaussian output, for which the class has no name."""

UNITS: Mapping[str, str] = {
    "rates": "spikes/s",
    "output_means": "unit of the data, summed over a bin",
    "output_variances": "its square",
    "rawCounts": "spikes/bin",
    "time": "ms",
    "binWidthMs": "ms",
    "costs": "nats",
    "nll_bound_vaes": "nats",
    "nll_bound_iwaes": "nats",
}
"""Units of properties that have one."""

_COSTS = ("total_train", "total_valid", "recon_train", "recon_valid", "kl_train", "kl_valid", "l2")


def arrays_of_trials(means: PosteriorMeans) -> dict[str, TrialValues]:
    """Give the properties with a value for each trial, trials first; what is missing is left out.

    Parameters
    ----------
    means : PosteriorMeans
        Nothing of it is read.

    Returns
    -------
    dict of str to TrialArray or numpy.ndarray
        Axes (trial, time, unit), (trial, unit) or (trial,).
    """
    there = set(means.variable_names)
    names = (*_OF_TRIALS, *(GAUSSIAN if means.is_gaussian else ()))
    arrays = {name: means.lazy(name) for name in names if name in there}
    return {name: array for name, array in arrays.items() if array is not None}


def small_properties(means: PosteriorMeans, dataset_number: int) -> dict[str, Array]:
    """Give the small numeric properties of PosteriorMeans.

    Parameters
    ----------
    means : PosteriorMeans
        The results.
    dataset_number : int
        Which dataset of the run it is, from 1.

    Returns
    -------
    dict of str to numpy.ndarray
        Lists are columns, numbers 1 x 1.
    """
    time_ms = means.time_ms
    width_ms = float(time_ms[1] - time_ms[0]) if len(time_ms) > 1 else means.bin_ms
    sizes = {
        name: array.shape[2]
        for name, array in arrays_of_trials(means).items()
        if len(array.shape) == 3
    }
    channels = means.lazy("output_means")
    assert channels is not None
    lists = {
        "time": time_ms,
        "validInds": means.valid_inds + 1.0,
        "trainInds": means.train_inds + 1.0,
        "datasetIndexByTrial": np.full(means.num_trials, float(dataset_number)),
    }
    numbers = {
        "binWidthMs": width_ms,
        "scaleFactorCountsToRates": _MS_PER_S / width_ms,
        "nControllerOutputs": sizes.get("controller_outputs", 0),
        "nGeneratorUnits": sizes.get("generator_states", 0),
        "nFactors": sizes["factors"],
        "nNeurons": channels.shape[2],
        "T": len(time_ms),
        "nTrials": means.num_trials,
    }
    return {
        **{name: np.reshape(values, (-1, 1)) for name, values in lists.items() if len(values)},
        **{name: np.full((1, 1), float(value)) for name, value in numbers.items()},
        "isValid": np.ones((1, 1), np.uint8),
    }


def condition_values(means: PosteriorMeans) -> Array | list[str] | None:
    """Give the property conditionIds: a column of doubles, or texts; None if there are none."""
    conditions = means.condition_ids
    if conditions is None:
        return None
    labels = condition_labels(conditions)
    if labels.dtype.kind in "biuf":
        return labels.astype(np.float64)[:, None]
    return [encodable(str(label)) for label in labels]


def params_of_model(params: ModelTrainedParams) -> dict[str, Array]:
    """Give the properties of ModelTrainedParams that all datasets share, and what it computes."""
    counts = np.array(list(params.num_channels_by_dataset.values()), dtype=np.float64)
    values = {
        name: value for name, value in params.to_dict().items() if isinstance(value, np.ndarray)
    }
    values["num_datasets"] = np.full((1, 1), float(params.num_datasets))
    values["num_channels_all_datasets"] = np.full((1, 1), counts.sum())
    if len(counts):
        values["num_channels_by_dataset"] = counts[:, None]
        values["dataset_idx_concatenated"] = params.dataset_idx_concatenated[:, None] + 1.0
    for name in ("factors_to_logrates_W", "factors_to_logrates_b"):
        if set(getattr(params, name)) == set(params.dataset_names):
            values[f"{name}_concatenated"] = getattr(params, f"{name}_concatenated")
    return values


def params_of_datasets(params: ModelTrainedParams) -> dict[str, Mapping[str, Array]]:
    """Give the properties of ModelTrainedParams that each dataset has: by name, then dataset."""
    return {name: value for name, value in params.to_dict().items() if isinstance(value, Mapping)}


def fit_log_properties(log: FitLog, run: ExportedRun) -> dict[str, Any]:
    """Give the properties of FitLog, and what it computes; ``epoch`` besides."""
    names = ("epoch", "step", *_COSTS, "kl_weight", "l2_weight")
    values: dict[str, Any] = {
        name: np.asarray(getattr(log, name), dtype=np.float64)[:, None] for name in names
    }
    values["runName"] = encodable(run.paths.folder.name)
    values["filename"] = run.paths.output.fit_log().name
    values["nEpochs"] = float(log.num_epochs)
    lowest = log.lowest_valid
    if lowest is not None:
        is_it = (log.step == lowest.step) & (log.total_valid == lowest.total_valid)
        values["lveIndex"] = float(np.flatnonzero(is_it)[0]) + 1.0
        values |= {f"{name}_lve": float(getattr(lowest, name)) for name in _COSTS}
    return values
