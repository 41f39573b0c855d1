"""Telling people and programs how far training is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lfadsq.errors import StorageError
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.logs import EpochReport
from lfadsq.training.pace import Outlook, Pace, outlook, pace_line
from lfadsq.training.progress import TrainingProgress
from lfadsq.training.session import Say
from lfadsq.training.status import StatusFile, TrainingState, TrainingStatus, read_status

__all__ = ["Reporter"]


class Reporter:
    """Reports on one training: the lines of an epoch, and ``progress.json``.

    Parameters
    ----------
    flags : TrainerFlags
    path : Path
        ``progress.json``.
    say : callable
        Is given every line meant for standard output.

    Attributes
    ----------
    pace : Pace
        To be told of every batch and epoch.
    """

    def __init__(self, flags: TrainerFlags, path: Path, say: Say) -> None:
        self.pace = Pace()
        self._flags = flags
        self._path = path
        self._file = StatusFile(path)
        self._say = say
        self._last: TrainingStatus | None = None

    def begin(self, progress: TrainingProgress, step: int, learning_rate: float) -> None:
        """Report that a process begins or goes on.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        left = self._outlook(progress, learning_rate)
        here = TrainingStatus(TrainingState.TRAINING, progress.epoch, step, learning_rate)
        before = read_status(self._path) if progress.epoch else None
        if before is not None and before.num_epochs == progress.epoch:
            here = replace(before, state=TrainingState.TRAINING, step=step)
        self._last = replace(
            here,
            learning_rate=learning_rate,
            drops_left=left.drops,
            epochs_left=left.epochs,
            is_lower_bound=left.is_lower_bound,
        )
        self._file.write(self._last)

    def epoch(self, report: EpochReport, progress: TrainingProgress, learning_rate: float) -> None:
        """Report an epoch, once it is in the history.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        left = self._outlook(progress, learning_rate)
        steps_per_s, epoch_s = self.pace.steps_per_s, self.pace.epoch_s
        num_epochs = report.epoch + 1
        self._last = TrainingStatus(
            TrainingState.TRAINING,
            num_epochs,
            report.step,
            learning_rate,
            total=report.total,
            recon=report.recon,
            kl=report.kl,
            l2=report.l2,
            kl_weight=report.kl_weight,
            l2_weight=report.l2_weight,
            lowest_valid_total=progress.lowest_valid_total,
            steps_per_s=steps_per_s,
            epoch_s=epoch_s,
            drops_left=left.drops,
            epochs_left=left.epochs,
            remaining_s=None if epoch_s is None else left.epochs * epoch_s,
            is_lower_bound=left.is_lower_bound,
        )
        self._file.write(self._last)
        if left.drops and epoch_s is not None:
            self._say(pace_line(num_epochs, learning_rate, left, steps_per_s, epoch_s))

    def end(self, state: TrainingState, step: int) -> None:
        """Report that this process trains no longer.

        What cannot be written is left out: whatever ended the training is the news.
        """
        if self._last is not None:
            with suppress(StorageError):
                self._file.write(replace(self._last, state=state, step=step))

    def ended_before(self, progress: TrainingProgress, step: int, learning_rate: float) -> None:
        """Report a training that had ended, where its last process was killed before it could.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        before = read_status(self._path)
        if before is None or before.state is TrainingState.FINISHED:
            return
        status = TrainingStatus(TrainingState.FINISHED, progress.epoch, step, learning_rate)
        if before.num_epochs == progress.epoch:
            status = replace(before, state=TrainingState.FINISHED)
        self._file.write(status)

    def _outlook(self, progress: TrainingProgress, learning_rate: float) -> Outlook:
        flags = self._flags
        return outlook(
            progress.history,
            learning_rate,
            n_to_compare=flags["learning_rate_n_to_compare"],
            decay_factor=flags["learning_rate_decay_factor"],
            stop=flags["learning_rate_stop"],
        )
