"""Where a run stands, in the words that all of `lfadsq.watching` uses."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from lfadsq.queue.overview import parse_time_s

__all__ = ["Phase", "RunState", "RunStatus"]


class RunState(str, enum.Enum):
    """Where a run is on its way. Together with `TaskState` of queues, which it refines."""

    DONE = "done"
    """Its done-marker is there."""
    TRAINING = "training"
    """A queue's task of it, or a process started by hand, is at work."""
    WAITING = "waiting"
    """Prepared, and nobody has begun."""
    PAUSED = "paused"
    """A person holds it back."""
    STOPPED = "stopped"
    """It was begun, and goes on from its checkpoint when a queue, or a person, starts it again."""
    TRAINED = "trained"
    """Trained by hand to the end, without the done-marker: a queue would take it up again."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """A person gave it up."""
    NOT_PREPARED = "not prepared"
    """The summary names it, but nothing of it is on disk."""
    UNKNOWN = "unknown"
    """Its files cannot be read."""


class Phase(str, enum.Enum):
    """What a run that is at work does."""

    STARTING = "starting"
    TRAINING = "training"
    SAMPLING = "sampling"
    """Training has ended: posterior means are sampled, and the parameters written."""


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands.

    Attributes
    ----------
    name : str
        ``param_<HASH>/<run name>``.
    param_hash, run_name : str
    state : RunState
    phase : Phase or None
        If it is at work.
    reason : str
        Why it waits or failed, if there is more to say; empty otherwise.
    cause, remedy : str
        Why it failed (`lfadsq.queue.records.Cause`) and what to do; empty if it did not.
    task : str
        Name of its task in the queue, if known.
    host, device : str
        Where it is at work, or was last tried; empty if unknown or, for runs that are done, not
        looked for.
    since : str
        Since when it is in that state, ISO 8601; empty if unknown.
    num_epochs : int
        Done so far.
    train_cost, valid_cost, learning_rate : float or None
        Of the last epoch.
    lowest_valid_cost : float or None
        Of the model in ``checkpoint_lve``; None before there is one.
    steps_per_s, epoch_s, remaining_s : float or None
        Training steps a second; an epoch, and what is left, as estimated [s].
    is_lower_bound : bool
        Whether `remaining_s` is only the least it can be.
    updated : str
        When the training last said something, ISO 8601.
    """

    name: str
    param_hash: str
    run_name: str
    state: RunState
    phase: Phase | None = None
    reason: str = ""
    cause: str = ""
    remedy: str = ""
    task: str = ""
    host: str = ""
    device: str = ""
    since: str = ""
    num_epochs: int = 0
    train_cost: float | None = None
    valid_cost: float | None = None
    learning_rate: float | None = None
    lowest_valid_cost: float | None = None
    steps_per_s: float | None = None
    epoch_s: float | None = None
    remaining_s: float | None = None
    is_lower_bound: bool = False
    updated: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return dict(vars(self))

    def silent_s(self, now_s: float) -> float | None:
        """Tell for how long its training has said nothing [s]; None if it is not to say anything.

        Parameters
        ----------
        now_s : float
            The time [s since 1970].
        """
        if self.state is not RunState.TRAINING or self.phase is not Phase.TRAINING:
            return None
        at_s = parse_time_s(self.updated)
        return None if at_s is None else max(0.0, now_s - at_s)
