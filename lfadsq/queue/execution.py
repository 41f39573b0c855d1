"""One attempt at one task: lock, start, wait, judge, record.

The command runs under a supervisor of a few shell lines, which leads a session and process group
of its own and notes pid and exit status in the lock's journal. It outlives a queue that is killed,
so that the next queue still learns how the task ended. A crash costs one run, and ending the group
ends everything the command started.

Order of what is written, so that a loss of power at any moment loses nothing and repeats nothing:
journal (before the start), record (running), done-marker, record (ended), unlock.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lfadsq.errors import LfadsqError, StorageError
from lfadsq.files import make_folder, storage_errors, write_text
from lfadsq.queue.commands import Invocation, invocation_of
from lfadsq.queue.failures import Ending, cause_of, ending_of_status, log_tail
from lfadsq.queue.locks import Journal, RunLock, read_journal
from lfadsq.queue.processes import TOKEN_VARIABLE, ProcessGroup
from lfadsq.queue.records import Attempt, AttemptState, Cause, Outcome, Record, iso_time
from lfadsq.queue.tasks import Task

__all__ = ["SUPERVISOR", "Order", "Result", "child_environment", "run_attempt", "thread_counts"]

# Standard input is the lock's journal: moved to descriptor 9, it is inherited by the command, and
# the lock with it. The supervisor lives through signals to the group, to note how the command took
# them; the subshell keeps `exit` and other builtins of the command from ending it.
SUPERVISOR = (
    "exec 9>&0 </dev/null; trap : TERM INT HUP QUIT; "
    'echo "pid $$" >&9; ( "$@" ); s=$?; echo "exit $s" >&9; exit $s'
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
    """

    task: Task
    device: str
    device_name: str
    environment: dict[str, str] = field(default_factory=dict)
    ignore_donefile: bool = False
    watched: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return bool(self.environment.get("CUDA_VISIBLE_DEVICES"))


@dataclass(frozen=True)
class Result:
    """What became of an order.

    Attributes
    ----------
    kind : {"ended", "held", "finished elsewhere"}
        ``ended`` carries the attempt; ``held`` means that another process has the run's lock, and
        nothing was done; ``finished elsewhere`` that the done-marker was there once we had it.
    attempt : Attempt or None
    problem : str
        What went wrong outside the command, if anything.
    journal : Journal or None
        Who holds the lock.
    """

    kind: Literal["ended", "held", "finished elsewhere"]
    attempt: Attempt | None = None
    problem: str = ""
    journal: Journal | None = None


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Build the environment of a task from our own.

    The programs of the environment that runs the queue come first on ``PATH``, so that
    ``venv/bin/python run_lfadsqueue.py`` finds its trainer without activating anything.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **extra}
    programs = str(Path(sys.executable).parent)
    path = environment.get("PATH") or os.defpath
    environment["PATH"] = path if path.split(":")[0] == programs else f"{programs}:{path}"
    return environment


def thread_counts(num_threads: int) -> dict[str, str]:
    """Share the processors out: tells a task's libraries how many threads to use.

    What the user has set stays. The operations of LFADS are small: on two cores two of them side by
    side take 23 ms a step, each of them split in two 33 ms. So TensorFlow may run as many at once
    as there are threads, and split one over half of them.
    """
    counts = {
        "OMP_NUM_THREADS": num_threads,
        "TF_NUM_INTEROP_THREADS": num_threads,
        "TF_NUM_INTRAOP_THREADS": num_threads // 2,
    }
    return {name: str(max(1, count)) for name, count in counts.items() if name not in os.environ}


def run_attempt(
    order: Order, started: Callable[[Attempt, ProcessGroup], None], is_stopping: Callable[[], bool]
) -> Result:
    """Run a task once, if it is free and not done.

    Parameters
    ----------
    order : Order
        What to run, and where.
    started : callable
        Told of the attempt and its processes as soon as they exist.
    is_stopping : callable
        Whether the queue wants its tasks to end: then nothing is started, and an end counts as an
        interruption.

    Returns
    -------
    Result
        Never raises for a failing task or a full disk: that is a result too. Whatever happens, the
        lock is free again and no process of the task is left.
    """
    task = order.task
    try:
        make_folder(task.donefile.parent)
        lock = RunLock.try_acquire(task.files.lock)
        if lock is None:
            return Result("held", journal=read_journal(task.files.lock))
        try:
            return _attempt_locked(order, lock, started, is_stopping)
        finally:
            lock.release()
    except LfadsqError as error:
        cause = Cause.STORAGE if isinstance(error, StorageError) else Cause.UNKNOWN
        attempt = _ended(_new_attempt(order, 0, 0), Outcome.FAILED, cause, Ending(None, None))
        return Result("ended", attempt, problem=str(error))


def _attempt_locked(
    order: Order,
    lock: RunLock,
    started: Callable[[Attempt, ProcessGroup], None],
    is_stopping: Callable[[], bool],
) -> Result:
    task = order.task
    if task.donefile.exists() and not order.ignore_donefile:
        return Result("finished elsewhere")
    record = Record.read(task.files.record, task.name)
    abandoned = _settle(task, record, lock.journal())
    if abandoned is not None:
        record = record.with_attempt(abandoned)
        _write_ending(task, record, abandoned)
        lock.clear()
    last = record.last
    if abandoned is not None and abandoned.outcome is Outcome.SUCCEEDED:
        if not order.ignore_donefile:
            return Result("ended", abandoned)
    elif order.watched and last is not None and last.outcome is Outcome.FAILED:
        return Result("ended", last)
    if task.donefile.exists():
        with storage_errors(task.donefile, "remove"):
            task.donefile.unlink()

    attempt = _new_attempt(order, last.number if last else 0, 0)
    if is_stopping():
        ending = Ending(None, None)
        return Result("ended", _ended(attempt, Outcome.INTERRUPTED, Cause.QUEUE_STOPPED, ending))
    invocation = invocation_of(task)
    attempt = replace(attempt, log_offset=_open_log(task, attempt))
    lock.begin(attempt.to_dict(), task.donefile)
    group = _spawn(order, invocation, lock)
    try:
        attempt = replace(attempt, pid=group.pid, pid_started_s=group.started_s)
        started(attempt, group)
        record = record.with_attempt(attempt)
        record.write(task.files.record)
        status = group.wait(is_stopping)
        ended = _judge(task, attempt, invocation, status, order.on_gpu, group.was_signalled)
        record = record.with_attempt(ended)
        try:
            _write_ending(task, record, ended)
        except StorageError as error:
            if ended.outcome is Outcome.SUCCEEDED and task.donefile.exists():
                return Result("ended", ended, problem=str(error))
            raise
        lock.clear()
    finally:
        # Only if something above failed is anything left to end here.
        group.kill()
    return Result("ended", ended)


def _settle(task: Task, record: Record, journal: Journal) -> Attempt | None:
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
        return _ended(attempt, Outcome.LOST, Cause.LOST, Ending(None, None))
    on_gpu = attempt.device != "cpu"
    return _judge(task, attempt, invocation_of(task), exit_status, on_gpu, stopping=False)


def _judge(
    task: Task,
    attempt: Attempt,
    invocation: Invocation,
    status: int,
    on_gpu: bool,
    stopping: bool,
) -> Attempt:
    ending = ending_of_status(status)
    if stopping:
        # A trainer that was asked to stop may well end with status 0: it is not done for that.
        return _ended(attempt, Outcome.INTERRUPTED, Cause.QUEUE_STOPPED, ending)
    if invocation.success_line is None:
        succeeded = ending.succeeded
    else:
        succeeded = _log_holds(task.outfile, invocation.success_line, attempt.log_offset)
    if succeeded:
        return _ended(attempt, Outcome.SUCCEEDED, None, ending)
    if ending.succeeded:
        return _ended(attempt, Outcome.FAILED, Cause.NOT_CONVERGED, ending)
    log = log_tail(task.outfile, since=attempt.log_offset)
    return _ended(attempt, Outcome.FAILED, cause_of(ending, log, on_gpu=on_gpu), ending)


def _log_holds(path: Path, text: str, since: int) -> bool:
    with storage_errors(path, "read"), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(since if since <= size else 0)
        needle = text.encode()
        return any(needle in line for line in file)


def _write_ending(task: Task, record: Record, attempt: Attempt) -> None:
    if attempt.outcome is Outcome.SUCCEEDED:
        # First the marker: without it a loss of power here would train the run again. It is empty
        # and in the record's folder, so the flush of the folder after the record covers it too.
        write_text(task.donefile, "", durable=False)
    record.write(task.files.record)


def _new_attempt(order: Order, last_number: int, log_offset: int) -> Attempt:
    return Attempt(
        number=last_number + 1,
        command=order.task.command,
        host=socket.gethostname(),
        device=order.device,
        device_name=order.device_name,
        started_at=iso_time(time.time()),
        log_offset=log_offset,
    )


def _ended(attempt: Attempt, outcome: Outcome, cause: Cause | None, ending: Ending) -> Attempt:
    return replace(
        attempt,
        state=AttemptState.ENDED,
        ended_at=iso_time(time.time()),
        outcome=outcome,
        cause=cause,
        exit_status=ending.exit_status,
        signal=ending.signal,
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


def _spawn(order: Order, invocation: Invocation, lock: RunLock) -> ProcessGroup:
    task = order.task
    token = uuid.uuid4().hex
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
