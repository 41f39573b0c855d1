"""The queue's loop: measure, pack, submit, collect, report.

The loop sleeps until something happens: a task ended, a signal came. Only what happens outside,
such as the end of somebody else's process on a GPU, has to be looked for from time to time.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from lfadsq.errors import ConfigError, QueueError
from lfadsq.queue.devices import DeviceSource, find_devices
from lfadsq.queue.events import (
    Event,
    Failure,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    Reporter,
    StopRequested,
    TaskFailed,
    TaskFinished,
    TaskHeld,
    TaskInterrupted,
    TaskStarted,
)
from lfadsq.queue.execution import Order, Result, thread_counts
from lfadsq.queue.failures import failure_of, unplaceable
from lfadsq.queue.machine import num_usable_cpus
from lfadsq.queue.packing import Need, Reservation, pack
from lfadsq.queue.records import Attempt, Outcome
from lfadsq.queue.tasks import Task, tasks_from_specs
from lfadsq.queue.tensorboard import TensorBoard
from lfadsq.queue.transport import DaskTransport

__all__ = ["GRACE_S", "run_lfads_queue"]

GRACE_S = 20.0
"""How long tasks may take to end by themselves when the queue is asked to stop [s]."""

_KILL_PATIENCE_S = 10.0
_OUTSIDE_POLL_S = 0.5
_LEFTOVER_POLL_S = 0.05


def run_lfads_queue(
    queue_name: str,
    tensorboard_script: str | Path | None,
    task_specs: Sequence[Mapping[str, Any]],
    gpu_list: Sequence[int | str] | None = None,
    one_task_per_gpu: bool = True,
    max_tasks_simultaneously: int | None = None,
    ignore_donefile: bool = False,
    *,
    reporter: Reporter | None = None,
    grace_s: float = GRACE_S,
) -> QueueSummary:
    """Run every task that is not done, on all GPUs that may be used, or else on the processors.

    Parameters
    ----------
    queue_name : str
        What displays call it.
    tensorboard_script : str, Path or None
        Started once with ``--port=<free port>``, ended with the queue; None for no TensorBoard.
    task_specs : sequence of dict
        Each with exactly the keys ``name``, ``command``, ``memory_req`` [MB], ``outfile`` and
        ``donefile``.
    gpu_list : sequence of int or str, optional
        GPUs to use, by index, UUID or name; None or empty for all that may be used.
    one_task_per_gpu : bool, default True
        If false, as many tasks share a GPU as its memory allows.
    max_tasks_simultaneously : int, optional
        How many run at once in all; by default the number of processors less one, at least 1.
    ignore_donefile : bool, default False
        Run again what is done; its done-marker is removed when it starts.
    reporter : Reporter, optional
        Told of all that happens; by default the console is.
    grace_s : float, default 20
        How long tasks may take to end by themselves when the queue is asked to stop [s].

    Returns
    -------
    QueueSummary
        What finished, was skipped and failed; its `exit_status` is for ``SystemExit``.

    Raises
    ------
    ConfigError
        If anything in the arguments is wrong; nothing was started or written.
    NoGpuError
        If `gpu_list` asks for a GPU that is not there; likewise.
    QueueError
        If Dask does not start; likewise.
    KeyboardInterrupt
        After SIGINT or SIGTERM, once nothing runs any more and all records say so.

    Notes
    -----
    A failing task does not stop the others. While this function runs in the main thread, SIGINT
    and SIGTERM are its own: the first asks all tasks to end, and after `grace_s`, or at the
    second, they are killed, with everything they started.
    """
    began_s = time.monotonic()
    tasks = tasks_from_specs(task_specs)
    max_tasks = _checked_max_tasks(max_tasks_simultaneously)
    if not isinstance(queue_name, str):
        raise ConfigError(f"queue_name is {queue_name!r}", "give text")
    if isinstance(grace_s, bool) or not isinstance(grace_s, (int, float)) or not grace_s >= 0:
        raise ConfigError(f"grace_s is {grace_s!r}", "give a number of seconds, 0 or more")
    for option, value in (
        ("one_task_per_gpu", one_task_per_gpu),
        ("ignore_donefile", ignore_donefile),
    ):
        if value not in (True, False):
            raise ConfigError(f"{option} is {value!r}", "give True or False")
    source = find_devices(
        gpu_list,
        max_tasks_on_gpu=1 if one_task_per_gpu else max_tasks,
        num_cpu_slots=max_tasks,
    )
    if reporter is None:
        from lfadsq.queue.report import ConsoleReporter

        reporter = ConsoleReporter()
    with contextlib.closing(source), contextlib.closing(reporter):
        return _Queue(
            queue_name, tasks, source, reporter, max_tasks, ignore_donefile, grace_s, began_s
        ).run(tensorboard_script)


def _checked_max_tasks(wanted: int | None) -> int:
    if wanted is None:
        return max(1, num_usable_cpus() - 1)
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise ConfigError(f"max_tasks_simultaneously is {wanted!r}", "give a number of 1 or more")
    return wanted


@dataclass(frozen=True)
class _Ended:
    order: Order
    result: Result | BaseException


_Message = QueueError | TaskStarted | _Ended | Noted | signal.Signals


class _Queue:
    """State of one call of `run_lfads_queue`."""

    def __init__(
        self,
        name: str,
        tasks: Sequence[Task],
        source: DeviceSource,
        reporter: Reporter,
        max_tasks: int,
        ignore_donefile: bool,
        grace_s: float,
        began_s: float,
    ) -> None:
        self._name = name
        self._source = source
        self._report: Callable[[Event], None] = reporter.report
        self._ignore_donefile = ignore_donefile
        self._grace_s = grace_s
        self._began_s = began_s
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._transport: DaskTransport
        done = {t.name for t in tasks if not ignore_donefile and t.donefile.exists()}
        self._num_tasks = len(tasks)
        self._skipped = [t.name for t in tasks if t.name in done]
        self._waiting = {t.name: t for t in tasks if t.name not in done}
        self._running: dict[str, Reservation] = {}
        self._orders: dict[str, Order] = {}
        self._held: dict[str, Task] = {}
        self._watched: set[str] = set()
        self._reported_held: set[str] = set()
        self._finished: list[str] = []
        self._failed: list[Failure] = []
        self._interrupted: list[str] = []
        self._stop_deadline_s: float | None = None
        self._was_killed = False
        self._next_look_s = 0.0

        devices = source.measure()
        capacity = sum(device.max_tasks for device in devices) or 1
        self._max_tasks = max(1, min(max_tasks, capacity, len(self._waiting)))
        self._threads = thread_counts(num_usable_cpus() // self._max_tasks)
        self._device_names = {device.device_id: device.name for device in devices}

    def run(self, tensorboard_script: str | Path | None) -> QueueSummary:
        """Run all tasks; see `run_lfads_queue`."""
        self._report(
            QueueStarted(
                self._name,
                self._num_tasks,
                len(self._skipped),
                tuple(self._device_names.values()),
                self._max_tasks,
                self._source.reason,
            )
        )
        with self._signals():
            if self._waiting:
                self._transport = DaskTransport(
                    self._max_tasks, self._on_started, self._on_ended, self._inbox.put
                )
                with (
                    contextlib.closing(self._transport),
                    TensorBoard(tensorboard_script, self._inbox.put),
                ):
                    try:
                        self._loop()
                    finally:
                        self._leave_nothing_running()
                    if self._is_stopping:
                        self._end_leftovers()
            summary = QueueSummary(
                queue_name=self._name,
                finished=tuple(self._finished),
                skipped=tuple(self._skipped),
                failed=tuple(self._failed),
                interrupted=tuple(self._interrupted),
                not_started=(*self._waiting, *self._held),
                wall_s=time.monotonic() - self._began_s,
            )
            self._report(QueueEnded(summary))
        if self._is_stopping:
            raise KeyboardInterrupt(f"the queue {self._name} was asked to stop")
        return summary

    @property
    def _is_stopping(self) -> bool:
        return self._stop_deadline_s is not None

    def _loop(self) -> None:
        while self._running or (not self._is_stopping and (self._waiting or self._held)):
            looks_outside = False if self._is_stopping else self._place()
            if not self._running and not self._waiting and not self._held:
                break
            for message in self._messages(self._patience_s(looks_outside)):
                self._take(message)
            if self._held and time.monotonic() >= self._next_look_s:
                self._look_at_held()
            if self._is_stopping and not self._press_on():
                break

    def _patience_s(self, looks_outside: bool) -> float | None:
        if self._stop_deadline_s is not None:
            return max(0.0, self._stop_deadline_s - time.monotonic())
        return _OUTSIDE_POLL_S if looks_outside or self._held else None

    def _messages(self, timeout_s: float | None) -> Iterator[_Message]:
        """Give all messages that are there, waiting for the first of them."""
        with contextlib.suppress(queue.Empty):
            yield self._inbox.get(timeout=timeout_s)
            while True:
                yield self._inbox.get_nowait()

    def _place(self) -> bool:
        """Start what can start now; tell whether something outside has to change first."""
        if not self._waiting or len(self._running) >= self._max_tasks:
            return False
        devices = self._source.measure()
        by_id = {device.device_id: device for device in devices}
        packing = pack(self._free_needs(), devices, self._running, self._max_tasks)
        # The largest GPU may just have fallen off the bus, and come back.
        all_measured = len(devices) == len(self._device_names)
        for name in packing.fits_nowhere if all_measured else ():
            task = self._waiting.pop(name)
            self._fail(task, unplaceable(task, devices))
        for placement in packing.placements:
            device = by_id[placement.device_id]
            task = self._waiting.pop(placement.name)
            was_held = task.name in self._watched
            order = Order(
                task=task,
                device=device.device_id,
                device_name=device.name,
                environment={**self._threads, **self._source.environment(device.device_id)},
                ignore_donefile=self._ignore_donefile and not was_held,
                watched=was_held,
            )
            self._running[task.name] = placement.reservation
            self._orders[task.name] = order
            self._transport.submit(order)
        return bool(self._waiting) and (not all_measured or packing.is_waiting_for_others)

    def _free_needs(self) -> Iterator[Need]:
        # Two tasks of one run share a lock: the second waits here, not in a worker.
        locked = {order.task.files.lock for order in self._orders.values()}
        for task in self._waiting.values():
            lock = task.files.lock
            if lock not in locked:
                locked.add(lock)
                yield Need(task.name, task.memory_mb)

    def _on_started(self, order: Order, attempt: Attempt) -> None:
        self._inbox.put(TaskStarted(order.task, attempt))

    def _on_ended(self, order: Order, result: Result | BaseException) -> None:
        self._inbox.put(_Ended(order, result))

    def _take(self, message: _Message) -> None:
        if isinstance(message, signal.Signals):
            self._stop(message)
        elif isinstance(message, QueueError):
            raise message
        elif isinstance(message, _Ended):
            self._running.pop(message.order.task.name, None)
            self._orders.pop(message.order.task.name, None)
            self._judge(message.order, message.result)
        else:
            if isinstance(message, TaskStarted) and message.task.name in self._running:
                reservation = self._running[message.task.name]
                self._running[message.task.name] = replace(reservation, session=message.attempt.pid)
            self._report(message)

    def _judge(self, order: Order, result: Result | BaseException) -> None:
        task = order.task
        if isinstance(result, BaseException):
            self._fail(task, failure_of(task, None, f"{type(result).__name__}: {result}"))
        elif result.kind == "held":
            self._hold(task, result)
        elif result.kind == "finished elsewhere":
            if task.name in self._reported_held:
                self._finished.append(task.name)
                self._report(TaskFinished(task, None))
            else:
                self._skipped.append(task.name)
                self._report(Noted(f"{task.name} was finished meanwhile by another queue"))
        elif result.attempt is not None and result.attempt.outcome is Outcome.SUCCEEDED:
            self._finished.append(task.name)
            self._report(TaskFinished(task, result.attempt))
            if result.attempt.exit_status != 0 or result.problem:
                ended = f"its command ended with exit status {result.attempt.exit_status}"
                self._report(Noted(f"{task.name} is done, but {result.problem or ended}", True))
        elif result.attempt is not None and result.attempt.outcome is Outcome.INTERRUPTED:
            self._interrupted.append(task.name)
            self._report(TaskInterrupted(task))
        else:
            self._fail(task, failure_of(task, result.attempt, result.problem))

    def _fail(self, task: Task, failure: Failure) -> None:
        self._failed.append(failure)
        self._report(TaskFailed(task, failure))

    def _hold(self, task: Task, result: Result) -> None:
        if not self._held:
            self._next_look_s = time.monotonic() + _OUTSIDE_POLL_S
        self._held[task.name] = task
        journal = result.journal
        if journal is None or not journal.attempt:
            return  # another queue looks at it at this very moment
        if journal.donefile == str(task.donefile):
            self._watched.add(task.name)
        if task.name not in self._reported_held:
            self._reported_held.add(task.name)
            self._report(TaskHeld(task, str(journal.attempt.get("host", "")), journal.pid))

    def _look_at_held(self) -> None:
        """Try again what others were running; the lock itself tells whether they still are."""
        if not self._is_stopping:
            self._waiting = {**self._held, **self._waiting}
            self._held.clear()

    def _stop(self, number: signal.Signals) -> None:
        again = self._is_stopping
        grace_s = 0.0 if again else self._grace_s
        self._stop_deadline_s = time.monotonic() + grace_s
        self._report(StopRequested(number.name, len(self._running), grace_s))
        if not again:
            self._transport.send(signal.SIGTERM)

    def _press_on(self) -> bool:
        """Kill what has not ended in time; tell whether there is anything left to wait for."""
        assert self._stop_deadline_s is not None
        if not self._running:
            return False
        if time.monotonic() < self._stop_deadline_s:
            return True
        if self._was_killed:
            names = ", ".join(self._running)
            self._report(Noted(f"cannot be ended, not even by SIGKILL: {names}", True))
            self._interrupted += self._running
            return False
        self._was_killed = True
        self._transport.send(signal.SIGKILL)
        self._stop_deadline_s = time.monotonic() + _KILL_PATIENCE_S
        return True

    def _end_leftovers(self) -> None:
        """Wait for, and at last kill, what left the process group of its task."""
        while self._transport.has_leftovers():
            for message in self._messages(_LEFTOVER_POLL_S):
                self._take(message)
            if time.monotonic() >= (self._stop_deadline_s or 0.0):
                if self._was_killed:
                    self._report(Noted("processes are left that not even SIGKILL ends", True))
                    return
                self._was_killed = True
                self._transport.send(signal.SIGKILL)
                self._stop_deadline_s = time.monotonic() + _KILL_PATIENCE_S

    def _leave_nothing_running(self) -> None:
        """After an error of our own: end all tasks as if the queue was asked to stop."""
        if self._running and not self._was_killed:
            self._report = lambda event: None  # the error may well be the reporter's
            self._stop_deadline_s = self._stop_deadline_s or time.monotonic() + self._grace_s
            self._transport.send(signal.SIGTERM)
            self._loop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into messages while the queue runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _frame: FrameType | None) -> None:
            self._inbox.put(signal.Signals(number))

        old = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            # Whoever ignores a signal (nohup, a shell's background job) means it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                old[number] = signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler or signal.SIG_DFL)
