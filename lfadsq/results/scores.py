"""How well inferred rates agree with true ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import aligned_blocks

__all__ = ["Explained", "explained_of_log_rates", "explained_of_rates", "r2_of_log_rates"]

Trials: TypeAlias = "npt.NDArray[np.integer[Any]] | None"


class Explained(NamedTuple):
    """Sums of squares, which add up over datasets.

    Attributes
    ----------
    unexplained, total : float
        Sums of squared differences from the inferred values, and from each channel's mean.
    """

    unexplained: float
    total: float

    @property
    def r2(self) -> float:
        """Share of the variance that is explained; NaN where nothing varies."""
        return 1 - self.unexplained / self.total if self.total > 0 else float("nan")


def r2_of_log_rates(
    true_rates: TrialValues, inferred_rates: TrialValues, *, trials: Trials = None
) -> float:
    """Give the share of the variance of the true log rates that the inferred ones explain.

    Parameters
    ----------
    true_rates, inferred_rates : numpy.ndarray or TrialArray, shape (trial, time, channel), float
        Rates above zero, in the same bins [spikes/s].
    trials : numpy.ndarray, shape (n,), int, optional
        Only these, from 0.

    Returns
    -------
    float
        1 for a perfect fit, 0 for one no better than each channel's mean log rate.

    Raises
    ------
    ResultShapeError
        If the shapes differ, or a rate is not above zero.

    Notes
    -----
    R2 = 1 - sum (log r - log s)^2 / sum (log r - m)^2, with true rates r, inferred rates s, and m
    the mean of log r over trials and time, channel by channel. Sums run over all trials, bins and
    channels, so differences between channels explain nothing.
    """
    return explained_of_log_rates(true_rates, inferred_rates, trials=trials).r2


def explained_of_log_rates(
    true_rates: TrialValues, inferred_rates: TrialValues, *, trials: Trials = None
) -> Explained:
    """Give the sums of which `r2_of_log_rates` is made."""
    return _explained(true_rates, inferred_rates, trials, in_logs=True)


def explained_of_rates(
    true_rates: TrialValues, inferred_rates: TrialValues, *, trials: Trials = None
) -> Explained:
    """Give the same sums for the rates themselves, which may be zero.

    Channels that fire much weigh more in it than those that fire little.
    """
    return _explained(true_rates, inferred_rates, trials, in_logs=False)


def _explained(
    true: TrialValues, inferred: TrialValues, trials: Trials, *, in_logs: bool
) -> Explained:
    if true.shape != inferred.shape:
        raise ResultShapeError(
            f"true rates have shape {true.shape}, inferred ones {inferred.shape}",
            "give both for the same trials and bins",
        )
    total = np.zeros(true.shape[2:])
    num = unexplained = 0.0
    for one, _ in _chunks(true, inferred, trials, in_logs):
        total += one.sum(axis=(0, 1), dtype=np.float64)
        num += one.shape[0] * one.shape[1]
    mean, variance = total / max(num, 1), 0.0
    # Twice over the data: squares of differences lose nothing, differences of squares do.
    for one, other in _chunks(true, inferred, trials, in_logs):
        unexplained += float(np.square(one - other).sum())
        variance += float(np.square(one - mean).sum())
    return Explained(unexplained, variance)


def _chunks(
    true: TrialValues, inferred: TrialValues, trials: Trials, in_logs: bool
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    for one, other in aligned_blocks(true, inferred, trials=trials):
        if in_logs:
            if not (one > 0).all() or not (other > 0).all():
                raise ResultShapeError(
                    "a rate is not above zero", "logarithms need rates above zero"
                )
            yield np.log(one), np.log(other)
        else:
            yield one, other
