"""What a queue knows of each of its tasks, and what follows from what happens to them.

Nothing here waits, starts or signals anything: the runner tells what happened and what people
want, and is told what to report and whom to end.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lfadsq.errors import LfadsqError
from lfadsq.queue.devices import CPU, Device
from lfadsq.queue.entries import Entry, tried_text
from lfadsq.queue.events import (
    Event,
    Failure,
    Noted,
    QueueSummary,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskHeld,
    TaskInterrupted,
    TaskLeft,
    TaskRetried,
    TasksAdded,
    Usage,
)
from lfadsq.queue.execution import Result
from lfadsq.queue.failures import REMEDIES, failure_of, last_lines, log_tail, unplaceable
from lfadsq.queue.locks import Journal
from lfadsq.queue.peaks import PeakBook
from lfadsq.queue.places import Reservation
from lfadsq.queue.processes import LeftGroup
from lfadsq.queue.records import Attempt, Cause, Outcome, Record
from lfadsq.queue.retries import STOPS_QUEUE, decide
from lfadsq.queue.status import TaskState, TaskStatus
from lfadsq.queue.tasks import Task
from lfadsq.queue.waiting import Need, WaitingLine
from lfadsq.queue.wishes import Wishes

__all__ = ["Ledger"]


class Ledger:
    """All tasks of a queue.

    Parameters
    ----------
    peaks : PeakBook
        What is known of the memory they take.
    ignore_donefile : bool
        Whether to run again what is done.

    Attributes
    ----------
    line : WaitingLine
        Those that may start now.
    halted_by : Failure or None
        A failure that every other task would meet too: nothing more is to start.
    """

    def __init__(self, peaks: PeakBook, ignore_donefile: bool) -> None:
        self.line = WaitingLine()
        self.halted_by: Failure | None = None
        self._peaks = peaks
        self._ignore_donefile = ignore_donefile
        self._entries: dict[str, Entry] = {}
        self._by_lock: dict[Path, list[Entry]] = {}
        self._active: dict[str, Entry] = {}
        self._resting: dict[str, Entry] = {}
        self._wishes = Wishes()
        self._finished: list[str] = []
        self._largest_mb = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> Entry:
        """Give the entry of a task by its name."""
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def in_state(self, *states: TaskState) -> list[Entry]:
        """List the entries in any of some states, in the order of the list."""
        return [entry for entry in self._entries.values() if entry.state in states]

    @property
    def running(self) -> dict[str, Reservation]:
        """Reservations by name, in the order in which they started, also of left-behind tasks."""
        return {
            name: entry.reservation
            for name, entry in self._active.items()
            if entry.reservation is not None
        }

    def num_running(self) -> int:
        """Count the tasks that this queue runs itself."""
        return sum(entry.state is TaskState.RUNNING for entry in self._active.values())

    def elsewhere(self) -> list[Entry]:
        """List the tasks that another process works on."""
        return [e for e in self._active.values() if e.state is TaskState.ELSEWHERE]

    def has_work(self, *, elsewhere: bool = True) -> bool:
        """Tell whether anything waits, rests, is paused, or is worked on.

        Parameters
        ----------
        elsewhere : bool, default True
            Whether what other processes work on counts.
        """
        if self._active if elsewhere else self.num_running():
            return True
        if self.halted_by is not None:
            return False
        return bool(len(self.line) or self._resting or self.in_state(TaskState.PAUSED))

    def shape_of(self, name: str) -> str:
        """Give the shape of a task by its name."""
        return self._entries[name].task.shape

    def next_retry_s(self) -> float | None:
        """Tell when the next resting task may start [s, monotonic]."""
        return min((entry.retry_at_s for entry in self._resting.values()), default=None)

    def add(self, tasks: Iterable[Task]) -> list[Event]:
        """Take tasks up; those that are known already, and equal, are passed over."""
        added, num_done = [], 0
        events: list[Event] = []
        for task in tasks:
            known = self._entries.get(task.name)
            if known is not None:
                if known.task != task:
                    text = f"{task.name} is in this queue already, and differs: left as it was"
                    events.append(Noted(text, True))
                continue
            entry = Entry(task, len(self._entries), TaskState.WAITING, time.time(), task.priority)
            self._entries[task.name] = entry
            self._by_lock.setdefault(task.files.lock, []).append(entry)
            added.append(task)
            if not self._ignore_donefile and task.donefile.exists():
                entry.state = TaskState.DONE
                num_done += 1
            else:
                self._apply_to(entry, self._wishes)
                self._reconsider(entry)
        if added:
            events.append(TasksAdded(tuple(added), num_done))
        return events

    def apply(self, wishes: Wishes) -> tuple[dict[str, Cause], list[Event]]:
        """Take in what people want now.

        Returns
        -------
        ends : dict of str to Cause
            Tasks to end, and for what.
        events : list of Event
        """
        old, self._wishes = self._wishes, wishes
        ends: dict[str, Cause] = {}
        events: list[Event] = []
        if self.halted_by is not None and wishes.forgiven != old.forgiven:
            self.halted_by = None
        for name, entry in self._entries.items():
            if entry.state in _WORKED_ON:
                cause = self.unwanted(entry)
                if cause is not None:
                    ends[name] = cause
                continue
            before = entry.state
            self._apply_to(entry, wishes)
            if entry.state is TaskState.CANCELLED and before is not TaskState.CANCELLED:
                events.append(TaskCancelled(entry.task))
            self._reconsider(entry)
        return ends, events

    def unwanted(self, entry: Entry) -> Cause | None:
        """Tell for what a task that is worked on must end; None if it may go on, or was told."""
        name = entry.task.name
        if entry.end_cause is not None or not self._wishes.ends(name):
            return None
        return Cause.CANCELLED if name in self._wishes.cancelled else Cause.PAUSED

    def start(self, name: str, reservation: Reservation) -> None:
        """Note that a task is placed, and about to start."""
        entry = self._entries[name]
        entry.move_to(TaskState.RUNNING)
        entry.reservation = reservation
        entry.end_cause = None
        entry.attempt = None
        self._active[name] = entry
        for sibling in self._siblings(entry):
            self._reconsider(sibling)

    def started(self, name: str, attempt: Attempt) -> None:
        """Note that a task's process runs."""
        entry = self._entries[name]
        entry.attempt = attempt
        entry.num_returned = 0
        if entry.reservation is not None:
            entry.reservation = replace(entry.reservation, session=attempt.pid)

    def ended(self, name: str, result: Result | BaseException) -> list[Event]:
        """Note what became of a task's order, and tell what follows."""
        entry = self._entries[name]
        self._active.pop(entry.task.name, None)
        entry.reservation = None
        entry.left_group = None
        events = self._judge(entry, result)
        entry.end_cause = None
        for one in self._siblings(entry):
            self._reconsider(one)
        return events

    def hold(self, name: str, journal: Journal) -> list[Event]:
        """Note that another process works on a task, as its lock's journal tells."""
        return self._hold(self._entries[name], journal)

    def locate(self, name: str, reservation: Reservation | None, group: LeftGroup | None) -> None:
        """Note on which device of this machine another process works on a task.

        Parameters
        ----------
        name : str
        reservation : Reservation or None
            What it takes there; None if that is none of our devices.
        group : LeftGroup or None
            Its processes, if the queue that started them is dead: they are ours now.
        """
        entry = self._entries[name]
        entry.reservation = reservation
        entry.left_group = group

    def wake(self, now_s: float) -> bool:
        """Put tasks that have rested long enough into the line; tell whether there were any."""
        rested = [entry for entry in self._resting.values() if entry.retry_at_s <= now_s]
        for entry in rested:
            self._reconsider(entry)
        return bool(rested)

    def cannot_fit(self, name: str, devices: Sequence[Device]) -> Event:
        """Fail a task that no device could ever hold."""
        entry = self._entries[name]
        return self._fail(entry, unplaceable(entry.task, devices))

    def note_largest(self, memory_mb: float) -> None:
        """Note the memory of the largest device seen [MB]."""
        self._largest_mb = max(self._largest_mb, memory_mb)

    def learn_from_records(self, *, on_gpu: bool) -> None:
        """Learn what shapes of models take from tasks that are done, on such a device."""
        num_read: dict[str, int] = {}
        for entry in self.in_state(TaskState.DONE):
            task = entry.task
            read = num_read.get(task.shape, 0)
            if not (task.learns_memory and task.shape) or read == _RECORDS_A_SHAPE:
                continue
            num_read[task.shape] = read + 1
            with contextlib.suppress(LfadsqError):  # it only would have told of memory
                for attempt in Record.read(task.files.record, task.name).attempts:
                    if (attempt.device != CPU) == on_gpu:
                        self._learn(task, attempt)

    def summary(self, queue_name: str, wall_s: float, usage: Usage) -> QueueSummary:
        """Tell what became of all tasks."""

        def names(*states: TaskState) -> tuple[str, ...]:
            return tuple(entry.task.name for entry in self.in_state(*states))

        finished = set(self._finished)
        return QueueSummary(
            queue_name=queue_name,
            finished=tuple(self._finished),
            skipped=tuple(name for name in names(TaskState.DONE) if name not in finished),
            failed=tuple(e.failure for e in self.in_state(TaskState.FAILED) if e.failure),
            interrupted=names(TaskState.INTERRUPTED),
            not_started=names(TaskState.WAITING, TaskState.PAUSED),
            wall_s=wall_s,
            cancelled=names(TaskState.CANCELLED),
            left=names(TaskState.LEFT, TaskState.RUNNING, TaskState.ELSEWHERE),
            usage=usage,
        )

    def statuses(self) -> Iterator[TaskStatus]:
        """Give where each task stands; the very object of last time where nothing has changed."""
        for entry in self._entries.values():
            name = entry.task.name
            need = self.line.get(name)
            reason = self._reason(entry)
            basis = (entry.state, entry.since_s, entry.attempt, entry.priority, need, reason)
            if entry.status is None or entry.status[0] != basis:
                entry.status = basis, entry.as_status(need, reason)
            yield entry.status[1]

    # --- what follows ----------------------------------------------------------------------------

    def _judge(self, entry: Entry, result: Result | BaseException) -> list[Event]:
        task = entry.task
        if isinstance(result, BaseException):
            failure = failure_of(task, None, f"{type(result).__name__}: {result}")
            return [self._fail(entry, failure)]
        entry.attempt = result.attempt or entry.attempt
        if result.kind == "held":
            return self._hold(entry, result.journal or Journal())
        if result.kind == "finished elsewhere":
            entry.move_to(TaskState.DONE)
            if entry.is_reported:
                self._finished.append(task.name)
                return [TaskFinished(task, None)]
            return [Noted(f"{task.name} was finished meanwhile by another queue")]
        if result.kind == "free":
            entry.move_to(TaskState.WAITING)
            self._apply_to(entry, self._wishes)
            if entry.state is not TaskState.WAITING:
                return []
            return [Noted(f"nobody works on {task.name} any more: this queue takes it up")]
        if result.kind == "returned":
            entry.move_to(TaskState.WAITING, result.problem)
            delay_s = min(_RETURNED_S * 2**entry.num_returned, _LONGEST_RETURNED_S)
            entry.num_returned += 1
            entry.retry_at_s = time.monotonic() + delay_s
            self._apply_to(entry, self._wishes)
            return []
        if result.kind == "lost":
            return self._lost(entry, result)
        attempt = result.attempt
        assert attempt is not None
        if result.kind == "left":
            entry.move_to(TaskState.LEFT)
            return [TaskLeft(task, attempt)]
        if result.kind == "refused":
            return [self._fail(entry, failure_of(task, attempt, result.problem))]
        self._peaks.forget(task.name)
        self._learn(task, attempt)
        if attempt.outcome is Outcome.SUCCEEDED:
            entry.move_to(TaskState.DONE)
            self._finished.append(task.name)
            events: list[Event] = [TaskFinished(task, attempt)]
            if attempt.exit_status != 0 or result.problem:
                ended = f"its command ended with exit status {attempt.exit_status}"
                events.append(Noted(f"{task.name} is done, but {result.problem or ended}", True))
            return events
        if attempt.outcome is Outcome.CANCELLED:
            entry.move_to(TaskState.CANCELLED)
            self._apply_to(entry, self._wishes)  # it may be wanted again by now
            if entry.state is TaskState.CANCELLED:
                return [TaskCancelled(task)]
            return [TaskInterrupted(task, will_go_on=True)]
        if attempt.outcome is Outcome.INTERRUPTED:
            goes_on = attempt.cause in _GOES_ON
            entry.move_to(TaskState.WAITING if goes_on else TaskState.INTERRUPTED)
            self._apply_to(entry, self._wishes)
            return [TaskInterrupted(task, will_go_on=goes_on)]
        return self._failed(entry, attempt, result)

    def _lost(self, entry: Entry, result: Result) -> list[Event]:
        """Take up again what died with its machine; only what kills one after the other fails."""
        cause = result.cause or Cause.NODE_LOST
        entry.num_lost += cause is Cause.NODE_LOST
        if entry.num_lost > _MAX_LOST:
            failure = replace(failure_of(entry.task, None, result.problem), cause=cause)
            return [self._fail(entry, replace(failure, remedy=REMEDIES[cause]))]
        entry.move_to(TaskState.WAITING, f"again, after: {cause.value}")
        self._apply_to(entry, self._wishes)
        text = f"{entry.task.name}: {result.problem} ({cause.value}); it goes on elsewhere"
        return [TaskInterrupted(entry.task, will_go_on=True), Noted(text)]

    def _failed(self, entry: Entry, attempt: Attempt, result: Result) -> list[Event]:
        task = entry.task
        failure = replace(
            failure_of(task, attempt, result.problem),
            tried=tuple(tried_text(one) for one in entry.failed),
        )
        entry.failed.append(attempt)
        said = result.problem + "\n".join(
            last_lines(log_tail(task.outfile, since=attempt.log_offset), 100)
        )
        again = decide(entry.failed, said, self._largest_mb)
        if again is None:
            events = [self._fail(entry, failure)]
            if failure.cause in STOPS_QUEUE and self.halted_by is None:
                self.halted_by = failure
                events.append(
                    Noted(
                        f"no other task is started: each would fail of the same"
                        f" ({failure.cause.value}); what runs goes on",
                        True,
                    )
                )
            return events
        entry.move_to(TaskState.WAITING, f"again {again.how}, after: {failure.cause.value}")
        entry.failure = failure
        entry.retry_at_s = time.monotonic() + again.delay_s
        entry.memory_mb = max(entry.memory_mb, again.memory_mb)
        entry.is_alone = entry.is_alone or again.is_alone
        if again.avoids:
            entry.avoids.add(again.avoids)
        self._apply_to(entry, self._wishes)
        return [TaskRetried(task, failure, again.how)]

    def _fail(self, entry: Entry, failure: Failure) -> Event:
        entry.move_to(TaskState.FAILED, failure.problem)
        entry.failure = failure
        self._reconsider(entry)
        return TaskFailed(entry.task, failure)

    def _hold(self, entry: Entry, journal: Journal) -> list[Event]:
        entry.move_to(TaskState.ELSEWHERE)
        entry.journal = journal
        self._active[entry.task.name] = entry
        self._reconsider(entry)
        if not journal.attempt:
            return []  # another queue looks at it at this very moment
        if journal.donefile == str(entry.task.donefile):
            entry.is_watched = True
        if entry.is_reported:
            return []
        entry.is_reported = True
        return [TaskHeld(entry.task, str(journal.attempt.get("host", "")), journal.pid)]

    def _learn(self, task: Task, attempt: Attempt) -> None:
        """Learn what a shape of model takes: from a whole attempt, or from one that lacked it."""
        if not (task.learns_memory and task.shape):
            return
        largest_mb = self._largest_mb or math.inf
        before = self._peaks.need_of(task, largest_mb)
        if attempt.cause is Cause.GPU_MEMORY:
            had_mb = max(attempt.memory_mb, attempt.peak_memory_mb or 0.0)
            self._peaks.learn_shortage(task.shape, had_mb)
        elif attempt.outcome is Outcome.SUCCEEDED and attempt.peak_memory_mb is not None:
            self._peaks.learn(task.shape, attempt.peak_memory_mb)
        if self._peaks.need_of(task, largest_mb) != before:
            for entry in self._entries.values():
                if entry.task.shape == task.shape and entry.task.name in self.line:
                    self.line.change(self._need(entry))

    def _apply_to(self, entry: Entry, wishes: Wishes) -> None:
        """Bring a task that nobody works on into line with what people want."""
        name = entry.task.name
        entry.priority = wishes.priorities.get(name, entry.task.priority)
        forgiven = wishes.forgiven.get(name, 0)
        if forgiven > entry.forgiven:
            entry.forgiven = forgiven
            entry.failed.clear()
            entry.retry_at_s = 0.0
            if entry.state in (TaskState.FAILED, TaskState.INTERRUPTED):
                entry.failure = None
                entry.move_to(TaskState.WAITING)
        if name in wishes.cancelled:
            if not entry.state.is_finished:
                entry.move_to(TaskState.CANCELLED)
        elif entry.state is TaskState.CANCELLED:
            entry.move_to(TaskState.WAITING)
        if wishes.holds_back(name):
            if entry.state is TaskState.WAITING:
                entry.move_to(TaskState.PAUSED, entry.reason)
        elif entry.state is TaskState.PAUSED:
            entry.move_to(TaskState.WAITING, entry.reason)

    def _reconsider(self, entry: Entry) -> None:
        """Put a task into the line, or take it out, as it stands now."""
        name = entry.task.name
        rests = entry.state is TaskState.WAITING and entry.retry_at_s > time.monotonic()
        if rests:
            self._resting[name] = entry
        else:
            self._resting.pop(name, None)
        may_start = entry.state is TaskState.WAITING and not rests and not self._is_locked(entry)
        if not may_start:
            if name in self.line:
                self.line.remove(name)
        elif name not in self.line:
            self.line.add(self._need(entry))
        elif self.line[name] != (need := self._need(entry)):
            self.line.change(need)

    def _need(self, entry: Entry) -> Need:
        memory_mb, is_alone = self._peaks.need_of(entry.task, self._largest_mb or math.inf)
        return Need(
            name=entry.task.name,
            memory_mb=max(memory_mb, entry.memory_mb),
            priority=entry.priority,
            expected_s=entry.task.expected_s,
            order=entry.order,
            is_alone=is_alone or entry.is_alone,
            avoids=frozenset(entry.avoids),
        )

    def _siblings(self, entry: Entry) -> list[Entry]:
        return self._by_lock[entry.task.files.lock]

    def _is_locked(self, entry: Entry) -> bool:
        """Tell whether another task of its run is worked on, or comes before it."""
        siblings = self._siblings(entry)
        if len(siblings) == 1:
            return False
        return any(
            one is not entry
            and (one.task.name in self._active or (one.order < entry.order and self._waits(one)))
            for one in siblings
        )

    @staticmethod
    def _waits(entry: Entry) -> bool:
        return entry.state is TaskState.WAITING

    def _reason(self, entry: Entry) -> str:
        name = entry.task.name
        if entry.state is TaskState.WAITING:
            if self.halted_by is not None:
                return f"nothing is started since {self.halted_by.name} failed"
            if self._is_locked(entry):
                return "another task of its run comes first"
        if entry.state is TaskState.PAUSED:
            return "a person paused it" if name in self._wishes.paused else "the queue is paused"
        if entry.end_cause is not None:
            return f"is being ended: {entry.end_cause.value}"
        return entry.reason


_RECORDS_A_SHAPE = 3
_RETURNED_S = 1.0
_LONGEST_RETURNED_S = 60.0
_MAX_LOST = 3
_GOES_ON = (Cause.PAUSED, Cause.WALLTIME, Cause.PREEMPTED)
_WORKED_ON = (TaskState.RUNNING, TaskState.ELSEWHERE)
