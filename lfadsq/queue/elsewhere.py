"""Tasks that other processes work on: of other queues, or left behind by queues that are dead."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.control_paths import is_locked
from lfadsq.queue.endings import Endings
from lfadsq.queue.entries import Entry
from lfadsq.queue.events import Event
from lfadsq.queue.execution import settle
from lfadsq.queue.ledger import Ledger
from lfadsq.queue.locks import Journal, read_journal
from lfadsq.queue.places import Reservation
from lfadsq.queue.processes import LeftGroup
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
    control : ControlFolder or None
        Where queues show whether they live.
    queue_id : str
        Of this queue.
    """

    def __init__(
        self,
        ledger: Ledger,
        devices: Collection[str],
        control: ControlFolder | None,
        queue_id: str,
    ) -> None:
        self._ledger = ledger
        self._devices = devices
        self._control = control
        self._queue_id = queue_id
        self._next_s = 0.0

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
        for entry in self._ledger.in_state(TaskState.WAITING, TaskState.PAUSED):
            lock = entry.task.files.lock
            try:
                is_held = lock.stat().st_size > 0 and is_locked(lock)
            except OSError:
                continue  # there is none, or its task will tell what is wrong
            if is_held:
                journal = read_journal(lock)
                events += self._ledger.hold(entry.task.name, journal)
                self._locate(entry, journal)
        return events

    def look(self, endings: Endings) -> list[Event]:
        """Take up what others were working on, once they are not; the lock itself tells.

        Parameters
        ----------
        endings : Endings
            Ends what the command of a dead queue has left behind, which keeps its run's lock.
        """
        events: list[Event] = []
        entries = self._ledger.elsewhere()
        if not entries or time.monotonic() < self._next_s:
            return events
        for entry in entries:
            if entry.left_group is not None and entry.left_group.is_alive():
                continue
            if not is_locked(entry.task.files.lock):
                result = settle(entry.task, watched=entry.is_watched, told_to_end=entry.end_cause)
                events += self._ledger.ended(entry.task.name, result)
                continue
            journal = read_journal(entry.task.files.lock)
            if journal.exit_status is None:
                if entry.reservation is None:
                    self._locate(entry, journal)
            elif self._is_ours_to_end(journal):
                endings.tell_remains(entry, journal.token)
        ours = any(entry.left_group is not None for entry in self._ledger.elsewhere())
        self._next_s = time.monotonic() + (_LEFT_POLL_S if ours else _OTHERS_POLL_S)
        return events

    def _locate(self, entry: Entry, journal: Journal) -> None:
        try:
            attempt = Attempt.from_dict(journal.attempt)
        except (ValueError, TypeError, KeyError):
            return
        if attempt.host != socket.gethostname() or journal.pid is None:
            return
        group = LeftGroup(journal.pid, entry.task.files.lock)
        if group.is_alive() and attempt.device in self._devices:
            reservation = Reservation(
                attempt.device,
                attempt.memory_mb,
                session=journal.pid,
                is_alone=attempt.is_alone,
            )
            is_owned = self._has_owner(attempt.queue_id)
            self._ledger.locate(entry.task.name, reservation, None if is_owned else group)

    def _is_ours_to_end(self, journal: Journal) -> bool:
        is_here = journal.attempt.get("host") == socket.gethostname()
        return is_here and not self._has_owner(str(journal.attempt.get("queue_id", "")))

    def _has_owner(self, queue_id: str) -> bool:
        if self._control is None or not queue_id:
            return False
        return queue_id == self._queue_id or is_locked(self._control.paths.lock(queue_id))


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
