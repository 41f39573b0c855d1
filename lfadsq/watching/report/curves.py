"""Learning curves of a run as a screen can show them, and the scores of its best epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfadsq.results.fit_log import FitLog
from lfadsq.results.lowest_cost import epoch_counts, lowest_row

__all__ = ["Curve", "Scores", "curve_of", "scores_of"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

_CENTS = 100.0
"""Fit logs hold costs with two decimals: as whole hundredths nothing of them is lost."""


@dataclass(frozen=True)
class Scores:
    """The epoch of the lowest validation cost after warm-up.

    Attributes
    ----------
    epoch : int
        From 1, all processes of the training counted together.
    valid, train : float
        Total costs there [nats/trial].
    recon, kl : float
        Of the validation trials there [nats/trial].
    """

    epoch: int
    valid: float
    train: float
    recon: float
    kl: float

    @property
    def gap(self) -> float:
        """Over-fitting: how much higher the validation cost is than the training cost."""
        return self.valid - self.train


@dataclass(frozen=True, eq=False)
class Curve:
    """Learning curves with no more points than a screen can show.

    Attributes
    ----------
    epochs : numpy.ndarray, shape (point,), int64
        From 1, ascending.
    train, valid : numpy.ndarray, shape (point,), float64 [nats/trial]
        Total costs there.
    num_epochs : int
        Of the training.
    warm_epoch : int or None
        The first in which all costs counted in full; None if there was none.
    """

    epochs: _Ints
    train: _Floats
    valid: _Floats
    num_epochs: int
    warm_epoch: int | None

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold, in little space.

        Costs are whole hundredths, the first as it is, and then each as its difference to the last
        that is a number; null for what is none. Epochs are differences too, and are left out where
        there are all.
        """
        is_whole = len(self.epochs) == self.num_epochs
        return {
            "epochs": None if is_whole else np.diff(self.epochs, prepend=0).tolist(),
            "train": _differences(self.train),
            "valid": _differences(self.valid),
            "warm": self.warm_epoch,
        }


def scores_of(log: FitLog) -> Scores | None:
    """Find the best epoch, by the rule of `lfadsq.results.lowest_cost`; None if none counts."""
    best = lowest_row(log.epoch.tolist(), log.total_valid.tolist(), _are_warm(log))
    if best is None:
        return None
    found = log[best]
    return Scores(best + 1, found.total_valid, found.total_train, found.recon_valid, found.kl_valid)


def _are_warm(log: FitLog) -> list[bool]:
    columns = (log.kl_weight, log.l2_weight, log.l2)
    return list(map(epoch_counts, *(column.tolist() for column in columns)))


def curve_of(log: FitLog, most_points: int) -> Curve:
    """Thin out curves so that they look the same.

    Parameters
    ----------
    log : FitLog
    most_points : int
        As many are kept at most, and 6 at least.

    Notes
    -----
    Epochs are divided into stretches of equal length. Of each those are kept in which either cost
    is lowest or highest, and of all the first and the last: what stands out stays.
    """
    num = len(log)
    kept: _Ints = np.arange(num)
    if num > most_points:
        edges = np.linspace(0, num, max((most_points - 2) // 4, 1) + 1).astype(np.int64)
        chosen = {0, num - 1}
        for one in (log.total_train, log.total_valid):
            low = np.where(np.isfinite(one), one, np.inf)
            high = np.where(np.isfinite(one), one, -np.inf)
            for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                chosen.add(begin + int(low[begin:end].argmin()))
                chosen.add(begin + int(high[begin:end].argmax()))
        kept = np.array(sorted(chosen))
    warm = next((row + 1 for row, is_warm in enumerate(_are_warm(log)) if is_warm), None)
    return Curve(kept + 1, log.total_train[kept], log.total_valid[kept], num, warm)


def _differences(values: _Floats) -> list[int | None]:
    is_number = np.isfinite(values)
    whole = np.round(values[is_number] * _CENTS).astype(np.int64)
    told = iter(np.diff(whole, prepend=0).tolist())
    return [next(told) if one else None for one in is_number.tolist()]
