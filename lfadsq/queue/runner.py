"""The queue's loop: measure, pack, submit, collect, report.

The loop sleeps until something happens: a task ended, a signal came. Only what happens outside,
such as the end of somebody else's process on a GPU, has to be looked for from time to time.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lfadsq.errors import LfadsqError, QueueError
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.devices import is_cpu
from lfadsq.queue.elsewhere import Elsewhere
from lfadsq.queue.endings import Endings
from lfadsq.queue.events import (
    Event,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    Reporter,
    StopAsked,
    StopRequested,
    TaskHeld,
    TasksAdded,
    TaskStarted,
    Usage,
)
from lfadsq.queue.execution import Order, Result
from lfadsq.queue.gauges import Gauges
from lfadsq.queue.gpu_log import GpuLog
from lfadsq.queue.interrupts import GOES_ON, Answer, Interrupts
from lfadsq.queue.ledger import Ledger
from lfadsq.queue.lookout import Lookout
from lfadsq.queue.options import QueueOptions
from lfadsq.queue.packing import pack
from lfadsq.queue.peaks import PeakBook
from lfadsq.queue.presence import Presence
from lfadsq.queue.records import Attempt, Cause, iso_time
from lfadsq.queue.sites import Listener, Site, Transport
from lfadsq.queue.status import QueueState, Snapshot, TaskState
from lfadsq.queue.tasks import Task, tasks_from_specs
from lfadsq.queue.tensorboard import TensorBoard
from lfadsq.queue.usage import UsageMeter
from lfadsq.queue.wishes import LEAVE, Wishes

__all__ = ["Runner"]

_OUTSIDE_POLL_S = 0.5
_SAMPLE_S = 2.0
_SHOW_S = 10.0
_END_OF_JOB = "the end of its job"


@dataclass(frozen=True)
class _Ended:
    order: Order
    result: Result | BaseException


@dataclass(frozen=True)
class _Changed:
    """Machines have come, gone, or measured something new."""


@dataclass(frozen=True)
class _Added:
    tasks: Sequence[Task]


_Message = QueueError | TaskStarted | _Ended | _Changed | _Added | Noted | signal.Signals | Answer


class Runner:
    """One call of `lfadsq.queue.run_lfads_queue`.

    Parameters
    ----------
    options : QueueOptions
    tasks : sequence of Task
    site : Site
    control : ControlFolder or None
        Where people say what they want; None if there is no place for it.
    """

    def __init__(
        self,
        options: QueueOptions,
        tasks: Sequence[Task],
        site: Site,
        control: ControlFolder | None,
    ) -> None:
        self._began_s = time.monotonic()
        self._started_at = iso_time(time.time())
        self._options = options
        self._tasks = tasks
        self._site = site
        self._source = site.source
        self._control = control
        self._id = _queue_id()
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._peaks = PeakBook()
        self._ledger = Ledger(self._peaks, options.ignore_donefile)
        self._gauges = Gauges(site.source, self._peaks)
        self._ledger.note_largest(self._gauges.largest_mb)
        shared: Collection[str] = self._gauges.names
        if not options.waits_for_others:
            # Each job of an array has processors of its own, whatever they are called.
            shared = [name for name in shared if not is_cpu(name)]
        self._elsewhere = Elsewhere(self._ledger, shared, self._id)
        self._usage = UsageMeter()
        self._gpu_log = GpuLog(control.paths if control and site.has_gpus else None, self._id)
        self._interrupts = Interrupts(self._inbox.put)
        self._lookout = Lookout(
            control,
            None if options.script is None else Path(options.script).absolute(),
            lambda tasks: self._inbox.put(_Added(tasks)),
        )
        self._transport: Transport
        self._endings: Endings
        self._presence: Presence | None = None
        self._tensorboard: TensorBoard | None = None
        self._wishes = Wishes()
        self._has_ended = False
        self._must_show = False
        self._has_changed = True
        self._shown_s = 0.0
        self._was_signalled = False
        self._is_asking = False
        self._is_stopping = False
        self._has_news = True
        self._next_outside_s = 0.0
        self._next_sample_s = 0.0

    def note(self, noted: Noted) -> None:
        """Take what is to be told, from any thread, also after the end."""
        if self._has_ended:
            self._report(noted)
        else:
            self._inbox.put(noted)

    def run(self, reporter: Reporter) -> QueueSummary:
        """Run all tasks; see `lfadsq.queue.run_lfads_queue`."""
        # What was wished before we began is told after we said that we begin.
        early: list[Event] = []
        self._report: Callable[[Event], None] = early.append
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._interrupts)
            stack.enter_context(contextlib.closing(self._gpu_log))
            self._join(stack)
            added = self._ledger.add(self._tasks)
            self._take_wishes(self._lookout.new_wishes())
            self._report = reporter.report
            num_done = len(self._ledger.in_state(TaskState.DONE))
            self._report(
                QueueStarted(
                    self._options.queue_name,
                    len(self._ledger),
                    num_done,
                    tuple(self._gauges.names.values()) or (self._site.text,),
                    self._site.max_tasks,
                    self._source.reason,
                )
            )
            # Tasks that were added are counted in already.
            self._report_all(e for e in added if isinstance(e, Noted))
            self._report_all(e for e in early if not isinstance(e, TasksAdded))
            self._report_all(self._elsewhere.probe())
            self._ledger.learn_from_records(on_gpu=self._site.has_gpus)
            if self._ledger.has_work():
                self._work()
            self._publish(at_once=True)
            self._forget_stop()
            now_s = time.monotonic()
            summary = self._ledger.summary(
                self._options.queue_name,
                now_s - self._began_s,
                self._usage_until(now_s),
            )
            self._has_ended = True
            self._report(QueueEnded(summary))
        if self._was_signalled:
            name = self._options.queue_name
            raise KeyboardInterrupt(f"the queue {name} was asked to stop")
        return summary

    def _usage_until(self, now_s: float) -> Usage:
        usage = self._usage.usage(self._gauges.num_places, now_s)
        # Machines that come and go have no idle time that could be told so simply.
        return usage if self._site.outlives_queue else replace(usage, idle_fraction=None)

    def _join(self, stack: contextlib.ExitStack) -> None:
        if self._control is not None:
            self._presence = stack.enter_context(self._control.join(self._id))

    def _work(self) -> None:
        self._transport = self._site.open(
            self._id,
            Listener(
                started=lambda order, attempt: self._inbox.put(TaskStarted(order.task, attempt)),
                ended=lambda order, result: self._inbox.put(_Ended(order, result)),
                failed=self._inbox.put,
                changed=lambda: self._inbox.put(_Changed()),
                note=self.note,
                peak_mb=self._peaks.peak_of,
            ),
        )
        script = self._options.tensorboard_script
        with (
            contextlib.closing(self._transport),
            TensorBoard(script, self._inbox.put) as self._tensorboard,
        ):
            self._endings = Endings(
                self._transport,
                self._ledger,
                self._options.grace_s,
                lambda event: self._report(event),
            )
            try:
                self._loop()
            finally:
                self._leave_nothing_running()

    def _loop(self) -> None:
        while not self._is_over():
            self._keep_deadline()
            if not self._is_stopping:
                self._take_wishes(self._lookout.new_wishes())
                if self._ledger.wake(time.monotonic()):
                    self._note_news()
                self._place()
                if self._is_over():
                    break
            self._ask_for_machines()
            self._sample()
            self._publish(at_once=self._must_show)
            for message in self._messages(self._patience_s()):
                self._take(message)
            events = self._elsewhere.look(self._endings, is_stopping=self._is_stopping)
            if events:
                self._note_news()
                self._report_all(events)
            self._endings.press_on()

    def _is_over(self) -> bool:
        if len(self._endings):
            return False
        if self._is_stopping or not self._may_start():
            return not self._ledger.num_running()
        return not self._ledger.has_work(elsewhere=self._options.waits_for_others)

    def _may_start(self) -> bool:
        until_s = self._options.starts_until_s
        return until_s is None or time.time() < until_s

    def _keep_deadline(self) -> None:
        deadline_s = self._options.deadline_s
        if deadline_s is not None and time.time() >= deadline_s and not self._is_stopping:
            self._stop(_END_OF_JOB, leaves=False, cause=Cause.WALLTIME)

    def _patience_s(self) -> float | None:
        now_s = time.monotonic()
        limits = [self._endings.patience_s(), self._elsewhere.patience_s()]
        if not self._is_stopping:
            retry_s = self._ledger.next_retry_s()
            times_s = (self._options.starts_until_s, self._options.deadline_s)
            left_s = [at_s - time.time() for at_s in times_s if at_s is not None]
            limits += [one_s for one_s in left_s if one_s > 0]
            limits += [
                self._lookout.patience_s,
                None if retry_s is None else retry_s - now_s,
                self._next_outside_s - now_s if self._next_outside_s else None,
                self._gpu_log.patience_s,
            ]
            if self._ledger.running:
                limits.append(self._next_sample_s - now_s)
        known = [limit for limit in limits if limit is not None]
        return max(0.0, min(known)) if known else None

    def _messages(self, timeout_s: float | None) -> Iterator[_Message]:
        """Give all messages that are there, waiting for the first of them."""
        with contextlib.suppress(queue.Empty):
            yield self._inbox.get(timeout=timeout_s)
            while True:
                yield self._inbox.get_nowait()

    # --- starting --------------------------------------------------------------------------------

    def _place(self) -> None:
        """Start what can start now."""
        now_s = time.monotonic()
        must_look = self._next_outside_s and now_s >= self._next_outside_s
        if not (self._has_news or must_look) or not self._may_start():
            return
        self._has_news = False
        self._next_outside_s = 0.0
        self._gauges.keep(None, None)
        ledger = self._ledger
        running = ledger.running
        if not len(ledger.line) or ledger.halted_by or len(running) >= self._max_tasks():
            return
        devices = self._gauges.measure(running, ledger.shape_of)
        by_id = {device.device_id: device for device in devices}
        ledger.note_largest(self._gauges.largest_mb)
        packing = pack(ledger.line, devices, running, self._max_tasks(), now_s=now_s)
        self._gauges.keep(packing.kept_device, packing.kept_for)
        # The largest GPU may just have fallen off the bus, and come back.
        for name in packing.fits_nowhere if self._gauges.all_answer else ():
            self._report(ledger.cannot_fit(name, devices))
        num_left = len(ledger.line) + len(running)
        for placement in packing.placements:
            device = by_id[placement.device_id]
            entry = ledger[placement.name]
            ledger.start(placement.name, placement.reservation)
            self._transport.submit(
                Order(
                    task=entry.task,
                    device=device.device_id,
                    device_name=device.name,
                    environment=self._site.environment(device.device_id, num_left),
                    ignore_donefile=self._options.ignore_donefile and not entry.is_watched,
                    watched=entry.is_watched,
                    queue_id=self._id,
                    memory_mb=placement.reservation.memory_mb,
                    is_alone=placement.reservation.is_alone,
                    forgiven=entry.forgiven,
                )
            )
        if len(ledger.line) and (not self._gauges.all_answer or packing.is_waiting_for_others):
            self._next_outside_s = time.monotonic() + _OUTSIDE_POLL_S

    def _max_tasks(self) -> int:
        most = self._site.max_tasks
        return len(self._ledger) if most is None else most

    def _ask_for_machines(self) -> None:
        may_start = self._may_start() and not (self._is_stopping or self._ledger.halted_by)
        num_running = self._ledger.num_running()
        num_wanted = num_running + (len(self._ledger.line) if may_start else 0)
        self._site.want(min(num_wanted, self._max_tasks()))
        problem = self._site.problem()
        if problem is not None and not num_running and not self._is_stopping:
            raise problem

    def _take(self, message: _Message) -> None:
        self._has_changed = True
        if isinstance(message, signal.Signals):
            self._on_signal(message)
        elif isinstance(message, Answer):
            self._on_answer(message)
        elif isinstance(message, QueueError):
            raise message
        elif isinstance(message, _Changed):
            self._note_news()
        elif isinstance(message, _Added):
            self._add(message.tasks)
        elif isinstance(message, _Ended):
            self._note_news()
            self._usage.ended(message.order.task.name, time.monotonic())
            self._report_all(self._ledger.ended(message.order.task.name, message.result))
        else:
            if isinstance(message, TaskStarted):
                self._started(message.task.name, message.attempt)
            self._report(message)

    def _started(self, name: str, attempt: Attempt) -> None:
        self._ledger.started(name, attempt)
        reservation = self._ledger[name].reservation
        device_id = reservation.device_id if reservation is not None else attempt.device
        self._usage.started(name, device_id, not is_cpu(device_id), time.monotonic())

    def _note_news(self) -> None:
        self._has_news = self._has_changed = True

    def _report_all(self, events: Iterable[Event]) -> None:
        for event in events:
            # It would say that this queue waits for what others work on.
            if self._options.waits_for_others or not isinstance(event, TaskHeld):
                self._report(event)

    def _add(self, tasks: Sequence[Task]) -> None:
        self._note_news()
        self._report_all(self._ledger.add(tasks))
        self._report_all(self._elsewhere.probe())

    # --- what people want ------------------------------------------------------------------------

    def _take_wishes(self, wishes: Wishes | None) -> None:
        if wishes is None:
            return
        self._note_news()
        if wishes.added != self._wishes.added:
            self._add(tasks_from_specs(wishes.added))
        was_paused, self._wishes = self._wishes.is_paused, wishes
        if wishes.is_paused != was_paused:
            how = "paused: nothing is started until" if wishes.is_paused else "resumed by"
            self._report(Noted(f"the queue is {how} `lfadsq queue resume`"))
        ends, events = self._ledger.apply(wishes)
        self._report_all(events)
        self._must_show = True
        for cause in (Cause.CANCELLED, Cause.PAUSED):
            entries = [self._ledger[name] for name, why in ends.items() if why is cause]
            if entries:
                self._endings.tell(entries, cause)
        if self._id in wishes.stops and not self._is_stopping:
            self._stop("lfadsq queue stop", leaves=wishes.stops[self._id] == LEAVE)

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            where = f", and writes to {self._control.paths.log}" if self._control else ""
            self._report(Noted(f"the terminal is gone: the queue goes on{where}"))
        elif self._is_stopping:
            self._endings.hurry()
            self._report(StopRequested(number.name, self._ledger.num_running(), 0.0))
        elif (
            number is signal.SIGINT
            and self._options.detach is None
            and self._site.outlives_queue
            and not self._is_asking
            and self._ledger.num_running()
            and self._interrupts.can_ask
        ):
            self._is_asking = True
            self._report(StopAsked(self._ledger.num_running()))
            self._interrupts.ask()
        else:
            self._was_signalled = True
            cause = self._options.cause_of_stop()
            why = _END_OF_JOB if cause is Cause.WALLTIME else number.name
            self._stop(why, leaves=bool(self._options.detach), cause=cause)

    def _on_answer(self, answer: Answer) -> None:
        self._is_asking = False
        if answer is Answer.CONTINUE:
            self._report(Noted(GOES_ON))
        elif not self._is_stopping:
            self._was_signalled = True
            self._stop("Ctrl-C", leaves=answer is Answer.LEAVE)

    def _stop(self, why: str, *, leaves: bool, cause: Cause = Cause.QUEUE_STOPPED) -> None:
        self._is_stopping = True
        leaves = leaves and self._site.outlives_queue
        num_running = self._ledger.num_running()
        self._report(StopRequested(why, num_running, self._options.grace_s, leaves))
        if leaves:
            self._transport.leave()
        else:
            worked_on = self._ledger.in_state(TaskState.RUNNING, TaskState.ELSEWHERE)
            self._endings.tell(worked_on, cause, everyone=True)

    def _leave_nothing_running(self) -> None:
        """After an error of our own: end all tasks as if the queue was asked to stop."""
        if self._ledger.num_running() or len(self._endings):
            self._report = lambda event: None  # the error may well be the reporter's
            if not self._is_stopping:
                self._stop("an error", leaves=bool(self._options.detach))
            self._loop()

    # --- showing ---------------------------------------------------------------------------------

    def _sample(self) -> None:
        running = self._ledger.running
        now_s = time.monotonic()
        if (running and now_s >= self._next_sample_s) or self._gpu_log.patience_s == 0:
            self._next_sample_s = now_s + _SAMPLE_S
            self._gauges.measure(running, self._ledger.shape_of)
        self._gpu_log.follow(self._gauges.devices, running)

    def _forget_stop(self) -> None:
        if self._control is not None and self._id in self._wishes.stops:
            with contextlib.suppress(LfadsqError):
                self._control.edit(lambda wishes: wishes.without_stops([self._id]))

    def _publish(self, *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        has_news = self._has_changed or now_s >= self._shown_s + _SHOW_S
        if self._presence is None or not (at_once or (has_news and self._presence.is_due)):
            return
        self._has_changed = False
        self._shown_s = now_s
        if self._is_stopping:
            state = QueueState.STOPPING
        else:
            state = QueueState.PAUSED if self._wishes.is_paused else QueueState.RUNNING
        self._presence.publish(
            Snapshot(
                queue_id=self._id,
                queue_name=self._options.queue_name,
                host=socket.gethostname(),
                pid=os.getpid(),
                started_at=self._started_at,
                updated_at=iso_time(time.time()),
                state=state,
                max_tasks=self._max_tasks(),
                why_no_gpu=self._source.reason,
                tensorboard=self._tensorboard.address if self._tensorboard else "",
                tensorboard_tunnel=self._tensorboard.tunnel if self._tensorboard else "",
                dashboard=self._site.dashboard.address,
                dashboard_tunnel=self._site.dashboard.tunnel,
                devices=self._gauges.statuses(self._ledger.running),
                jobs=self._site.jobs(),
                tasks=tuple(self._ledger.statuses()),
            ),
            at_once=at_once,
        )
        self._must_show = False


def _queue_id() -> str:
    host = re.sub(r"[^A-Za-z0-9]", "-", socket.gethostname())
    return f"{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
