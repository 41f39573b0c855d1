"""The output of a model as figures show it: rates of spikes, means of gaussian output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["data_unit", "output_at", "output_unit", "varying_output"]

Array = npt.NDArray[np.float64]

_MS_PER_S = 1000.0
_LEAST_COUNT = 1e-12  # its logarithm is to be finite


def output_at(means: PosteriorMeans, at: Any) -> Array:
    """Give a part of the inferred output, in `output_unit`.

    Parameters
    ----------
    means : PosteriorMeans
        What the model inferred.
    at : index
        Of (trial, time, channel). The rates of all would take as much memory again.
    """
    part = means.output_means[at]
    return np.asarray(part if means.is_gaussian else part * (_MS_PER_S / means.bin_ms))


def output_unit(means: PosteriorMeans) -> str:
    """Name the unit of inferred output."""
    return "[data unit/bin]" if means.is_gaussian else "[spikes/s]"


def data_unit(means: PosteriorMeans) -> str:
    """Name the unit of the data."""
    return "[data unit/bin]" if means.is_gaussian else "[spikes/bin]"


def varying_output(means: PosteriorMeans, values: Array) -> Array:
    """Give output so that variances of channels compare: log rates, or means as they are.

    High rates vary more than low ones in any case; in logarithm, as the model has them, not.
    """
    return values if means.is_gaussian else np.log(np.maximum(values, _LEAST_COUNT))
