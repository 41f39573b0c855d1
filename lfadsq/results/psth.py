"""How well inferred rates match peri-stimulus time histograms (PSTH)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.condition_ids import condition_labels, has_condition
from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import check_same_shape

__all__ = ["DEFAULT_SMOOTHING_MS", "psth_r2", "r2_by_channel", "smooth_in_time"]

Array = npt.NDArray[np.float64]

DEFAULT_SMOOTHING_MS = 0.0
"""Standard deviation of the Gaussian [ms]. The benchmark takes 40 to 70, by dataset.

Without one, noise of the averages takes the same from every model, so the best still comes first.
A kernel wider than what the rates do puts blurred rates first: with 50 ms, true rates of the
demonstration come to 0.28, and to 0.91 without.
"""

_KERNEL_DEVIATIONS = 3.0  # to either side, as in the benchmark


def psth_r2(
    expected: TrialValues,
    counts: TrialValues,
    condition_ids: npt.NDArray[Any],
    *,
    bin_ms: float,
    trials: npt.NDArray[np.integer[Any]] | None = None,
    smoothing_ms: float = DEFAULT_SMOOTHING_MS,
) -> float:
    """Give how much of the PSTHs the averages of inferred rates explain.

    Parameters
    ----------
    expected : numpy.ndarray or TrialArray, shape (trial, time, channel), float [spikes/bin]
        Expected counts of each bin.
    counts : numpy.ndarray or TrialArray, shape (trial, time, channel), int or float [spikes/bin]
        What was counted, with no NaN.
    condition_ids : numpy.ndarray, shape (trial,)
        The condition of each trial: numbers or texts. Trials of NaN or an empty text have none, and
        are left out.
    bin_ms : float [ms]
        Width of a bin.
    trials : numpy.ndarray, shape (n,), int, optional
        Trials of whose rates averages are taken, such as those of validation. PSTHs are always of
        all trials.
    smoothing_ms : float, default 0 [ms]
        Standard deviation of the Gaussian that smooths spikes; 0 for none (`DEFAULT_SMOOTHING_MS`).

    Returns
    -------
    float
        Mean over channels; 1 for a perfect match. NaN if no trial has a condition.

    Raises
    ------
    ResultShapeError
        If the shapes differ, a value is not a finite number, or the smoothing is negative.

    Notes
    -----
    As the benchmark does: spikes of every trial are smoothed and averaged by condition, and so are
    the rates of the trials scored. PSTHs of all conditions among the latter are put one after
    the other, R2 = 1 - sum (psth - average)^2 / sum (psth - mean psth)^2 is computed for each
    channel, and the mean over channels is taken (`r2_by_channel`). The benchmark smooths before it
    cuts trials out; here nothing is known beyond their ends, so the kernel is cut off there and
    what is left of it sums to one.

    References
    ----------
    `pei2021`, and its public evaluation code.
    """
    # The home of group_averages imports xarray, which takes as long as all else.
    from lfadsq.results.averages import group_averages

    check_same_shape(expected, counts)
    num_trials = expected.shape[0]
    if condition_ids.shape != (num_trials,):
        raise ResultShapeError(
            f"{condition_ids.shape} condition ids for {num_trials} trials", "give one for each"
        )
    labels = condition_labels(condition_ids)
    is_shown = has_condition(condition_ids)
    is_scored = np.zeros(num_trials, dtype=bool)
    is_scored[slice(None) if trials is None else trials] = True
    conditions = np.unique(labels[is_shown & is_scored])
    if not conditions.size:
        return math.nan
    is_shown &= np.isin(labels, conditions)
    groups = np.where(is_shown, np.searchsorted(conditions, labels), -1)
    true_psths = group_averages(counts, groups, len(conditions))
    inferred = group_averages(expected, np.where(is_scored, groups, -1), len(conditions))
    if not (np.isfinite(true_psths).all() and np.isfinite(inferred).all()):
        raise ResultShapeError(
            "a value is not a finite number", "leave trials and bins without counts out"
        )
    # Smoothing is linear, so averages are smoothed, and not every trial.
    smoothed = [smooth_in_time(psth, bin_ms, smoothing_ms) for psth in true_psths]
    return float(r2_by_channel(np.concatenate(smoothed), np.concatenate(inferred)).mean())


def smooth_in_time(values: Array, bin_ms: float, smoothing_ms: float) -> Array:
    """Smooth along time by a Gaussian, cut off at three deviations and at the ends.

    Parameters
    ----------
    values : numpy.ndarray, shape (time, channel), float64
    bin_ms, smoothing_ms : float [ms]
        Width of a bin, and standard deviation of the Gaussian; 0 for no smoothing.

    Returns
    -------
    numpy.ndarray, shape (time, channel), float64
        A constant stays one, up to the ends.
    """
    if smoothing_ms < 0 or not bin_ms > 0:
        raise ResultShapeError(
            f"a smoothing of {smoothing_ms} ms in bins of {bin_ms} ms cannot be",
            "give widths above zero",
        )
    deviation = smoothing_ms / bin_ms
    reach = int(_KERNEL_DEVIATIONS * deviation)
    if not reach:
        return values
    offsets = np.arange(len(values))[:, np.newaxis] - np.arange(len(values))
    kernel = np.where(np.abs(offsets) <= reach, np.exp(-0.5 * np.square(offsets / deviation)), 0.0)
    kernel /= kernel.sum(axis=1, keepdims=True)
    smoothed: Array = kernel @ values
    return smoothed


def r2_by_channel(true: Array, inferred: Array) -> Array:
    """Give the coefficient of determination of each channel.

    Parameters
    ----------
    true, inferred : numpy.ndarray, shape (time, channel), float64

    Returns
    -------
    numpy.ndarray, shape (channel,), float64
        1 for a perfect match, 0 for one no better than the mean, negative for worse ones. Of a
        channel whose truth is constant: 1 if it is matched exactly and 0 if not, as the benchmark's
        code (scikit-learn) has it.
    """
    unexplained = np.square(true - inferred).sum(axis=0)
    total = np.square(true - true.mean(axis=0)).sum(axis=0)
    is_constant = total == 0
    r2: Array = 1 - unexplained / np.where(is_constant, 1.0, total)
    r2[is_constant] = np.where(unexplained[is_constant] == 0, 1.0, 0.0)
    return r2
