"""Dask carries orders to a worker and results back; where and when to run is decided elsewhere.

On one machine Dask lives inside our process and opens no port at all: scheduler and worker speak
through memory, and the web server that each of them starts by default is left out, because on a
shared machine everybody can reach a port.

A slot is a lease: one Dask task that runs orders as they come. A Dask task for each order would
cost some 2 ms of the interpreter and 14 ms of waiting for Dask's batched messages.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from lfadsq.errors import QueueError
from lfadsq.queue.execution import Order, Result, run_attempt
from lfadsq.queue.processes import ProcessGroup, signal_tokens
from lfadsq.queue.records import Attempt

__all__ = ["DaskTransport"]

_logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 60
_CLOSE_TIMEOUT_S = 10

# A worker's function is sent by name and finds what lives in this process by this table.
_TRANSPORTS: dict[str, DaskTransport] = {}


class DaskTransport:
    """Runs orders on threads of one Dask worker in this process.

    Parameters
    ----------
    num_slots : int
        How many orders can run at once.
    on_started : callable
        Called with order, attempt and process id from a worker's thread.
    on_ended : callable
        Called with order, and result or error, from a worker's thread.
    on_lost : callable
        Called if Dask itself fails, from one of its threads.

    Raises
    ------
    QueueError
        If Dask does not start; nothing is left of it.
    """

    def __init__(
        self,
        num_slots: int,
        on_started: Callable[[Order, Attempt], None],
        on_ended: Callable[[Order, Result | BaseException], None],
        on_lost: Callable[[QueueError], None],
    ) -> None:
        self._key = uuid.uuid4().hex
        self._on_started = on_started
        self._on_ended = on_ended
        self._on_lost = on_lost
        self._is_closing = False
        self._lock = threading.Lock()
        self._groups: dict[str, ProcessGroup] = {}
        self._signalled_tokens: set[str] = set()
        self._signalled: set[tuple[int, float]] = set()
        self._signal: signal.Signals | None = None
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._resources = contextlib.ExitStack()
        _TRANSPORTS[self._key] = self
        try:
            client = self._resources.enter_context(_dask_client(num_slots))
            # Dask would take equal calls for one: each lease has a number.
            self._leases = client.map(_serve, [self._key] * num_slots, range(num_slots), pure=False)
        except Exception as error:
            _TRANSPORTS.pop(self._key)
            self._resources.close()
            raise QueueError(
                f"Dask did not start: {type(error).__name__}: {error}",
                "see that `python -c 'import distributed'` works and that the folder for temporary"
                f" files ({tempfile.gettempdir()}) may be written",
            ) from error
        for lease in self._leases:
            lease.add_done_callback(self._on_lease_ended)

    def submit(self, order: Order) -> None:
        """Run an order as soon as a slot is free."""
        self._orders.put(order)

    @property
    def is_stopping(self) -> bool:
        """Whether the tasks were told to end."""
        return self._signal is not None

    def send(self, number: signal.Signals) -> None:
        """Signal all tasks, also those that are about to start; no more will start."""
        with self._lock:
            self._signal = number
            groups = list(self._groups.values())
            self._signalled_tokens.update(group.token for group in groups)
        for group in groups:
            group.send(number)
        self._signalled.clear()
        signalled_groups = {group.pid for group in groups}
        signal_tokens(
            self._signalled_tokens, number, self._signalled, except_groups=signalled_groups
        )

    def has_leftovers(self) -> bool:
        """Tell whether processes of signalled tasks outlive them; signal those not seen before."""
        if self._signal is None:
            return False
        return signal_tokens(self._signalled_tokens, self._signal, self._signalled)

    def close(self) -> None:
        """Stop Dask; orders must have ended."""
        self._is_closing = True
        for _ in self._leases:
            self._orders.put(None)
        try:
            self._resources.close()
        except Exception as error:
            # All tasks have ended: a Dask that does not end well must not turn that into an error.
            _logger.warning("Dask did not stop well: %s: %s", type(error).__name__, error)
        _TRANSPORTS.pop(self._key, None)

    def serve(self) -> None:
        """Run orders in this thread until there are no more: the worker's side of a lease."""
        while (order := self._orders.get()) is not None:
            try:
                result: Result | BaseException = self._work(order)
            except BaseException as error:
                # A fault of ours must cost one task, not a slot for good.
                result = error
            self._on_ended(order, result)

    def _work(self, order: Order) -> Result:
        def started(attempt: Attempt, group: ProcessGroup) -> None:
            with self._lock:
                self._groups[order.task.name] = group
                late = self._signal
                if late is not None:
                    self._signalled_tokens.add(group.token)
            if late is not None:
                group.send(late)
            self._on_started(order, attempt)

        try:
            return run_attempt(order, started, lambda: self.is_stopping)
        finally:
            with self._lock:
                self._groups.pop(order.task.name, None)

    def _on_lease_ended(self, lease: Any) -> None:
        if not self._is_closing:
            problem = f"Dask lost a worker: {lease.status}"
            self._on_lost(QueueError(problem, "start the queue again"))


def _serve(key: str, slot: int) -> None:
    del slot
    _TRANSPORTS[key].serve()


@contextlib.contextmanager
def _dask_client(num_threads: int) -> Iterator[Any]:
    import dask
    from distributed import Client, Scheduler, SpecCluster, Worker

    class PortlessScheduler(Scheduler):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    class PortlessWorker(Worker):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    # Not annotated in distributed.
    make_cluster: Any = SpecCluster
    make_client: Any = Client
    folder = tempfile.mkdtemp(prefix="lfadsq-dask-")
    settings = {
        "temporary-directory": folder,
        "distributed.comm.timeouts.connect": f"{_START_TIMEOUT_S}s",
        # Dask would watch the GPUs by itself; only the queue talks to the driver.
        "distributed.diagnostics.nvml": False,
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "1h",
        # Dask looks 50 times a second whether its loop is late: for days, beside a training.
        "distributed.admin.tick.interval": "1 minute",
        "distributed.admin.tick.limit": "1h",
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_dask())
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(dask.config.set(settings))
        cluster = make_cluster(
            scheduler={
                "cls": PortlessScheduler,
                "options": {"protocol": "inproc://", "dashboard": False, "host": ""},
            },
            workers={
                0: {
                    "cls": PortlessWorker,
                    "options": {
                        "protocol": "inproc://",
                        "nthreads": num_threads,
                        "memory_limit": 0,
                        "local_directory": folder,
                        "dashboard": False,
                    },
                }
            },
            silence_logs=logging.CRITICAL,
        )
        stack.callback(cluster.close, timeout=_CLOSE_TIMEOUT_S)
        client = stack.enter_context(
            make_client(cluster, timeout=_START_TIMEOUT_S, set_as_default=False)
        )
        client.wait_for_workers(1, timeout=_START_TIMEOUT_S)
        yield client


@contextlib.contextmanager
def _quiet_dask() -> Iterator[None]:
    """Keep Dask's log out of the user's: what matters of it becomes an error of ours."""
    loggers = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.partition(".")[0] == "distributed" and isinstance(logger, logging.Logger)
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
