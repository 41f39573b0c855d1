"""How well rates predict spike counts: Poisson likelihood, and bits per spike over mean rates.

Definitions are those of the Neural Latents Benchmark (`pei2021`), zeros and NaN included, so that
numbers compare with its leaderboard.
"""

from __future__ import annotations

import math
from itertools import starmap
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import aligned_blocks, check_same_shape

__all__ = ["LEAST_MEAN", "SpikePrediction", "bits_per_spike", "poisson_nll"]

LEAST_MEAN = 1e-9
"""What stands for an expected count of zero, as in the benchmark: a spike there is no infinity."""


def poisson_nll(expected: TrialValues, counts: TrialValues) -> float:
    """Give the negative log-likelihood of counts under independent Poisson distributions.

    Parameters
    ----------
    expected : numpy.ndarray or TrialArray, shape (trial, time, channel), float [spikes/bin]
        Expected counts of each bin: rates times the width of a bin.
    counts : numpy.ndarray or TrialArray, shape (trial, time, channel), int or float [spikes/bin]
        What was counted; NaN where nobody counted, which is left out.

    Returns
    -------
    float
        Sum over all bins [nats].

    Raises
    ------
    ResultShapeError
        If the shapes differ, or an expected count is negative or NaN where a count is known.

    Notes
    -----
    sum (r - n log r + log n!), with expected counts r and counts n; zeros in r count as 1e-9.

    References
    ----------
    `pei2021`, and its public evaluation code.
    """
    # Here, since SciPy takes longer to load than a sweep's costs to read.
    from scipy.special import gammaln

    check_same_shape(expected, counts)
    total = 0.0
    for means, seen in starmap(_checked, aligned_blocks(expected, counts)):
        total += float((means - seen * np.log(means) + gammaln(seen + 1)).sum())
    return total


def bits_per_spike(
    expected: TrialValues,
    counts: TrialValues,
    *,
    trials: npt.NDArray[np.integer[Any]] | None = None,
) -> float:
    """Give how much better expected counts predict spikes than each channel's mean does.

    Parameters
    ----------
    expected : numpy.ndarray or TrialArray, shape (trial, time, channel), float [spikes/bin]
        Expected counts of each bin.
    counts : numpy.ndarray or TrialArray, shape (trial, time, channel), int or float [spikes/bin]
        What was counted; NaN where nobody counted, which is left out.
    trials : numpy.ndarray, shape (n,), int, optional
        Only these, from 0.

    Returns
    -------
    float
        [bits/spike]; 0 for rates no better than the mean, negative for worse ones, NaN if there is
        no spike at all.

    Raises
    ------
    ResultShapeError
        If the shapes differ, or an expected count is negative or NaN where a count is known.

    Notes
    -----
    (NLL of the null model - NLL) / (number of spikes x ln 2). The null model expects of each
    channel its mean over the very trials and bins that are scored. A silent channel counts like
    any other: its mean of zero stands as 1e-9, so expecting spikes of it costs.

    Of channels that the model saw this is no proof that it does not follow noise, since LFADS sees
    the spikes it is scored on, in validation trials too (`keshtkaran2019`): see
    `lfadsq.results.co_smoothing` and `lfadsq.results.spike_following`.

    References
    ----------
    `pei2021`, and its public evaluation code.
    """
    check_same_shape(expected, counts)
    prediction = SpikePrediction(expected.shape[2])
    for means, seen in aligned_blocks(expected, counts, trials=trials):
        prediction.add(means, seen)
    return prediction.bits_per_spike


class SpikePrediction:
    """Sums from which bits per spike follow, for data that come piece by piece.

    Parameters
    ----------
    num_channels : int
    """

    def __init__(self, num_channels: int) -> None:
        self._nll = 0.0
        self._num_spikes = np.zeros(num_channels)
        self._num_bins = np.zeros(num_channels)

    def add(self, expected: npt.NDArray[np.floating[Any]], counts: npt.NDArray[Any]) -> None:
        """Add some trials.

        Parameters
        ----------
        expected, counts : numpy.ndarray, shape (trial, time, channel) [spikes/bin]
            As in `bits_per_spike`.

        Raises
        ------
        ResultShapeError
            As there; then nothing was added.
        """
        check_same_shape(expected, counts)
        means, known = _checked(expected, counts)
        # log n! is the same for both models, so it is left out.
        self._nll += float((means - known * np.log(means)).sum())
        self._num_spikes += np.nansum(counts, axis=(0, 1))
        self._num_bins += np.count_nonzero(~np.isnan(counts), axis=(0, 1))

    @property
    def num_spikes(self) -> float:
        """Number of spikes."""
        return float(self._num_spikes.sum())

    @property
    def bits_per_spike(self) -> float:
        """What `bits_per_spike` gives for all that was added [bits/spike]."""
        if self.num_spikes == 0:
            return math.nan
        # Of the null model only sums are needed, so one pass over the data does.
        means = self._num_spikes / np.maximum(self._num_bins, 1)
        means[means == 0] = LEAST_MEAN
        null_nll = float((means * self._num_bins - self._num_spikes * np.log(means)).sum())
        return (null_nll - self._nll) / (self.num_spikes * math.log(2))


def _checked(
    expected: npt.NDArray[Any], counts: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Leave out what nobody counted, and put 1e-9 for zeros; both as one axis."""
    means, seen = np.ravel(expected), np.ravel(counts)
    if seen.dtype.kind == "f" and np.isnan(seen).any():
        is_known = ~np.isnan(seen)
        means, seen = means[is_known], seen[is_known]
    if not (means >= 0).all():
        what = "not a number" if np.isnan(means).any() else "negative"
        raise ResultShapeError(
            f"an expected count is {what}",
            "give expected counts of a bin (exponentiated log rates), for every bin with a count",
        )
    is_zero = means == 0
    floored = np.where(is_zero, LEAST_MEAN, means) if is_zero.any() else means
    return floored.astype(np.float64, copy=False), seen
