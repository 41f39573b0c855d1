"""Posterior means of many trials: portion by portion, into memory or a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.errors import TrainingError
from lfadsq.model.config import ModelConfig
from lfadsq.model.network import Encoding, Parameters
from lfadsq.texts import duration_text
from lfadsq.training.data import Split
from lfadsq.training.evaluation import Averages, Evaluator
from lfadsq.training.interruption import Interruption
from lfadsq.training.portions import Portions, choose_portions, memory_for_pass
from lfadsq.training.posterior_file import PosteriorFile, fingerprint, is_complete
from lfadsq.training.session import Say

__all__ = ["PUSH_MEAN", "SAMPLE", "Posterior", "Trials", "compute", "write"]

logger = logging.getLogger(__name__)

SAMPLE = "posterior_sample_and_average"
PUSH_MEAN = "posterior_push_mean"

_LINE_INTERVAL_S = 5.0


@dataclass(frozen=True)
class Posterior:
    """Of which model the posterior is, and how its means are computed.

    Attributes
    ----------
    config : ModelConfig
        Without dropout.
    parameters : mapping of str to tf.Tensor
    step : int
        Updates the model was trained for.
    seed : int
    kind : {"posterior_sample_and_average", "posterior_push_mean"}
    batch_size : int
        Samples of each trial, or trials that are pushed through at a time.
    """

    config: ModelConfig
    parameters: Parameters
    step: int
    seed: int
    kind: str
    batch_size: int

    @property
    def num_samples(self) -> int:
        """Samples of each trial."""
        return self.batch_size if self.kind == SAMPLE else 1

    @cached_property
    def evaluator(self) -> Evaluator:
        """What computes them; compiled once for all trials."""
        return Evaluator(self.config, self.parameters, self.step, self.seed)

    def portions(self, num_trials: int) -> Portions:
        """Choose what is computed at once."""
        if self.kind == PUSH_MEAN:
            num_trials = min(num_trials, self.batch_size)
        return choose_portions(self.config, num_trials, self.num_samples, memory_for_pass())


@dataclass(frozen=True)
class Trials:
    """Trials whose posterior means are wanted.

    Attributes
    ----------
    dataset : int
        Of the model: whose read-in and read-out to use.
    split : Split
    numbers : ndarray, shape (trial,), int64
        The number of each, which its random draws follow from.
    title : str
        For people.
    """

    dataset: int
    split: Split
    numbers: NDArray[np.int64]
    title: str


def compute(posterior: Posterior, trials: Trials, say: Say) -> Averages:
    """Compute posterior means into memory.

    Raises
    ------
    TrainingError
        If the device has too little memory even for one sample of one trial.
    """
    portions = posterior.portions(len(trials.split))
    progress = _ProgressLines(trials.title, 0, len(trials.split), say)
    parts = []
    for part in _averages(posterior, trials, portions, 0):
        parts.append(part)
        progress.add(len(part.costs))
    return Averages(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def write(
    posterior: Posterior, trials: Trials, path: Path, say: Say, interruption: Interruption
) -> None:
    """Compute posterior means into a file.

    What is computed is on the disk some seconds later: the same call goes on from there, and
    does nothing if the file is complete already.

    Parameters
    ----------
    posterior : Posterior
    trials : Trials
        At least one.
    path : Path
        Appears when it is complete. Its folder must exist.
    say : callable
    interruption : Interruption
        A request to stop is followed at once.

    Raises
    ------
    StopRequested
        If asked to end.
    RunError
        If another process computes the same file.
    StorageError
        If it cannot be written.
    TrainingError
        As for `compute`.
    """
    print_of_all = _fingerprint(posterior, trials)
    if is_complete(path, print_of_all):
        say(f"Complete already: {path}")
        return
    num_trials = len(trials.split)
    with PosteriorFile(path, print_of_all, posterior.portions(num_trials)) as results:
        done = results.num_trials
        if done:
            say(f"{trials.title}: going on after {done} of {num_trials} trials")
        progress = _ProgressLines(trials.title, done, num_trials, say)
        for part in _averages(posterior, trials, Portions(*results.portions), done):
            interruption.leave_if_asked()
            arrays: dict[str, NDArray[Any]] = part._asdict()
            if not posterior.config.has_controller:
                del arrays["controller_outputs"]
            arrays["train_steps"] = np.full(len(part.costs), posterior.step)
            results.add(arrays)
            progress.add(len(part.costs))
        results.finish()
    say(f"Wrote {path}")


def _fingerprint(posterior: Posterior, trials: Trials) -> str:
    names = sorted(posterior.parameters)
    weights = [np.asarray(posterior.parameters[name]) for name in names]
    described = (
        posterior.config,
        posterior.step,
        posterior.seed,
        posterior.kind,
        posterior.batch_size,
        trials.dataset,
        names,
    )
    return fingerprint(
        described, [*weights, trials.split.data, trials.split.ext_input, trials.numbers]
    )


def _averages(
    posterior: Posterior, trials: Trials, portions: Portions, begin: int
) -> Iterator[Averages]:
    """Give the averages of the trials from `begin` on, some at a time."""
    evaluator = posterior.evaluator
    while begin < len(trials.split):
        group = begin // portions.encoded * portions.encoded
        try:
            for part in _averages_of_group(evaluator, posterior, trials, portions, group, begin):
                yield part
                begin += len(part.costs)
        except tf.errors.ResourceExhaustedError as error:
            smaller = portions.halved()
            if smaller is None:
                raise TrainingError(
                    f"{trials.title}: too little memory for one sample of one trial",
                    "free some, or use another device (--device=/cpu:0)",
                ) from error
            logger.warning("too little memory for %s, going on with %s", portions, smaller)
            portions = smaller


def _averages_of_group(
    evaluator: Evaluator,
    posterior: Posterior,
    trials: Trials,
    portions: Portions,
    group: int,
    begin: int,
) -> Iterator[Averages]:
    """Give the averages of the trials from `begin` on that are encoded from `group` on."""
    end = min(group + portions.encoded, len(trials.split))
    # Missing trials repeat the last, so that nothing is compiled anew.
    members = np.minimum(np.arange(group, group + portions.encoded), end - 1)
    encoding = evaluator.encode(trials.dataset, trials.split.batch(members))
    while begin < end:
        size = min(portions.trials, end - begin)
        chosen = np.minimum(np.arange(begin, begin + portions.trials), end - 1)
        batch, numbers = trials.split.batch(chosen), trials.numbers[chosen]
        part = _of_trials(encoding, chosen - group)
        if posterior.kind == SAMPLE:
            averages = evaluator.sample_and_average(
                trials.dataset, part, batch, numbers, posterior.num_samples, portions.samples
            )
        else:
            averages = evaluator.push_mean(trials.dataset, part, batch, numbers)
        yield Averages(*(array[:size] for array in averages))
        begin += size


def _of_trials(encoding: Encoding, chosen: NDArray[np.int64]) -> Encoding:
    axes = (0, 0, 0, 0, 1)
    return Encoding(
        *(tf.gather(t, chosen, axis=axis) for t, axis in zip(encoding, axes, strict=True))
    )


class _ProgressLines:
    """Says some times a minute how far it is and how long it will take."""

    def __init__(self, title: str, done: int, total: int, say: Say) -> None:
        self._title, self._begun, self._total, self._say = title, done, total, say
        self._done = done
        self._begun_at = self._said_at = time.monotonic()

    def add(self, num_trials: int) -> None:
        self._done += num_trials
        now = time.monotonic()
        if now - self._said_at < _LINE_INTERVAL_S or self._done == self._total:
            return
        self._said_at = now
        per_s = (self._done - self._begun) / (now - self._begun_at)
        left = duration_text((self._total - self._done) / per_s)
        done = f"{self._done} of {self._total} trials"
        self._say(f"{self._title}: {done}, {per_s:.3g} trials/s, {left} left")
