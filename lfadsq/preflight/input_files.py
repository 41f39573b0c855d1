"""What the headers of the trainer's input ``lfads_<dataset>.h5`` tell; its data are not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.errors import StorageError
from lfadsq.files import check_readable

__all__ = ["SPLITS", "InputHeader", "damage_of", "read_input_header"]

SPLITS = ("train", "valid")

_SMALL = (
    "alignment_matrix_cxf",
    "alignment_bias_c",
    "conversion_factor",
    "train_inds",
    "valid_inds",
)
_LARGE = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("data", "truth", "ext_input"))
_NUMBERS = "biuf"

# What h5py raises on damaged files depends on which bytes are damaged.
_DAMAGE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError)


@dataclass(frozen=True, eq=False)
class InputHeader:
    """What is known of an input without reading its data.

    Attributes
    ----------
    path : Path
    shapes : dict of str to tuple of int
        Of each large array, by name: ``train_data`` (trial, time, channel) and so on.
    arrays : dict of str to numpy.ndarray
        The small ones.
    not_numbers : tuple of str
        Names of what should hold numbers, and does not.
    mtime_s : float
        When it was last changed [s since 1970].
    damage : str
        Why it cannot be read; empty if it can.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    not_numbers: tuple[str, ...] = ()
    mtime_s: float = 0.0
    damage: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether the sizes below are known."""
        return not self.damage and len(self.shapes.get("train_data", ())) == 3

    def num_trials(self, split: str) -> int:
        """Count the trials of a split; a missing one has none."""
        return self.shapes.get(f"{split}_data", (0,))[0]

    @property
    def num_bins(self) -> int:
        """Time bins of a trial."""
        return self.shapes["train_data"][1]

    @property
    def num_channels(self) -> int:
        """Channels."""
        return self.shapes["train_data"][2]

    @property
    def num_inputs(self) -> int:
        """External inputs; 0 if there are none."""
        shape = self.shapes.get("train_ext_input", ())
        return shape[2] if len(shape) == 3 else 0

    @property
    def has_alignment(self) -> bool:
        """Whether there is an alignment matrix."""
        return "alignment_matrix_cxf" in self.arrays

    def inds(self, split: str) -> npt.NDArray[np.float64] | None:
        """Give the 1-based trial numbers of a split, in one row; None if they are missing."""
        inds = self.arrays.get(f"{split}_inds")
        return None if inds is None else np.asarray(inds, dtype=np.float64).ravel()


def read_input_header(path: Path) -> InputHeader:
    """Read the header of an input.

    Parameters
    ----------
    path : Path
        It must exist; whatever is wrong with it is told in `InputHeader.damage`.
    """
    try:
        check_readable(path)
        mtime_s = path.stat().st_mtime
        with h5py.File(path, "r") as stored:
            shapes: dict[str, tuple[int, ...]] = {}
            arrays: dict[str, npt.NDArray[Any]] = {}
            not_numbers = []
            for name in (*_LARGE, *_SMALL):
                if name not in stored:
                    continue  # and what somebody else put there is no matter of the trainer
                item = stored[name]
                if not isinstance(item, h5py.Dataset) or item.dtype.kind not in _NUMBERS:
                    not_numbers.append(name)
                elif name in _SMALL:
                    arrays[name] = item[()]
                else:
                    shapes[name] = item.shape
                    _see_last(item)
            return InputHeader(path, shapes, arrays, tuple(not_numbers), mtime_s)
    except (StorageError, *_DAMAGE) as error:
        return InputHeader(path, damage=damage_of(error))


def _see_last(item: h5py.Dataset) -> None:
    # A file cut short can still have all its names: the last bytes must be there too.
    if item.size:
        item[(-1,) + (slice(None),) * (item.ndim - 1)]


def damage_of(error: BaseException) -> str:
    """Give the reason of an error, in one line."""
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    return " ".join(str(problem).split())
