"""Several arrays of the same trials, piece by piece, whether they lie in memory or in files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.trial_arrays import TrialArray, TrialValues

__all__ = ["aligned_blocks", "check_same_shape", "num_axes"]

_MOST_VALUES = 1_000_000


def aligned_blocks(
    *arrays: TrialValues, trials: npt.NDArray[np.integer[Any]] | None = None
) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Give the same trials of each array, so many at once as make a few megabytes.

    Parameters
    ----------
    *arrays : TrialArray or numpy.ndarray, shape (trial, ...)
        Those that lie in files are read, in the order that is quickest for the first of them.
    trials : numpy.ndarray, shape (n,), int, optional
        Only these, from 0, each once; by default all.

    Yields
    ------
    tuple of numpy.ndarray, shape (block, ...)
        One for each array.
    """
    first, *others = arrays
    if isinstance(first, TrialArray):
        wanted = None if trials is None else np.asarray(trials, dtype=np.int64)
        for these, values in first.blocks(wanted):
            yield (values, *(np.asarray(other[these]) for other in others))
        return
    step = max(1, _MOST_VALUES // max(1, math.prod(first.shape[1:])))
    for start in range(0, first.shape[0] if trials is None else len(trials), step):
        chunk: Any = slice(start, min(start + step, first.shape[0]))
        if trials is not None:
            chunk = trials[start : start + step]
        yield tuple(np.asarray(array[chunk]) for array in arrays)


def check_same_shape(expected: TrialValues, counts: TrialValues) -> None:
    """Refuse what is not both (trial, time, channel).

    Raises
    ------
    ResultShapeError
        If the shapes differ, or are others.
    """
    if num_axes(expected) != 3 or tuple(expected.shape) != tuple(counts.shape):
        raise ResultShapeError(
            f"expected counts have shape {expected.shape}, counts {counts.shape}",
            "give both as (trial, time, channel), for the same trials and bins",
        )


def num_axes(values: TrialValues) -> int:
    """Give the number of axes."""
    return len(values.shape)
