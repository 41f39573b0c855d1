"""Linear regression of several targets, plain or with a penalty that cross-validation chooses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["PENALTIES", "regress", "ridge_regress"]

Array = npt.NDArray[np.float64]

PENALTIES: tuple[float, ...] = tuple(float(value) for value in np.logspace(-5, 2, 15))
"""L2 penalties that `ridge_regress` chooses from: 1e-5 to 1e2, two a decade."""

_NUM_FOLDS = 10


def regress(inputs: Array, targets: Array) -> Array:
    """Regress targets on inputs by least squares.

    Parameters
    ----------
    inputs : numpy.ndarray, shape (row, channel), float64
        Of mean zero.
    targets : numpy.ndarray, shape (row, component), float64
        Of mean zero.

    Returns
    -------
    numpy.ndarray, shape (channel, component), float64
        Of several that fit equally well, the smallest: a silent channel has weight 0.
    """
    return np.linalg.lstsq(inputs, targets, rcond=None)[0].astype(np.float64, copy=False)


def ridge_regress(
    inputs: Array, targets: Array, *, normalize_each: bool = False
) -> tuple[Array, float]:
    """Regress targets on inputs with the L2 penalty that predicts best.

    Parameters
    ----------
    inputs : numpy.ndarray, shape (row, channel), float64
        At least two rows.
    targets : numpy.ndarray, shape (row, component), float64
    normalize_each : bool, default False
        Scale each channel by its own standard deviation, not all channels by that of all values.

    Returns
    -------
    weights : numpy.ndarray, shape (channel, component), float64
        For the inputs as they were given.
    penalty : float
        The one of `PENALTIES` with the least squared error on rows that were left out; the smaller
        of two with the same.

    Notes
    -----
    Minimises ||Y - 1b - XW||^2 + penalty ||W||^2, X being the scaled inputs; the intercept b is not
    penalised. Row r is left out in fold r modulo 10, so each fold spans all of time. (LFADS Run
    Manager cuts the same folds, but trains on one and tests on nine.)
    """
    deviation = inputs.std(axis=0, ddof=1) if normalize_each else inputs.std(ddof=1)
    divisors = np.broadcast_to(np.where(deviation > 0, deviation, 1.0), inputs.shape[1:])
    scaled = inputs / divisors
    num_folds = min(_NUM_FOLDS, len(scaled))
    folds = np.arange(len(scaled)) % num_folds
    errors = np.zeros((num_folds, len(PENALTIES)))
    for fold in range(num_folds):
        is_left_out = folds == fold
        kept_x, kept_y = scaled[~is_left_out], targets[~is_left_out]
        tested_x = scaled[is_left_out] - kept_x.mean(axis=0)
        tested_y = targets[is_left_out] - kept_y.mean(axis=0)
        for number, weights in enumerate(_fit_penalties(kept_x, kept_y, PENALTIES)):
            errors[fold, number] = ((tested_y - tested_x @ weights) ** 2).mean()
    penalty = PENALTIES[int(errors.mean(axis=0).argmin())]
    (weights,) = _fit_penalties(scaled, targets, (penalty,))
    return weights / divisors[:, np.newaxis], penalty


def _fit_penalties(inputs: Array, targets: Array, penalties: tuple[float, ...]) -> list[Array]:
    centred = inputs - inputs.mean(axis=0)
    # One decomposition of X'X serves all penalties.
    squares, axes = np.linalg.eigh(centred.T @ centred)
    along_axes = axes.T @ (centred.T @ (targets - targets.mean(axis=0)))
    return [
        axes @ (along_axes / (np.maximum(squares, 0.0) + penalty)[:, np.newaxis])
        for penalty in penalties
    ]
