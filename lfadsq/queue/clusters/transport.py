"""Orders to the machines of a cluster, and what comes back: Dask over TLS.

The scheduler of Dask lives in our process, or is one that is there already. On every worker that
comes, now or later, lives an `Agent`; it is called by ``Client.run`` and answers by events. So no
task is ever given to Dask, which would count a lost machine against it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError, QueueError
from lfadsq.queue.clusters.agent import Agent
from lfadsq.queue.clusters.caller import Caller
from lfadsq.queue.clusters.dashboards import dashboard_of
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Machine, Terms, result_from_dict, topic_of
from lfadsq.queue.clusters.scheduler import dask_client
from lfadsq.queue.execution import Order, Result
from lfadsq.queue.foreman import Foreman
from lfadsq.queue.records import Attempt, Cause, Outcome
from lfadsq.queue.sites import Dashboard, Listener

__all__ = ["ClusterTransport"]

_logger = logging.getLogger(__name__)

_OF_OTHERS = (
    "see that the address is right, that this machine may reach it, and that it runs the same"
    " versions of dask, distributed and lfadsq"
)
_OF_OURS = "see that --interface names a network interface of this machine (`ip address`)"
_LOOK_S = 1.0
_HEAR_S = 5.0
_FINISH_S = 5.0
_SILENCE_S = 60.0
"""A scheduler that did not answer for so long is gone."""


@dataclass(frozen=True)
class _Sent:
    """An order that was sent to a machine."""

    order_id: str
    address: str
    order: Order


class ClusterTransport:
    """Runs orders on the workers of a Dask scheduler.

    Parameters
    ----------
    terms : Terms
        What is wanted of the machines.
    machines : Machines
        Kept up to date.
    listener : Listener
    cause_of : callable
        Tells why a machine is gone, by its name; it may take seconds.
    certificate : Path or None
        For TLS; None only for a scheduler that is there already, without it.
    interface : str
        Where our scheduler listens; empty for the default.
    address : str
        Of a scheduler that is there already; empty to start one.

    Attributes
    ----------
    address : str
        Of the scheduler.
    dashboard : Dashboard
        That of a scheduler that was there already; ours have none.

    Raises
    ------
    ClusterError
        If the scheduler does not start, or cannot be reached; nothing is left of it.
    """

    def __init__(
        self,
        terms: Terms,
        machines: Machines,
        listener: Listener,
        cause_of: Callable[[str], Cause | None],
        *,
        certificate: Path | None,
        interface: str = "",
        address: str = "",
    ) -> None:
        self._terms = terms
        self._machines = machines
        self._listener = listener
        self._cause_of = cause_of
        self._is_ours = not address
        self._lock = threading.Lock()
        self._sent: dict[str, _Sent] = {}
        self._all_end_for: Cause | None = None
        self._is_closing = threading.Event()
        self._foreman = Foreman(lambda order, attempt: None, lambda name: None)
        self.leftovers = self._foreman.leftovers
        self.tell_left_to_end = self._foreman.tell_left_to_end
        self._resources = contextlib.ExitStack()
        self._resources.callback(self._foreman.close)
        topic = topic_of(terms.queue_id)
        try:
            self._client = self._resources.enter_context(
                dask_client(address, certificate, interface)
            )
            self.address = address or str(self._client.cluster.scheduler_address)
            self.dashboard = dashboard_of(self._client) if address else Dashboard()
            self._caller = Caller(self._client, topic)
            self._client.subscribe_topic(topic, self._on_event)
            self._client.register_plugin(Agent(terms), name=topic)
        except Exception as error:
            self._resources.close()
            where = f"the Dask scheduler at {address}" if address else "Dask"
            remedy = _OF_OTHERS if address else _OF_OURS
            raise ClusterError(
                f"{where} did not answer: {type(error).__name__}: {error}", remedy
            ) from error
        self._watcher = threading.Thread(target=self._watch, name="lfadsq-machines", daemon=True)
        self._watcher.start()

    # --- what the runner calls -------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Send an order to the machine of its device."""
        found = self._machines.find(order.device)
        if found is None:
            self._listener.ended(order, Result("returned", problem="its machine has just gone"))
            return
        machine, device_id = found
        sent = _Sent(uuid.uuid4().hex, machine.address, order)
        with self._lock:
            self._sent[order.task.name] = sent
        there = replace(order, device=device_id)
        taken = self._caller.call(machine.address, "take", sent.order_id, there)
        taken.add_done_callback(lambda done: self._on_delivered(done, sent))

    def tell_to_end(self, names: Collection[str] | None, cause: Cause) -> None:
        """Ask tasks to end, for a cause; None for all, and no more will start then."""
        if names is None:
            self._all_end_for = cause
            for address in self._machines.addresses():
                self._caller.call(address, "tell_to_end", None, cause)
        else:
            for address, some in self._by_machine(names).items():
                self._caller.call(address, "tell_to_end", some, cause)
        self._foreman.tell_to_end(names, cause)

    def kill(self, names: Collection[str]) -> None:
        """Kill tasks that were told to end, with everything they started."""
        for address, some in self._by_machine(names).items():
            self._caller.call(address, "kill", some)
        self._foreman.kill(names)

    def leave(self) -> None:
        """Do nothing: the tasks of a cluster do not outlive its queue."""

    def num_tasks(self) -> dict[str, int]:
        """Count the orders on each machine, by its address."""
        with self._lock:
            return dict(Counter(sent.address for sent in self._sent.values()))

    def finish(self, worker_name: str) -> None:
        """Let a machine go that is needed no longer: what runs on it ends with a checkpoint."""
        address = self._machines.address_of(worker_name)
        if address is not None:
            self._caller.call(address, "finish")

    def close(self) -> None:
        """End Dask, and with it all machines that we have started."""
        self._is_closing.set()
        self._watcher.join()
        ends: list[Future[None]] = []
        if self._is_ours:
            with contextlib.suppress(Exception):
                # Dask would try for a minute to reach one that has left by itself.
                there = set(self._machines.addresses()) & set(self._client.nthreads())
                ends = [self._caller.call(address, "finish") for address in there]
            deadline_s = time.monotonic() + _FINISH_S
            for end in ends:
                with contextlib.suppress(Exception):
                    end.result(max(0.0, deadline_s - time.monotonic()))
        else:
            with contextlib.suppress(Exception):
                self._client.unregister_worker_plugin(topic_of(self._terms.queue_id))
        try:
            self._resources.close()
        except Exception as error:
            # All tasks have ended: a Dask that does not end well must not turn that into an error.
            _logger.warning("Dask did not stop well: %s: %s", type(error).__name__, error)

    # --- what happens on the machines ------------------------------------------------------------

    def _on_event(self, event: tuple[float, str]) -> None:
        message = json.loads(event[1])
        if "machine" in message:
            self._on_machine(Machine.from_dict(message["machine"]))
        if message["kind"] == "machine":
            return
        with self._lock:
            sent = next((s for s in self._sent.values() if s.order_id == message["order_id"]), None)
            if sent is None:
                return  # it was given up, and what became of it is in its record
            if message["kind"] == "ended":
                del self._sent[sent.order.task.name]
        if message["kind"] == "started":
            self._listener.started(sent.order, Attempt.from_dict(message["attempt"]))
        elif message.get("fault"):
            self._listener.ended(sent.order, QueueError(message["fault"]))
        else:
            self._listener.ended(sent.order, self._as_we_know(message["result"]))

    def _on_machine(self, machine: Machine) -> None:
        if self._is_closing.is_set():
            return
        before = self._machines.address_of(machine.name)
        if before is not None and before != machine.address:
            # The batch system has started its job once more.
            self._lose(before, Cause.PREEMPTED)
        is_new, has_news = self._machines.note(machine)
        if is_new and self._all_end_for is not None:
            self._caller.call(machine.address, "tell_to_end", None, self._all_end_for)
        if has_news:
            self._listener.changed()

    def _as_we_know(self, data: Mapping[str, Any]) -> Result:
        """Read a result; a machine that took us for dead was wrong, and its task goes on."""
        result = result_from_dict(data)
        attempt = result.attempt
        if (
            attempt is not None
            and attempt.outcome is Outcome.INTERRUPTED
            and attempt.cause is Cause.QUEUE_STOPPED
            and self._all_end_for is None
        ):
            return Result("returned", problem="its machine did not hear of the queue for a while")
        return result

    def _on_delivered(self, done: Future[None], sent: _Sent) -> None:
        error = done.exception()
        if error is not None:
            # If it has arrived all the same, its run's lock keeps a second one from starting.
            self._give_up(sent, Result("returned", problem=str(error)))

    def _give_up(self, sent: _Sent, result: Result) -> None:
        name = sent.order.task.name
        with self._lock:
            if self._sent.get(name) is not sent:
                return
            del self._sent[name]
        self._listener.ended(sent.order, result)

    # --- which machines there are ----------------------------------------------------------------

    def _watch(self) -> None:
        missing: set[str] = set()
        called_s, answered_s = 0.0, time.monotonic()
        while not self._is_closing.wait(_LOOK_S):
            try:
                there = set(self._client.nthreads())
            except Exception as error:
                _logger.debug("%s", error)
                if time.monotonic() - answered_s > _SILENCE_S:
                    self._on_scheduler_gone(f"{type(error).__name__}: {error}")
                    return
                continue
            answered_s = time.monotonic()
            gone = set(self._machines.addresses()) - there
            # Counted as lost when missing twice: Dask may not list a worker for a moment.
            for address in gone & missing:
                self._lose(address)
            missing = gone
            if self._terms.hears_queue and time.monotonic() - called_s > _HEAR_S:
                called_s = time.monotonic()
                for address in there:
                    self._caller.call_if_free(address, "hear")

    def _on_scheduler_gone(self, why: str) -> None:
        for address in self._machines.addresses():
            self._lose(address)
        self._listener.failed(
            ClusterError(
                f"the Dask scheduler at {self.address} is gone: {why}",
                "start it again, then the queue: every task goes on from its last checkpoint",
            )
        )

    def _lose(self, address: str, cause: Cause | None = None) -> None:
        """Forget a machine; what was sent to it is lost, as soon as its cause is known."""
        machine = self._machines.remove(address)
        self._listener.changed()
        with self._lock:
            lost = [sent for sent in self._sent.values() if sent.address == address]
        if not lost or machine is None:
            return

        def tell() -> None:
            why = cause or self._cause_of(machine.name)
            problem = f"{machine.host} is gone, or its job has ended"
            for sent in lost:
                self._give_up(sent, Result("lost", problem=problem, cause=why))

        # To ask takes seconds, and a node that goes takes many with it.
        threading.Thread(target=tell, name=f"lost-{machine.name}", daemon=True).start()

    # --- calling ---------------------------------------------------------------------------------

    def _by_machine(self, names: Collection[str]) -> dict[str, list[str]]:
        by_machine: dict[str, list[str]] = {}
        with self._lock:
            for name in names:
                if name in self._sent:
                    by_machine.setdefault(self._sent[name].address, []).append(name)
        return by_machine
