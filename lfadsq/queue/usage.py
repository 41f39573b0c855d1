"""How busy the devices are: told by each start and end of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lfadsq.queue.devices import is_cpu
from lfadsq.queue.events import Usage

__all__ = ["UsageMeter"]


@dataclass
class _Meter:
    """One device: how many tasks run on it, and since when."""

    is_gpu: bool
    num_running: int = 0
    most_running: int = 0
    since_s: float = 0.0
    busy_s: float = 0.0

    def num_busy(self) -> int:
        """How many places of it work: tasks share a GPU, and have a slot of the CPU each."""
        return min(1, self.num_running) if self.is_gpu else self.num_running

    def change(self, by: int, at_s: float) -> None:
        self.busy_s += self.num_busy() * (at_s - self.since_s)
        self.since_s = at_s
        self.num_running += by
        self.most_running = max(self.most_running, self.num_running)


class UsageMeter:
    """Adds up how long tasks ran, and how long devices had none of them.

    Times are of any one clock [s], and must not go back from call to call.

    Examples
    --------
    >>> meter = UsageMeter()
    >>> meter.started("a", "GPU-0", True, at_s=10.0)
    >>> meter.ended("a", at_s=40.0)
    >>> meter.usage({"GPU-0": 1, "GPU-1": 1}, until_s=99.0)
    Usage(task_s={'a': 30.0}, gpu_s=30.0, cpu_s=0.0, idle_fraction=0.5)
    """

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}
        self._running: dict[str, tuple[str, float]] = {}
        self._task_s: dict[str, float] = {}
        self._first_s: float | None = None
        self._last_s = 0.0

    def started(self, name: str, device_id: str, is_gpu: bool, at_s: float) -> None:
        """Note that a task runs; if it did already, its attempt before ended at this moment.

        Parameters
        ----------
        name : str
            The task.
        device_id : str
        is_gpu : bool
            Whether tasks on that device share it; otherwise each has a slot of its own.
        at_s : float
            When [s].
        """
        self.ended(name, at_s)
        if self._first_s is None:
            self._first_s = at_s
        self._running[name] = (device_id, at_s)
        self._meters.setdefault(device_id, _Meter(is_gpu)).change(+1, at_s)

    def ended(self, name: str, at_s: float) -> None:
        """Note that a task does not run any more; does nothing if it did not."""
        running = self._running.pop(name, None)
        if running is None:
            return
        device_id, since_s = running
        self._meters[device_id].change(-1, at_s)
        self._task_s[name] = self._task_s.get(name, 0.0) + at_s - since_s
        self._last_s = at_s

    def usage(self, num_places_by_device: Mapping[str, int], until_s: float) -> Usage:
        """Give what was measured; tasks that still run are counted up to now.

        Parameters
        ----------
        num_places_by_device : dict of str to int
            All devices the queue may use, with how many tasks at once. A GPU counts once, however
            many share it.
        until_s : float
            Now [s].
        """
        for name in list(self._running):
            device_id, _ = self._running[name]
            is_gpu = self._meters[device_id].is_gpu
            self.started(name, device_id, is_gpu, until_s)
        busy_s = {True: 0.0, False: 0.0}
        num_places = 0
        for device_id in {*num_places_by_device, *self._meters}:
            meter = self._meters.get(device_id) or _Meter(is_gpu=not is_cpu(device_id))
            busy_s[meter.is_gpu] += meter.busy_s
            # A device that was lost while we ran was there when it was used.
            places = max(num_places_by_device.get(device_id, 0), meter.most_running)
            num_places += 1 if meter.is_gpu else places
        idle_fraction = None
        if self._first_s is not None and self._last_s > self._first_s:
            all_s = num_places * (self._last_s - self._first_s)
            idle_fraction = min(1.0, max(0.0, 1 - sum(busy_s.values()) / all_s))
        return Usage(dict(self._task_s), busy_s[True], busy_s[False], idle_fraction)
