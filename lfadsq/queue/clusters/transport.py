"""Orders to the machines of a cluster, and what comes back: Dask over TLS.

The scheduler of Dask lives in our process, or is one that is there already. On every worker that
comes, now or later, lives an `Agent`; it is called by ``Client.run`` and answers by events. So no
task is ever given to Dask, which would count a lost machine against it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.agent import Agent, Terms, call
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Machine, result_from_dict, topic_of
from lfadsq.queue.execution import Order, Result
from lfadsq.queue.foreman import Foreman
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.sites import Listener

__all__ = ["ClusterTransport"]

_logger = logging.getLogger(__name__)

_OF_OTHERS = (
    "see that the address is right, that this machine may reach it, and that it runs the same"
    " versions of dask, distributed and lfadsq"
)
_OF_OURS = "see that --interface names a network interface of this machine (`ip address`)"
_START_TIMEOUT_S = 60
_CLOSE_TIMEOUT_S = 20
_LOOK_S = 1.0
_CALL_S = 5.0
_NUM_CALLERS = 8


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
        self._orders: dict[str, tuple[str, Order]] = {}
        self._all_end_for: Cause | None = None
        self._is_closing = threading.Event()
        self._callers = ThreadPoolExecutor(_NUM_CALLERS, "lfadsq-caller")
        self._foreman = Foreman(lambda order, attempt: None, lambda name: None)
        self.leftovers = self._foreman.leftovers
        self.tell_left_to_end = self._foreman.tell_left_to_end
        self._resources = contextlib.ExitStack()
        self._resources.callback(self._foreman.close)
        try:
            self._client = self._resources.enter_context(
                _dask_client(address, certificate, interface)
            )
            self.address = str(self._client.scheduler_info(n_workers=0)["address"])
            self._client.subscribe_topic(topic_of(terms.queue_id), self._on_event)
            self._client.register_plugin(Agent(terms), name=topic_of(terms.queue_id))
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
        name = order.task.name
        found = self._machines.find(order.device)
        if found is None:
            self._listener.ended(order, Result("lost", problem="the machine has just gone"))
            return
        machine, device_id = found
        with self._lock:
            self._orders[name] = machine.address, order
        call_it = self._call(machine.address, "take", replace(order, device=device_id))
        call_it.add_done_callback(lambda done: self._on_delivered(done, name, order))

    def tell_to_end(self, names: Collection[str] | None, cause: Cause) -> None:
        """Ask tasks to end, for a cause; None for all, and no more will start then."""
        if names is None:
            self._all_end_for = cause
            for address in self._machines.addresses():
                self._call(address, "tell_to_end", None, cause)
        else:
            for address, some in self._by_machine(names).items():
                self._call(address, "tell_to_end", some, cause)
        self._foreman.tell_to_end(names, cause)

    def kill(self, names: Collection[str]) -> None:
        """Kill tasks that were told to end, with everything they started."""
        for address, some in self._by_machine(names).items():
            self._call(address, "kill", some)
        self._foreman.kill(names)

    def leave(self) -> None:
        """Do nothing: the tasks of a cluster do not outlive its queue."""

    def num_tasks(self) -> dict[str, int]:
        """Count the orders on each machine, by its address."""
        with self._lock:
            return dict(Counter(address for address, _ in self._orders.values()))

    def finish(self, worker_name: str) -> None:
        """Let a machine go that is needed no longer: what runs on it ends with a checkpoint."""
        address = self._machines.address_of(worker_name)
        if address is not None:
            self._call(address, "finish")

    def close(self) -> None:
        """End Dask, and with it all machines that we have started."""
        self._is_closing.set()
        self._watcher.join()
        if self._is_ours:
            ends = [self._call(address, "finish") for address in self._machines.addresses()]
            for end in ends:
                with contextlib.suppress(Exception):
                    end.result(_CALL_S)
        else:
            with contextlib.suppress(Exception):
                self._client.unregister_worker_plugin(topic_of(self._terms.queue_id))
        self._callers.shutdown(wait=False, cancel_futures=True)
        try:
            self._resources.close()
        except Exception as error:
            # All tasks have ended: a Dask that does not end well must not turn that into an error.
            _logger.warning("Dask did not stop well: %s: %s", type(error).__name__, error)

    # --- what happens on the machines ------------------------------------------------------------

    def _on_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        kind, address = message["kind"], message["address"]
        if kind == "machine":
            if self._machines.note(Machine.from_dict(message)):
                self._listener.changed()
            if self._all_end_for is not None:
                self._call(address, "tell_to_end", None, self._all_end_for)
            return
        with self._lock:
            found = self._orders.get(message["name"])
            if found is None or found[0] != address:
                return  # it was given up, and is somebody else's by now
            if kind == "ended":
                del self._orders[message["name"]]
        _, order = found
        if kind == "started":
            self._listener.started(order, Attempt.from_dict(message["attempt"]))
        else:
            self._listener.ended(order, result_from_dict(message["result"]))

    def _on_delivered(self, done: Future[Any], name: str, order: Order) -> None:
        if done.cancelled() or done.exception() is None:
            return
        # If it has arrived all the same, its run's lock keeps a second one from starting.
        self._give_up(name, order, Result("returned", problem=f"{done.exception()}"))

    def _give_up(self, name: str, order: Order, result: Result) -> None:
        with self._lock:
            found = self._orders.get(name)
            if found is None or found[1] is not order:
                return
            del self._orders[name]
        self._listener.ended(order, result)

    # --- which machines there are ----------------------------------------------------------------

    def _watch(self) -> None:
        missing: set[str] = set()
        called_s = 0.0
        while not self._is_closing.wait(_LOOK_S):
            try:
                there = set(self._client.nthreads())
            except Exception as error:
                _logger.debug("%s", error)
                continue
            gone = set(self._machines.addresses()) - there
            # Counted as lost when missing twice: Dask may not list a worker for a moment.
            for address in gone & missing:
                self._lose(address)
            missing = gone
            if self._terms.hears_queue and time.monotonic() - called_s > _CALL_S:
                called_s = time.monotonic()
                for address in there:
                    self._call(address, "hear")

    def _lose(self, address: str) -> None:
        machine = self._machines.remove(address)
        self._listener.changed()
        with self._lock:
            orders = {n: order for n, (where, order) in self._orders.items() if where == address}
        if not orders or machine is None:
            return
        cause = self._cause_of(machine.name)
        for name, order in orders.items():
            problem = f"{machine.host} is gone, or its job has ended"
            self._give_up(name, order, Result("lost", problem=problem, cause=cause))

    # --- calling ---------------------------------------------------------------------------------

    def _by_machine(self, names: Collection[str]) -> dict[str, list[str]]:
        by_machine: dict[str, list[str]] = {}
        with self._lock:
            for name in names:
                if name in self._orders:
                    by_machine.setdefault(self._orders[name][0], []).append(name)
        return by_machine

    def _call(self, address: str, method: str, *arguments: Any) -> Future[Any]:
        def run() -> None:
            self._client.run(
                call, self._terms.queue_id, method, *arguments, workers=[address], nanny=False
            )

        try:
            return self._callers.submit(run)
        except RuntimeError as error:  # we are closing
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed


@contextlib.contextmanager
def _dask_client(address: str, certificate: Path | None, interface: str) -> Iterator[Any]:
    import dask
    from distributed import Client, Scheduler, SpecCluster
    from distributed.security import Security

    from lfadsq.queue.transport import quiet_dask

    class PortlessScheduler(Scheduler):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    # Not annotated in distributed.
    make_cluster: Any = SpecCluster
    make_client: Any = Client
    make_security: Any = Security
    security = None
    if certificate is not None:
        pem = str(certificate)
        roles = ("client", "scheduler", "worker")
        files = {f"tls_{role}_{kind}": pem for role in roles for kind in ("cert", "key")}
        security = make_security(require_encryption=True, tls_ca_file=pem, **files)
    settings = {
        "distributed.comm.timeouts.connect": f"{_START_TIMEOUT_S}s",
        "distributed.scheduler.worker-ttl": "60s",
        "distributed.scheduler.work-stealing": False,
        "distributed.diagnostics.nvml": False,
        "distributed.admin.system-monitor.interval": "1h",
        "distributed.admin.tick.interval": "1 minute",
        "distributed.admin.tick.limit": "1h",
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_dask())
        stack.enter_context(dask.config.set(settings))
        where: Any = address
        if not address:
            where = make_cluster(
                scheduler={
                    "cls": PortlessScheduler,
                    "options": {
                        "protocol": "tls://",
                        "security": security,
                        "dashboard": False,
                        "interface": interface or None,
                    },
                },
                workers={},
                security=security,
                silence_logs=logging.CRITICAL,
            )
            stack.callback(where.close, timeout=_CLOSE_TIMEOUT_S)
        yield stack.enter_context(
            make_client(where, timeout=_START_TIMEOUT_S, set_as_default=False, security=security)
        )
