"""The ids of a queue's jobs on disk, so that pending jobs of a queue that died can be cancelled.

Each queue has a file of its own beside the logs of its jobs, and holds a ``flock`` beside it as
long as it lives. Where a file system does not show such locks to other machines, a live queue is
known by the age of its file, which is renewed; ages are compared by the clock of the file system.
Format version 1; change `JOBS_VERSION` with it, and keep reading old ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import ClusterError, QueueError
from lfadsq.files import make_folder, storage_errors, write_text
from lfadsq.queue.clusters.jobs import JobState
from lfadsq.queue.clusters.systems.base import BatchSystem
from lfadsq.queue.events import Noted
from lfadsq.queue.versioned import parse_versioned
from lfadsq.texts import count_text

__all__ = ["JOBS_VERSION", "JobsFile", "cancel_leftovers"]

_logger = logging.getLogger(__name__)

JOBS_VERSION = 1

_BEAT_S = 60.0
_DEAD_AFTER_S = 900.0
"""A queue of another machine that did not renew its file for so long is gone."""

_TOO_OLD_S = 14 * 86400.0
"""Ids of batch systems come again after a while: an old one may name somebody else's job."""


class JobsFile:
    """The file of a living queue.

    Parameters
    ----------
    log_folder : Path
        Where the logs of jobs go; made if it is missing.
    queue_id : str
    system : str
        Name of the batch system.

    Raises
    ------
    StorageError
        If it cannot be made.
    """

    def __init__(self, log_folder: Path, queue_id: str, system: str) -> None:
        make_folder(log_folder)
        self._path = log_folder / f"jobs_{re.sub(r'[^A-Za-z0-9_.-]', '_', queue_id)}.json"
        self._head = {"schema_version": JOBS_VERSION, "queue_id": queue_id, "system": system}
        self._next_s = 0.0
        self._written: Mapping[str, float] | None = None
        self._lock = _take_lock(self._path.with_suffix(".lock"), make=True)
        if self._lock is None:
            raise QueueError(f"a queue {queue_id} runs already")

    def write(self, jobs: Mapping[str, float]) -> None:
        """Write the ids of jobs that have not ended, and when each was submitted [s since 1970].

        Cheap if nothing has changed; call it now and then to show that the queue lives.

        Raises
        ------
        StorageError
            If it cannot be written; what was there is still there.
        """
        now_s = time.monotonic()
        if jobs != self._written:
            data = {**self._head, "machine": _machine(), "jobs": dict(jobs)}
            write_text(self._path, json.dumps(data) + "\n")
            self._written = dict(jobs)
        elif now_s >= self._next_s:
            with contextlib.suppress(OSError):
                os.utime(self._path)
        else:
            return
        self._next_s = now_s + _BEAT_S

    def close(self) -> None:
        """Let go of it: it is removed if no job is left, else the next queue takes care of it."""
        if self._lock is None:
            return
        if not self._written:
            _remove(self._path)
        os.close(self._lock)
        self._lock = None


def cancel_leftovers(
    system: BatchSystem, log_folder: Path, note: Callable[[Noted], None]
) -> list[str]:
    """Cancel pending jobs of queues that are gone; running ones end by themselves.

    A queue is gone if nobody holds its lock, and, should it have been on another machine, it did
    not renew its file for 15 minutes. Jobs of live queues are never touched.

    Parameters
    ----------
    system : BatchSystem
    log_folder : Path
        Of the collection.
    note : callable
        Takes what people should know.

    Returns
    -------
    list of str
        Ids of the jobs that were cancelled. What does not succeed becomes a note, and the next
        queue tries again.
    """
    cancelled: list[str] = []
    try:
        paths = sorted(log_folder.glob("jobs_*.json"))
    except OSError:
        return cancelled
    for path in paths:
        try:
            with _of_dead_queue(path, system.name) as left:
                if left is not None:
                    cancelled += _cancel_pending(system, path, left)
        except (ClusterError, OSError) as error:
            note(Noted(f"jobs of a queue that is gone may be left: {error}", is_warning=True))
    if cancelled:
        what = count_text(len(cancelled), "pending job")
        note(Noted(f"{what} of a queue that is gone cancelled: {', '.join(cancelled)}"))
    return cancelled


@dataclass(frozen=True)
class _Left:
    jobs: Mapping[str, float]


def _cancel_pending(system: BatchSystem, path: Path, left: _Left) -> list[str]:
    oldest_s = time.time() - _TOO_OLD_S
    ids = [job_id for job_id, submitted_s in left.jobs.items() if submitted_s > oldest_s]
    reports = system.ask(ids) if ids else {}
    pending = [i for i, report in reports.items() if i in ids and report.state is JobState.PENDING]
    if pending:
        system.cancel(pending)
    # One that runs may be put back among the pending ones: the next queue looks again.
    if not any(r.state is JobState.RUNNING for i, r in reports.items() if i in ids):
        _remove(path)
    return pending


@contextlib.contextmanager
def _of_dead_queue(path: Path, system: str) -> Iterator[_Left | None]:
    """Give what a queue left, and hold its lock meanwhile; None if it lives or is not for us."""
    lock = _take_lock(path.with_suffix(".lock"), make=False)
    if lock is None:
        yield None
        return
    try:
        yield _read(path, system, lock)
    finally:
        os.close(lock)


def _read(path: Path, system: str, lock: int) -> _Left | None:
    with storage_errors(path, "read"):
        try:
            text = path.read_text(encoding="utf-8")
            os.utime(lock)
            age_s = os.fstat(lock).st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return None  # its queue has just ended
    try:
        data = parse_versioned(path, text, JOBS_VERSION)
        is_for_us = data["system"] == system
        is_dead = data["machine"] == _machine() or age_s >= _DEAD_AFTER_S
        jobs = {str(key): float(value) for key, value in data["jobs"].items()}
    except (QueueError, ValueError, TypeError, KeyError, AttributeError) as error:
        _logger.warning("%s is not used: %s", path, error)
        return None
    return _Left(jobs) if is_for_us and is_dead else None


def _take_lock(path: Path, *, make: bool) -> int | None:
    """Lock a file; None if somebody else has it, or if there is none and it is not to be made."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
    with storage_errors(path, "lock"):
        while True:
            try:
                descriptor = os.open(path, flags, 0o600)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            except FileNotFoundError:
                pass  # removed by whoever had it: a new one is needed
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _remove(path: Path) -> None:
    for each in (path, path.with_suffix(".lock")):
        with contextlib.suppress(OSError):
            each.unlink()


def _machine() -> str:
    """Name this machine as it runs now: with it its locks are certain."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"unknown {os.getpid()} {time.time()}"
