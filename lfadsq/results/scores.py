"""How well inferred rates agree with true ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError

__all__ = ["r2_of_log_rates"]


def r2_of_log_rates(
    true_rates: npt.NDArray[np.floating], inferred_rates: npt.NDArray[np.floating]
) -> float:
    """Give the share of the variance of the true log rates that the inferred ones explain.

    Parameters
    ----------
    true_rates, inferred_rates : numpy.ndarray, shape (trial, time, channel), float [spikes/s]
        Rates above zero, in the same bins.

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
    if true_rates.shape != inferred_rates.shape:
        raise ResultShapeError(
            f"true rates have shape {true_rates.shape}, inferred ones {inferred_rates.shape}",
            "give both for the same trials and bins",
        )
    if not (true_rates > 0).all() or not (inferred_rates > 0).all():
        raise ResultShapeError("a rate is not above zero", "logarithms need rates above zero")
    log_true = np.log(true_rates)
    unexplained = np.square(log_true - np.log(inferred_rates)).sum()
    total = np.square(log_true - log_true.mean(axis=(0, 1))).sum()
    return float(1 - unexplained / total)
