"""Whether inferred rates follow single spikes, which no cost shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import aligned_blocks, check_same_shape

__all__ = ["spike_following"]

_LEAST_BINS = 3


def spike_following(
    expected: TrialValues,
    counts: TrialValues,
    *,
    trials: npt.NDArray[np.integer[Any]] | None = None,
) -> float:
    """Give how much inferred rates jump with each single spike.

    Parameters
    ----------
    expected : numpy.ndarray or TrialArray, shape (trial, time, channel), float [spikes/bin]
        Expected counts of each bin.
    counts : numpy.ndarray or TrialArray, shape (trial, time, channel), int or float [spikes/bin]
        What the model saw.
    trials : numpy.ndarray, shape (n,), int, optional
        Only these, from 0.

    Returns
    -------
    float
        0 if rates do not jump where spikes are, 1 if they are the counts themselves. NaN without
        spikes, or with fewer than three bins.

    Raises
    ------
    ResultShapeError
        If the shapes differ.

    Notes
    -----
    sum d(r) d(n) / sum d(n)^2, with d(x) = x_t - (x_{t-1} + x_{t+1}) / 2, what a bin has above its
    neighbours, summed over trials, bins and channels: the slope of a line through the origin that
    predicts jumps of rates from jumps of counts. Noise of spikes jumps from bin to bin, and rates
    that are smooth do not.

    LFADS sees the spikes it is scored on, also those of validation trials. A model that passes them
    through comes to low costs on both (`keshtkaran2019`), so neither a cost nor the difference of
    two tells.
    """
    check_same_shape(expected, counts)
    if expected.shape[1] < _LEAST_BINS:
        return math.nan
    together = alone = 0.0
    for inferred, seen in aligned_blocks(expected, counts, trials=trials):
        jumps = _jumps(seen)
        together += float(np.nansum(_jumps(inferred) * jumps))
        alone += float(np.nansum(np.square(jumps)))
    return together / alone if alone > 0 else math.nan


def _jumps(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    jumps: npt.NDArray[np.float64] = values[:, 1:-1] - 0.5 * (values[:, :-2] + values[:, 2:])
    return jumps
