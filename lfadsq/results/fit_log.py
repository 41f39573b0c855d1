"""`FitLog`: the costs of a training, epoch by epoch (``fitlog.csv``, FORMATS.md 6)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import storage_errors
from lfadsq.results.lowest_cost import epoch_counts, lowest_row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FitLog", "FitLogEpoch"]

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

_NUM_CELLS = sum(1 + len(attributes) for attributes in _COLUMNS.values())

_UNITS = {
    **dict.fromkeys(("total_train", "total_valid", "recon_train", "recon_valid"), "nats/trial"),
    **dict.fromkeys(("kl_train", "kl_valid"), "nats/trial"),
}


class FitLogEpoch(NamedTuple):
    """One epoch of a `FitLog`, whose attributes say what the numbers are."""

    epoch: int
    step: int
    total_train: float
    total_valid: float
    recon_train: float
    recon_valid: float
    kl_train: float
    kl_valid: float
    l2: float
    kl_weight: float
    l2_weight: float


@dataclass(frozen=True, eq=False)
class FitLog:
    """Costs of a training, epoch by epoch.

    ``log[-1]`` is the last epoch, `lowest_valid` the one whose model is the best.

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
        columns = _parse(text[: text.rfind("\n") + 1], path)
        if not columns:
            raise ResultNotReadyError(f"{path} has no epoch yet", "wait for the first epoch to end")
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
    def process(self) -> npt.NDArray[np.int64]:
        """Which process trained each epoch, from 0; shape (epoch,), int64.

        The original numbers epochs anew when it continues a training. Ours goes on counting, so
        all its processes are one here.
        """
        begins = np.diff(self.epoch, prepend=self.epoch[:1] - 1) <= 0
        return np.cumsum(begins, dtype=np.int64)

    @property
    def is_redone(self) -> npt.NDArray[np.bool_]:
        """Whether each epoch was trained again later, shape (epoch,), bool.

        The original continues from its last checkpoint, up to ten epochs back, and leaves what is
        trained again in the log.
        """
        later = np.minimum.accumulate(self.step[::-1])[::-1]
        redone: npt.NDArray[np.bool_] = np.append(self.step[:-1] >= later[1:], False)
        return redone

    @property
    def lowest_valid(self) -> FitLogEpoch | None:
        """The epoch of the lowest validation cost: that of the model in ``checkpoint_lve``.

        None if none counts yet: without validation, and while the weights of KL and L2 rise, when
        the cost lacks a part of itself (see `lfadsq.results.lowest_cost.lowest_row`).
        """
        columns = (self.kl_weight, self.l2_weight, self.l2)
        warm = map(epoch_counts, *(column.tolist() for column in columns))
        row = lowest_row(self.epoch.tolist(), self.total_valid.tolist(), warm)
        return None if row is None else self[row]

    @property
    def lowest_total_valid(self) -> float:
        """Validation cost of `lowest_valid`; NaN if there is none."""
        lowest = self.lowest_valid
        return float("nan") if lowest is None else lowest.total_valid

    def __len__(self) -> int:
        return len(self.epoch)

    def __getitem__(self, row: int) -> FitLogEpoch:
        """Give an epoch by its place in the log, from 0; the last is -1.

        Raises
        ------
        IndexError
            If the log is not that long.
        """
        return FitLogEpoch(*(getattr(self, name)[row].item() for name in FitLogEpoch._fields))

    def to_dataframe(self) -> pd.DataFrame:
        """Give the log as a table, one row an epoch.

        Returns
        -------
        pandas.DataFrame
            The columns of the attributes, and ``process`` and ``is_redone``. Units are in
            ``attrs["units"]``, by column.

        Examples
        --------
        ``log.to_dataframe().plot(x="step", y=["total_train", "total_valid"])``
        """
        import pandas as pd

        names = [*FitLogEpoch._fields, "process", "is_redone"]
        table: pd.DataFrame = pd.DataFrame({name: getattr(self, name) for name in names})
        table.attrs["units"] = dict(_UNITS)
        return table


def _parse(text: str, path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Give the columns of complete lines; nothing if there is none."""
    # All lines at once, column by column: at a third of the time that line by line takes.
    cells = text.replace("\n", ",").split(",")[:-1]
    columns: dict[str, npt.NDArray[np.float64]] = {}
    if len(cells) % _NUM_CELLS == 0:
        with suppress(ValueError):
            position = 0
            for name, attributes in _COLUMNS.items():
                if {cell.strip() for cell in cells[position::_NUM_CELLS]} - {name}:
                    raise ValueError(name)
                for offset, attribute in enumerate(attributes, start=1):
                    column = cells[position + offset :: _NUM_CELLS]
                    columns[attribute] = np.array(list(map(float, column)))
                position += 1 + len(attributes)
            return columns if cells else {}
    rows = [
        _parse_line(line, number, path)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


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
