"""Learning curves of a run as a screen can show them, and the scores of its best epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfadsq.watching.cost_logs import NUM_CELLS, cells_of_log
from lfadsq.watching.quick_reading import read_whole

__all__ = ["Costs", "Curve", "Scores", "costs_of", "curve_of", "read_costs_of_run", "scores_of"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

# Where the numbers stand in a line of a fit log (`lfadsq.watching.cost_logs`).
_CELLS = {"epoch": 1, "train": 5, "valid": 6, "recon": 9, "kl": 12, "l2": 14}
_KL_WEIGHT, _L2_WEIGHT = 16, 18

_CENTS = 100.0
"""Fit logs hold costs with two decimals: as whole hundredths nothing of them is lost."""


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of a training, epoch by epoch, each in the order in which they were done.

    Attributes
    ----------
    train, valid : numpy.ndarray, shape (epoch,), float64
        Total costs.
    recon, kl : numpy.ndarray, shape (epoch,), float64 [nats/trial]
        Reconstruction and unweighted KL cost of the validation trials.
    is_warm : numpy.ndarray, shape (epoch,), bool
        Whether the weights of KL and L2 had come to 1.
    counts : numpy.ndarray, shape (epoch,), bool
        Whether ``checkpoint_lve`` could be written after the epoch: it is warm, its validation cost
        is a number, and it is not the first of a process.
    """

    train: _Floats
    valid: _Floats
    recon: _Floats
    kl: _Floats
    is_warm: NDArray[np.bool_]
    counts: NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """The epoch of the lowest validation cost after warm-up.

    Attributes
    ----------
    epoch : int
        From 1, all processes of the training counted together.
    valid, train : float
        Total costs there.
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
    train, valid : numpy.ndarray, shape (point,), float64
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


def read_costs_of_run(path: str) -> Costs | None:
    """Read a ``fitlog.csv``; None if there is none, or nothing of it can be understood."""
    try:
        return costs_of(read_whole(path)[0])
    except OSError:
        return None


def costs_of(content: bytes) -> Costs | None:
    """Read the content of a fit log; None if no line of it is complete and understood."""
    cells = cells_of_log(content)
    if not cells:
        return None
    columns = {name: _numbers(cells, at) for name, at in _CELLS.items()}
    is_warm = (_numbers(cells, _KL_WEIGHT) >= 1) & (
        (_numbers(cells, _L2_WEIGHT) >= 1) | (columns["l2"] == 0)
    )
    # Each process counts its epochs anew.
    is_first = np.diff(columns["epoch"], prepend=np.inf) <= 0
    return Costs(
        columns["train"],
        columns["valid"],
        columns["recon"],
        columns["kl"],
        is_warm,
        is_warm & ~is_first & np.isfinite(columns["valid"]),
    )


def _numbers(cells: list[bytes], at: int) -> _Floats:
    return np.array(cells[at::NUM_CELLS]).astype(np.float64)


def scores_of(costs: Costs) -> Scores | None:
    """Find the best epoch; None if there is none that counts.

    Notes
    -----
    The rule is the original's for ``checkpoint_lve``: see `lfadsq.watching.cost_logs`.
    """
    if not costs.counts.any():
        return None
    best = int(np.argmin(np.where(costs.counts, costs.valid, np.inf)))
    return Scores(
        best + 1,
        float(costs.valid[best]),
        float(costs.train[best]),
        float(costs.recon[best]),
        float(costs.kl[best]),
    )


def curve_of(costs: Costs, most_points: int) -> Curve:
    """Thin out curves so that they look the same.

    Parameters
    ----------
    costs : Costs
    most_points : int
        As many are kept at most, and 6 at least.

    Notes
    -----
    Epochs are divided into stretches of equal length. Of each those are kept in which either cost
    is lowest or highest, and of all the first and the last: what stands out stays.
    """
    num = len(costs.valid)
    kept: _Ints = np.arange(num)
    if num > most_points:
        edges = np.linspace(0, num, max((most_points - 2) // 4, 1) + 1).astype(np.int64)
        chosen = {0, num - 1}
        for one in (costs.train, costs.valid):
            low = np.where(np.isfinite(one), one, np.inf)
            high = np.where(np.isfinite(one), one, -np.inf)
            for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                chosen.add(begin + int(low[begin:end].argmin()))
                chosen.add(begin + int(high[begin:end].argmax()))
        kept = np.array(sorted(chosen))
    warm = int(costs.is_warm.argmax()) + 1 if costs.is_warm.any() else None
    return Curve(kept + 1, costs.train[kept], costs.valid[kept], num, warm)


def _differences(values: _Floats) -> list[int | None]:
    is_number = np.isfinite(values)
    whole = np.round(values[is_number] * _CENTS).astype(np.int64)
    told = iter(np.diff(whole, prepend=0).tolist())
    return [next(told) if one else None for one in is_number.tolist()]
