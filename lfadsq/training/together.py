"""Training several runs in one process, each with its own schedule, checkpoints, logs and outputs.

Every run is an ordinary `Trainer` in a thread of its own. On a GPU their steps meet: each waits
until all have a batch, and one of them computes all (`JointSteps`). On a CPU, where that would be
slower, they compute side by side.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lfadsq.errors import ConfigError, LfadsqError
from lfadsq.training.data import Batch
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption, StopRequested
from lfadsq.training.joint_steps import JointSteps, RunOfMany, Validated
from lfadsq.training.seeds import EXAMPLE_STREAM, validation_stream
from lfadsq.training.session import Say
from lfadsq.training.steps import BatchCosts, Example, ModelSteps, Steps
from lfadsq.training.trainer import Trainer, open_training

__all__ = ["DIFFERING_FLAGS", "Outcome", "check_alike", "train_together"]

DIFFERING_FLAGS = frozenset(
    {
        "data_dir",
        "lfads_save_dir",
        "model_params",
        "seed",
        "learning_rate_init",
        "learning_rate_decay_factor",
        "learning_rate_stop",
        "learning_rate_n_to_compare",
        "do_reset_learning_rate",
        "max_grad_norm",
        "keep_prob",
        "temporal_spike_jitter_width",
        "l2_gen_scale",
        "l2_con_scale",
        "l2_start_step",
        "l2_increase_steps",
        "kl_ic_weight",
        "kl_co_weight",
        "kl_start_step",
        "kl_increase_steps",
        "co_mean_corr_scale",
        "cell_weight_scale",
        "gen_cell_input_weight_scale",
        "gen_cell_rec_weight_scale",
        "ic_prior_var_scale",
        "prior_ar_atau",
        "prior_ar_nvar",
        "checkpoint_pb_load_name",
        "checkpoint_name",
        "csv_log",
        "output_filename_stem",
        "max_ckpt_to_keep",
        "max_ckpt_to_keep_lve",
        "ps_nexamples_to_process",
    }
)
"""Flags that may differ between runs that are trained together."""


class Outcome(NamedTuple):
    """How the training of one run ended.

    Attributes
    ----------
    name : str
    status : int
        As `trainer.train` gives it; 1 after an error.
    error : LfadsqError, optional
    """

    name: str
    status: int
    error: LfadsqError | None


def check_alike(runs: Sequence[tuple[str, TrainerFlags]]) -> None:
    """See that runs can be trained together.

    Parameters
    ----------
    runs : sequence of (name, TrainerFlags)

    Raises
    ------
    ConfigError
        Naming the flags in which they differ but must not, or folders given twice.
    """
    folders = [flags.save_dir.resolve() for _, flags in runs]
    if len(set(folders)) < len(folders):
        raise ConfigError("a run is given twice", "name each run once")
    first_name, first = runs[0]
    faults = []
    for name, flags in runs[1:]:
        differing = [
            flag
            for flag, value in flags.values.items()
            if flag not in DIFFERING_FLAGS and value != first[flag]
        ]
        faults += [
            f"{flag} is {first[flag]} in {first_name}, but {flags[flag]} in {name}"
            for flag in differing
        ]
    if faults:
        raise ConfigError(
            "these runs cannot be trained together: " + "; ".join(faults),
            "leave out the runs that differ so, or train them by themselves",
        )


def train_together(
    runs: Sequence[tuple[str, TrainerFlags]],
    say: Say,
    interruption: Interruption,
    *,
    device: str,
    stacked: bool,
) -> list[Outcome]:
    """Train runs that may differ in `DIFFERING_FLAGS`, numerically each as by itself.

    Parameters
    ----------
    runs : sequence of (name, TrainerFlags)
    say : callable
        Is given every line, after the name of its run.
    interruption : Interruption
        Stops all; each writes its checkpoint.
    device : str
        For `tf.device`.
    stacked : bool
        Compute the steps of all runs as one, as is fast on a GPU.

    Returns
    -------
    list of Outcome
        In the order of the runs. An error of one run leaves the others to go on.

    Raises
    ------
    DatasetError, ConfigError, CheckpointError
        If one of them cannot begin; nothing was written.
    """
    check_alike(runs)
    names = [name for name, _ in runs]
    opened = []
    try:
        with interruption.may_leave():
            for name, flags in runs:
                seed = secrets.randbelow(2**31) if flags["seed"] is None else flags["seed"]
                with _naming(name):
                    opened.append(open_training(flags, seed))
    except StopRequested:
        assert interruption.signal_number is not None
        say(f"Stopped by signal {interruption.signal_number} before training began.")
        return [Outcome(name, 128 + interruption.signal_number, None) for name in names]
    every = [
        RunOfMany(session.config, session.variables, progress.seed) for session, progress in opened
    ]
    _check_shapes(names, every)
    meeting = _Meeting(JointSteps(every), len(every)) if stacked else None
    outcomes = [Outcome(name, 1, None) for name in names]
    errors: list[BaseException] = []

    def train(index: int) -> None:
        name, run, (session, progress) = names[index], every[index], opened[index]
        steps: Steps = (
            ModelSteps(run.config, run.variables, run.seed)
            if meeting is None
            else _Seat(meeting, index)
        )

        def say_named(line: str) -> None:
            say(f"[{name}] {line}")

        try:
            with tf.device(device):
                trainer = Trainer(session, progress, say_named, interruption.for_thread(), steps)
                outcomes[index] = Outcome(name, trainer.run(), None)
        except LfadsqError as error:
            outcomes[index] = Outcome(name, 1, error)
            say_named(f"failed: {error}")
        except BaseException as error:
            errors.append(error)
        finally:
            if meeting is not None:
                meeting.leave(index)

    threads = [
        Thread(target=train, args=(i,), name=f"train {name}") for i, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # Signals reach the main thread between waits.
        while thread.is_alive():
            thread.join(0.2)
    if errors:
        raise errors[0]
    return outcomes


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except LfadsqError as error:
        raise type(error)(f"{name}: {error.problem}", error.remedy) from error


def _check_shapes(names: Sequence[str], runs: Sequence[RunOfMany]) -> None:
    """See that the models have the same shapes, which follow from the data as well."""
    first = runs[0].config
    for name, run in zip(names, runs, strict=True):
        ours = [(d.name, d.num_channels, d.has_alignment) for d in run.config.datasets]
        theirs = [(d.name, d.num_channels, d.has_alignment) for d in first.datasets]
        if ours != theirs or run.config.num_steps != first.num_steps:
            raise ConfigError(
                f"{name} has other datasets, channels or time bins than {names[0]}",
                "train together only runs on data of the same shape",
            )
        if set(run.variables.adam.first) != set(runs[0].variables.adam.first):
            raise ConfigError(
                f"{name} trains other parameters than {names[0]}", "train it by itself"
            )


class _Request(NamedTuple):
    kind: str
    dataset: int
    stream: int
    batch: Batch

    @property
    def group(self) -> tuple[str, int, int]:
        """Requests of one group can be computed at once."""
        return self.kind, self.dataset, len(self.batch.data)


class _Meeting:
    """Where the runs that still train wait for one another."""

    def __init__(self, steps: JointSteps, num_runs: int) -> None:
        self.steps = steps
        self._num_runs = num_runs
        self._there = set(range(num_runs))
        self._requests: dict[int, _Request] = {}
        self._answers: dict[int, Callable[[], Any]] = {}
        self._changed = Condition()

    def compute(self, run: int, request: _Request) -> Any:
        """Give the answer to a run's request once all others have one too."""
        with self._changed:
            self._requests[run] = request
            self._answer_if_complete()
            self._changed.wait_for(lambda: run in self._answers)
            return self._answers.pop(run)()

    def leave(self, run: int) -> None:
        """Let the others go on without a run that has ended."""
        with self._changed:
            self._there.discard(run)
            self._answer_if_complete()

    def _answer_if_complete(self) -> None:
        if not self._there or set(self._requests) < self._there:
            return
        requests, self._requests = self._requests, {}
        for group in dict.fromkeys(request.group for request in requests.values()):
            members = {run: r for run, r in requests.items() if r.group == group}
            try:
                results = self._computed(group[0], members)
                self._answers.update({run: _giving(result) for run, result in results.items()})
            except Exception as error:
                self._answers.update(dict.fromkeys(members, _raising(error)))
        self._changed.notify_all()

    def _computed(self, kind: str, members: dict[int, _Request]) -> dict[int, Any]:
        batches = [members[r].batch if r in members else None for r in range(self._num_runs)]
        dataset = next(iter(members.values())).dataset
        results: Sequence[Any]
        if kind == "train":
            results = self.steps.train(dataset, batches)
        else:
            streams = [members[r].stream if r in members else 0 for r in range(self._num_runs)]
            results = self.steps.validate(dataset, streams, batches)
        return {run: results[run] for run in members}


def _giving(result: Any) -> Callable[[], Any]:
    return lambda: result


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


class _Seat:
    """The steps of one run at a meeting, as its trainer sees them."""

    def __init__(self, meeting: _Meeting, run: int) -> None:
        self._meeting = meeting
        self._run = run

    def train(self, dataset: int, batch: Batch) -> BatchCosts:
        """Update the run (see `ModelSteps.train`)."""
        costs: BatchCosts = self._meeting.compute(self._run, _Request("train", dataset, 0, batch))
        return costs

    def validate(self, dataset: int, index: int, batch: Batch) -> BatchCosts:
        """Give the costs of a validation batch (see `ModelSteps.validate`)."""
        return self._evaluated(dataset, validation_stream(index), batch).costs

    def posterior_means(self, dataset: int, trial: Batch, num_samples: int) -> Example:
        """Average samples of the posterior of one trial (see `ModelSteps.posterior_means`)."""
        copies = Batch(*(np.repeat(values, num_samples, axis=0) for values in trial))
        return self._evaluated(dataset, EXAMPLE_STREAM, copies).means

    def settle(self) -> None:
        """Bring the run's variables up to date."""
        self._meeting.steps.settle(self._run)

    def _evaluated(self, dataset: int, stream: int, batch: Batch) -> Validated:
        request = _Request("evaluate", dataset, stream, batch)
        result: Validated = self._meeting.compute(self._run, request)
        return result
