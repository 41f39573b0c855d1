"""The jobs of a queue as values: what is known of each, and of starting more.

Times are monotonic [s] where nothing else is said.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lfadsq.queue.clusters.jobs import JobState
from lfadsq.queue.records import Cause

__all__ = [
    "Job",
    "News",
    "Patience",
    "StartFailure",
    "Table",
    "What",
    "WorkerView",
    "is_usable",
]


@dataclass(frozen=True)
class WorkerView:
    """A worker that is connected now.

    Attributes
    ----------
    name : str
    job_id : str
        Of the job it runs in, as it says itself; empty if it does not know.
    host : str
    num_places : int
        How many tasks it can run at once; 0 while that is not known yet.
    num_tasks : int
        How many it runs.
    idle_since_s : float or None
        Since when it runs nothing (monotonic) [s]; None if it does, or never could yet.
    ends_in_s : float or None
        Until its job ends [s]; None if it has no end.
    problem : str
        Why it can be used for nothing; empty if it can.
    """

    name: str
    job_id: str
    host: str
    num_places: int
    num_tasks: int
    idle_since_s: float | None
    ends_in_s: float | None
    problem: str = ""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what [s].

    Attributes
    ----------
    idle_s : float
        A worker that is not needed may be idle so long.
    gone_s : float
        A worker may be unreachable, or its job unknown to the batch system, so long.
    connect_s : float
        After the start of a job, until its worker has connected and knows its devices.
    stuck_s : float
        A job may be held so long: somebody may be about to let it go.
    leave_s : float
        After a worker was closed, until its job is cancelled.
    cancel_again_s : float
        Until a job that did not end is cancelled once more.
    failure_s : tuple of float
        Before the next job after one, two ... start failures in a row; the last one holds on.
    barren_s : tuple of float
        The same after jobs that were taken away before any task had started in them.
    silence_s : tuple of float
        The same while the batch system does not answer.
    silent_s : float
        The batch system may be silent so long, if no worker is there.
    limit_s : float
        Before more jobs are asked for than the batch system allowed.
    pending_s : tuple of float
        After how long it is told that a job is still pending; then every so often as the last.
    remember_s : float
        How long a job that has ended is remembered.
    """

    idle_s: float = 30.0
    gone_s: float = 30.0
    connect_s: float = 300.0
    stuck_s: float = 60.0
    leave_s: float = 15.0
    cancel_again_s: float = 60.0
    failure_s: tuple[float, ...] = (1.0, 5.0, 15.0, 300.0)
    barren_s: tuple[float, ...] = (5.0, 15.0, 60.0, 300.0)
    silence_s: tuple[float, ...] = (5.0, 10.0, 20.0, 40.0, 60.0)
    silent_s: float = 600.0
    limit_s: float = 300.0
    pending_s: tuple[float, ...] = (60.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
    remember_s: float = 900.0


@dataclass(frozen=True)
class Job:
    """A job that was submitted.

    Attributes
    ----------
    worker_name, job_id : str
    since_s : float
        Since when it has been in its state.
    state : JobState
    words, nodes : str
        As the batch system said last.
    cause : Cause or None
        Of its end.
    worker : WorkerView or None
        If it is connected.
    was_usable : bool
        Whether its worker has ever been there, and could be used.
    has_worked : bool
        Whether a task has ever started in it.
    submitted_s : float
    measures_since_s, lost_since_s, missing_since_s : float or None
        Since when its worker has been looking for its devices, or has been gone after it was
        there, and since when the batch system does not know the job.
    heard_s : float
        When the batch system was last asked and knew it.
    leaving : str
        Why we let it go; empty if we do not.
    is_given_back : bool
        Whether it is let go only because it is not needed.
    cancel_at_s : float or None
        When to cancel it.
    """

    worker_name: str
    job_id: str
    since_s: float
    state: JobState = JobState.PENDING
    words: str = ""
    nodes: str = ""
    cause: Cause | None = None
    worker: WorkerView | None = None
    was_usable: bool = False
    has_worked: bool = False
    submitted_s: float = 0.0
    measures_since_s: float | None = None
    lost_since_s: float | None = None
    missing_since_s: float | None = None
    heard_s: float = float("-inf")
    leaving: str = ""
    is_given_back: bool = False
    cancel_at_s: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the batch system may still hold it."""
        return not self.state.is_finished

    @property
    def is_expected(self) -> bool:
        """Whether its worker is not there, and may come."""
        return self.is_alive and not self.leaving and self.worker is None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is about to happen to it."""
        return not self.is_alive or (
            self.worker is not None and not self.leaving and self.missing_since_s is None
        )


@dataclass(frozen=True)
class StartFailure:
    """A job that came to nothing.

    Attributes
    ----------
    job_id, worker_name : str
        Empty if it was refused.
    words : str
        Why, in one line.
    """

    job_id: str
    worker_name: str
    words: str


@dataclass(frozen=True)
class Table:
    """All jobs of a queue, and what is known of starting more.

    Attributes
    ----------
    jobs : tuple of Job
        In the order of their submission.
    places_per_job : int
        As a worker told last.
    failures : tuple of StartFailure
        In a row; those within the wait for the next try are left out.
    num_barren : int
        How many waves of jobs were taken away in a row before any task had started.
    silent_since_s : float or None
        Since when the batch system does not take jobs without refusing them.
    num_silences : int
    limit : int or None
        How many jobs the batch system allows, as far as it has shown.
    limit_until_s, failure_until_s, barren_until_s, silence_until_s : float
        No job (beyond that limit) is asked for before.
    why_gave_up : str
        Why nothing is asked for any more; empty if it is.
    """

    jobs: tuple[Job, ...] = ()
    places_per_job: int = 1
    failures: tuple[StartFailure, ...] = ()
    num_barren: int = 0
    silent_since_s: float | None = None
    num_silences: int = 0
    limit: int | None = None
    limit_until_s: float = float("-inf")
    failure_until_s: float = float("-inf")
    barren_until_s: float = float("-inf")
    silence_until_s: float = float("-inf")
    why_gave_up: str = ""

    @property
    def alive(self) -> list[Job]:
        """Jobs that the batch system may still hold."""
        return [job for job in self.jobs if job.is_alive]

    @property
    def has_usable_worker(self) -> bool:
        """Whether a worker is there that can be used."""
        return any(is_usable(job.worker) for job in self.alive if not job.leaving)

    @property
    def not_before_s(self) -> float:
        """No job is asked for before this time."""
        return max(self.failure_until_s, self.barren_until_s, self.silence_until_s)

    def find(self, worker_name: str) -> Job | None:
        """Find a job by the name of its worker."""
        return next((job for job in self.jobs if job.worker_name == worker_name), None)


class What(enum.Enum):
    """What happened to a job."""

    STARTED = enum.auto()
    PUT_BACK = enum.auto()
    """It ran, and waits once more."""
    ENDED = enum.auto()
    FAILED = enum.auto()
    """It ended before its worker could be used."""
    STUCK = enum.auto()
    """It waits, and would do so for ever."""
    CUT_OFF = enum.auto()
    """It runs, and its worker never connected."""
    UNUSABLE = enum.auto()
    """Its worker can be used for nothing."""
    LOST = enum.auto()
    """It runs on, but its worker is gone."""


@dataclass(frozen=True)
class News:
    """What happened to a job, and the job as it is now."""

    what: What
    job: Job


def is_usable(worker: WorkerView | None) -> bool:
    """Tell whether a worker is there, knows its devices, and has some."""
    return worker is not None and worker.num_places > 0 and not worker.problem
