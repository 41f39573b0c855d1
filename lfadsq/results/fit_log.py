"""`FitLog`: the costs of a training, epoch by epoch (``fitlog.csv``, FORMATS.md 6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import storage_errors

__all__ = ["FitLog"]

# Columns after each name, as the trainer writes them: name -> attributes of FitLog.
_COLUMNS = {
    "epoch": ("epoch",),
    "step": ("step",),
    "total": ("total_train", "total_valid"),
    "recon": ("recon_train", "recon_valid"),
    "kl": ("kl_train", "kl_valid"),
    "l2": ("l2",),
    "klweight": ("kl_weight",),
    "l2weight": ("l2_weight",),
}


@dataclass(frozen=True, eq=False)
class FitLog:
    """Costs of a training, epoch by epoch.

    Attributes
    ----------
    epoch : numpy.ndarray, shape (epoch,), int64
        Number of the epoch, as the trainer counted it.
    step : numpy.ndarray, shape (epoch,), int64
        Steps done after the epoch.
    total_train, total_valid : numpy.ndarray, shape (epoch,), float64
        Total cost, with the weights that KL and L2 had then. NaN where there was no validation.
    recon_train, recon_valid : numpy.ndarray, shape (epoch,), float64
        Reconstruction cost [nats/trial].
    kl_train, kl_valid : numpy.ndarray, shape (epoch,), float64
        KL cost, unweighted [nats/trial].
    l2 : numpy.ndarray, shape (epoch,), float64
        L2 cost, unweighted.
    kl_weight, l2_weight : numpy.ndarray, shape (epoch,), float64
        Weights of both at the end of the epoch, from 0 to 1.
    """

    epoch: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    total_train: npt.NDArray[np.float64]
    total_valid: npt.NDArray[np.float64]
    recon_train: npt.NDArray[np.float64]
    recon_valid: npt.NDArray[np.float64]
    kl_train: npt.NDArray[np.float64]
    kl_valid: npt.NDArray[np.float64]
    l2: npt.NDArray[np.float64]
    kl_weight: npt.NDArray[np.float64]
    l2_weight: npt.NDArray[np.float64]

    @classmethod
    def load(cls, path: Path) -> FitLog:
        """Read a ``fitlog.csv``, also while the training still writes it.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        FitLog
            One entry for each complete line; a last line without its line break is left out.

        Raises
        ------
        ResultNotReadyError
            If there is no such file, or no complete line in it yet.
        ResultShapeError
            If a complete line is not one of a fit log; the message names it.
        StorageError
            If the file cannot be read.
        """
        if not path.exists():
            raise ResultNotReadyError(
                f"there is no fit log at {path}", "train the run first, or wait for its first epoch"
            )
        with storage_errors(path, "read"):
            text = path.read_text(encoding="utf-8")
        complete = text[: text.rfind("\n") + 1].splitlines()
        rows = [
            _parse_line(line, number, path)
            for number, line in enumerate(complete, start=1)
            if line.strip()
        ]
        if not rows:
            raise ResultNotReadyError(f"{path} has no epoch yet", "wait for the first epoch to end")
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return cls(
            epoch=columns.pop("epoch").astype(np.int64),
            step=columns.pop("step").astype(np.int64),
            **columns,
        )

    def _repr_html_(self) -> str:
        from lfadsq.results.html import fit_log_html

        return fit_log_html(self)

    @property
    def num_epochs(self) -> int:
        """Number of epochs trained."""
        return len(self.epoch)

    @property
    def lowest_total_valid(self) -> float:
        """Lowest validation cost among the epochs with full weights (all, if there was none).

        While the weights of KL and L2 still rise, the cost lacks a part of itself; the trainer's
        own ``checkpoint_lve`` leaves these epochs out too.
        """
        full = (self.kl_weight >= 1) & ((self.l2_weight >= 1) | (self.l2 == 0))
        costs = self.total_valid[full] if full.any() else self.total_valid
        finite = costs[np.isfinite(costs)]
        return float(finite.min()) if finite.size else float("nan")


def _parse_line(line: str, number: int, path: Path) -> dict[str, float]:
    cells = [cell.strip() for cell in line.split(",")]
    values: dict[str, float] = {}
    position = 0
    try:
        for name, attributes in _COLUMNS.items():
            if cells[position] != name:
                raise ValueError(f"expected {name!r} and found {cells[position]!r}")
            for offset, attribute in enumerate(attributes, start=1):
                values[attribute] = float(cells[position + offset])
            position += 1 + len(attributes)
        if position != len(cells):
            raise ValueError(f"there are {len(cells) - position} cells too many")
    except (ValueError, IndexError) as error:
        raise ResultShapeError(
            f"line {number} of {path} is not a line of a fit log: {error}",
            "remove that line, or train the run again",
        ) from error
    return values
