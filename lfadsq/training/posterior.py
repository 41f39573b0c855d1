"""Files of posterior means and of samples of the prior (FORMATS.md 6, NUMERICS.md 11)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.files import make_folder, written_aside
from lfadsq.paths import OutputPaths
from lfadsq.training.data import Batch, Split
from lfadsq.training.evaluation import Averages, Evaluator, rows_per_pass
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.session import Say, Session, open_trained

__all__ = ["write_posterior_means", "write_prior_sample"]

_SECONDS_BETWEEN_LINES = 5.0


def write_posterior_means(flags: TrainerFlags, say: Say) -> None:
    """Write the posterior means of every dataset and split.

    ``posterior_sample_and_average`` averages ``batch_size`` samples of each trial;
    ``posterior_push_mean`` pushes the means through, ``batch_size`` trials at a time.

    Parameters
    ----------
    flags : TrainerFlags
        With one of these two kinds.
    say : callable
        Is given lines of progress.

    Raises
    ------
    CheckpointError, DatasetError, ConfigError
        If the model or the data cannot be used; nothing was written.
    StorageError
        If a file cannot be written. Files appear one by one, each complete.
    """
    session = open_trained(flags)
    evaluator = _evaluator(session)
    make_folder(flags.save_dir)
    pass_numbers = iter(range(2**40))
    for index, item in enumerate(session.inputs):
        for name, split in item.splits():
            if not len(split):
                continue
            path = OutputPaths(flags.save_dir).posterior_means(
                item.name.removesuffix(".h5"), name, flags["kind"], flags["output_filename_stem"]
            )
            title = f"{item.name} {name}"
            arrays = _evaluate(session, evaluator, index, split, pass_numbers, title, say)
            _write(path, arrays)
            say(f"Wrote {path}")


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
    sample = _evaluator(session).sample_prior(0, num_samples, tf.transpose(ext_input, [1, 0, 2]))
    arrays = {**sample._asdict(), "costs": np.array([sample.cost])}
    del arrays["cost"]
    path = OutputPaths(make_folder(flags.save_dir)).prior_sample
    stem = flags["output_filename_stem"]
    if stem:
        path = path.with_name(f"{stem}_{path.name}")
    _write(path, {name: values for name, values in arrays.items() if values.size})
    say(f"Wrote {path}")


def _evaluator(session: Session) -> Evaluator:
    assert session.checkpoint is not None
    seed = session.flags["seed"]
    if seed is None:
        # Evaluating again gives the same numbers again.
        progress = session.checkpoint.progress
        seed = json.loads(progress)["progress"]["seed"] if progress else 0
    parameters = {name: v.value() for name, v in session.variables.parameters.items()}
    return Evaluator(session.config, parameters, session.checkpoint.step, seed)


def _evaluate(
    session: Session,
    evaluator: Evaluator,
    dataset: int,
    split: Split,
    pass_numbers: Iterator[int],
    title: str,
    say: Say,
) -> dict[str, NDArray[np.float64]]:
    flags, config = session.flags, session.config
    num_trials = min(len(split), flags["ps_nexamples_to_process"])
    samples = flags["kind"] == "posterior_sample_and_average"
    num_at_once = flags["batch_size"]
    if samples:
        num_at_once = max(1, rows_per_pass(config) // flags["batch_size"])
    num_at_once = min(num_at_once, num_trials)
    parts: list[Averages] = []
    shown_at = time.monotonic()
    for begin in range(0, num_trials, num_at_once):
        batch = _padded(split, begin, min(begin + num_at_once, num_trials), num_at_once)
        number = next(pass_numbers)
        if samples:
            part = evaluator.sample_and_average(dataset, batch, flags["batch_size"], number)
        else:
            part = evaluator.push_mean(dataset, batch, number)
        size = min(num_at_once, num_trials - begin)
        parts.append(Averages(*(array[:size] for array in part)))
        if time.monotonic() - shown_at > _SECONDS_BETWEEN_LINES:
            say(f"{title}: {begin + size} of {num_trials} trials")
            shown_at = time.monotonic()
    names = Averages._fields
    arrays = {
        name: np.concatenate(values).astype(np.float64)
        for name, values in zip(names, zip(*parts, strict=True), strict=True)
    }
    if not config.has_controller:
        del arrays["controller_outputs"]
    assert session.checkpoint is not None
    arrays["train_steps"] = np.full(num_trials, session.checkpoint.step, np.float64)
    return arrays


def _padded(split: Split, begin: int, end: int, size: int) -> Batch:
    """Take trials, repeating the last to fill a whole batch, so that nothing is compiled anew."""
    return split.batch(np.minimum(np.arange(begin, begin + size), end - 1))


def _write(path: Path, arrays: Mapping[str, NDArray[np.float64]]) -> None:
    with written_aside(path) as aside, h5py.File(aside, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=np.asarray(values, np.float64), compression="gzip")
