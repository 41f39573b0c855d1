"""Closing the books of attempts that nobody saw end, because their queue had died."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

from lfadsq.errors import QueueError
from lfadsq.files import remove_asides, write_text
from lfadsq.queue.commands import invocation_of
from lfadsq.queue.failures import Ending
from lfadsq.queue.locks import Journal, RunLock
from lfadsq.queue.processes import signal_tokens
from lfadsq.queue.records import Attempt, Cause, Outcome, Record
from lfadsq.queue.tasks import Task
from lfadsq.queue.verdicts import end_as, end_as_told, judge

__all__ = ["close_books", "end_survivors", "task_of", "write_ending"]

_SURVIVOR_S = 20.0
_KILL_PATIENCE_S = 10.0
_SURVIVOR_POLL_S = 0.02


def end_survivors(journal: Journal) -> None:
    """End what is left of an attempt that nobody watches: it would fight with the next.

    Whoever passed the lock's descriptor on to none of its children, and was killed, leaves such.

    Raises
    ------
    QueueError
        If not even SIGKILL ends them: then nothing must be started beside them.
    """
    if not journal.token or journal.attempt.get("host") != socket.gethostname():
        return
    already: set[tuple[int, float, signal.Signals]] = set()
    deadline_s = time.monotonic() + _SURVIVOR_S
    while True:
        late_s = time.monotonic() - deadline_s
        number = signal.SIGKILL if late_s > 0 else signal.SIGTERM
        if not signal_tokens({journal.token: number}, already):
            return
        if late_s > _KILL_PATIENCE_S:
            raise QueueError(
                f"processes of an earlier attempt at {journal.name} cannot be ended",
                f"find them with `ps ewx | grep {journal.token}`; they wait for a disk or a GPU",
            )
        time.sleep(_SURVIVOR_POLL_S)


def task_of(journal: Journal) -> Task | None:
    """Tell whose journal it is; None if that cannot be read."""
    if not journal.attempt or not journal.name:
        return None
    command = str(journal.attempt.get("command", ""))
    return Task(journal.name, command, 0.0, Path(journal.outfile), Path(journal.donefile))


def close_books(
    task: Task, lock: RunLock, journal: Journal, told_to_end: Cause | None
) -> tuple[Record, Attempt | None]:
    """Judge and record an attempt that nobody saw end.

    Parameters
    ----------
    task : Task
    lock : RunLock
        Held by us.
    journal : Journal
        What it held; cleared once the record says everything.
    told_to_end : Cause or None
        Why we told it to end, if we did.

    Returns
    -------
    record : Record
    attempt : Attempt or None
        None if there was none to judge.

    Raises
    ------
    StorageError
        If something cannot be read or written; the journal is kept then.
    """
    # One listing of the folder: what was written aside by a queue that was killed stays for ever.
    remove_asides(task.files.record, task.donefile)
    record = Record.read(task.files.record, task.name)
    abandoned = _settle(task, record, journal, told_to_end)
    if abandoned is not None:
        record = record.with_attempt(abandoned)
        write_ending(task, record, abandoned)
    if journal.attempt:
        lock.clear()
    return record, abandoned


def _settle(
    task: Task, record: Record, journal: Journal, told_to_end: Cause | None
) -> Attempt | None:
    """Judge an attempt whose queue died before it could; None if there is none."""
    attempt = record.last if record.last and not record.last.state.is_finished else None
    exit_status = None
    if journal.attempt and journal.donefile == str(task.donefile):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            from_journal = Attempt.from_dict(journal.attempt)
            newest = record.last.number if record.last else 0
            if attempt is not None and attempt.number == from_journal.number:
                exit_status = journal.exit_status
            elif from_journal.number > newest:
                # The queue died between starting the task and recording it.
                attempt = replace(from_journal, pid=journal.pid)
                exit_status = journal.exit_status
    if attempt is None:
        return None
    if exit_status is None:
        if task.donefile.exists():
            # The marker is made first: its queue died before the record.
            return end_as(attempt, Outcome.SUCCEEDED, None, Ending(None, None))
        if told_to_end is not None:
            return end_as_told(attempt, told_to_end, Ending(None, None))
        return end_as(attempt, Outcome.LOST, Cause.LOST, Ending(None, None))
    if told_to_end is None and journal.was_signalled:
        told_to_end = Cause.QUEUE_STOPPED
    on_gpu = attempt.device != "cpu"
    return judge(task, attempt, invocation_of(task), exit_status, on_gpu, told_to_end)


def write_ending(task: Task, record: Record, attempt: Attempt) -> None:
    """Write the end of an attempt: marker, then record.

    Raises
    ------
    StorageError
        If either cannot be written. The marker may be there without the record: it decides, and
        the next queue mends the record.
    """
    if attempt.outcome is Outcome.SUCCEEDED:
        # First the marker: without it a loss of power here would train the run again. It is empty
        # and in the record's folder, so the flush of the folder after the record covers it too.
        write_text(task.donefile, "", durable=False)
    record.write(task.files.record)
