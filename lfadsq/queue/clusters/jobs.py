"""Jobs of a batch system, as it tells of them itself."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lfadsq.queue.records import Cause

__all__ = ["JobReport", "JobState", "JobStatus", "report_of_array"]


class JobState(str, enum.Enum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"

    @property
    def is_finished(self) -> bool:
        """Whether it will never run again."""
        return self is JobState.ENDED


@dataclass(frozen=True)
class JobReport:
    """What a batch system says of a job.

    Attributes
    ----------
    job_id : str
        As the submit command gave it.
    state : JobState
    words : str
        The batch system's own, in one line, such as ``PENDING (Resources)`` or ``TIMEOUT``.
    cause : Cause or None
        What its end means for the tasks in it; None if it has not ended, or ended by itself.
    nodes : str
        Where it runs or ran, as far as that is told.
    is_stuck : bool
        Whether it waits, and will not start unless a person acts: it is held, or in error. Cancel
        it and tell the words.
    """

    job_id: str
    state: JobState
    words: str
    cause: Cause | None = None
    nodes: str = ""
    is_stuck: bool = False


@dataclass(frozen=True)
class JobStatus:
    """A job of a queue, for displays.

    Attributes
    ----------
    job_id, worker_name : str
    state : JobState
    words : str
        The batch system's own.
    nodes, host : str
        Where it runs, as the batch system and as its worker say; empty while unknown.
    num_tasks : int
        How many tasks run in it.
    since_s : float
        Since when it has been in this state [s since 1970].
    """

    job_id: str
    worker_name: str
    state: JobState
    words: str
    nodes: str
    host: str
    num_tasks: int
    since_s: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {**vars(self), "state": self.state.value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobStatus:
        """Convert from JSON.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is no status of a job.
        """
        values = {one.name: data[one.name] for one in fields(cls)}
        return cls(**{**values, "state": JobState(data["state"])})


def report_of_array(job_id: str, reports: Sequence[JobReport]) -> JobReport:
    """Make one report of all jobs of an array: it runs as long as one of them does.

    Parameters
    ----------
    job_id : str
        Of the array.
    reports : sequence of JobReport, not empty

    Returns
    -------
    JobReport
        In the words of those jobs that decide, each said once; that of a job alone is its own.
    """
    if len(reports) == 1:
        return reports[0]
    for state in (JobState.RUNNING, JobState.PENDING, JobState.ENDED):
        deciding = [report for report in reports if report.state is state]
        if deciding:
            break
    causes = [report.cause for report in deciding if report.cause is not None]
    return JobReport(
        job_id,
        deciding[0].state,
        ", ".join(dict.fromkeys(report.words for report in deciding)),
        causes[0] if causes else None,
        ",".join(dict.fromkeys(report.nodes for report in deciding if report.nodes)),
        all(report.is_stuck for report in deciding),
    )
