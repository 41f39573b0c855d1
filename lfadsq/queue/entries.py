"""What a queue knows of one task, and how that is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lfadsq.queue.events import Failure
from lfadsq.queue.locks import Journal
from lfadsq.queue.places import Reservation
from lfadsq.queue.processes import LeftGroup
from lfadsq.queue.records import Attempt, Cause, iso_time
from lfadsq.queue.status import TaskState, TaskStatus
from lfadsq.queue.tasks import Task
from lfadsq.queue.waiting import Need

__all__ = ["Entry", "tried_text"]


@dataclass
class Entry:
    """A task, and where it stands.

    Attributes
    ----------
    task : Task
    order : int
        Its place in the list.
    state : TaskState
    since_s : float
        Since when [s since 1970].
    priority : int
    memory_mb : float
        Reserve at least so much: what it had was too little [MB].
    is_alone : bool
        Keep a device for it alone.
    avoids : set of str
        Devices it failed on.
    retry_at_s : float
        Not to be started before [s, monotonic].
    forgiven : int
        Attempts up to this number do not count.
    num_lost, num_returned : int
        How often the machine it ran on was lost, or took nothing more since it last started.
    failed : list of Attempt
        Failed attempts that count against its budgets.
    is_watched, is_reported : bool
        Whether another queue was seen to run this very task, and whether that was told.
    attempt : Attempt or None
        The newest one known.
    reservation : Reservation or None
        While it runs, or another queue's runs on this machine.
    end_cause : Cause or None
        Why it was told to end.
    journal : Journal or None
        What is known of whoever else works on it.
    left_group : LeftGroup or None
        Its processes, if a queue that is dead left them behind on this machine.
    failure : Failure or None
        The last one.
    reason : str
        Why it waits or what it failed of, if there is more to say than its state.
    status : (object, TaskStatus) or None
        What it was last shown as, and what that was made from.
    """

    task: Task
    order: int
    state: TaskState
    since_s: float
    priority: int
    memory_mb: float = 0.0
    is_alone: bool = False
    avoids: set[str] = field(default_factory=set)
    retry_at_s: float = 0.0
    forgiven: int = 0
    num_lost: int = 0
    num_returned: int = 0
    failed: list[Attempt] = field(default_factory=list)
    is_watched: bool = False
    is_reported: bool = False
    attempt: Attempt | None = None
    reservation: Reservation | None = None
    end_cause: Cause | None = None
    journal: Journal | None = None
    left_group: LeftGroup | None = None
    failure: Failure | None = None
    reason: str = ""
    status: tuple[object, TaskStatus] | None = None

    def move_to(self, state: TaskState, reason: str = "") -> None:
        """Enter a state now."""
        self.state = state
        self.reason = reason
        self.since_s = time.time()

    def as_status(self, need: Need | None, reason: str) -> TaskStatus:
        """Give where it stands, for other programs.

        Parameters
        ----------
        need : Need or None
            What it waits for.
        reason : str
            Why it waits or what it failed of.
        """
        task, attempt, reserved = self.task, self.attempt, self.reservation
        return TaskStatus(
            name=task.name,
            state=self.state,
            since=iso_time(self.since_s),
            device=attempt.device if attempt else "",
            device_name=attempt.device_name if attempt else "",
            attempt=attempt.number if attempt else 0,
            cause=self.failure.cause.value if self.failure else "",
            reason=reason,
            priority=self.priority,
            memory_mb=(need or reserved or task).memory_mb,
            expected_s=task.expected_s,
            is_alone=need.is_alone if need else bool(reserved and reserved.is_alone),
            outfile=str(task.outfile),
            donefile=str(task.donefile),
            command=task.command,
        )


def tried_text(attempt: Attempt) -> str:
    """Write what was tried in a line."""
    ending = f"signal {attempt.signal}" if attempt.signal else f"exit status {attempt.exit_status}"
    alone = ", alone" if attempt.is_alone else ""
    cause = attempt.cause.value if attempt.cause else "unknown"
    return (
        f"attempt {attempt.number} on {attempt.device_name} with {attempt.memory_mb:.0f} MB{alone}:"
        f" {cause} ({ending})"
    )
