"""Files of posterior means and of samples of the prior (FORMATS.md 6, NUMERICS.md 11)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.files import make_folder, written_aside
from lfadsq.model.network import Parameters
from lfadsq.paths import OutputPaths
from lfadsq.training.checkpoints import Checkpoint
from lfadsq.training.data import Split
from lfadsq.training.evaluation import Evaluator
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption, StopRequested
from lfadsq.training.new_trials import stored_numbers
from lfadsq.training.sampling import Posterior, Trials, write
from lfadsq.training.session import Say, Session, open_trained

__all__ = ["recorded_seed", "unless_stopped", "write_posterior_means", "write_prior_sample"]


def write_posterior_means(flags: TrainerFlags, say: Say, interruption: Interruption) -> int:
    """Write the posterior means of every dataset and split.

    ``posterior_sample_and_average`` averages ``batch_size`` samples of each trial;
    ``posterior_push_mean`` pushes the means through, ``batch_size`` trials at a time.

    Parameters
    ----------
    flags : TrainerFlags
        With one of these two kinds.
    say : callable
        Is given lines of progress.
    interruption : Interruption
        A request to stop is followed at once.

    Returns
    -------
    int
        Exit status: 0, or 128 plus the number of the signal that stopped it. The same call then
        goes on where it was; files that are complete already are not computed again.

    Raises
    ------
    CheckpointError, DatasetError, ConfigError
        If the model or the data cannot be used; nothing was written.
    RunError
        If another process computes the same.
    StorageError
        If a file cannot be written. Files appear one by one, each complete.
    """
    return unless_stopped(lambda: _write_all(flags, say, interruption), say, interruption)


def unless_stopped(write_all: Callable[[], None], say: Say, interruption: Interruption) -> int:
    """Write files of posterior means, and give the exit status (see `write_posterior_means`)."""
    try:
        with interruption.may_leave():
            write_all()
    except StopRequested:
        assert interruption.signal_number is not None
        say("Stopped. The same command goes on from where it was.")
        return 128 + interruption.signal_number
    return 0


def _write_all(flags: TrainerFlags, say: Say, interruption: Interruption) -> None:
    session = open_trained(flags)
    assert session.checkpoint is not None
    posterior = Posterior(
        session.config,
        _parameters(session),
        session.checkpoint.step,
        _seed(session),
        flags["kind"],
        flags["batch_size"],
    )
    make_folder(flags.save_dir)
    for index, item in enumerate(session.inputs):
        for name, split in item.splits():
            num_trials = min(len(split), flags["ps_nexamples_to_process"])
            if not num_trials:
                continue
            path = OutputPaths(flags.save_dir).posterior_means(
                item.name.removesuffix(".h5"), name, flags["kind"], flags["output_filename_stem"]
            )
            trials = Trials(
                index,
                Split(*split.batch(slice(num_trials))),
                stored_numbers(item.path, name, len(split))[:num_trials],
                f"{item.name} {name}",
            )
            write(posterior, trials, path, say, interruption)


def write_prior_sample(flags: TrainerFlags, say: Say) -> None:
    """Write ``batch_size`` trials drawn from the prior, with the read-out of the first dataset.

    Raises
    ------
    CheckpointError, DatasetError, ConfigError, StorageError
        As for `write_posterior_means`.
    """
    session = open_trained(flags)
    num_samples = flags["batch_size"]
    known = session.inputs[0].train.ext_input
    # There is no prior of external inputs: those of the training trials are taken in turn.
    ext_input = known[np.arange(num_samples) % max(len(known), 1)]
    assert session.checkpoint is not None
    evaluator = Evaluator(
        session.config, _parameters(session), session.checkpoint.step, _seed(session)
    )
    sample = evaluator.sample_prior(0, num_samples, tf.transpose(ext_input, [1, 0, 2]))
    arrays = {**sample._asdict(), "costs": np.array([sample.cost])}
    del arrays["cost"]
    path = OutputPaths(make_folder(flags.save_dir)).prior_sample
    stem = flags["output_filename_stem"]
    if stem:
        path = path.with_name(f"{stem}_{path.name}")
    _write(path, {name: values for name, values in arrays.items() if values.size})
    say(f"Wrote {path}")


def _parameters(session: Session) -> Parameters:
    return {name: v.value() for name, v in session.variables.parameters.items()}


def _seed(session: Session) -> int:
    assert session.checkpoint is not None
    seed: int | None = session.flags["seed"]
    # Evaluating again gives the same numbers again.
    return recorded_seed(session.checkpoint) if seed is None else seed


def recorded_seed(checkpoint: Checkpoint) -> int:
    """Give the seed of the training that a checkpoint is of; 0 if it does not say."""
    progress = checkpoint.progress
    return int(json.loads(progress)["progress"]["seed"]) if progress else 0


def _write(path: Path, arrays: Mapping[str, NDArray[np.float64]]) -> None:
    with written_aside(path) as aside, h5py.File(aside, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=np.asarray(values, np.float64), compression="gzip")
