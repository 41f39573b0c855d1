"""Jobs of a batch system, as it tells of them itself."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from lfadsq.queue.records import Cause

__all__ = ["JobReport", "JobState", "report_of_array"]


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
        In the words of those jobs that decide, each said once.
    """
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
