"""The trials whose pictures TensorBoard shows: the same ones all through a training."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfadsq.training.data import Batch, InputFile, Split
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.pictures import TrialPicture
from lfadsq.training.steps import Example

__all__ = ["ExampleTrial", "is_pictured", "read_example_trials"]

logger = logging.getLogger(__name__)

_SPLITS = {"train": "training", "valid": "validation"}
_TRIALS_OF_MEAN = 64
_EARLY_EPOCHS, _EARLY_INTERVAL, _LATE_INTERVAL = 100, 10, 50


def is_pictured(epoch: int) -> bool:
    """Tell whether pictures are due after an epoch, counted from 0, while training goes on.

    Every 10th of the first 100, in which most changes, then every 50th: TensorBoard's slider shows
    no more than some, and a sweep's logs stay small.

    >>> [epoch for epoch in range(260) if is_pictured(epoch)]
    [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 150, 200, 250]
    """
    return epoch % (_EARLY_INTERVAL if epoch < _EARLY_EPOCHS else _LATE_INTERVAL) == 0


@dataclass(frozen=True, eq=False)
class ExampleTrial:
    """One trial to be drawn again and again.

    Attributes
    ----------
    tag : str
        Under which TensorBoard shows it.
    name : str
        For people: dataset, split, and the trial's number in the recording, from 1.
    trial : Batch
        Of this one trial.
    truth : ndarray, shape (time, channel), float32, optional
        True rates, in the unit of the data.
    is_counts : bool
    """

    tag: str
    name: str
    trial: Batch
    truth: NDArray[np.float32] | None
    is_counts: bool

    def picture(self, inferred: Example, epoch: int) -> TrialPicture:
        """Put together what is drawn after an epoch, counted from 0 as in ``fitlog.csv``."""
        data = self.trial.data[0]
        return TrialPicture(
            title=f"{self.name}, epoch {epoch}",
            data=data,
            # Variances follow, where the data are no counts.
            rates=inferred.rates[:, : data.shape[1]],
            factors=inferred.factors,
            inferred_inputs=inferred.inferred_inputs,
            truth=self.truth,
            is_counts=self.is_counts,
        )


def read_example_trials(flags: TrainerFlags, item: InputFile) -> list[ExampleTrial]:
    """Take the first training and the first validation trial of a dataset.

    Parameters
    ----------
    flags : TrainerFlags
    item : InputFile
        What was read of the dataset before. Its file is opened again for the truth and the numbers
        of the trials; where these are missing or unusable, pictures do without.

    Returns
    -------
    list of ExampleTrial
        One for each split that has trials.
    """
    is_counts = flags["output_dist"] == "poisson"
    examples = []
    for key, split in item.splits():
        if not len(split):
            continue
        number, truth = _read_optional(item.path, key, split, is_counts=is_counts)
        examples.append(
            ExampleTrial(
                tag=f"LFADS/Example_trial_{key}",
                name=f"{item.name.removesuffix('.h5')}: {_SPLITS[key]} trial {number}",
                trial=split.batch(slice(0, 1)),
                truth=truth,
                is_counts=is_counts,
            )
        )
    return examples


def _read_optional(
    path: Path, key: str, split: Split, *, is_counts: bool
) -> tuple[int, NDArray[np.float32] | None]:
    number, truth = 1, None
    try:
        with h5py.File(path, "r") as file:
            if f"{key}_inds" in file:
                number = int(np.ravel(file[f"{key}_inds"])[0])
            if f"{key}_truth" in file:
                truth = _in_unit_of_data(file[f"{key}_truth"], split.data, is_counts=is_counts)
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s: pictures of example trials do without truth or number: %s", path, error)
    return number, truth


def _in_unit_of_data(
    stored: Any, data: NDArray[np.float32], *, is_counts: bool
) -> NDArray[np.float32]:
    """Give the truth of the first trial.

    True rates may be in any unit, but expected counts have the mean of the counts. Of data that are
    no counts, the truth is taken to be in their unit.
    """
    if stored.shape != data.shape:
        raise ValueError(f"it has shape {stored.shape}, but the data {data.shape}")
    some = np.asarray(stored[:_TRIALS_OF_MEAN], np.float64)
    scale = 1.0
    if is_counts and some.mean() > 0:
        scale = float(data[:_TRIALS_OF_MEAN].mean(dtype=np.float64) / some.mean())
    truth: NDArray[np.float32] = (some[0] * scale).astype(np.float32)
    return truth
