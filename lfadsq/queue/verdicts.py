"""How an attempt ended, and what that means."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

from lfadsq.files import storage_errors
from lfadsq.queue.commands import Invocation, missing_script
from lfadsq.queue.failures import Ending, cause_of, ending_of_status, log_tail
from lfadsq.queue.records import Attempt, AttemptState, Cause, Outcome, iso_time
from lfadsq.queue.tasks import Task

__all__ = ["end_as", "end_as_told", "judge"]


def judge(
    task: Task,
    attempt: Attempt,
    invocation: Invocation,
    status: int,
    on_gpu: bool,
    told_to_end: Cause | None,
) -> Attempt:
    """Judge an attempt whose command has ended.

    Parameters
    ----------
    task : Task
        Its log is read where that is needed.
    attempt : Attempt
        As it began.
    invocation : Invocation
        By which success shows.
    status : int
        What the command ended with, as shells and Python report it.
    on_gpu : bool
        Whether it had been given a GPU.
    told_to_end : Cause or None
        Why it was asked to end, if it was.

    Returns
    -------
    Attempt
        Ended now.

    Raises
    ------
    StorageError
        If the log tells of success, and cannot be read.
    """
    ending = ending_of_status(status)
    if told_to_end is not None:
        # A trainer that was asked to stop may well end with status 0: it is not done for that.
        return end_as_told(attempt, told_to_end, ending)
    if invocation.success_line is None:
        succeeded = ending.succeeded
    else:
        succeeded = _log_holds(task.outfile, invocation.success_line, attempt.log_offset)
    if succeeded:
        return end_as(attempt, Outcome.SUCCEEDED, None, ending)
    if ending.succeeded:
        return end_as(attempt, Outcome.FAILED, Cause.NOT_CONVERGED, ending)
    log = log_tail(task.outfile, since=attempt.log_offset)
    cause = cause_of(ending, log, on_gpu=on_gpu)
    if cause is Cause.MISSING_PROGRAM and missing_script(invocation) is not None:
        cause = Cause.MISSING_SCRIPT
    return end_as(attempt, Outcome.FAILED, cause, ending)


def end_as_told(attempt: Attempt, cause: Cause, ending: Ending) -> Attempt:
    """End an attempt that was asked to, or must not begin; only somebody's kill is a failure."""
    outcomes = {Cause.CANCELLED: Outcome.CANCELLED, Cause.KILLED_BY_USER: Outcome.FAILED}
    return end_as(attempt, outcomes.get(cause, Outcome.INTERRUPTED), cause, ending)


def _log_holds(path: Path, text: str, since: int) -> bool:
    with (
        storage_errors(path, "read"),
        contextlib.suppress(FileNotFoundError),
        path.open("rb") as file,
    ):
        size = file.seek(0, os.SEEK_END)
        file.seek(since if since <= size else 0)
        needle = text.encode()
        return any(needle in line for line in file)
    return False  # somebody removed it, and with it the proof


def end_as(attempt: Attempt, outcome: Outcome, cause: Cause | None, ending: Ending) -> Attempt:
    """End an attempt now."""
    return replace(
        attempt,
        state=AttemptState.ENDED,
        ended_at=iso_time(time.time()),
        outcome=outcome,
        cause=cause,
        exit_status=ending.exit_status,
        signal=ending.signal,
    )
