"""The queue's hand on a machine of a cluster: a plugin of the Dask worker there.

It measures the devices, runs attempts, each on a thread of its own, and tells the queue what
happens, by Dask's events. The queue calls its methods (`lfadsq.queue.clusters.caller`). Since
locks and records are on the shared disk, nothing is lost if a message is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from distributed import WorkerPlugin

from lfadsq.queue.clusters.guard import Guard
from lfadsq.queue.clusters.messages import Machine, Terms, result_to_dict, topic_of
from lfadsq.queue.clusters.meter import Meter
from lfadsq.queue.clusters.own_job import own_job
from lfadsq.queue.execution import Order, Result, run_attempt
from lfadsq.queue.foreman import Foreman
from lfadsq.queue.locks import read_journal
from lfadsq.queue.machine import num_usable_cpus
from lfadsq.queue.places import Reservation
from lfadsq.queue.processes import ProcessGroup
from lfadsq.queue.records import Attempt, Cause

__all__ = ["Agent", "agents"]

_logger = logging.getLogger(__name__)

_MEASURE_S = 2.0
_TELL_S = 5.0
_SILENCE_S = 30.0
"""How long a queue may be silent, where that is the only sign that it has died [s]."""
_FORGET_S = 600.0
"""After how long its agent goes too [s]: it may only have been stopped for a while."""
_HEAR_S = 1.0
_LINGER_S = 10.0
"""How long what a task leaves behind may take to vanish once it was killed [s]."""


@dataclass
class _Work:
    """An order that is being worked on."""

    order_id: str
    thread: threading.Thread
    reservation: Reservation | None = None


_agents: list[Agent] = []


def agents() -> tuple[Agent, ...]:
    """Give the agents in this process."""
    return tuple(_agents)


class Agent(WorkerPlugin):
    """Runs the tasks of one queue on one machine.

    Parameters
    ----------
    terms : Terms
    """

    def __init__(self, terms: Terms) -> None:
        self.name = topic_of(terms.queue_id)
        self._terms = terms

    # --- the life of a plugin --------------------------------------------------------------------

    def setup(self, worker: Any) -> None:
        """Begin; whatever is wrong with the machine is told to the queue, not raised."""
        self._worker = worker
        # Both cannot be asked for any more once the worker is closed.
        self._address = str(worker.address)
        job = own_job()
        self._job = job if job.worker_name else replace(job, worker_name=str(worker.name))
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._leaving: Cause | None = None
        self._leaver: threading.Thread | None = None
        self._work: dict[str, _Work] = {}
        self._heard_s = time.monotonic()
        self._is_silenced = False
        self._told: Machine | None = None
        self._told_s = 0.0
        num_cpus = min(num_usable_cpus(), self._job.num_cpus or num_usable_cpus())
        num_slots = min(num_cpus, self._job.num_cpus or worker.state.nthreads)
        self._meter = Meter(self._terms, num_slots, num_cpus)
        self._foreman = Foreman(self._on_started, self._meter.peak_mb)
        # One, so that nobody is killed before he was told.
        self._signaller = ThreadPoolExecutor(1, "lfadsq-signaller")
        self._guard = Guard(self._terms.grace_s)
        self._watcher = threading.Thread(target=self._watch, name="lfadsq-agent", daemon=True)
        _agents.append(self)
        self._watcher.start()

    def teardown(self, worker: Any) -> None:
        """End all tasks, with their checkpoints: the worker has lost its queue, or was closed."""
        del worker
        self.leave(Cause.QUEUE_STOPPED, why="its queue is gone", closes=False)

    def wait(self) -> None:
        """Wait until it has left; for the program, before it ends."""
        self.leave(Cause.QUEUE_STOPPED, closes=False)
        if self._leaver is not None:
            self._leaver.join()

    # --- what the queue calls, in the worker's event loop ----------------------------------------

    def take(self, order_id: str, order: Order) -> None:
        """Begin an attempt on a thread of its own."""
        name = order.task.name
        thread = threading.Thread(target=self._run, args=(order_id, order), name=name, daemon=True)
        with self._lock:
            is_new = name not in self._work
            if is_new:
                self._work[name] = _Work(order_id, thread)
        if not is_new:
            # The queue has given up an order that we got all the same.
            self._signaller.submit(self._tell_held, order_id, order)
            return
        self._foreman.expect(name)
        try:
            thread.start()
        except RuntimeError:  # the user's limit of processes
            with self._lock:
                del self._work[name]
            raise

    def tell_to_end(self, names: Collection[str] | None, cause: Cause) -> None:
        """Ask tasks to end, for a cause; None for all, and no more will start then."""
        # Signals wait for processes to settle, and the event loop must not.
        self._signaller.submit(self._foreman.tell_to_end, names, cause)

    def kill(self, names: Collection[str]) -> None:
        """Kill tasks that were told to end."""
        self._signaller.submit(self._foreman.kill, names)

    def hear(self) -> None:
        """Note that the queue lives."""
        self._heard_s = time.monotonic()
        self._is_silenced = False

    def finish(self) -> None:
        """Close the worker: the queue needs this machine no longer."""
        # Should an order have been on its way, it goes on elsewhere.
        self.leave(Cause.PREEMPTED, why="the queue needs it no longer")

    # --- leaving ---------------------------------------------------------------------------------

    def leave(self, cause: Cause, *, why: str = "", closes: bool = True) -> None:
        """Take nothing more, end all tasks with their checkpoints, and close the worker.

        Parameters
        ----------
        cause : Cause
            What their ending is put down to.
        why : str, optional
            The same for the log of the job.
        closes : bool, default True
            If false, the worker is being closed already, or not ours to close.
        """
        thread = threading.Thread(target=self._leave, args=(cause, closes), daemon=True)
        with self._lock:
            if self._leaving is not None:
                return
            self._leaving = cause
            self._leaver = thread
        _logger.info("leaves: %s", why or cause.value)
        thread.start()

    def _leave(self, cause: Cause, closes: bool) -> None:
        self._tell_machine()
        self._end_all(None, cause, self._grace_s(cause))
        self._wake.set()
        self._watcher.join()
        self._signaller.shutdown(wait=False)
        self._guard.close()
        if not self._work:
            self._foreman.close()
        self._meter.close()
        with contextlib.suppress(ValueError):
            _agents.remove(self)
        if closes:
            self._worker.loop.add_callback(self._worker.close, reason=f"lfadsq: {cause.value}")

    def _end_all(self, names: Collection[str] | None, cause: Cause, grace_s: float) -> None:
        """Ask tasks to end, and kill those that do not."""
        self._foreman.tell_to_end(names, cause)
        self._join_until(time.monotonic() + grace_s)
        with self._lock:
            left = list(self._work)
        if left:
            _logger.info("does not end by itself, and is killed: %s", ", ".join(left))
            self._foreman.kill(left)
            self._join_until(time.monotonic() + _LINGER_S)

    def _grace_s(self, cause: Cause) -> float:
        left_s = self._left_s()
        if cause is Cause.WALLTIME and left_s is not None:
            # They were told early, to have all of the time that is left.
            return max(self._terms.grace_s / 2, 0.8 * left_s)
        return self._terms.grace_s

    def _join_until(self, deadline_s: float) -> None:
        with self._lock:
            threads = [work.thread for work in self._work.values()]
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    # --- attempts --------------------------------------------------------------------------------

    def _run(self, order_id: str, order: Order) -> None:
        name = order.task.name
        fault, result = "", Result("returned")
        try:
            result = self._attempt(order)
        except BaseException as error:
            # A fault of ours must cost one task, not a machine.
            fault = f"{type(error).__name__}: {error}"
            _logger.exception("%s", name)
        self._foreman.ended(name)
        with self._lock:
            work = self._work[name]
        if work.reservation is not None and work.reservation.session is not None:
            self._guard.forget(work.reservation.session)
        self._meter.forget(name)
        with self._lock:
            del self._work[name]
        _logger.info("%s ended: %s", name, fault or _text_of(result))
        # Told along with the end, so that the queue gives the place away knowing how empty it is.
        self._meter.measure(self._reservations())
        self._tell(
            {
                "kind": "ended",
                "order_id": order_id,
                "result": result_to_dict(result),
                "fault": fault,
                "machine": self._machine().to_dict(),
            }
        )

    def _attempt(self, order: Order) -> Result:
        name = order.task.name
        why_not = self._closed_because() or self._meter.problem
        if why_not:
            return Result("returned", problem=f"{socket.gethostname()}: {why_not}")
        with self._lock:
            self._work[name].reservation = Reservation(
                order.device, order.memory_mb, is_alone=order.is_alone
            )
        environment = self._meter.environment(order.device)
        return run_attempt(replace(order, environment=environment), _Watched(self))

    def _on_started(self, order: Order, attempt: Attempt) -> None:
        name = order.task.name
        _logger.info("%s started on %s", name, order.device_name)
        with self._lock:
            order_id = self._work[name].order_id
        self._tell({"kind": "started", "order_id": order_id, "attempt": attempt.to_dict()})

    def note_group(self, order: Order, attempt: Attempt, group: ProcessGroup) -> None:
        """Take note of the processes of an attempt."""
        self._guard.watch(group.pid)
        with self._lock:
            work = self._work[order.task.name]
            if work.reservation is not None:
                work.reservation = replace(work.reservation, session=group.pid)
        self._foreman.started(order, attempt, group)

    def _tell_held(self, order_id: str, order: Order) -> None:
        result = Result("held", journal=read_journal(order.task.files.lock))
        self._tell({"kind": "ended", "order_id": order_id, "result": result_to_dict(result)})

    @property
    def foreman(self) -> Foreman:
        """Whoever oversees the attempts."""
        return self._foreman

    # --- measuring and telling -------------------------------------------------------------------

    def _watch(self) -> None:
        self._meter.find()
        if self._meter.problem:
            _logger.warning("%s", self._meter.problem)
        while self._leaving is None:
            self._meter.measure(self._reservations())
            self._tell_machine(only_news=True)
            left_s = self._left_s()
            if left_s is not None and left_s <= self._terms.end_margin_s:
                why = f"its job ends in {left_s:.0f} s"
                self.leave(Cause.WALLTIME, why=why)
            if self._terms.hears_queue:
                self._mind_silence()
            self._wake.wait(_MEASURE_S if left_s is None else min(_MEASURE_S, max(0.2, left_s)))

    def _mind_silence(self) -> None:
        silent_s = time.monotonic() - self._heard_s
        if silent_s > _FORGET_S:
            self.leave(Cause.QUEUE_STOPPED, why="its queue is gone", closes=False)
        elif silent_s > _SILENCE_S and not self._is_silenced:
            self._is_silenced = True
            with self._lock:
                names = list(self._work)
            arguments = names, Cause.QUEUE_STOPPED, self._terms.grace_s
            threading.Thread(target=self._end_all, args=arguments, daemon=True).start()

    def _reservations(self) -> dict[str, Reservation]:
        with self._lock:
            work = self._work.items()
            return {name: one.reservation for name, one in work if one.reservation is not None}

    def _left_s(self) -> float | None:
        ends_at_s = self._job.ends_at_s
        return None if ends_at_s is None else ends_at_s - time.time()

    def _closed_because(self) -> str:
        if self._leaving is not None:
            return f"it is leaving ({self._leaving.value})"
        left_s = self._left_s()
        if left_s is not None and left_s < self._terms.min_time_left_s:
            # No count of the seconds: it would be news each time.
            return f"its job ends in less than {self._terms.min_time_left_s:.0f} s"
        return ""

    def _machine(self) -> Machine:
        return Machine(
            name=self._job.worker_name,
            address=self._address,
            host=socket.gethostname(),
            job_id=self._job.job_id,
            devices=self._meter.devices,
            left_s=self._left_s(),
            closed_because=self._closed_because(),
            is_leaving=self._leaving is not None,
            problem=self._meter.problem,
        )

    def _tell_machine(self, *, only_news: bool = False) -> None:
        machine = self._machine()
        now_s = time.monotonic()
        is_due = now_s - self._told_s > _TELL_S
        if only_news and not is_due and self._told is not None and machine.gist == self._told:
            return
        self._told, self._told_s = machine.gist, now_s
        self._tell({"kind": "machine", "machine": machine.to_dict()})

    def _tell(self, message: Mapping[str, Any]) -> None:
        try:
            told = json.dumps({"address": self._address, **message})
            self._worker.log_event(self.name, told)
        except Exception as error:
            # The connection may be gone: the queue will learn of it from the records.
            _logger.debug("%s", error)


def _text_of(result: Result) -> str:
    attempt = result.attempt
    if result.kind != "ended" or attempt is None or attempt.outcome is None:
        return result.problem or result.kind
    cause = f" ({attempt.cause.value})" if attempt.cause is not None else ""
    return f"{attempt.outcome.value}{cause}"


class _Watched:
    """An overseer that lets the agent see the processes too."""

    def __init__(self, agent: Agent) -> None:
        self._foreman = agent.foreman
        self.left = agent.foreman.left
        self.end_cause = agent.foreman.end_cause
        self.peak_mb = agent.foreman.peak_mb
        self.started = agent.note_group

    def why_signalled(self, name: str) -> Cause:
        # A batch system signals all processes of a job at once: we may hear of it a moment later.
        deadline_s = time.monotonic() + _HEAR_S
        while self.end_cause(name) is None and time.monotonic() < deadline_s:
            time.sleep(_HEAR_S / 20)
        return self._foreman.why_signalled(name)
