"""Putting new trials through a trained model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.errors import ConfigError, DatasetError
from lfadsq.files import make_folder
from lfadsq.training.data import Split
from lfadsq.training.evaluation import Averages
from lfadsq.training.interruption import Interruption
from lfadsq.training.new_trials import NewTrials
from lfadsq.training.posterior import recorded_seed, unless_stopped
from lfadsq.training.sampling import PUSH_MEAN, SAMPLE, Posterior, Trials, compute, write
from lfadsq.training.session import Say
from lfadsq.training.trained import TrainedModel, open_model

__all__ = ["KINDS", "Application", "apply_model"]

logger = logging.getLogger(__name__)

KINDS: Mapping[str, str] = {"sample": SAMPLE, "mean": PUSH_MEAN}
"""How posterior means are computed, as people say it."""

_LARGEST_COUNT = 2.0**53  # of whole numbers up to here, none is lost in a float64


def apply_model(
    folder: Path | str,
    data: NDArray[Any],
    *,
    dataset: str | None = None,
    kind: str = "sample",
    num_samples: int = 512,
    checkpoint: str = "lve",
    ext_input: NDArray[Any] | None = None,
    trial_numbers: NDArray[np.int64] | None = None,
    seed: int | None = None,
    say: Say = logger.info,
) -> Averages:
    """Put trials through a trained model.

    Parameters
    ----------
    folder : Path or str
        ``lfadsOutput`` of a run, or the run's folder. It may have been moved; nothing is changed.
    data : ndarray, shape (trial, time, channel) [spikes/bin]
        In bins as wide as those the model was trained on. The number of bins may differ.
    dataset : str, optional
        Whose read-in and read-out to use; needed if the model has several datasets.
    kind : {"sample", "mean"}
        Average samples of the posterior, or push its mean through.
    num_samples : int, default 512
        Of each trial.
    checkpoint : {"lve", "last"}
        With the lowest validation error, or the last.
    ext_input : ndarray, shape (trial, time, input), optional
        Needed if the model has external inputs.
    trial_numbers : ndarray, shape (trial,), int64, optional
        The random draws of a trial follow from its number; by default 0, 1, 2 ...
    seed : int, optional
        By default that of the training: trials of the training then give what the run's own files
        of posterior means hold.
    say : callable, optional
        Is given lines of progress; by default they are logged.

    Returns
    -------
    Averages

    Raises
    ------
    CheckpointError
        If the folder holds no trained model.
    DatasetError
        If the model cannot be given such trials, or has several datasets and none was chosen.
    ConfigError
        If an option cannot be.

    Examples
    --------
    Expected counts of new trials, in spikes a bin::

        averages = apply_model("param_YOs74u/single_dataset001", counts)
        averages.output_dist_params  # (trial, time, channel)
    """
    numbers = np.arange(len(data)) if trial_numbers is None else np.asarray(trial_numbers)
    trials = NewTrials(np.asarray(data), ext_input, numbers)
    application = Application.of(
        Path(folder),
        trials,
        "the data",
        dataset=dataset,
        kind=kind,
        num_samples=num_samples,
        checkpoint=checkpoint,
        seed=seed,
        say=say,
    )
    return compute(application.posterior, application.trials, say)


@dataclass(frozen=True)
class Application:
    """A trained model and the trials to put through it.

    Attributes
    ----------
    model : TrainedModel
    posterior : Posterior
    trials : Trials
    """

    model: TrainedModel
    posterior: Posterior
    trials: Trials

    @classmethod
    def of(
        cls,
        folder: Path,
        trials: NewTrials,
        title: str,
        *,
        dataset: str | None,
        kind: str,
        num_samples: int,
        checkpoint: str,
        seed: int | None,
        say: Say,
    ) -> Application:
        """Open the model and check that it can be given the trials (see `apply_model`)."""
        if num_samples < 1:
            raise ConfigError(f"{num_samples} samples of each trial", "ask for at least 1")
        model = open_model(folder, checkpoint)
        index = model.dataset_index(dataset)
        split = _checked(model, index, trials, title)
        num_steps = int(split.data.shape[1])
        if model.trained_steps not in (None, num_steps):
            say(
                f"Trials of {num_steps} time bins, where the model was trained on "
                f"{model.trained_steps}: see that bins are equally wide and trials begin alike."
            )
        posterior = Posterior(
            model.config(num_steps),
            {name: tf.constant(value) for name, value in model.parameters.items()},
            model.checkpoint.step,
            recorded_seed(model.checkpoint) if seed is None else seed,
            KINDS[kind],
            num_samples if kind == "sample" else model.flags["batch_size"],
        )
        return cls(model, posterior, Trials(index, split, trials.numbers, title))

    def write(self, out: Path, say: Say, interruption: Interruption) -> int:
        """Write a file of posterior means (FORMATS.md 6).

        Parameters
        ----------
        out : Path
            Appears when it is complete; folders are made.
        say : callable
        interruption : Interruption
            A request to stop is followed at once.

        Returns
        -------
        int
            Exit status: 0, or 128 plus the number of the signal that stopped it. The same call
            then goes on where it was.

        Raises
        ------
        StorageError, RunError, TrainingError
            As for `sampling.write`.
        """
        make_folder(out.parent)
        return unless_stopped(
            lambda: write(self.posterior, self.trials, out, say, interruption), say, interruption
        )


def _checked(model: TrainedModel, dataset: int, trials: NewTrials, title: str) -> Split:
    data, described = trials.data, model.datasets[dataset]
    if data.ndim != 3 or data.dtype.kind not in "biuf" or 0 in data.shape:
        raise DatasetError(
            f"{title}: {data.dtype} of shape {data.shape}",
            "give numbers with the axes (trial, time, channel), none of them empty",
        )
    if data.shape[2] != described.num_channels:
        swapped = data.shape[1] == described.num_channels
        raise DatasetError(
            f"{title}: {data.shape[2]} channels, but dataset {described.name.removesuffix('.h5')} "
            f"of the model has {described.num_channels}",
            "the axes are (trial, time, channel): exchange the last two"
            if swapped
            else "give the same channels in the same order, or choose another --dataset",
        )
    if not np.isfinite(data).all():
        raise DatasetError(f"{title}: values that are not finite", "remove them")
    is_poisson = model.flags["output_dist"] == "poisson"
    if is_poisson and not _are_counts(data):
        raise DatasetError(
            f"{title}: values that are no counts, but the model is of spike counts",
            "give whole numbers from 0",
        )
    ext_input = _checked_inputs(trials, model.flags["ext_input_dim"], title)
    return Split.of(np.ascontiguousarray(data, np.float32), ext_input, is_poisson=is_poisson)


def _are_counts(data: NDArray[Any]) -> bool:
    return bool(((data >= 0) & (data <= _LARGEST_COUNT) & (data == np.floor(data))).all())


def _checked_inputs(trials: NewTrials, ext_input_dim: int, title: str) -> NDArray[np.float32]:
    shape = (*trials.data.shape[:2], ext_input_dim)
    if not ext_input_dim:
        return np.zeros(shape, np.float32)
    if trials.ext_input is None:
        raise DatasetError(
            f"{title}: no external inputs, but the model has {ext_input_dim}",
            f"give ext_input of shape {shape} beside the data",
        )
    values = np.asarray(trials.ext_input)
    if values.shape != shape or values.dtype.kind not in "biuf":
        raise DatasetError(
            f"{title}: external inputs of shape {values.shape}, but the model needs {shape}",
            "give one value for each trial, time bin and input",
        )
    if not np.isfinite(values).all():
        raise DatasetError(f"{title}: external inputs that are not finite", "remove them")
    return np.ascontiguousarray(values, np.float32)
