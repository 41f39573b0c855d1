"""Co-smoothing: how well a model predicts spikes of channels that it never saw.

It is the score of the Neural Latents Benchmark (`pei2021`) by which a model that copies noise shows
up, since what it copied says nothing of other channels (`keshtkaran2019`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.bits_per_spike import SpikePrediction
from lfadsq.results.poisson_readout import DEFAULT_L2, fit_poisson_readout
from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import aligned_blocks, num_axes

__all__ = ["co_smoothing"]


def co_smoothing(
    factors: TrialValues,
    held_out: TrialValues,
    *,
    train_inds: npt.NDArray[np.integer[Any]],
    valid_inds: npt.NDArray[np.integer[Any]],
    l2: float = DEFAULT_L2,
) -> SpikePrediction:
    """Predict held-out channels from factors: fitted on some trials, scored on others.

    Parameters
    ----------
    factors : numpy.ndarray or TrialArray, shape (trial, time, factor), float
        What the model inferred from the other channels. Log rates are a linear function of the
        factors, so a read-out from factors can do all that one from rates can.
    held_out : numpy.ndarray or TrialArray, shape (trial, time, channel), int or float [spikes/bin]
        Counts of channels that the model never saw, of the same trials and bins; NaN where nobody
        counted.
    train_inds, valid_inds : numpy.ndarray, shape (n,), int
        Trials to fit to, and trials to score on, from 0.
    l2 : float, default 1
        As in `lfadsq.results.poisson_readout.fit_poisson_readout`.

    Returns
    -------
    SpikePrediction
        Its ``bits_per_spike``.

    Raises
    ------
    ResultShapeError
        If trials or bins differ, or there are no trials to fit to.

    Notes
    -----
    In the benchmark each model predicts held-out channels in its own way; a Poisson regression on
    what was inferred is that of its baselines, and needs no training anew. The read-outs are fitted
    to training trials alone.
    """
    if num_axes(held_out) != 3 or held_out.shape[:2] != factors.shape[:2]:
        raise ResultShapeError(
            f"held-out counts have shape {held_out.shape}, factors {factors.shape}",
            "give counts (trial, time, channel) of the trials and bins of the model",
        )
    readout = fit_poisson_readout(factors, held_out, trials=train_inds, l2=l2)
    prediction = SpikePrediction(held_out.shape[2])
    for seen, inferred in aligned_blocks(held_out, factors, trials=valid_inds):
        prediction.add(readout.expected(inferred), seen)
    return prediction
