"""The queue's hand on a machine of a cluster: a plugin of the Dask worker there.

It measures the devices, runs attempts, each on a thread of its own, and tells the queue what
happens, by Dask's events. The queue calls its methods through `call`. Since locks and records are
on the shared disk, nothing is lost if a message is.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from distributed import WorkerPlugin

from lfadsq.errors import LfadsqError
from lfadsq.queue.clusters.guard import Guard
from lfadsq.queue.clusters.messages import Machine, result_to_dict, topic_of
from lfadsq.queue.devices import Device, DeviceSource, find_devices
from lfadsq.queue.environments import thread_counts
from lfadsq.queue.execution import Order, Result, run_attempt
from lfadsq.queue.foreman import Foreman
from lfadsq.queue.machine import num_usable_cpus
from lfadsq.queue.peaks import taken_by_task
from lfadsq.queue.places import Reservation
from lfadsq.queue.processes import ProcessGroup
from lfadsq.queue.records import Attempt, Cause

__all__ = ["Agent", "Job", "Terms", "agents", "call", "set_job"]

_logger = logging.getLogger(__name__)

_MEASURE_S = 2.0
_TELL_S = 5.0
_SILENCE_S = 30.0
"""How long a queue may be silent, where that is the only sign that it has died [s]."""
_HEAR_S = 1.0
_LINGER_S = 10.0
"""How long what a task leaves behind may take to vanish once it was killed [s]."""


@dataclass(frozen=True)
class Terms:
    """What a queue wants of its machines.

    Attributes
    ----------
    queue_id : str
    max_tasks_on_gpu : int
        How many tasks may share a GPU.
    needs_gpu : bool
        A machine without a GPU is of no use.
    min_time_left_s : float
        Nothing is started on a machine whose job ends sooner [s].
    end_margin_s : float
        How long before the end of their job tasks are told to end [s].
    grace_s : float
        How long they may take then, if nothing else limits it [s].
    hears_queue : bool
        Whether the queue calls from time to time; if it then falls silent it is dead.
    """

    queue_id: str
    max_tasks_on_gpu: int = 1
    needs_gpu: bool = True
    min_time_left_s: float = 0.0
    end_margin_s: float = 0.0
    grace_s: float = 20.0
    hears_queue: bool = False


@dataclass(frozen=True)
class Job:
    """The batch job that this process is the program of.

    Attributes
    ----------
    job_id : str
    ends_at_s : float or None
        [s since 1970]
    """

    job_id: str = ""
    ends_at_s: float | None = None


_job = Job()
_agents: list[Agent] = []


def set_job(job: Job) -> None:
    """Note the batch job that this process is the program of."""
    global _job
    _job = job


def agents() -> tuple[Agent, ...]:
    """Give the agents in this process."""
    return tuple(_agents)


def call(queue_id: str, method: str, *arguments: Any, dask_worker: Any = None) -> None:
    """Call a method of the agent of a queue, on its worker: for ``Client.run``."""
    getattr(dask_worker.plugins[topic_of(queue_id)], method)(*arguments)


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
        self._job = _job
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._leaving: Cause | None = None
        self._problem = ""
        self._devices: list[Device] = []
        self._source: DeviceSource | None = None
        self._running: dict[str, Reservation] = {}
        self._peaks_mb: dict[str, float] = {}
        self._threads: set[threading.Thread] = set()
        self._heard_s = time.monotonic()
        self._told: dict[str, Any] = {}
        self._told_s = 0.0
        self._foreman = Foreman(self._on_started, self._peaks_mb.get)
        self._guard = Guard(self._terms.grace_s)
        try:
            self._source = self._find_devices()
            self._devices = self._source.measure()
        except LfadsqError as error:
            self._problem = str(error)
        _agents.append(self)
        self._watcher = threading.Thread(target=self._watch, name="lfadsq-agent", daemon=True)
        self._watcher.start()

    def teardown(self, worker: Any) -> None:
        """End all tasks, with their checkpoints: the worker has lost its queue, or was closed."""
        del worker
        self.leave(Cause.QUEUE_STOPPED, closes=False)

    def wait(self) -> None:
        """Wait until nothing runs any more; for the program, before it ends."""
        for thread in self._copy_of_threads():
            thread.join()
        self._is_closed = True
        self._wake.set()
        self._watcher.join()
        self._guard.close()
        self._foreman.close()
        if self in _agents:
            _agents.remove(self)

    # --- what the queue calls, in the worker's event loop ----------------------------------------

    def take(self, order: Order) -> None:
        """Begin an attempt on a thread of its own."""
        self.hear()
        self._foreman.expect(order.task.name)
        thread = threading.Thread(target=self._run, args=(order,), name=order.task.name)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def tell_to_end(self, names: Collection[str] | None, cause: Cause) -> None:
        """Ask tasks to end, for a cause; None for all, and no more will start then."""
        # Signals wait for processes to settle, and the event loop must not.
        self._aside(self._foreman.tell_to_end, names, cause)

    def kill(self, names: Collection[str]) -> None:
        """Kill tasks that were told to end."""
        self._aside(self._foreman.kill, names)

    def hear(self) -> None:
        """Note that the queue lives."""
        self._heard_s = time.monotonic()

    def finish(self) -> None:
        """Close the worker: the queue needs this machine no longer."""
        # Should an order have been on its way, it goes on elsewhere.
        self.leave(Cause.PREEMPTED)

    # --- leaving ---------------------------------------------------------------------------------

    def leave(self, cause: Cause, *, closes: bool = True) -> None:
        """Take nothing more, end all tasks with their checkpoints, and close the worker.

        Parameters
        ----------
        cause : Cause
            What their ending is put down to.
        closes : bool, default True
            If false, the worker is being closed already.
        """
        with self._lock:
            is_first = self._leaving is None
            self._leaving = self._leaving or cause
        if is_first:
            thread = threading.Thread(target=self._leave, args=(cause, closes), name="leave")
            thread.start()

    def _leave(self, cause: Cause, closes: bool) -> None:
        self._tell_machine()
        self._foreman.tell_to_end(None, cause)
        deadline_s = time.monotonic() + self._grace_s()
        self._join_until(deadline_s)
        self._foreman.kill(list(self._running))
        self._join_until(time.monotonic() + _LINGER_S)
        if closes:
            self._worker.loop.add_callback(self._worker.close, reason=f"lfadsq: {cause.value}")

    def _grace_s(self) -> float:
        if self._leaving is Cause.WALLTIME and self._job.ends_at_s is not None:
            # They were told early, to have all of the time that is left.
            return max(self._terms.grace_s / 2, 0.8 * (self._job.ends_at_s - time.time()))
        return self._terms.grace_s

    def _join_until(self, deadline_s: float) -> None:
        for thread in self._copy_of_threads():
            thread.join(max(0.0, deadline_s - time.monotonic()))

    # --- attempts --------------------------------------------------------------------------------

    def _run(self, order: Order) -> None:
        name = order.task.name
        try:
            result = self._attempt(order)
        except BaseException as error:
            # A fault of ours must cost one task, not a machine.
            result = Result("returned", problem=f"{type(error).__name__}: {error}")
            _logger.exception("%s", name)
        finally:
            self._foreman.ended(name)
        with self._lock:
            running = self._running.pop(name, None)
            self._threads.discard(threading.current_thread())
            self._peaks_mb.pop(name, None)
        if running is not None and running.session is not None:
            self._guard.forget(running.session)
        # Before the end, so that the queue gives the place away knowing how empty it is.
        self._measure()
        self._tell_machine()
        self._tell({"kind": "ended", "name": name, "result": result_to_dict(result)})

    def _attempt(self, order: Order) -> Result:
        if self._leaving is not None or self._source is None:
            return Result("returned", problem=f"{socket.gethostname()} takes nothing more")
        with self._lock:
            self._running[order.task.name] = Reservation(
                order.device, order.memory_mb, is_alone=order.is_alone
            )
        num_places = max(1, sum(device.max_tasks for device in self._devices))
        environment = {
            **thread_counts(num_usable_cpus() // num_places),
            **self._source.environment(order.device),
        }
        return run_attempt(replace(order, environment=environment), _Watched(self))

    def _on_started(self, order: Order, attempt: Attempt) -> None:
        self._tell({"kind": "started", "name": order.task.name, "attempt": attempt.to_dict()})

    def note_group(self, order: Order, attempt: Attempt, group: ProcessGroup) -> None:
        """Take note of the processes of an attempt."""
        name = order.task.name
        with self._lock:
            self._running[name] = replace(self._running[name], session=group.pid)
        self._guard.watch(group.pid)
        self._foreman.started(order, attempt, group)

    @property
    def foreman(self) -> Foreman:
        """Whoever oversees the attempts."""
        return self._foreman

    # --- measuring and telling -------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._is_closed:
            self._measure()
            self._tell_machine(only_news=True)
            left_s = self._left_s()
            if left_s is not None and left_s <= self._terms.end_margin_s:
                self.leave(Cause.WALLTIME)
            if self._terms.hears_queue and time.monotonic() - self._heard_s > _SILENCE_S:
                self.leave(Cause.QUEUE_STOPPED, closes=False)
            self._wake.wait(_MEASURE_S if left_s is None else min(_MEASURE_S, max(0.2, left_s)))
            self._wake.clear()

    def _measure(self) -> None:
        if self._source is None:
            return
        with self._lock:
            running = dict(self._running)
        sessions = {r.session for r in running.values() if r.session is not None}
        with self._measuring:
            try:
                self._devices = self._source.measure(sessions)
            except LfadsqError as error:
                _logger.warning("%s", error)
                return
        for name, taken_mb in taken_by_task(self._devices, running).items():
            self._peaks_mb[name] = max(taken_mb, self._peaks_mb.get(name, 0.0))

    def _left_s(self) -> float | None:
        ends_at_s = self._job.ends_at_s
        return None if ends_at_s is None else ends_at_s - time.time()

    def _tell_machine(self, *, only_news: bool = False) -> None:
        left_s = self._left_s()
        leaving = self._leaving.value if self._leaving is not None else ""
        if not leaving and left_s is not None and left_s < self._terms.min_time_left_s:
            leaving = f"its job ends in {left_s / 60:.0f} min"
        machine = Machine(
            name=str(self._worker.name),
            address=str(self._worker.address),
            host=socket.gethostname(),
            job_id=self._job.job_id,
            devices=tuple(self._devices),
            ends_at_s=self._job.ends_at_s,
            leaving_because=leaving,
            problem=self._problem,
        )
        told = machine.to_dict()
        now_s = time.monotonic()
        if not only_news or told != self._told or now_s - self._told_s > _TELL_S:
            self._told, self._told_s = told, now_s
            self._tell({"kind": "machine", **told})

    def _tell(self, message: Mapping[str, Any]) -> None:
        told = {"address": str(self._worker.address), **message}
        try:
            # Dask takes plain types only, and no enum that is a string.
            self._worker.log_event(self.name, json.loads(json.dumps(told)))
        except Exception as error:
            # The connection may be gone: the queue will learn of it from the records.
            _logger.debug("%s", error)

    def _find_devices(self) -> DeviceSource:
        source = find_devices(
            None,
            max_tasks_on_gpu=self._terms.max_tasks_on_gpu,
            num_cpu_slots=num_usable_cpus(),
        )
        if self._terms.needs_gpu and source.reason:
            self._problem = f"there is no GPU in the job: {source.reason}"
        return source

    def _copy_of_threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)

    @staticmethod
    def _aside(function: Any, *arguments: Any) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()


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
