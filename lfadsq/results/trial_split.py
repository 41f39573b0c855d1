"""Which trials of a run's input trained and which validated, wherever that can still be read.

Links of a collection that was moved or copied may lead nowhere, or to the place where it was. So
the collection's own data come first, then what the links lead to, and ``inputInfo`` where the
trainer's input itself is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import check_readable, storage_errors
from lfadsq.hdf5 import hdf5_for_reading
from lfadsq.paths import DataPaths, RunPaths

__all__ = ["TrialSplit", "input_places"]

_SPLITS = ("train", "valid")
_H5_NAMES = {"train": "train_inds", "valid": "valid_inds"}
_INFO_NAMES = {"train": "trainInds", "valid": "validInds"}
_COUNTS = "counts"


@dataclass(frozen=True, eq=False)
class TrialSplit:
    """Which trials trained and which validated.

    Attributes
    ----------
    inds : dict of str to numpy.ndarray, shape (n,), int64
        Trials of ``train`` and ``valid``, from 0.
    num_channels : int
        Channels of the data.
    """

    inds: dict[str, npt.NDArray[np.int64]]
    num_channels: int

    @property
    def trials(self) -> npt.NDArray[np.int64]:
        """All trials, in the order of the recording, from 0."""
        return np.sort(np.concatenate([self.inds[split] for split in _SPLITS]))

    @property
    def num_trials(self) -> int:
        """Number of trials, training and validation together."""
        return sum(map(len, self.inds.values()))

    @property
    def positions(self) -> dict[str, npt.NDArray[np.int64]]:
        """Where the trials of ``train`` and ``valid`` stand among all `trials`, from 0."""
        trials = self.trials
        return {split: np.searchsorted(trials, self.inds[split]) for split in _SPLITS}

    @classmethod
    def load(
        cls, paths: RunPaths, dataset_name: str, data_paths: DataPaths | None = None
    ) -> TrialSplit:
        """Read how the trials of a dataset were split.

        Parameters
        ----------
        paths : RunPaths
            Files of the run, which link to its data.
        dataset_name : str
            The dataset.
        data_paths : DataPaths, optional
            Where its data lie.

        Raises
        ------
        ResultNotReadyError
            If neither the trainer's input nor ``inputInfo`` is there.
        ResultShapeError
            If a file lacks what it takes, or is damaged.
        StorageError
            If a file may not be read.
        """
        inputs, infos = input_places(paths, dataset_name, data_paths)
        for path in inputs:
            with storage_errors(path, "read"):
                split = _from_h5(path) if path.exists() else None
            if split is not None:
                return split
        for path in infos:
            with storage_errors(path, "read"):
                is_there = path.exists()
            if is_there:
                return _from_info(path)
        raise ResultNotReadyError(
            f"there is neither {' nor '.join(map(str, (*inputs, *infos)))}, so nobody knows which "
            "trials were which",
            "copy the collection's data_<HASH> folders, too, or prepare the run again",
        )


def input_places(
    paths: RunPaths, dataset_name: str, data_paths: DataPaths | None
) -> tuple[list[Path], list[Path]]:
    """Give where the trainer's input may lie, and where ``inputInfo``, the surest place first."""
    places: Sequence[DataPaths | RunPaths] = (paths,)
    if data_paths is not None:
        places = (data_paths, paths)
    inputs = [place.input_h5(dataset_name) for place in places]
    return inputs, [place.input_info(dataset_name) for place in places]


def _from_h5(path: Path) -> TrialSplit | None:
    """Read the trainer's input; None if it does not number its trials, as early ones do not."""
    with hdf5_for_reading(path) as stored:
        if "train_data" not in stored:
            raise ResultShapeError(f"{path} has no train_data", "prepare the run again")
        if not all(name in stored for name in _H5_NAMES.values()):
            return None
        inds = {split: _from_one(stored[name][()]) for split, name in _H5_NAMES.items()}
        return TrialSplit(inds, int(stored["train_data"].shape[-1]))


def _from_info(path: Path) -> TrialSplit:
    check_readable(path)
    try:
        found, num_channels = _read_hdf5(path) if h5py.is_hdf5(path) else _read_mat5(path)
        inds = {split: _from_one(found[name]) for split, name in _INFO_NAMES.items()}
    # The readers raise whatever the damaged bytes make them stumble over.
    except Exception as error:
        raise ResultShapeError(
            f"{path} does not tell which trials trained and which validated ({error!r})",
            "copy it again, or prepare the run again",
        ) from error
    return TrialSplit(inds, num_channels)


def _read_mat5(path: Path) -> tuple[dict[str, Any], int]:
    shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
    found = scipy.io.loadmat(path, variable_names=list(_INFO_NAMES.values()))
    return found, int(shapes[_COUNTS][0])


def _read_hdf5(path: Path) -> tuple[dict[str, Any], int]:
    with h5py.File(path) as stored:
        found = {name: stored[name][()] for name in _INFO_NAMES.values()}
        return found, int(stored[_COUNTS].shape[-1])  # MATLAB's axes, reversed


def _from_one(inds: Any) -> npt.NDArray[np.int64]:
    return np.ravel(inds).astype(np.int64) - 1
