"""Tasks that other processes work on: of other queues, or left behind by queues that are dead."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from pathlib import Path

from lfadsq.errors import StorageError
from lfadsq.queue.control_paths import is_locked
from lfadsq.queue.endings import Endings
from lfadsq.queue.entries import Entry
from lfadsq.queue.events import Event, Noted
from lfadsq.queue.execution import settle
from lfadsq.queue.ledger import Ledger
from lfadsq.queue.locks import Journal, read_journal
from lfadsq.queue.places import Reservation
from lfadsq.queue.processes import LeftGroup, has_open
from lfadsq.queue.records import Attempt
from lfadsq.queue.status import TaskState
from lfadsq.queue.tasks import Task

__all__ = ["Elsewhere"]

_LEFT_POLL_S = 0.1
_OTHERS_POLL_S = 0.5


class Elsewhere:
    """Finds tasks that other processes work on, and takes them up when they have ended.

    Parameters
    ----------
    ledger : Ledger
    devices : collection of str
        Ids of the devices of this queue.
    queue_id : str
        Of this queue.
    """

    def __init__(
        self,
        ledger: Ledger,
        devices: Collection[str],
        queue_id: str,
    ) -> None:
        self._ledger = ledger
        self._devices = devices
        self._queue_id = queue_id
        self._next_s = 0.0
        self._complained: set[str] = set()

    def patience_s(self) -> float | None:
        """Tell how long to wait before `look` has something to do [s]; None for ever."""
        if not self._ledger.elsewhere():
            return None
        return max(0.0, self._next_s - time.monotonic())

    def probe(self) -> list[Event]:
        """Find them before any device is given away, and close the books of what is done."""
        for entry in self._ledger.in_state(TaskState.DONE):
            if _has_open_books(entry.task):
                settle(entry.task, watched=False)
        events: list[Event] = []
        states = (TaskState.WAITING, TaskState.PAUSED, TaskState.CANCELLED)
        for entry in self._ledger.in_state(*states):
            lock = entry.task.files.lock
            try:
                has_journal = lock.stat().st_size > 0
                is_held = has_journal and is_locked(lock)
            except OSError:
                continue  # there is none, or its task will tell what is wrong
            if is_held:
                journal = read_journal(lock)
                events += self._ledger.hold(entry.task.name, journal)
                self._locate(entry, journal)
            elif has_journal and entry.state is TaskState.CANCELLED:
                # Nobody will try it, and so close its books.
                events += self._ledger.ended(entry.task.name, settle(entry.task, watched=False))
        return events

    def look(self, endings: Endings, *, is_stopping: bool) -> list[Event]:
        """Take up what others were working on, once they are not; the lock itself tells.

        Parameters
        ----------
        endings : Endings
            Ends what a dead queue has left behind and nobody wants, or what the command of such
            has left behind, which keeps its run's lock.
        is_stopping : bool
            What is to end has been told already.
        """
        events: list[Event] = []
        entries = self._ledger.elsewhere()
        if not entries or time.monotonic() < self._next_s:
            return events
        for entry in entries:
            try:
                events += self._look_at(entry, endings, is_stopping=is_stopping)
            except StorageError as error:
                # A disk that hiccups must not end the queue: it is looked at again.
                if entry.task.name not in self._complained:
                    self._complained.add(entry.task.name)
                    events.append(Noted(str(error), is_warning=True))
        ours = any(entry.left_group is not None for entry in self._ledger.elsewhere())
        self._next_s = time.monotonic() + (_LEFT_POLL_S if ours else _OTHERS_POLL_S)
        return events

    def _look_at(self, entry: Entry, endings: Endings, *, is_stopping: bool) -> list[Event]:
        has_supervisor = entry.left_group is not None and entry.left_group.is_alive()
        if not has_supervisor and not is_locked(entry.task.files.lock):
            result = settle(entry.task, watched=entry.is_watched, told_to_end=entry.end_cause)
            return self._ledger.ended(entry.task.name, result)
        journal = Journal() if has_supervisor else read_journal(entry.task.files.lock)
        if entry.left_group is None and journal.exit_status is None:
            # Its queue may have died since we looked.
            self._locate(entry, journal)
        cause = None if is_stopping else self._ledger.unwanted(entry)
        if cause is not None and entry.left_group is not None:
            # Whose task it was died before it could obey.
            endings.tell([entry], cause)
        elif journal.exit_status is not None and self._is_ours_to_end(entry, journal):
            endings.tell_remains(entry, journal.token)
        return []

    def _locate(self, entry: Entry, journal: Journal) -> None:
        try:
            attempt = Attempt.from_dict(journal.attempt)
        except (ValueError, TypeError, KeyError):
            return
        if attempt.host != socket.gethostname() or journal.pid is None:
            return
        is_owned = self._has_owner(attempt.queue_id, entry.task.files.lock, journal.pid)
        group = LeftGroup(journal.pid, entry.task.files.lock, journal.token)
        reservation = None
        if attempt.device in self._devices:
            reservation = Reservation(
                attempt.device,
                attempt.memory_mb,
                session=journal.pid,
                is_alone=attempt.is_alone,
            )
        self._ledger.locate(entry.task.name, reservation, None if is_owned else group)

    def _is_ours_to_end(self, entry: Entry, journal: Journal) -> bool:
        is_here = journal.attempt.get("host") == socket.gethostname()
        queue_id = str(journal.attempt.get("queue_id", ""))
        return is_here and not self._has_owner(queue_id, entry.task.files.lock, journal.pid)

    def _has_owner(self, queue_id: str, lock: Path, leader: int | None) -> bool:
        """Tell whether whoever started a task on this machine still holds its lock.

        That is its queue, or a worker of its queue, which is then the parent of its leader.
        """
        pid = queue_id.split("-")[-2:-1]
        is_pid = bool(pid) and pid[0].isdigit()
        return (
            queue_id == self._queue_id
            or (is_pid and has_open(int(pid[0]), lock))
            or (leader is not None and _parent_has_open(leader, lock))
        )


def _parent_has_open(pid: int, path: Path) -> bool:
    import psutil  # not on import of lfadsq.queue, which has to be quick

    try:
        parent = psutil.Process(pid).parent()
        # An orphan's is one of the system's, into which we may not look.
        is_mine = parent is not None and parent.uids().real == os.getuid() and parent.pid != 1
        return is_mine and has_open(parent.pid, path)
    except (psutil.Error, OSError):
        return False


def _has_open_books(task: Task) -> bool:
    """Tell whether a queue may have died between the marker of a task and its record."""
    try:
        record = task.files.record.stat()
        return (
            task.files.lock.stat().st_size > 0
            or record.st_mtime_ns < task.donefile.stat().st_mtime_ns
        )
    except OSError:
        return False  # no queue has run it
