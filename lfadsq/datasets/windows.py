"""Cutting a continuous recording into overlapping windows, and merging results again.

LFADS is trained on trials of one length. A recording without trials is cut into windows, which
stand for trials; what the model infers for them is merged into one continuous result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, DatasetError

__all__ = ["merge_windows", "window_starts", "windows"]

Array = npt.NDArray[Any]


def window_starts(num_bins: int, window_bins: int, overlap_bins: int) -> npt.NDArray[np.int64]:
    """Say where windows begin.

    Parameters
    ----------
    num_bins : int
        Bins of the recording.
    window_bins : int
        Bins of a window.
    overlap_bins : int
        Bins that a window shares with the next one.

    Returns
    -------
    numpy.ndarray, shape (window,), int64
        First bin of each, from 0. The last window ends with the recording, so it may share more
        bins with the one before.

    Raises
    ------
    ConfigError
        If the overlap is not from 0 to less than a window.
    DatasetError
        If the recording is shorter than a window.

    Examples
    --------
    >>> window_starts(11, 4, 1).tolist()
    [0, 3, 6, 7]
    """
    if not 0 <= overlap_bins < window_bins:
        raise ConfigError(
            f"windows of {window_bins} bins cannot overlap by {overlap_bins}",
            "let the overlap be 0 or more, and less than a window",
        )
    last = num_bins - window_bins
    if last < 0:
        raise DatasetError(
            f"the recording has {num_bins} bins, less than a window of {window_bins}",
            "use shorter windows, or a longer recording",
        )
    starts = np.arange(0, last + 1, window_bins - overlap_bins)
    return starts if starts[-1] == last else np.append(starts, last)


def windows(
    recording: npt.ArrayLike,
    window_bins: int,
    overlap_bins: int,
    *,
    bins_per_spike_bin: int = 1,
) -> Array:
    """Cut a continuous recording into overlapping windows.

    Parameters
    ----------
    recording : array_like, shape (..., time)
        Counts, field potentials, calcium, external inputs: (channel, time), say.
    window_bins : int
        Raw bins of a window.
    overlap_bins : int
        Raw bins that a window shares with the next one; a fifth of a window is a usual choice.
    bins_per_spike_bin : int, default 1
        Raw bins that are summed later into one bin of the trainer (``spikeBinMs``). Both lengths
        must be multiples of it; then results in those bins can be merged. Raw bins at the end that
        make no whole one are left out.

    Returns
    -------
    numpy.ndarray, shape (window, ..., time)
        A copy with the same type; ``spikes`` for the manager if `recording` is (channel, time).

    Raises
    ------
    ConfigError
        If lengths do not fit each other.
    DatasetError
        If the recording is shorter than a window.

    Examples
    --------
    >>> windows([[0, 1, 2, 3, 4, 5]], 4, 2).tolist()
    [[[0, 1, 2, 3]], [[2, 3, 4, 5]]]
    """
    values = np.asarray(recording)
    if values.ndim == 0:
        raise DatasetError("a single number cannot be cut into windows", "give (channel, time)")
    if (
        bins_per_spike_bin < 1
        or window_bins % bins_per_spike_bin
        or (overlap_bins % bins_per_spike_bin)
    ):
        raise ConfigError(
            f"windows of {window_bins} bins that overlap by {overlap_bins} are no multiples of "
            f"{bins_per_spike_bin} bins",
            "give multiples of bins_per_spike_bin",
        )
    num_bins = values.shape[-1] // bins_per_spike_bin * bins_per_spike_bin
    starts = window_starts(num_bins, window_bins, overlap_bins)
    return np.stack([values[..., start : start + window_bins] for start in starts])


def merge_windows(
    values: npt.ArrayLike, num_bins: int, overlap_bins: int, *, time_axis: int = -1
) -> Array:
    """Merge what was inferred for overlapping windows into one continuous result.

    Parameters
    ----------
    values : array_like, shape (window, ...)
        One result a window, in the order of `windows`: rates or factors (window, time, channel) of
        `PosteriorMeans` with ``time_axis=1``.
    num_bins : int
        Bins of the whole: those of the recording, divided (without remainder) by
        ``bins_per_spike_bin`` where results have wider bins.
    overlap_bins : int
        As when cutting, in bins of `values`.
    time_axis : int, default -1
        Which axis of `values` is time.

    Returns
    -------
    numpy.ndarray, shape (...)
        Without the axis of windows, and with `num_bins` along time. float64, or the type of
        `values` if that is another float.

    Raises
    ------
    ConfigError
        If the number of windows is not that of such a recording.
    DatasetError
        If the recording is shorter than a window.

    Notes
    -----
    A bin is the mean of the windows that hold it, weighted by the distance to the nearer end of
    each: a model knows least about the ends of a trial. Over an overlap the weight thus passes
    evenly from one window to the next. The mean is computed as the value of the first window plus
    the weighted mean difference from it, so where windows agree it is their value exactly, to the
    last bit. NaN in a window is NaN in the result.
    """
    array = np.asarray(values)
    if array.ndim < 2 or time_axis in (0, -array.ndim) or not -array.ndim < time_axis < array.ndim:
        raise ConfigError(
            f"results of shape {array.shape} have no axis of windows first and one of time at "
            f"{time_axis}",
            "say with time_axis which is time",
        )
    by_time = np.moveaxis(array, time_axis, -1)
    num_windows, window_bins = by_time.shape[0], by_time.shape[-1]
    starts = window_starts(num_bins, window_bins, overlap_bins)
    if len(starts) != num_windows:
        raise ConfigError(
            f"a recording of {num_bins} bins has {len(starts)} windows of {window_bins} bins that "
            f"overlap by {overlap_bins}, not {num_windows}",
            "give the bins and the overlap with which it was cut, in bins of the results",
        )
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    shape = (*by_time.shape[1:-1], num_bins)
    first, weighted_sum, sum_of_weights = np.zeros(shape), np.zeros(shape), np.zeros(num_bins)
    ramp = np.minimum(np.arange(1, window_bins + 1), np.arange(window_bins, 0, -1))
    num_covered = 0
    for start, window in zip(starts, by_time, strict=True):
        stop = start + window_bins
        first[..., num_covered:stop] = window[..., num_covered - start :]
        part = slice(start, stop)
        weighted_sum[..., part] += ramp * (window - first[..., part])
        sum_of_weights[part] += ramp
        num_covered = stop
    merged = (first + weighted_sum / sum_of_weights).astype(dtype, copy=False)
    return np.moveaxis(merged, -1, time_axis - 1 if time_axis > 0 else time_axis)
