"""Training a model to the end (NUMERICS.md 9 and 10).

Where the original has faults, this does what one expects: a resumed training goes on with the
epoch, batch, cost history, lowest validation cost and random draws where it stopped, and
``fitlog.csv`` holds every epoch once; data without validation trials and data of exactly one batch
can be trained on; the model of the lowest validation cost is never replaced by a worse one;
``do_reset_learning_rate`` resets it once, not again whenever that training is resumed.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfadsq.errors import ConfigError, DatasetError, NonFiniteCostError
from lfadsq.files import make_folder, remove_asides
from lfadsq.paths import OutputPaths
from lfadsq.training.batches import BatchIndex, epoch_batches, jittered
from lfadsq.training.checkpoints import (
    LOWEST_VALIDATION,
    ROLLING,
    CheckpointStore,
    newest_pointed,
)
from lfadsq.training.data import Batch, Split, log_factorials
from lfadsq.training.diagnosis import first_bad_quantity
from lfadsq.training.example_pictures import ExamplePictures
from lfadsq.training.example_trials import is_pictured, read_example_trials
from lfadsq.training.failure import FailedBatch, is_finite, not_finite_error
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption, StopRequested
from lfadsq.training.logs import (
    EpochReport,
    EventLog,
    FitLogFile,
    write_hyperparameters,
)
from lfadsq.training.progress import CostSums, TrainingProgress
from lfadsq.training.provenance import ProvenanceRecord, describe_device
from lfadsq.training.reporter import Reporter
from lfadsq.training.resumption import goes_on_after_reset, progress_to_go_on_from
from lfadsq.training.schedule import (
    decide_learning_rate,
    is_lowest_validation,
    should_save_rolling,
)
from lfadsq.training.seeds import training_seed, validation_seed
from lfadsq.training.session import Say, Session, open_session
from lfadsq.training.status import TrainingState
from lfadsq.training.steps import BatchCosts, ModelSteps, Steps

__all__ = ["STOP_LINE", "Trainer", "open_training", "train"]

logger = logging.getLogger(__name__)

STOP_LINE = "Stopping optimization based on learning rate criteria."
"""What queues of earlier versions look for: never change it."""

_BATCH_STREAM, _VALIDATION_STREAM, _JITTER_STREAM, _VALIDATION_JITTER_STREAM = range(4)


def train(flags: TrainerFlags, say: Say, interruption: Interruption) -> int:
    """Train a model from the start or from its checkpoint.

    Parameters
    ----------
    flags : TrainerFlags
    say : callable
        Is given every line meant for standard output.
    interruption : Interruption
        Looked at after every batch; what takes longer is left when it comes.

    Returns
    -------
    int
        0 when training ended by itself; 128 plus the number of the signal that stopped it, after
        a checkpoint was written from which it goes on at the next batch. Before the first batch
        nothing is written then.

    Raises
    ------
    DatasetError, ConfigError, CheckpointError
        If it cannot begin; nothing was written.
    NonFiniteCostError
        If the cost or its gradient became infinite or not a number: the parameters were not
        changed by that batch, and the checkpoints before it are kept.
    StorageError
        If something cannot be written; the checkpoints before it are kept.
    """
    seed = secrets.randbelow(2**31) if flags["seed"] is None else flags["seed"]
    try:
        with interruption.may_leave():
            session, progress = open_training(flags, seed)
    except StopRequested:
        assert interruption.signal_number is not None
        say(f"Stopped by signal {interruption.signal_number} before training began.")
        return 128 + interruption.signal_number
    trainer = Trainer(session, progress, say, interruption)
    return trainer.run()


def open_training(flags: TrainerFlags, seed: int) -> tuple[Session, TrainingProgress]:
    """Make ready what a training begins or goes on from.

    Parameters
    ----------
    flags : TrainerFlags
    seed : int
        Where the flags give none and there is no checkpoint.

    Raises
    ------
    DatasetError, ConfigError, CheckpointError
        If it cannot begin; nothing was written.
    """
    session = open_session(flags, seed)
    _check_batch_size(session)
    if not session.variables.trained:
        raise ConfigError(
            "do_train_io_only leaves nothing to train: read-in and read-out are identities where "
            "there are as many factors as channels",
            "set --do_train_io_only=false, or another --factors_dim",
        )
    return session, progress_to_go_on_from(session, seed)


def _check_batch_size(session: Session) -> None:
    batch_size = session.flags["batch_size"]
    for item in session.inputs:
        if not len(item.train):
            raise DatasetError(f"{item.name} has no trials to train on", "prepare it again")
        largest = min(len(split) for _, split in item.splits() if len(split))
        for name, split in item.splits():
            if 0 < len(split) < batch_size:
                raise DatasetError(
                    f"{item.name} has {len(split)} {name} trials, fewer than the batch_size "
                    f"{batch_size}",
                    f"set --batch_size={largest} or less, or add trials",
                )


class Trainer:
    """One training in progress.

    Parameters
    ----------
    session : Session
    progress : TrainingProgress
    say, interruption
        See `train`.
    steps : Steps, optional
        What computes; by default this model alone.
    """

    def __init__(
        self,
        session: Session,
        progress: TrainingProgress,
        say: Say,
        interruption: Interruption,
        steps: Steps | None = None,
    ) -> None:
        self._session = session
        self._flags = replace(session.flags, values={**session.flags.values, "seed": progress.seed})
        self._progress = progress
        self._say = say
        self._interruption = interruption
        self._paths = OutputPaths(self._flags.save_dir)
        self._fit_log = FitLogFile(self._paths.fit_log(self._flags["csv_log"]))
        stem, folder = self._flags["checkpoint_name"], self._flags.save_dir
        self._rolling = CheckpointStore(folder, ROLLING, stem, self._flags["max_ckpt_to_keep"])
        self._lowest = CheckpointStore(
            folder, LOWEST_VALIDATION, f"{stem}_lve", self._flags["max_ckpt_to_keep_lve"]
        )
        self._steps = steps or ModelSteps(session.config, session.variables, progress.seed)
        self._built: set[int] = set()
        self._reporter = Reporter(self._flags, self._paths.progress, say)
        self._provenance = ProvenanceRecord(self._paths.provenance)

    def run(self) -> int:
        """Train until the learning rate falls below ``learning_rate_stop`` (see `train`)."""
        if self._flags["do_reset_learning_rate"] and not self._goes_on_after_reset:
            self._session.variables.learning_rate.assign(self._flags["learning_rate_init"])
        if self._has_ended:
            self._reporter.ended_before(self._progress, self._step, self._learning_rate)
            self._say(STOP_LINE)
            return 0
        state = TrainingState.FAILED
        self._begin()
        try:
            status = self._run()
            state = TrainingState.STOPPED if status else TrainingState.FINISHED
            return status
        finally:
            self._provenance.end(completely=state is TrainingState.FINISHED)
            self._reporter.end(state, self._step)

    def _run(self) -> int:
        events = EventLog(self._paths.log_dir, self._reported_step + 1)
        pictures = ExamplePictures(
            read_example_trials(self._flags, self._session.inputs[0]),
            self._steps,
            self._flags["batch_size"],
            events,
        )
        try:
            while True:
                is_whole = self._progress.sums.num_batches == 0
                self._reporter.pace.begin_epoch()
                try:
                    self._train_epoch()
                    with self._interruption.may_leave():
                        report = self._validate()
                except StopRequested:
                    return self._stop()
                self._finish_epoch(report, events)
                self._reporter.pace.end_epoch(is_whole=is_whole)
                self._reporter.epoch(report, self._progress, self._learning_rate)
                if self._has_ended or is_pictured(report.epoch):
                    pictures.show(report.epoch, report.step)
                if self._has_ended:
                    pictures.wait()
                    self._say(STOP_LINE)
                    return 0
        finally:
            pictures.close()
            events.close()

    @property
    def _step(self) -> int:
        return int(self._session.variables.global_step.numpy())

    @property
    def _reported_step(self) -> int:
        """The last step at which an epoch may have been reported for good.

        A training that was stopped in validation reports its epoch at the step it resumes from:
        what a process has reported there that was killed later is reported once more.
        """
        return self._step - (1 if self._progress.sums.num_batches else 0)

    @property
    def _learning_rate(self) -> float:
        return float(self._session.variables.learning_rate.numpy())

    @property
    def _has_ended(self) -> bool:
        return bool(self._learning_rate < self._flags["learning_rate_stop"])

    @property
    def _goes_on_after_reset(self) -> bool:
        return goes_on_after_reset(self._session.checkpoint) and not self._has_ended

    def _recorded(self) -> dict[str, Any]:
        return replace(self._session, flags=self._flags).recorded()

    def _stream(self, *keys: int) -> np.random.Generator:
        return np.random.default_rng([self._progress.seed, *keys])

    def _begin(self) -> None:
        folder = make_folder(self._flags.save_dir)
        paths = self._paths
        fit_log, record = paths.fit_log(self._flags["csv_log"]), paths.hyperparameters(self._step)
        pointers = folder / ROLLING, folder / LOWEST_VALIDATION
        remove_asides(*pointers, fit_log, record, paths.progress, paths.provenance)
        self._fit_log.drop_after(self._reported_step if self._session.checkpoint else -1)
        write_hyperparameters(record, self._recorded())
        self._provenance.begin(
            step=self._step,
            device=describe_device(self._session.variables.learning_rate.device),
            flags=self._recorded(),
            files=[item.path for item in self._session.inputs],
        )
        self._reporter.begin(self._progress, self._step, self._learning_rate)
        if self._session.checkpoint is not None:
            self._say(f"Resuming from {self._session.checkpoint.prefix.name}.")
        if not any(len(item.valid) for item in self._session.inputs):
            self._say("No validation trials: checkpoint_lve will not be written.")

    def _train_epoch(self) -> None:
        """Train on the rest of the epoch's batches."""
        progress, inputs = self._progress, self._session.inputs
        batches = epoch_batches(
            [len(item.train) for item in inputs],
            self._flags["batch_size"],
            self._stream(_BATCH_STREAM, progress.epoch),
        )
        for number in range(progress.sums.num_batches, len(batches)):
            self._interruption.leave_if_asked()
            index, step = batches[number], self._step
            batch = self._batch(inputs[index.dataset].train, index.trials, _JITTER_STREAM, step)
            began_s = time.perf_counter()
            costs = self._train_batch(index.dataset, batch)
            self._reporter.pace.time_batch(
                ("train", index.dataset), time.perf_counter() - began_s, trains=True
            )
            if not is_finite(costs, trains=True):
                raise self._not_finite(costs, batch, index, number, step, trains=True)
            progress.sums.add(**costs._asdict())

    def _train_batch(self, dataset: int, batch: Batch) -> BatchCosts:
        """Take one step; the first of a dataset may be left, as building its graph takes long."""
        if dataset in self._built:
            return self._steps.train(dataset, batch)
        variables = self._session.variables.on_disk()
        before = {name: variable.numpy() for name, variable in variables.items()}
        try:
            with self._interruption.may_leave():
                costs = self._steps.train(dataset, batch)
        except StopRequested:
            # The step may have been taken, but its costs are lost.
            for name, variable in variables.items():
                variable.assign(before[name])
            raise
        self._built.add(dataset)
        return costs

    def _validate(self) -> EpochReport:
        """Give the epoch's report."""
        progress, inputs = self._progress, self._session.inputs
        sums = CostSums()
        batches = epoch_batches(
            [len(item.valid) for item in inputs],
            self._flags["batch_size"],
            self._stream(_VALIDATION_STREAM, progress.epoch),
        )
        step = self._step
        for number, index in enumerate(batches):
            self._interruption.leave_if_asked()
            split = inputs[index.dataset].valid
            batch = self._batch(split, index.trials, _VALIDATION_JITTER_STREAM, step, number)
            began_s = time.perf_counter()
            costs = self._steps.validate(index.dataset, number, batch)
            self._reporter.pace.time_batch(
                ("valid", index.dataset), time.perf_counter() - began_s, trains=False
            )
            if not is_finite(costs, trains=False):
                raise self._not_finite(costs, batch, index, number, step, trains=False)
            sums.add(**costs._asdict())
        trained = progress.sums
        return EpochReport(
            progress.epoch,
            self._step,
            (trained.mean("total"), sums.mean("total")),
            (trained.mean("recon"), sums.mean("recon")),
            (trained.mean("kl"), sums.mean("kl")),
            trained.mean("l2"),
            trained.kl_weight,
            trained.l2_weight,
        )

    def _batch(self, split: Split, trials: NDArray[np.int64], *jitter_keys: int) -> Batch:
        batch = split.batch(trials)
        width = self._flags["temporal_spike_jitter_width"]
        if not width:
            return batch
        data = jittered(batch.data, width, self._stream(*jitter_keys))
        return Batch(data, batch.ext_input, log_factorials(data, is_poisson=True))

    def _not_finite(
        self,
        costs: BatchCosts,
        batch: Batch,
        index: BatchIndex,
        number: int,
        step: int,
        *,
        trains: bool,
    ) -> NonFiniteCostError:
        variables, config = self._session.variables, self._session.config
        if trains:
            seed = training_seed(self._progress.seed, step)
        else:
            seed = validation_seed(self._progress.seed, step, number)
        self._steps.settle()
        finding = first_bad_quantity(
            config,
            variables.parameters,
            list(variables.trained),
            config.datasets[index.dataset],
            batch,
            seed,
            step,
            trains=trains,
        )
        file = self._session.inputs[index.dataset].path
        failed = FailedBatch(self._progress.epoch, number, step, trains, file, index.trials)
        pointer = self._flags.save_dir / self._flags["checkpoint_pb_load_name"]
        return not_finite_error(failed, costs, finding, newest_pointed(pointer))

    def _finish_epoch(self, report: EpochReport, events: EventLog) -> None:
        progress, flags = self._progress, self._flags
        self._say(report.text())
        has_l2 = flags["l2_gen_scale"] > 0 or flags["l2_con_scale"] > 0
        is_lowest = is_lowest_validation(
            report.epoch,
            report.total[1],
            progress.lowest_valid_total,
            report.kl_weight,
            report.l2_weight,
            has_l2=has_l2,
        )
        if is_lowest:
            progress.lowest_valid_total = report.total[1]
        rate = self._session.variables.learning_rate
        self._write_events(report, events, self._learning_rate)
        decision = decide_learning_rate(
            progress.history, report.total[0], flags["learning_rate_n_to_compare"]
        )
        progress.history.append(decision.stored_cost)
        if decision.decays:
            rate.assign(rate * flags["learning_rate_decay_factor"])
            self._say(f"     Decreasing learning rate to {self._learning_rate:f}.")
        progress.sums = CostSums()
        progress.epoch += 1
        # The log comes first: lines without their checkpoint are dropped on resuming, but a line
        # that was never written would be lost.
        self._fit_log.append(report)
        if is_lowest:
            self._save(self._lowest)
        if should_save_rolling(report.epoch) or self._has_ended:
            self._save(self._rolling)

    def _stop(self) -> int:
        number = self._interruption.signal_number
        assert number is not None
        path = self._save(self._rolling)
        self._say(f"Stopped by signal {number}; training goes on from {path}.")
        return 128 + number

    def _save(self, store: CheckpointStore) -> str:
        # A checkpoint that outlives a loss of power must not leave the log behind.
        self._fit_log.sync()
        self._steps.settle()
        progress = self._progress.to_json(self._recorded())
        return store.save(self._step, self._session.variables.on_disk(), progress).name

    def _write_events(self, report: EpochReport, events: EventLog, learning_rate: float) -> None:
        sums = self._progress.sums
        values = {
            "LFADS/L2_cost": report.l2,
            "LFADS/Learning_rate": learning_rate,
            "LFADS/KL_weight": report.kl_weight,
            "LFADS/L2_weight": report.l2_weight,
            "LFADS/Corr_cost": sums.mean("corr"),
            "LFADS/Gradient_global_norm": sums.mean("grad_norm"),
        }
        pairs = {"Total": report.total, "Reconstruction": report.recon, "KL": report.kl}
        for name, (trained, valid) in pairs.items():
            values[f"LFADS/{name}_cost__train_"] = trained
            if not math.isnan(valid):
                values[f"LFADS/{name}_cost__valid_"] = valid
        self._steps.settle()
        values.update(self._prior_of_inputs())
        events.scalars(report.step, values)

    def _prior_of_inputs(self) -> dict[str, float]:
        config, parameters = self._session.config, self._session.variables.parameters
        if not config.has_controller:
            return {}
        taus = np.exp(parameters["LFADS/z/u_prior_ar1/logatau"].numpy()[0])
        noise = np.exp(parameters["LFADS/z/u_prior_ar1/logevars"].numpy()[0])
        variances = noise / (1.0 - np.exp(-2.0 / taus))
        values = {}
        for c, (tau, variance) in enumerate(zip(taus, variances, strict=True)):
            values[f"LFADS/AR_Autocorrelation_taus_{c}"] = float(tau)
            values[f"LFADS/AR_Variances_{c}"] = float(variance)
        return values
