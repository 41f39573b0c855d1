"""The message of a training whose cost is not a finite number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfadsq.errors import NonFiniteCostError
from lfadsq.training.diagnosis import Finding
from lfadsq.training.steps import BatchCosts

__all__ = ["FailedBatch", "is_finite", "not_finite_error", "trial_ranges"]

_MOST_TRIALS_NAMED = 20


class FailedBatch(NamedTuple):
    """The batch whose cost or gradient is not finite.

    Attributes
    ----------
    epoch : int
        From 0, as in ``fitlog.csv``.
    number : int
        The batch's place in the epoch, from 0.
    step : int
        Updates done before.
    trains : bool
        Whether it was to train on.
    data_file : Path
    trials : ndarray, shape (batch,), int64
        Rows of ``train_data`` or ``valid_data`` in that file, from 0.
    """

    epoch: int
    number: int
    step: int
    trains: bool
    data_file: Path
    trials: NDArray[np.int64]


def is_finite(costs: BatchCosts, *, trains: bool) -> bool:
    """Tell whether the cost and, in training, the gradient of a batch are finite."""
    return math.isfinite(costs.total) and (not trains or math.isfinite(costs.grad_norm))


def not_finite_error(
    batch: FailedBatch, costs: BatchCosts, finding: Finding | None, checkpoint: Path | None
) -> NonFiniteCostError:
    """Say what became infinite or not a number, where, and what to do.

    Parameters
    ----------
    batch : FailedBatch
    costs : BatchCosts
        Of that batch.
    finding : Finding, optional
        None if the step, computed again, was finite.
    checkpoint : Path, optional
        The last one, if there is any.

    Returns
    -------
    NonFiniteCostError
        Its text begins in a way by which queues know the cause (`lfadsq.queue.failures`).
    """
    what, value = "cost", costs.total
    if math.isfinite(value):
        what, value = "gradient", costs.grad_norm
    split = "train_data" if batch.trains else "valid_data"
    kind = "training" if batch.trains else "validation"
    found = (
        "computed once more it was finite, so the cause lies in how operations were joined or in "
        f"the device (recon {costs.recon}, kl {costs.kl}, l2 {costs.l2})"
        if finding is None
        else f"the first such quantity is {finding.quantity}"
    )
    where = ""
    if finding is not None and len(finding.trials):
        where = f", in {_trials(batch.trials[finding.trials])} of {split}"
    problem = (
        f"the {what} is not finite ({value}) in epoch {batch.epoch}, {kind} batch "
        f"{batch.number + 1} after step {batch.step}: {found}{where}; the batch is "
        f"{_trials(batch.trials, most=len(batch.trials))} of {split} in {batch.data_file} "
        "(rows counted from 1)"
    )
    change = "lower c_learning_rate_init or c_max_grad_norm" if finding is None else finding.remedy
    return NonFiniteCostError(problem, f"{change}; {_how_to_go_on(checkpoint)}")


def _how_to_go_on(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "there is no checkpoint yet, so training begins anew"
    return (
        f"the last good checkpoint, {checkpoint.name}, is kept: the same command goes on from it, "
        "and meets the same again unless given another --seed (other noise and batches), a lower "
        "--max_grad_norm, or a lower --learning_rate_init with --do_reset_learning_rate=true; "
        "what changes the model, such as cell_clip_value, needs a new training"
    )


def _trials(rows: NDArray[np.int64], most: int = _MOST_TRIALS_NAMED) -> str:
    shown = np.unique(rows)
    if len(shown) == 1:
        return f"trial {shown[0] + 1}"
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"trials {trial_ranges(shown[:most])}{more}"


def trial_ranges(rows: NDArray[np.int64]) -> str:
    """Write rows counted from 0 as trials counted from 1, neighbours together.

    >>> trial_ranges(np.array([0, 1, 2, 6, 8, 9]))
    '1-3, 7, 9-10'
    """
    ordered = np.unique(rows) + 1
    pieces = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    texts = [f"{piece[0]}-{piece[-1]}" if len(piece) > 1 else f"{piece[0]}" for piece in pieces]
    return ", ".join(texts)
