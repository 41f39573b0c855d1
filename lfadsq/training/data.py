"""The trainer's input files (FORMATS.md 4), read and checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from lfadsq.errors import DatasetError
from lfadsq.files import check_readable, storage_errors
from lfadsq.model.config import DatasetConfig
from lfadsq.model.parameters import Alignment
from lfadsq.training.flags import TrainerFlags

__all__ = ["Batch", "InputFile", "Split", "read_inputs"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

_LARGEST_TABULATED_COUNT = 10_000
_LARGEST_COUNT = 2.0**53  # of whole numbers up to here, none is lost in a float64


class Batch(NamedTuple):
    """Trials as the model takes them.

    Attributes
    ----------
    data : ndarray, shape (batch, time, channel), float32 [spikes/bin]
    ext_input : ndarray, shape (batch, time, input), float32
        The last axis may be 0 long.
    log_factorials : ndarray, shape (batch,), float32
        Σ log k! of each trial's counts; zeros for gaussian data.
    """

    data: Array
    ext_input: Array
    log_factorials: Array


@dataclass(frozen=True)
class Split:
    """The training or the validation trials of one dataset.

    Attributes
    ----------
    data, ext_input, log_factorials
        As in `Batch`, for all trials.
    """

    data: Array
    ext_input: Array
    log_factorials: Array

    @classmethod
    def of(cls, data: Array, ext_input: Array, *, is_poisson: bool) -> Split:
        """Make a split from its data."""
        return cls(data, ext_input, log_factorials(data, is_poisson=is_poisson))

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, trials: NDArray[np.int64] | slice) -> Batch:
        """Take some of the trials."""
        return Batch(self.data[trials], self.ext_input[trials], self.log_factorials[trials])


def log_factorials(data: Array, *, is_poisson: bool) -> Array:
    """Give Σ log k! of each trial.

    Parameters
    ----------
    data : ndarray, shape (trial, time, channel), float32
    is_poisson : bool
        Zeros otherwise.

    Returns
    -------
    ndarray, shape (trial,), float32
    """
    if not is_poisson or not data.size:
        return np.zeros(len(data), np.float32)
    if data.max() > _LARGEST_TABULATED_COUNT:
        return np.array(
            [gammaln(trial.astype(np.float64) + 1.0).sum() for trial in data], np.float32
        )
    table = gammaln(np.arange(int(data.max()) + 1) + 1.0)
    return np.array([table[trial.astype(np.int64)].sum() for trial in data], np.float32)


@dataclass(frozen=True)
class InputFile:
    """One dataset's input.

    Attributes
    ----------
    name : str
        With extension, as the variables carry it: ``dataset001.h5``.
    path : Path
    train, valid : Split
        `valid` may have no trials.
    alignment : Alignment, optional
    """

    name: str
    path: Path
    train: Split
    valid: Split
    alignment: Alignment | None

    @property
    def num_steps(self) -> int:
        """Time bins of a trial."""
        return int(self.train.data.shape[1])

    @property
    def config(self) -> DatasetConfig:
        """What the model knows of it."""
        return DatasetConfig(
            self.name, int(self.train.data.shape[2]), has_alignment=self.alignment is not None
        )

    def splits(self) -> tuple[tuple[str, Split], ...]:
        """Give both splits with their names on disk."""
        return (("train", self.train), ("valid", self.valid))


def read_inputs(flags: TrainerFlags) -> list[InputFile]:
    """Read every dataset of a run, in the order of their names.

    The original takes them in the order the file system lists them, which differs between
    machines.

    Parameters
    ----------
    flags : TrainerFlags

    Returns
    -------
    list of InputFile
        At least one, all with the same number of bins.

    Raises
    ------
    DatasetError
        If there is none, or one cannot be read or holds what the model cannot be given.
    """
    stem = flags["data_filename_stem"]
    folder = flags.data_dir
    with storage_errors(folder, "read"):
        if not folder.is_dir():
            raise DatasetError(f"there is no folder {folder}", "correct --data_dir")
        names = sorted(path.name for path in folder.iterdir())
    paths = [
        folder / name
        for name in names
        if name.startswith(stem) and len(name) > len(stem) + 1 and name.endswith(".h5")
    ]
    if not paths:
        raise DatasetError(
            f"{folder} holds no file {stem}_<dataset>.h5",
            "correct --data_dir or --data_filename_stem",
        )
    inputs = [_read(path, path.name[len(stem) + 1 :], flags) for path in paths]
    _check_together(inputs)
    return inputs


def _check_together(inputs: Sequence[InputFile]) -> None:
    lengths = {item.name: item.num_steps for item in inputs}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise DatasetError(
            f"datasets have different numbers of time bins ({listed})",
            "cut them to the same length",
        )
    if len(inputs) > 1:
        missing = [item.name for item in inputs if item.alignment is None]
        if missing and len(missing) < len(inputs):
            raise DatasetError(
                f"{', '.join(missing)} have no alignment matrix, but the others have",
                "prepare all datasets of a run in the same way",
            )


def _read(path: Path, name: str, flags: TrainerFlags) -> InputFile:
    check_readable(path)
    try:
        with h5py.File(path, "r") as file:
            return _read_open(file, path, name, flags)
    except DatasetError:
        raise
    except (OSError, KeyError, RuntimeError) as error:
        raise DatasetError(
            f"cannot read {path}: {error}", "it is damaged or no HDF5 file: prepare it again"
        ) from error


def _read_open(file: h5py.File, path: Path, name: str, flags: TrainerFlags) -> InputFile:
    if "train_data" not in file:
        raise DatasetError(f"{path} holds no train_data", "prepare it again")
    is_poisson = flags["output_dist"] == "poisson"
    train = _read_data(file, "train_data", path, is_poisson)
    shape = train.shape[1:]
    if "valid_data" in file:
        valid = _read_data(file, "valid_data", path, is_poisson)
    else:
        valid = np.zeros((0, *shape), np.float32)
    if valid.shape[1:] != shape:
        raise DatasetError(
            f"{path}: train_data has (time, channel) {shape}, but valid_data {valid.shape[1:]}",
            "prepare it again",
        )
    splits = {}
    for split, data in (("train", train), ("valid", valid)):
        ext_input = _read_ext_input(file, split, path, data, flags["ext_input_dim"])
        splits[split] = Split.of(data, ext_input, is_poisson=is_poisson)
    alignment = _read_alignment(file, path, shape[1], flags["factors_dim"])
    return InputFile(name, path, splits["train"], splits["valid"], alignment)


def _read_data(file: h5py.File, key: str, path: Path, is_poisson: bool) -> Array:
    values = _read_array(file, key, path)
    if values.ndim != 3:
        raise DatasetError(
            f"{path}: {key} has {values.ndim} dimensions, but needs (trial, time, channel)",
            "prepare it again",
        )
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}: {key} holds values that are not finite", "remove them")
    is_count = (values >= 0) & (values <= _LARGEST_COUNT) & (values == np.floor(values))
    if is_poisson and not is_count.all():
        raise DatasetError(
            f"{path}: {key} holds values that are no counts",
            "give whole numbers from 0, or choose --output_dist=gaussian",
        )
    if 0 in values.shape[1:]:
        raise DatasetError(f"{path}: {key} has shape {values.shape}", "give at least one bin")
    return np.ascontiguousarray(values, dtype=np.float32)


def _read_array(file: h5py.File, key: str, path: Path) -> NDArray[Any]:
    stored = file[key]
    if not isinstance(stored, h5py.Dataset) or stored.dtype.kind not in "biuf":
        raise DatasetError(f"{path}: {key} is no array of numbers", "prepare it again")
    values: NDArray[Any] = stored[()]
    return values


def _read_ext_input(
    file: h5py.File, split: str, path: Path, data: Array, ext_input_dim: int
) -> Array:
    key = f"{split}_ext_input"
    if not ext_input_dim:
        if key in file:
            logger.info("%s holds %s, not used as ext_input_dim is 0", path.name, key)
        return np.zeros((*data.shape[:2], 0), np.float32)
    if not len(data):
        return np.zeros((0, data.shape[1], ext_input_dim), np.float32)
    expected = (*data.shape[:2], ext_input_dim)
    if key not in file:
        raise DatasetError(
            f"{path} holds no {key}, but ext_input_dim is {ext_input_dim}",
            "prepare it with external inputs, or set --ext_input_dim=0",
        )
    values = _read_array(file, key, path)
    if values.shape != expected:
        raise DatasetError(
            f"{path}: {key} has shape {values.shape}, but needs {expected}",
            "correct --ext_input_dim, or prepare it again",
        )
    if not np.isfinite(values).all():
        raise DatasetError(f"{path}: {key} holds values that are not finite", "remove them")
    return np.ascontiguousarray(values, dtype=np.float32)


def _read_alignment(
    file: h5py.File, path: Path, num_channels: int, factors_dim: int
) -> Alignment | None:
    if "alignment_matrix_cxf" not in file:
        return None
    matrix = _read_array(file, "alignment_matrix_cxf", path).astype(np.float32)
    if matrix.shape != (num_channels, factors_dim):
        raise DatasetError(
            f"{path}: alignment_matrix_cxf has shape {matrix.shape}, but there are "
            f"{num_channels} channels and factors_dim is {factors_dim}",
            "correct --factors_dim, or prepare it again",
        )
    bias = None
    if "alignment_bias_c" in file:
        bias = _read_array(file, "alignment_bias_c", path).astype(np.float32).ravel()
        if bias.shape != (num_channels,):
            raise DatasetError(
                f"{path}: alignment_bias_c has {bias.size} values for {num_channels} channels",
                "prepare it again",
            )
    return Alignment(matrix, bias)
