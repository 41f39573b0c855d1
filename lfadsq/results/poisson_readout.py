"""Read-outs from factors to spikes of channels that the model never saw: Poisson regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import aligned_blocks, num_axes

__all__ = ["DEFAULT_L2", "PoissonReadout", "fit_poisson_readout"]

Array = npt.NDArray[np.float64]

DEFAULT_L2 = 1.0
"""A normal prior of standard deviation 1 on the change of log rate with one deviation of a factor:
hardly felt in recordings of thousands of bins, and finite where spikes are few."""

_MOST_ITERATIONS = 100
_MOST_ROWS = 4096
_TOLERANCE = 1e-8
_LARGEST_LOG = 80.0  # as the trainer clips log rates before it exponentiates them
# A channel without a spike has no finite best rate. Half a spike is what the prior of Jeffreys
# comes to.
_LEAST_SPIKES = 0.5


@dataclass(frozen=True, eq=False)
class PoissonReadout:
    """A read-out: expected counts are ``exp(factors @ weights + bias)``.

    Attributes
    ----------
    weights : numpy.ndarray, shape (factor, channel), float64
    bias : numpy.ndarray, shape (channel,), float64
        Log of expected counts of a bin.
    """

    weights: Array
    bias: Array

    def expected(self, factors: npt.NDArray[np.floating[Any]]) -> Array:
        """Give the expected counts.

        Parameters
        ----------
        factors : numpy.ndarray, shape (trial, time, factor), float

        Returns
        -------
        numpy.ndarray, shape (trial, time, channel), float64 [spikes/bin]
        """
        logs = factors @ self.weights + self.bias
        return np.asarray(np.exp(np.minimum(logs, _LARGEST_LOG)), dtype=np.float64)


def fit_poisson_readout(
    factors: TrialValues,
    counts: TrialValues,
    *,
    trials: npt.NDArray[np.integer[Any]] | None = None,
    l2: float = DEFAULT_L2,
) -> PoissonReadout:
    """Fit a read-out of each channel by penalised maximum likelihood.

    Parameters
    ----------
    factors : numpy.ndarray or TrialArray, shape (trial, time, factor), float
        Factors, or any other regressors, such as log rates.
    counts : numpy.ndarray or TrialArray, shape (trial, time, channel), int or float [spikes/bin]
        Counts to predict; NaN where nobody counted, which is left out.
    trials : numpy.ndarray, shape (n,), int, optional
        Only these, from 0.
    l2 : float, default 1
        Weight of the penalty [nats].

    Returns
    -------
    PoissonReadout

    Raises
    ------
    ResultShapeError
        If trials or bins differ, a factor is no finite number, or `l2` is not above zero.

    Notes
    -----
    Minimises sum (r - n log r) + l2/2 |w|^2 of each channel, r = exp(w z + b), with z the factors
    centred and divided by their standard deviations over these trials, and without a penalty on b.
    It is convex: Newton's method with halved steps finds the minimum. Trials are taken in pieces,
    so that memory does not grow with their number.
    """
    if {num_axes(factors), num_axes(counts)} != {3} or factors.shape[:2] != counts.shape[:2]:
        raise ResultShapeError(
            f"factors have shape {factors.shape}, counts {counts.shape}",
            "give both for the same trials and bins, (trial, time, ...)",
        )
    if not l2 > 0:
        raise ResultShapeError(f"the penalty l2 is {l2}", "give one above zero")
    mean, scale = _moments(factors, trials)
    regression = _Regression(factors, counts, trials, mean, scale, l2)
    solution = regression.solve()
    weights = solution[:-1] / scale[:, np.newaxis]
    return PoissonReadout(weights, solution[-1] - mean @ weights)


class _Regression:
    """The sums that Newton's method needs, of all channels at once."""

    def __init__(
        self,
        factors: TrialValues,
        counts: TrialValues,
        trials: npt.NDArray[np.integer[Any]] | None,
        mean: Array,
        scale: Array,
        l2: float,
    ) -> None:
        self._factors, self._counts, self._trials = factors, counts, trials
        self._mean, self._scale = mean, scale
        self._penalty = np.append(np.full(len(mean), l2), 0.0)
        self._num_channels = counts.shape[2]

    def solve(self) -> Array:
        """Find the minimum: shape (factor + 1, channel), biases last."""
        best = np.zeros((len(self._penalty), self._num_channels))
        best[-1], is_open = self._start()
        cost, gradient, curvature = self._sums(best)
        step = self._newton_step(gradient, curvature)
        share = np.ones(self._num_channels)
        for _ in range(_MOST_ITERATIONS):
            tried = best - share * step
            new_cost, new_gradient, new_curvature = self._sums(tried)
            is_better = is_open & (new_cost <= cost + 1e-12 * np.abs(cost))
            gain = np.where(is_better, cost - new_cost, np.inf)
            best[:, is_better] = tried[:, is_better]
            cost[is_better] = new_cost[is_better]
            gradient[:, is_better] = new_gradient[:, is_better]
            curvature[is_better] = new_curvature[is_better]
            share = np.where(is_better, 1.0, share / 2)
            is_open &= ~(gain <= _TOLERANCE * np.abs(cost)) & (share > 1e-10)
            if not is_open.any():
                break
            step = self._newton_step(gradient, curvature)
        return best

    def _newton_step(self, gradient: Array, curvature: Array) -> Array:
        step: Array = np.linalg.solve(curvature, gradient.T[..., np.newaxis])[..., 0].T
        return step

    def _sums(self, weights: Array) -> tuple[Array, Array, Array]:
        """Sum cost (channel,), gradient (factor + 1, channel) and curvature of all trials."""
        cost = 0.5 * self._penalty @ np.square(weights)
        gradient = self._penalty[:, np.newaxis] * weights
        # Each pair of regressors once, and all channels by one product of matrices: at a third of
        # the time that channel by channel takes, or less.
        left, right = np.triu_indices(len(self._penalty))
        pairs = np.zeros((len(left), self._num_channels))
        for regressors, seen in self._chunks():
            logs = np.minimum(regressors @ weights, _LARGEST_LOG)
            means = np.exp(logs)
            if seen.dtype.kind == "f":
                is_known = ~np.isnan(seen)
                means = means * is_known
                seen = np.where(is_known, seen, 0.0)
            cost += (means - seen * logs).sum(axis=0)
            gradient += regressors.T @ (means - seen)
            pairs += _products(regressors) @ means
        curvature = np.zeros((self._num_channels, *[len(self._penalty)] * 2))
        curvature[:, left, right] = curvature[:, right, left] = pairs.T
        return cost, gradient, curvature + np.diag(self._penalty)

    def _start(self) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Give log means, and which channels have spikes: only these have a finite best rate."""
        num_spikes, num_bins = np.zeros(self._num_channels), np.zeros(self._num_channels)
        for (seen,) in aligned_blocks(self._counts, trials=self._trials):
            num_spikes += np.nansum(seen, axis=(0, 1))
            num_bins += np.count_nonzero(~np.isnan(seen), axis=(0, 1))
        logs: Array = np.log(np.maximum(num_spikes, _LEAST_SPIKES) / np.maximum(num_bins, 1))
        return logs, num_spikes > 0

    def _chunks(self) -> Any:
        for counts, factors in aligned_blocks(self._counts, self._factors, trials=self._trials):
            flat = factors.reshape(-1, factors.shape[2])
            ones = np.ones((len(flat), 1))
            regressors = np.hstack([(flat - self._mean) / self._scale, ones])
            seen = counts.reshape(-1, self._num_channels)
            for start in range(0, len(seen), _MOST_ROWS):
                rows = slice(start, start + _MOST_ROWS)
                yield regressors[rows], seen[rows]


def _products(regressors: Array) -> Array:
    """Multiply each regressor with itself and all behind it: shape (pair, row)."""
    columns = np.ascontiguousarray(regressors.T)
    num = len(columns)
    products = np.empty((num * (num + 1) // 2, columns.shape[1]))
    at = 0
    for first in range(num):
        np.multiply(columns[first], columns[first:], out=products[at : at + num - first])
        at += num - first
    return products


def _moments(
    factors: TrialValues, trials: npt.NDArray[np.integer[Any]] | None
) -> tuple[Array, Array]:
    """Give mean and standard deviation of each factor; 1 for those that never change."""
    if not (factors.shape[0] if trials is None else len(trials)):
        raise ResultShapeError("there is no trial to fit a read-out to", "name some trials")
    sums: Array = np.zeros(factors.shape[2])
    squares, num_bins = np.zeros_like(sums), 0
    for (block,) in aligned_blocks(factors, trials=trials):
        sums += block.sum(axis=(0, 1), dtype=np.float64)
        num_bins += block.shape[0] * block.shape[1]
    mean = sums / num_bins
    for (block,) in aligned_blocks(factors, trials=trials):
        squares += np.square(block - mean).sum(axis=(0, 1))
    deviation = np.sqrt(squares / num_bins)
    if not np.isfinite(deviation).all():
        raise ResultShapeError("a factor is not a finite number", "leave such trials out")
    return mean, np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
