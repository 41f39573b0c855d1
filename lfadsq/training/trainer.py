"""Training a model to the end (NUMERICS.md 9 and 10).

Where the original has faults, this does what one expects: a resumed training goes on with the
epoch, batch, cost history, lowest validation cost and random draws where it stopped, and
``fitlog.csv`` holds every epoch once; data without validation trials and data of exactly one batch
can be trained on; the model of the lowest validation cost is never replaced by a worse one.
"""

from __future__ import annotations

import logging
import math
import secrets
from dataclasses import replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.errors import DatasetError, NonFiniteCostError
from lfadsq.files import make_folder
from lfadsq.paths import OutputPaths
from lfadsq.training.batches import epoch_batches, jittered
from lfadsq.training.checkpoints import LOWEST_VALIDATION, ROLLING, Checkpoint, CheckpointStore
from lfadsq.training.data import Batch, Split, log_factorials
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption
from lfadsq.training.logs import (
    EpochReport,
    EventLog,
    FitLogFile,
    example_image,
    write_hyperparameters,
)
from lfadsq.training.progress import CostSums, TrainingProgress
from lfadsq.training.schedule import (
    decide_learning_rate,
    is_lowest_validation,
    should_save_rolling,
)
from lfadsq.training.session import Say, Session, open_session
from lfadsq.training.steps import BatchCosts, Example, ModelSteps

__all__ = ["STOP_LINE", "Trainer", "train"]

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
        Looked at after every batch.

    Returns
    -------
    int
        0 when training ended by itself; 128 plus the number of the signal that stopped it, after
        a checkpoint was written from which it goes on at the next batch.

    Raises
    ------
    DatasetError, ConfigError, CheckpointError
        If it cannot begin; nothing was written.
    NonFiniteCostError
        If the cost became not a number; the checkpoints before it are kept.
    StorageError
        If something cannot be written; the checkpoints before it are kept.
    """
    seed = secrets.randbelow(2**31) if flags["seed"] is None else flags["seed"]
    session = open_session(flags, seed)
    _check_batch_size(session)
    trainer = Trainer(session, _progress_of(session, seed), say, interruption)
    return trainer.run()


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


def _progress_of(session: Session, seed: int) -> TrainingProgress:
    checkpoint = session.checkpoint
    if checkpoint is None:
        return TrainingProgress(seed)
    if checkpoint.progress is None:
        # A checkpoint of the original trainer: its log tells the epoch.
        log = FitLogFile(OutputPaths(session.flags.save_dir).fit_log(session.flags["csv_log"]))
        log.drop_after(checkpoint.step)
        return TrainingProgress(seed, epoch=log.last_epoch() + 1)
    stored = TrainingProgress.from_json(checkpoint.progress)
    given = session.flags["seed"]
    progress = stored if given is None else replace(stored, seed=given)
    if progress.seed != stored.seed or _batches_differ(checkpoint, session):
        # The epoch in progress consisted of other batches, so it begins anew.
        progress = replace(progress, sums=CostSums())
    return progress


def _batches_differ(checkpoint: Checkpoint, session: Session) -> bool:
    recorded = session.recorded()
    names = ("batch_size", "dataset_names")
    return any(checkpoint.flags.get(name) != recorded[name] for name in names)


class Trainer:
    """One training in progress.

    Parameters
    ----------
    session : Session
    progress : TrainingProgress
    say, interruption
        See `train`.
    """

    def __init__(
        self, session: Session, progress: TrainingProgress, say: Say, interruption: Interruption
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
        self._steps = ModelSteps(session.config, session.variables, progress.seed)
        self._example: Example | None = None

    def run(self) -> int:
        """Train until the learning rate falls below ``learning_rate_stop`` (see `train`)."""
        variables = self._session.variables
        if self._flags["do_reset_learning_rate"]:
            variables.learning_rate.assign(self._flags["learning_rate_init"])
        if self._has_ended:
            self._say(STOP_LINE)
            return 0
        self._begin()
        events = EventLog(self._paths.log_dir, self._step)
        try:
            while True:
                if not self._train_epoch():
                    return self._stop()
                report = self._validate()
                if report is None:
                    return self._stop()
                self._finish_epoch(report, events)
                if self._has_ended:
                    self._say(STOP_LINE)
                    return 0
        finally:
            events.close()

    @property
    def _step(self) -> int:
        return int(self._session.variables.global_step.numpy())

    @property
    def _has_ended(self) -> bool:
        rate = float(self._session.variables.learning_rate.numpy())
        return bool(rate < self._flags["learning_rate_stop"])

    def _stream(self, *keys: int) -> np.random.Generator:
        return np.random.default_rng([self._progress.seed, *keys])

    def _begin(self) -> None:
        make_folder(self._flags.save_dir)
        self._fit_log.drop_after(self._step if self._session.checkpoint else -1)
        recorded = replace(self._session, flags=self._flags).recorded()
        write_hyperparameters(self._paths.hyperparameters(self._step), recorded)
        if self._session.checkpoint is not None:
            self._say(f"Resuming from {self._session.checkpoint.prefix.name}.")
        if not any(len(item.valid) for item in self._session.inputs):
            self._say("No validation trials: checkpoint_lve will not be written.")

    def _train_epoch(self) -> bool:
        """Train on the rest of the epoch's batches; tell whether it was finished."""
        progress, inputs = self._progress, self._session.inputs
        batches = epoch_batches(
            [len(item.train) for item in inputs],
            self._flags["batch_size"],
            self._stream(_BATCH_STREAM, progress.epoch),
        )
        for index in batches[progress.sums.num_batches :]:
            if self._interruption.signal_number is not None:
                return False
            batch = self._batch(
                inputs[index.dataset].train, index.trials, _JITTER_STREAM, self._step
            )
            costs = self._steps.train(index.dataset, batch)
            self._check_finite(costs, "training")
            progress.sums.add(**costs._asdict())
        return True

    def _validate(self) -> EpochReport | None:
        """Give the epoch's report; none if the process was asked to end."""
        progress, inputs = self._progress, self._session.inputs
        sums = CostSums()
        batches = epoch_batches(
            [len(item.valid) for item in inputs],
            self._flags["batch_size"],
            self._stream(_VALIDATION_STREAM, progress.epoch),
        )
        for number, index in enumerate(batches):
            if self._interruption.signal_number is not None:
                return None
            split = inputs[index.dataset].valid
            keys = (_VALIDATION_JITTER_STREAM, self._step, number)
            batch = self._batch(split, index.trials, *keys)
            costs, self._example = self._steps.validate(index.dataset, number, batch)
            self._check_finite(costs, "validation")
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

    def _check_finite(self, costs: BatchCosts, what: str) -> None:
        if not math.isfinite(costs.total):
            raise NonFiniteCostError(
                f"the {what} cost became {costs.total} in epoch {self._progress.epoch} at step "
                f"{self._step} (recon {costs.recon}, kl {costs.kl}, l2 {costs.l2})",
                "try a lower learning_rate_init or max_grad_norm, and look at the data for very "
                "large counts",
            )

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
        self._write_events(report, events, float(rate.numpy()))
        decision = decide_learning_rate(
            progress.history, report.total[0], flags["learning_rate_n_to_compare"]
        )
        progress.history.append(decision.stored_cost)
        if decision.decays:
            rate.assign(rate * flags["learning_rate_decay_factor"])
            self._say(f"     Decreasing learning rate to {float(rate.numpy()):f}.")
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
        recorded = replace(self._session, flags=self._flags).recorded()
        progress = self._progress.to_json(recorded)
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
        values.update(self._prior_of_inputs())
        events.scalars(report.step, values)
        if self._example is not None and should_save_rolling(report.epoch):
            rates = self._example.rates[:, : self._example.data.shape[1]]
            picture = example_image(self._example.data, rates, self._example.factors)
            png = tf.io.encode_png(picture[..., np.newaxis]).numpy()
            events.image(report.step, "LFADS/Example_trial", png, picture.shape)
        events.flush()

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
