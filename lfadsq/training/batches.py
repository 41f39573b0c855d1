"""Which trials make up the batches of an epoch, and the jitter of their spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchIndex", "epoch_batches", "jittered"]


class BatchIndex(NamedTuple):
    """One batch.

    Attributes
    ----------
    dataset : int
        Index of the dataset it is of.
    trials : ndarray, shape (batch,), int64
        Indices of its trials.
    """

    dataset: int
    trials: NDArray[np.int64]


def epoch_batches(
    num_trials: Sequence[int], batch_size: int, stream: np.random.Generator
) -> list[BatchIndex]:
    """Draw the batches of one epoch (NUMERICS.md 9).

    Every dataset gives all its trials once and, where they do not fill whole batches, enough
    others drawn without replacement; the batches of all datasets are shuffled together.

    Parameters
    ----------
    num_trials : sequence of int
        Of each dataset; each at least `batch_size`, where the original needs one more.
    batch_size : int
    stream : numpy.random.Generator

    Returns
    -------
    list of BatchIndex
        All full.
    """
    batches: list[BatchIndex] = []
    for dataset, count in enumerate(num_trials):
        num_extra = -count % batch_size
        extra = stream.permutation(count)[:num_extra]
        order = stream.permutation(np.concatenate([np.arange(count), extra]))
        batches += [BatchIndex(dataset, row) for row in order.reshape(-1, batch_size)]
    return [batches[i] for i in stream.permutation(len(batches))]


def jittered(
    counts: NDArray[np.float32], width: int, stream: np.random.Generator
) -> NDArray[np.float32]:
    """Move every spike by a whole number of bins, drawn from -width to width - 1.

    Spikes that would leave the trial are reflected at its first and last bin: what would come to
    lie in bin -1 lies in bin 1. That the upper end is never drawn is the original's; unlike there,
    only the trials of the batch are moved, which gives the same distribution.

    Parameters
    ----------
    counts : ndarray, shape (batch, time, channel), float32 [spikes/bin]
    width : int
        The hyperparameter ``temporal_spike_jitter_width`` [bins].
    stream : numpy.random.Generator

    Returns
    -------
    ndarray of the same shape
        With the same number of spikes in each trial and channel.
    """
    num_bins = counts.shape[1]
    trial, time, channel = np.nonzero(counts)
    repeats = counts[trial, time, channel].astype(np.int64)
    trial, time, channel = (np.repeat(index, repeats) for index in (trial, time, channel))
    moved = time + stream.integers(-width, width, size=time.shape)
    # A trial may be shorter than the jitter is wide, so reflection may take several turns.
    period = max(2 * (num_bins - 1), 1)
    moved = moved % period
    moved = np.minimum(moved, period - moved) if num_bins > 1 else moved
    result = np.zeros_like(counts)
    np.add.at(result, (trial, moved, channel), 1.0)
    return result
