"""Principal components of arrays too large to copy side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.linalg

__all__ = ["principal_components"]

Array = npt.NDArray[np.float64]


def principal_components(parts: Sequence[Array], num_components: int) -> tuple[list[Array], Array]:
    """Find the principal components of arrays that stand side by side.

    Parameters
    ----------
    parts : sequence of numpy.ndarray, shape (row, channel), float64
        They have the same rows. They need not have mean zero.
    num_components : int
        How many are wanted.

    Returns
    -------
    loadings : list of numpy.ndarray, shape (channel, component), float64
        For each part, its rows of the matrix of orthonormal columns.
    scores : numpy.ndarray, shape (row, component), float64
        The parts, centred, times the loadings; largest variance first. There are fewer components
        than wanted where the data have no more dimensions.

    Notes
    -----
    The largest loading of each component, by magnitude, is positive, as in MATLAB. The covariance
    is built from two parts at a time, so all of them together are never copied.
    """
    widths = [part.shape[1] for part in parts]
    edges = np.concatenate([[0], np.cumsum(widths)])
    spans = [slice(first, last) for first, last in itertools.pairwise(edges)]
    covariance = np.zeros((edges[-1], edges[-1]))
    for one, part in enumerate(parts):
        centred = part - part.mean(axis=0)
        centred -= centred.mean(axis=0)  # what rounding of a large mean left would be multiplied
        for other in range(one, len(parts)):
            # Centred once is enough: the mean of the other meets sums of zero.
            block = centred.T @ parts[other]
            covariance[spans[one], spans[other]] = block
            covariance[spans[other], spans[one]] = block.T
    num_rows = len(parts[0])
    num_wanted = min(num_components, int(edges[-1]), max(num_rows - 1, 0))
    if num_wanted < 1:
        return [np.zeros((width, 0)) for width in widths], np.zeros((num_rows, 0))
    total = len(covariance)
    variances, loadings = scipy.linalg.eigh(
        # The transpose is the same matrix, in the order that LAPACK overwrites without a copy.
        covariance.T,
        subset_by_index=(total - num_wanted, total - 1),
        overwrite_a=True,
    )
    variances, loadings = variances[::-1], loadings[:, ::-1]
    smallest = max(total, num_rows) * np.finfo(np.float64).eps * variances[0]
    loadings = loadings[:, variances > max(smallest, 0.0)]
    largest = np.abs(loadings).argmax(axis=0)
    loadings = loadings * np.sign(loadings[largest, np.arange(loadings.shape[1])])
    split = [loadings[span] for span in spans]
    scores = np.zeros((num_rows, loadings.shape[1]))
    for part, own in zip(parts, split, strict=True):
        scores += (part - part.mean(axis=0)) @ own
    return split, scores
