"""What trainings say of themselves in ``progress.json``, read without importing the trainer.

The trainer's own reader (`lfadsq.training.status`) lies beside TensorFlow, and raises on what it
does not expect; whoever watches thousands of runs wants neither.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from lfadsq.watching.quick_reading import read_whole

__all__ = ["Progress", "read_progress"]

_VERSION = 1
"""Of the file: `lfadsq.training.status` raises it when a field changes its meaning."""


class Progress(NamedTuple):
    """Where a training stood when it last said so.

    Attributes
    ----------
    state : str
        ``training``, ``stopped``, ``failed`` or ``finished``.
    num_epochs : int
        Done by then.
    learning_rate, train_cost, valid_cost : float or None
        Of the last epoch; None for what is not a number.
    lowest_valid_cost : float or None
        Of the model in ``checkpoint_lve``; None before there is one.
    steps_per_s, epoch_s, remaining_s : float or None
        Training steps a second, how long an epoch takes [s], and the estimated time left [s].
    is_lower_bound : bool
        Whether `remaining_s` is only the least it can be.
    host : str
        Machine of the process.
    updated : str
        When it said so, ISO 8601.
    """

    state: str
    num_epochs: int
    learning_rate: float | None
    train_cost: float | None
    valid_cost: float | None
    lowest_valid_cost: float | None
    steps_per_s: float | None
    epoch_s: float | None
    remaining_s: float | None
    is_lower_bound: bool
    host: str
    updated: str


def read_progress(path: str) -> Progress | None:
    """Read where a training stands.

    Parameters
    ----------
    path : str
        Of its ``progress.json``.

    Returns
    -------
    Progress or None
        None if no epoch is done, or the file cannot be read or understood.
    """
    try:
        told = json.loads(read_whole(path)[0].decode())
        if told["version"] != _VERSION:
            return None
        train, valid = told.get("total") or (None, None)
        return Progress(
            str(told["state"]),
            int(told["num_epochs"]),
            _number(told.get("learning_rate")),
            _number(train),
            _number(valid),
            _number(told.get("lowest_valid_total")),
            _number(told.get("steps_per_s")),
            _number(told.get("epoch_s")),
            _number(told.get("remaining_s")),
            bool(told.get("is_lower_bound", False)),
            str(told.get("host", "")),
            str(told.get("updated", "")),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    is_number = type(value) is float or (isinstance(value, int) and not isinstance(value, bool))
    return float(value) if is_number and math.isfinite(value) else None
