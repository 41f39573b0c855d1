"""Spikes smoothed in time, the plain estimate of a firing rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError

__all__ = ["smooth_counts"]

_MS_PER_S = 1000.0


def smooth_counts(counts: npt.NDArray[Any], bin_ms: float, sd_ms: float) -> npt.NDArray[np.float64]:
    """Smooth counts with a gaussian, and divide them by the width of a bin.

    Parameters
    ----------
    counts : numpy.ndarray, shape (trial, time, channel) [spikes/bin]
        Counts.
    bin_ms : float
        Width of a bin [ms].
    sd_ms : float
        Standard deviation of the gaussian [ms]; it ends at four of them.

    Returns
    -------
    numpy.ndarray, shape (trial, time, channel), float64 [spikes/s]
        Near the ends of a trial the weights that are inside it are scaled to a sum of 1, so that a
        constant rate stays what it is.

    Raises
    ------
    ConfigError
        If `sd_ms` is not above zero.

    Examples
    --------
    >>> smooth_counts(np.ones((1, 3, 1)), bin_ms=20.0, sd_ms=30.0)[0, :, 0].tolist()
    [50.0, 50.0, 50.0]
    """
    from scipy.ndimage import gaussian_filter1d

    if not sd_ms > 0:
        raise ConfigError(f"spikes cannot be smoothed over {sd_ms} ms", "give more than 0")
    sd_bins = sd_ms / bin_ms
    values = np.asarray(counts, dtype=np.float64)
    inside = gaussian_filter1d(np.ones(values.shape[1]), sd_bins, mode="constant")
    smoothed = gaussian_filter1d(values, sd_bins, axis=1, mode="constant")
    rates: npt.NDArray[np.float64] = smoothed / inside[:, np.newaxis] * (_MS_PER_S / bin_ms)
    return rates
