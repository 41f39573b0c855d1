"""One attempt at one task: lock, start, wait, judge, record.

The command runs under a supervisor of a few shell lines, which leads a session and process group
of its own and notes pid and exit status in the lock's journal. It outlives a queue that is killed,
so that the next queue still learns how the task ended. A crash costs one run, and ending the group
ends everything the command started.

Order of what is written, so that a loss of power at any moment loses nothing and repeats nothing:
journal (before the start), record (running), done-marker, record (ended), unlock.
"""

from __future__ import annotations

import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from lfadsq.errors import LfadsqError, StorageError
from lfadsq.files import make_folder, storage_errors
from lfadsq.queue.books import close_books, end_survivors, task_of, write_ending
from lfadsq.queue.commands import Invocation, digest_of, invocation_of
from lfadsq.queue.environments import child_environment
from lfadsq.queue.failures import Ending, current_folder
from lfadsq.queue.locks import Journal, RunLock, read_journal
from lfadsq.queue.processes import (
    JOURNAL_DESCRIPTOR,
    TOKEN_VARIABLE,
    GroupEnd,
    ProcessGroup,
)
from lfadsq.queue.records import Attempt, Cause, Outcome, Record, iso_time
from lfadsq.queue.retries import refusal
from lfadsq.queue.tasks import Task
from lfadsq.queue.verdicts import end_as, end_as_told, judge

__all__ = [
    "SUPERVISOR",
    "Order",
    "Overseer",
    "Result",
    "run_attempt",
    "settle",
]

# Standard input is the lock's journal: moved to descriptor 9, it is inherited by the command, and
# the lock with it. The supervisor lives through signals to the group, to note how the command took
# them; the subshell keeps `exit` and other builtins of the command from ending it.
SUPERVISOR = (
    f"exec {JOURNAL_DESCRIPTOR}>&0 </dev/null; "
    "k=; trap 'k=\" signalled\"' TERM INT HUP QUIT; "
    f'echo "pid $$" >&{JOURNAL_DESCRIPTOR}; ( "$@" ); s=$?; '
    f'echo "exit $s$k" >&{JOURNAL_DESCRIPTOR}; exit $s'
)


@dataclass(frozen=True)
class Order:
    """What a worker is given: everything it needs for one attempt, and nothing alive.

    Attributes
    ----------
    task : Task
    device, device_name : str
        UUID of the GPU, or ``cpu``; and what people call it.
    environment : dict of str
        Added to the environment of the worker.
    ignore_donefile : bool
        Run even though the done-marker is there; it is removed first.
    watched : bool
        Another queue was running this very task when we looked: its end counts as ours.
    only_settles : bool
        Nothing is started; only the end of what another process did is judged and recorded.
    told_to_end : Cause or None
        We told that task to end, for this cause.
    queue_id : str
        Who gives the order.
    memory_mb : float
        Device memory reserved for it [MB].
    is_alone : bool
        Whether the device is kept for it alone.
    forgiven : int
        Attempts up to this number do not speak against another one.
    """

    task: Task
    device: str
    device_name: str
    environment: dict[str, str] = field(default_factory=dict)
    ignore_donefile: bool = False
    watched: bool = False
    only_settles: bool = False
    told_to_end: Cause | None = None
    queue_id: str = ""
    memory_mb: float = 0.0
    is_alone: bool = False
    forgiven: int = 0

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return bool(self.environment.get("CUDA_VISIBLE_DEVICES"))


@dataclass(frozen=True)
class Result:
    """What became of an order.

    Attributes
    ----------
    kind : {"ended", "held", "finished elsewhere", "refused", "left", "free", "returned", "lost"}
        ``ended`` carries the attempt; ``held`` means that another process has the run's lock, and
        nothing was done; ``finished elsewhere`` that the done-marker was there once we had it;
        ``refused`` that the last attempt failed in a way that would repeat itself; ``left`` that
        the task goes on without us; ``free`` that there was nothing to settle; ``returned`` that
        the machine takes nothing more, and nothing was done; ``lost`` that the machine is gone.
    attempt : Attempt or None
    problem : str
        What went wrong outside the command, if anything.
    journal : Journal or None
        Who holds the lock.
    cause : Cause or None
        Why the machine is gone, as far as the batch system tells.
    """

    kind: Literal[
        "ended", "held", "finished elsewhere", "refused", "left", "free", "returned", "lost"
    ]
    attempt: Attempt | None = None
    problem: str = ""
    journal: Journal | None = None
    cause: Cause | None = None


class Overseer(Protocol):
    """Whoever can tell a task to end while a worker runs it."""

    @property
    def left(self) -> int:
        """Descriptor of a pipe whose other end is closed once tasks are to be left."""

    def end_cause(self, name: str) -> Cause | None:
        """Tell why a task is to end, or must not start; None if it may run."""

    def why_signalled(self, name: str) -> Cause:
        """Tell what the end of a task is put down to that was signalled, but not through us."""

    def started(self, order: Order, attempt: Attempt, group: ProcessGroup) -> None:
        """Take note of an attempt and its processes, as soon as they exist."""

    def peak_mb(self, name: str) -> float | None:
        """Give the most device memory that a running task was seen to take [MB]."""


def run_attempt(order: Order, overseer: Overseer) -> Result:
    """Run a task once, if it is free and not done.

    Parameters
    ----------
    order : Order
        What to run, and where.
    overseer : Overseer
        Told of the attempt and its processes; asked whether the task is to end: then nothing is
        started, and an end is not counted as a failure.

    Returns
    -------
    Result
        Never raises for a failing task or a full disk: that is a result too. Unless the task was
        left to itself, the lock is free again and no process of the task is left.
    """
    task = order.task
    try:
        make_folder(task.donefile.parent)
        lock = RunLock.try_acquire(task.files.lock)
        if lock is None:
            return Result("held", journal=read_journal(task.files.lock))
        try:
            return _attempt_locked(order, lock, overseer)
        finally:
            lock.release()
    except LfadsqError as error:
        cause = Cause.STORAGE if isinstance(error, StorageError) else Cause.UNKNOWN
        attempt = end_as(_new_attempt(order, 0, 0), Outcome.FAILED, cause, Ending(None, None))
        return Result("ended", attempt, problem=str(error))


def settle(task: Task, *, watched: bool, told_to_end: Cause | None = None) -> Result:
    """Judge and record the end of what a queue that is dead was running; start nothing.

    Parameters
    ----------
    task : Task
    watched : bool
        Whether that was seen to be this very task.
    told_to_end : Cause or None
        Why we told it to end, if we did.

    Returns
    -------
    Result
        As of `run_attempt`; of kind ``free`` if there is nothing to judge.
    """
    order = Order(
        task=task,
        device="",
        device_name="",
        watched=watched,
        only_settles=True,
        told_to_end=told_to_end,
    )
    return run_attempt(order, _Nobody())


class _Nobody:
    """Oversees nothing: no process is started."""

    left = -1

    def end_cause(self, name: str) -> Cause | None:
        return None

    def why_signalled(self, name: str) -> Cause:
        return Cause.KILLED_BY_USER

    def started(self, order: Order, attempt: Attempt, group: ProcessGroup) -> None:
        raise AssertionError(f"{order.task.name} was started, though its end was only to be judged")

    def peak_mb(self, name: str) -> float | None:
        return None


def _attempt_locked(order: Order, lock: RunLock, overseer: Overseer) -> Result:
    task = order.task
    journal = lock.journal()
    end_survivors(journal)
    is_done = task.donefile.exists() and not order.ignore_donefile
    predecessor = task_of(journal)
    if predecessor is not None and predecessor.donefile != task.donefile:
        # Another task of this run: its end would be forgotten with the journal.
        close_books(predecessor, lock, journal, None)
        journal = Journal()
    record, abandoned = close_books(task, lock, journal, order.told_to_end)
    if is_done:
        return Result("finished elsewhere")
    last = record.last
    if abandoned is not None and abandoned.outcome is Outcome.SUCCEEDED:
        if not order.ignore_donefile:
            return Result("ended", abandoned)
    elif (
        last is not None
        and order.watched
        and (last.outcome is Outcome.FAILED or order.told_to_end is not None)
    ):
        return Result("ended", last)
    if order.only_settles:
        return Result("free")
    attempt = _new_attempt(order, last.number if last else 0, 0)
    cause = overseer.end_cause(task.name)
    if cause is not None:
        return Result("ended", end_as_told(attempt, cause, Ending(None, None)))
    invocation = invocation_of(task)
    attempt = replace(attempt, digest=digest_of(invocation))
    if last is not None and not order.ignore_donefile:
        reason = refusal(last, attempt.digest, order.forgiven)
        if reason:
            return Result("refused", last, problem=reason)
    if task.donefile.exists():
        with storage_errors(task.donefile, "remove"):
            task.donefile.unlink()
    attempt = replace(attempt, log_offset=_open_log(task, attempt))
    token = uuid.uuid4().hex
    told = attempt.to_dict()
    lock.begin(Journal(told, task.name, str(task.donefile), str(task.outfile), token))
    return _run(order, lock, overseer, record, attempt, invocation, token)


def _run(
    order: Order,
    lock: RunLock,
    overseer: Overseer,
    record: Record,
    attempt: Attempt,
    invocation: Invocation,
    token: str,
) -> Result:
    task = order.task
    group = _spawn(order, invocation, lock, token)
    try:
        attempt = replace(attempt, pid=group.pid, pid_started_s=group.started_s)
        overseer.started(order, attempt, group)
        record = record.with_attempt(attempt)
        record.write(task.files.record)
        end = group.wait(overseer.left)
        if end is None:
            lock.leave()
            return Result("left", attempt)
        peak_mb = _peak_mb(order, end, overseer)
        attempt = replace(attempt, peak_memory_mb=peak_mb)
        cause = group.end_cause
        if cause is None and lock.was_signalled():
            cause = overseer.why_signalled(task.name)
        ended = judge(task, attempt, invocation, end.status, order.on_gpu, cause)
        record = record.with_attempt(ended)
        try:
            write_ending(task, record, ended)
        except StorageError as error:
            if ended.outcome is Outcome.SUCCEEDED and task.donefile.exists():
                return Result("ended", ended, problem=str(error))
            raise
        lock.clear()
    finally:
        # Only if something above failed is anything left to end here.
        group.kill()
    return Result("ended", ended)


def _peak_mb(order: Order, end: GroupEnd, overseer: Overseer) -> float | None:
    peak_mb = overseer.peak_mb(order.task.name) if order.on_gpu else end.peak_rss_mb
    return None if peak_mb is None else round(peak_mb, 1)


def _new_attempt(order: Order, last_number: int, log_offset: int) -> Attempt:
    return Attempt(
        number=last_number + 1,
        command=order.task.command,
        host=socket.gethostname(),
        device=order.device,
        device_name=order.device_name,
        started_at=iso_time(time.time()),
        log_offset=log_offset,
        queue_id=order.queue_id,
        folder=current_folder(),
        memory_mb=order.memory_mb,
        is_alone=order.is_alone,
        shape=order.task.shape,
    )


def _open_log(task: Task, attempt: Attempt) -> int:
    """Write the header of an attempt at the end of the log; return where its output begins."""
    make_folder(task.outfile.parent)
    header = (
        f"=== attempt {attempt.number} of {task.name}: {attempt.started_at} on {attempt.host},"
        f" {attempt.device_name}: {task.command}\n"
    )
    with storage_errors(task.outfile, "write"), task.outfile.open("ab") as log:
        if log.tell() > 0:
            log.write(b"\n")
        log.write(header.encode("utf-8", errors="surrogateescape"))
        return log.tell()


def _spawn(order: Order, invocation: Invocation, lock: RunLock, token: str) -> ProcessGroup:
    task = order.task
    environment = child_environment(order.environment)
    environment[TOKEN_VARIABLE] = token
    with storage_errors(task.outfile, "start a task that writes"), task.outfile.open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISOR, "lfadsq-task", *invocation.argv],
            stdin=lock.descriptor,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return ProcessGroup(process, token)
