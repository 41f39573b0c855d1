"""Where a training that was interrupted goes on."""

from __future__ import annotations

from dataclasses import replace

from lfadsq.paths import OutputPaths
from lfadsq.training.checkpoints import Checkpoint
from lfadsq.training.logs import FitLogFile
from lfadsq.training.progress import CostSums, TrainingProgress
from lfadsq.training.session import Session

__all__ = ["goes_on_after_reset", "progress_to_go_on_from"]


def progress_to_go_on_from(session: Session, seed: int) -> TrainingProgress:
    """Give the progress that a session's checkpoint holds, or that of a new training.

    Parameters
    ----------
    session : Session
    seed : int
        Of a training that has none yet.

    Returns
    -------
    TrainingProgress
        At the batch at which training stopped. With another seed, batch size or other datasets
        than then the epoch in progress begins anew, as it consists of other batches.
    """
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
        progress = replace(progress, sums=CostSums())
    return progress


def goes_on_after_reset(checkpoint: Checkpoint | None) -> bool:
    """Tell whether a checkpoint is of a training whose learning rate was reset as it began.

    Queues resume an interrupted training with the same flags: it is not reset a second time.
    """
    return checkpoint is not None and checkpoint.flags.get("do_reset_learning_rate") == "true"


def _batches_differ(checkpoint: Checkpoint, session: Session) -> bool:
    recorded = session.recorded()
    names = ("batch_size", "dataset_names")
    return any(checkpoint.flags.get(name) != recorded[name] for name in names)
