"""Where the tasks of a queue run: on this machine, or on those of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from lfadsq.errors import QueueError
from lfadsq.queue.clusters.jobs import JobStatus
from lfadsq.queue.devices import DeviceSource
from lfadsq.queue.environments import thread_counts
from lfadsq.queue.events import Noted
from lfadsq.queue.execution import Order, Result
from lfadsq.queue.machine import num_usable_cpus
from lfadsq.queue.records import Attempt, Cause

__all__ = ["Dashboard", "Listener", "LocalSite", "Site", "Transport"]


@dataclass(frozen=True)
class Dashboard:
    """A page that shows what Dask does.

    Attributes
    ----------
    address : str
        Empty if there is none.
    tunnel : str
        The line that leads to it from another computer (`lfadsq.queue.tunnels`).
    """

    address: str = ""
    tunnel: str = ""


@dataclass(frozen=True)
class Listener:
    """Whoever is told of what happens, from any thread.

    Attributes
    ----------
    started, ended : callable
        Take an order, and its attempt, or its result or an error.
    failed : callable
        Takes what went wrong if the transport itself fails.
    changed : callable
        Called if devices have come, gone or changed by themselves.
    note : callable
        Takes what people should know.
    peak_mb : callable
        Gives the most device memory that a task was seen to take [MB], by its name.
    """

    started: Callable[[Order, Attempt], None]
    ended: Callable[[Order, Result | BaseException], None]
    failed: Callable[[QueueError], None]
    changed: Callable[[], None]
    note: Callable[[Noted], None]
    peak_mb: Callable[[str], float | None]


class Transport(Protocol):
    """Runs orders, and ends what runs."""

    def submit(self, order: Order) -> None:
        """Run an order as soon as a slot is free."""

    def tell_to_end(self, names: Collection[str] | None, cause: Cause) -> None:
        """Ask tasks to end, for a cause; None for all, and no more will start then."""

    def tell_left_to_end(self, name: str, token: str, cause: Cause) -> None:
        """Count a task that a dead queue left behind here among those told to end."""

    def kill(self, names: Collection[str]) -> None:
        """Kill tasks that were told to end, with everything they started."""

    def leftovers(self) -> set[str]:
        """Name the tasks told to end of which processes are left on this machine."""

    def leave(self) -> None:
        """Let all tasks go on without us, where they can."""

    def close(self) -> None:
        """Let go of everything; orders must have ended."""


class Site(Protocol):
    """The machines of a queue.

    Attributes
    ----------
    has_gpus : bool
        Whether tasks run on GPUs.
    outlives_queue : bool
        Whether tasks can go on without their queue.
    text : str
        What machines there will be, if none is there yet.
    """

    @property
    def source(self) -> DeviceSource:
        """What is measured."""

    @property
    def max_tasks(self) -> int | None:
        """How many tasks can run at once in all; None for as many as fit on the machines."""

    has_gpus: bool
    outlives_queue: bool
    text: str

    def open(self, queue_id: str, listener: Listener) -> Transport:
        """Make ready to run tasks.

        Parameters
        ----------
        queue_id : str
        listener : Listener
        """

    def environment(self, device_id: str, num_tasks: int) -> dict[str, str]:
        """Give what a task on a device needs in its environment.

        Parameters
        ----------
        device_id : str
        num_tasks : int
            How many are there to run, at least.
        """

    def want(self, num_tasks: int) -> None:
        """Say how many tasks could run now, those that do among them."""

    @property
    def dashboard(self) -> Dashboard:
        """The dashboard of a Dask scheduler that was there already; ours have none."""

    def jobs(self) -> tuple[JobStatus, ...]:
        """List the jobs of a batch system that the machines are, for displays."""

    def problem(self) -> QueueError | None:
        """Say why no task can run any more; None while some can."""


class LocalSite:
    """The machine that the queue runs on.

    Parameters
    ----------
    source : DeviceSource
    max_tasks : int
        How many tasks may run at once in all.
    """

    outlives_queue = True
    text = ""
    dashboard = Dashboard()

    def __init__(self, source: DeviceSource, max_tasks: int) -> None:
        self._source = source
        devices = source.measure()
        self.has_gpus = any(device.is_gpu for device in devices)
        self.max_tasks = min(max_tasks, sum(device.max_tasks for device in devices) or 1)

    @property
    def source(self) -> DeviceSource:
        """What is measured."""
        return self._source

    def open(self, queue_id: str, listener: Listener) -> Transport:
        """Start Dask in this process."""
        from lfadsq.queue.transport import DaskTransport

        del queue_id
        return DaskTransport(
            self.max_tasks, listener.started, listener.ended, listener.failed, listener.peak_mb
        )

    def environment(self, device_id: str, num_tasks: int) -> dict[str, str]:
        """Show a task its device, and share the processors out."""
        num_beside = max(1, min(self.max_tasks, num_tasks))
        threads = thread_counts(num_usable_cpus() // num_beside)
        return {**threads, **self._source.environment(device_id)}

    def want(self, num_tasks: int) -> None:
        """Do nothing: this machine is what it is."""

    def jobs(self) -> tuple[JobStatus, ...]:
        """List none."""
        return ()

    def problem(self) -> QueueError | None:
        """Say that nothing is wrong."""
        return None
