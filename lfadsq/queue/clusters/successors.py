"""Whether a job that ends submits another in its place.

Exactly one rule for the job of a queue and for the jobs of an array: **a job that its own clock, or
the batch system's warning of its end, has ended, and that leaves work, submits one plain job in its
place**, as its last act. Nothing has to be counted, and nobody has to look: one job leaves one job,
so there are never more than a person asked for. A job that found nothing more to do, that failed,
that a person stopped or cancelled, or that had to give way leaves none; nor does one that is killed
at once, whose tasks the next queue takes up.

What must not happen happens only within bounds: a chain of jobs in which no task gets anywhere ends
after `MAX_FRUITLESS` of them, and jobs beyond the seats there are (`lfadsq.queue.clusters.seats`)
end at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import ClusterError
from lfadsq.files import storage_errors
from lfadsq.queue.clusters.systems.base import BatchSystem
from lfadsq.queue.events import QueueSummary

__all__ = ["MAX_FRUITLESS", "Ending", "Verdict", "judge", "submit_again"]

MAX_FRUITLESS = 3
"""How many jobs in a row may be submitted after one in which no task made progress."""

_TRY_AGAIN_S = 5.0
_LAST_TRY_S = 10.0


@dataclass(frozen=True)
class Ending:
    """How the queue in a job ended.

    Attributes
    ----------
    summary : QueueSummary or None
        None if it did not come so far.
    is_by_clock : bool
        Whether the end of the job ended it.
    is_by_person : bool
        Whether somebody stopped it, cancelled its job, or made it give way.
    has_progressed : bool
        Whether any task got further.
    num_fruitless : int
        How many jobs before this one, in a row, got nowhere.
    waits_for_others : bool
        Whether work that others are at is also ours.
    """

    summary: QueueSummary | None
    is_by_clock: bool
    is_by_person: bool
    has_progressed: bool
    num_fruitless: int
    waits_for_others: bool


@dataclass(frozen=True)
class Verdict:
    """Whether another job is to go on.

    Attributes
    ----------
    goes_on : bool
    why : str
        For people.
    num_fruitless : int
        How many jobs in a row, with this one, got nowhere; 0 where a chain ends.
    exit_status : int
        Of this job.
    """

    goes_on: bool
    why: str
    num_fruitless: int
    exit_status: int


def judge(ending: Ending) -> Verdict:
    """Decide whether another job is to go on."""
    summary = ending.summary
    if ending.is_by_person:
        return Verdict(False, "it was told to end", 0, 130)
    if summary is None:
        return Verdict(False, "its queue failed", 0, 1)
    # In an array, what others work on is theirs.
    others = summary.left if ending.waits_for_others else ()
    left = summary.interrupted or summary.not_started or others
    status = 1 if left or summary.failed else 0
    if not left:
        return Verdict(False, "nothing is left to start", 0, status)
    if not ending.is_by_clock:
        return Verdict(False, "its queue ended by itself", 0, status)
    num_fruitless = 0 if ending.has_progressed else ending.num_fruitless + 1
    if num_fruitless > MAX_FRUITLESS:
        why = (
            f"no task got any further in {num_fruitless} jobs in a row: give jobs more time, or see"
            " with `lfadsq explain` what the tasks do, then submit again"
        )
        return Verdict(False, why, 0, 1)
    return Verdict(True, "the time of this job is up, and work is left", num_fruitless, 0)


def submit_again(
    system: BatchSystem,
    script: Path,
    ends_at_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Submit the job that goes on; a batch system that is busy is asked again while we live.

    Parameters
    ----------
    system : BatchSystem
    script : Path
        Of the job, as it is now: what a person has changed in it holds.
    ends_at_s : float
        When our own job ends [s since 1970].
    sleep : callable, optional
        In place of `time.sleep`.

    Returns
    -------
    str
        Its id.

    Raises
    ------
    ClusterError
        In the words of the batch system, if it refuses to the end; nothing was submitted.
    StorageError
        If the script cannot be read.
    """
    with storage_errors(script, "read"):
        text = script.read_text(encoding="utf-8", errors="surrogateescape")
    while True:
        try:
            return system.submit(text)
        except ClusterError:
            if time.time() + _TRY_AGAIN_S + _LAST_TRY_S > ends_at_s:
                raise
        sleep(_TRY_AGAIN_S)
