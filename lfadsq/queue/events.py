"""What happened in a queue, in the past tense, for whoever reports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.tasks import Task

__all__ = [
    "Event",
    "Failure",
    "Noted",
    "QueueEnded",
    "QueueStarted",
    "QueueSummary",
    "Reporter",
    "StopAsked",
    "StopRequested",
    "TaskCancelled",
    "TaskFailed",
    "TaskFinished",
    "TaskHeld",
    "TaskInterrupted",
    "TaskLeft",
    "TaskRetried",
    "TaskStarted",
    "TasksAdded",
    "Usage",
]


@dataclass(frozen=True)
class Failure:
    """Why a task failed, and all that is needed to look into it.

    Attributes
    ----------
    name : str
        The task.
    cause : Cause
    ending : str
        Exit status or signal in words; empty if it never ran.
    remedy : str
        What to do next.
    device_name : str
    log : Path
    log_tail : str
        The last lines it printed.
    command_by_hand : str
        A line for the shell that runs the same again.
    problem : str
        What went wrong outside the command, if anything.
    tried : tuple of str
        What was tried before, a line an attempt.
    """

    name: str
    cause: Cause
    ending: str
    remedy: str
    device_name: str
    log: Path
    log_tail: str
    command_by_hand: str
    problem: str = ""
    tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """How busy the devices were while a queue ran.

    Attributes
    ----------
    task_s : dict of str to float
        How long each task ran in this queue, over all its attempts [s].
    gpu_s, cpu_s : float
        Time during which a GPU, or a slot of the processors, had a task of ours, over all of
        them [s].
    idle_fraction : float or None
        Share of the time of all devices in which they had no task of ours, from the first start to
        the last end; None if nothing ran.
    """

    task_s: Mapping[str, float] = field(default_factory=dict)
    gpu_s: float = 0.0
    cpu_s: float = 0.0
    idle_fraction: float | None = None


@dataclass(frozen=True)
class QueueSummary:
    """What a queue did.

    Attributes
    ----------
    queue_name : str
    finished : tuple of str
        Tasks that succeeded while this queue ran, in order; those another queue was already running
        and that this one waited for are among them.
    skipped : tuple of str
        Tasks that were done before.
    failed : tuple of Failure
    interrupted : tuple of str
        Tasks that were ended because the queue was asked to stop.
    not_started : tuple of str
        Tasks still waiting when the queue was asked to stop.
    wall_s : float
        How long the queue ran [s].
    cancelled : tuple of str
        Tasks that a person cancelled, now or before.
    left : tuple of str
        Tasks that go on without this queue.
    usage : Usage
        How busy the devices were.
    job_id : str
        Of the job array that was submitted in place of running anything; empty if none was.
    """

    queue_name: str
    finished: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[Failure, ...]
    interrupted: tuple[str, ...]
    not_started: tuple[str, ...]
    wall_s: float
    cancelled: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    job_id: str = ""

    @property
    def exit_status(self) -> int:
        """0 if every task is done or cancelled, else 1."""
        return 1 if self.failed or self.interrupted or self.not_started or self.left else 0


@dataclass(frozen=True)
class QueueStarted:
    """The queue knows its tasks and devices, and begins.

    Attributes
    ----------
    queue_name : str
    num_tasks, num_skipped : int
        All of them, and those that are done already.
    device_names : tuple of str
    max_tasks : int or None
        How many can run at once; None for as many as fit on the devices.
    reason : str
        Why no GPU is used; empty if some are.
    """

    queue_name: str
    num_tasks: int
    num_skipped: int
    device_names: tuple[str, ...]
    max_tasks: int | None
    reason: str


@dataclass(frozen=True)
class TaskStarted:
    """A task's process runs."""

    task: Task
    attempt: Attempt


@dataclass(frozen=True)
class TaskFinished:
    """A task succeeded and has its done-marker.

    Attributes
    ----------
    task : Task
    attempt : Attempt or None
        None if another queue ran it.
    """

    task: Task
    attempt: Attempt | None


@dataclass(frozen=True)
class TaskFailed:
    """A task did not succeed."""

    task: Task
    failure: Failure


@dataclass(frozen=True)
class TaskInterrupted:
    """A task was ended, with a checkpoint, because the queue stops or is paused.

    Attributes
    ----------
    task : Task
    will_go_on : bool
        Whether this queue takes it up again later.
    """

    task: Task
    will_go_on: bool = False


@dataclass(frozen=True)
class TaskRetried:
    """A task did not succeed, and will be tried again.

    Attributes
    ----------
    task : Task
    failure : Failure
        What went wrong.
    how : str
        What is done differently, and when, for people.
    """

    task: Task
    failure: Failure
    how: str


@dataclass(frozen=True)
class TaskCancelled:
    """A person cancelled a task; it was ended if it ran."""

    task: Task


@dataclass(frozen=True)
class TaskLeft:
    """A task goes on without this queue, which ends."""

    task: Task
    attempt: Attempt


@dataclass(frozen=True)
class TasksAdded:
    """Tasks came to a queue that runs.

    Attributes
    ----------
    tasks : tuple of Task
    num_done : int
        How many of them are done already.
    """

    tasks: tuple[Task, ...]
    num_done: int = 0


@dataclass(frozen=True)
class TaskHeld:
    """A task's run is being worked on by another process; it is waited for.

    Attributes
    ----------
    task : Task
    host : str
    pid : int or None
    """

    task: Task
    host: str
    pid: int | None


@dataclass(frozen=True)
class StopAsked:
    """Ctrl-C was pressed, and the person at the terminal is asked what it means.

    Until the next event the terminal belongs to that question.
    """

    num_running: int


@dataclass(frozen=True)
class StopRequested:
    """The queue was asked to stop.

    Attributes
    ----------
    signal : str
        By what, such as ``SIGINT``.
    num_running : int
    grace_s : float
        How long tasks may take to end by themselves [s]; 0 if they are ended at once.
    leaves : bool
        Whether running tasks are left to go on by themselves.
    """

    signal: str
    num_running: int
    grace_s: float
    leaves: bool = False


@dataclass(frozen=True)
class Noted:
    """Something a person may want to know.

    Attributes
    ----------
    text : str
    is_warning : bool
    """

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class QueueEnded:
    """Nothing runs any more."""

    summary: QueueSummary


Event = (
    QueueStarted
    | TaskStarted
    | TaskFinished
    | TaskFailed
    | TaskInterrupted
    | TaskHeld
    | TaskRetried
    | TaskCancelled
    | TaskLeft
    | TasksAdded
    | StopAsked
    | StopRequested
    | Noted
    | QueueEnded
)


class Reporter(Protocol):
    """Whoever tells people, or other programs, what happens in a queue.

    All calls come from the thread that runs the queue, one after the other.
    """

    def report(self, event: Event) -> None:
        """Take an event; must be quick, since the queue waits for it."""

    def close(self) -> None:
        """Let go of everything; called once at the end, also after an error."""
