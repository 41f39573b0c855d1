"""Where a training stands, for programs that watch many: ``progress.json``.

One small file of a run, replaced in one step after every epoch, so that a reader needs neither the
log of costs nor what the process printed, and sees at the file's time whether anything is new.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from lfadsq.files import write_text

__all__ = ["StatusFile", "TrainingState", "TrainingStatus", "read_status"]

_VERSION = 1
"""Of the file. Raise it when a field changes its meaning, not when one is added."""

# Epochs of small models take milliseconds, and many runs may write to one file server.
_SECONDS_BETWEEN_WRITES = 1.0


class TrainingState(Enum):
    """What the process that wrote the file was doing then."""

    TRAINING = "training"
    STOPPED = "stopped"
    FAILED = "failed"
    FINISHED = "finished"


@dataclass(frozen=True)
class TrainingStatus:
    """Where a training stands after an epoch.

    Attributes
    ----------
    state : TrainingState
        A process that was killed leaves ``TRAINING`` behind: see how old `updated` is, in terms of
        `epoch_s`.
    num_epochs : int
        Done so far.
    step : int
        Updates done so far.
    learning_rate : float
    total, recon, kl : tuple of float or None
        Means over the batches of the last epoch, (train, valid), as in ``fitlog.csv``. None stands
        for what is not a number.
    l2, kl_weight, l2_weight : float, optional
    lowest_valid_total : float, optional
        Cost of the model in ``checkpoint_lve``; None before there is one.
    steps_per_s : float, optional
        Training steps a second; None while not known.
    epoch_s : float, optional
        How long an epoch takes, with validation [s].
    drops_left : int
        Times the learning rate must still fall.
    epochs_left : float
        Estimated.
    remaining_s : float, optional
        Estimated from the two [s].
    is_lower_bound : bool
        Whether `epochs_left` and `remaining_s` are only the least it can be.
    host : str
        Where the process runs.
    pid : int
    updated : str
        When the file was written, in UTC, ISO 8601.
    """

    state: TrainingState
    num_epochs: int
    step: int
    learning_rate: float
    total: tuple[float | None, float | None] = (None, None)
    recon: tuple[float | None, float | None] = (None, None)
    kl: tuple[float | None, float | None] = (None, None)
    l2: float | None = None
    kl_weight: float | None = None
    l2_weight: float | None = None
    lowest_valid_total: float | None = None
    steps_per_s: float | None = None
    epoch_s: float | None = None
    drops_left: int = 0
    epochs_left: float = 0.0
    remaining_s: float | None = None
    is_lower_bound: bool = False
    host: str = ""
    pid: int = 0
    updated: str = ""

    def to_json(self) -> str:
        """Give the text of the file: one line, without numbers that JSON does not have."""
        values = {name: _jsonable(value) for name, value in asdict(self).items()}
        return json.dumps({"version": _VERSION, **values}, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainingStatus:
        """Read the text of the file.

        Raises
        ------
        ValueError
            If it is no such text, or one of a later version.
        """
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.get("version") != _VERSION:
            raise ValueError(f"not a progress file of version {_VERSION}")
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {k: v for k, v in stored.items() if k in known}
        for name in ("total", "recon", "kl"):
            if name in values:
                train, valid = values[name]
                values[name] = (train, valid)
        try:
            return cls(**{**values, "state": TrainingState(values.pop("state"))})
        except (KeyError, TypeError) as error:
            raise ValueError(f"incomplete: {error}") from error


def _jsonable(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_status(path: Path) -> TrainingStatus | None:
    """Read where a training stands.

    Returns
    -------
    TrainingStatus, optional
        None if no epoch is done, or the file cannot be read or understood.
    """
    try:
        return TrainingStatus.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return None


class StatusFile:
    """Writes ``progress.json``.

    Parameters
    ----------
    path : Path
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._written_s = -math.inf

    def write(self, status: TrainingStatus) -> None:
        """Replace the file; while training at most once a second.

        Parameters
        ----------
        status : TrainingStatus
            Host, process and time are filled in.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        now = self._clock()
        is_soon = now - self._written_s < _SECONDS_BETWEEN_WRITES
        if is_soon and status.state is TrainingState.TRAINING:
            return
        self._written_s = now
        updated = datetime.now(timezone.utc).isoformat(timespec="seconds")
        values = {field.name: getattr(status, field.name) for field in fields(status)}
        values.update(host=socket.gethostname(), pid=os.getpid(), updated=updated)
        # Not worth waiting for the disk: the next epoch writes it again.
        write_text(self._path, TrainingStatus(**values).to_json(), durable=False)
