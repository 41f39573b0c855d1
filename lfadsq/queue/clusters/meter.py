"""What a machine of a cluster has, and what the tasks on it take."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping

from lfadsq.errors import LfadsqError
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.devices import Device, DeviceSource, find_devices
from lfadsq.queue.environments import thread_counts
from lfadsq.queue.peaks import taken_by_task
from lfadsq.queue.places import Reservation

__all__ = ["Meter"]

_logger = logging.getLogger(__name__)


class Meter:
    """Measures the devices of this machine, from any thread.

    Parameters
    ----------
    terms : Terms
    num_slots : int
        How many tasks the processors may run where there is no GPU.
    num_cpus : int
        How many processors they share.

    Attributes
    ----------
    devices : tuple of Device
        As measured last; empty before `find`, and if there is a problem.
    problem : str
        Why this machine can be used for nothing; empty if it can.
    """

    def __init__(self, terms: Terms, num_slots: int, num_cpus: int) -> None:
        self._terms = terms
        self._num_slots = num_slots
        self._num_cpus = num_cpus
        self._lock = threading.Lock()
        self._source: DeviceSource | None = None
        self._peaks_mb: dict[str, float] = {}
        self.devices: tuple[Device, ...] = ()
        self.problem = ""

    def find(self) -> None:
        """Find the devices; it may take seconds, and whatever is wrong becomes the problem."""
        host = socket.gethostname()
        try:
            source = find_devices(
                None,
                max_tasks_on_gpu=self._terms.max_tasks_on_gpu or self._num_slots,
                num_cpu_slots=self._num_slots,
            )
            if self._terms.needs_gpu and source.reason:
                self.problem = f"{host} has no GPU for its job: {source.reason}"
                source.close()
                return
            devices = tuple(source.measure())
            whole = [one for one in devices if one.is_gpu and not one.device_id.startswith("MIG")]
            if self._terms.num_gpus and len(whole) > self._terms.num_gpus:
                self.problem = (
                    f"{host} shows {len(whole)} GPUs to a job that was given"
                    f" {self._terms.num_gpus}, and does not say which: set CUDA_VISIBLE_DEVICES in"
                    " --setup as your site tells, or ask for all of them (--gpus-per-job)"
                )
                source.close()
                return
        except Exception as error:
            # The driver is somebody else's code, and a queue that hears nothing waits for long.
            what = str(error) if isinstance(error, LfadsqError) else repr(error)
            self.problem = f"the devices of {host} cannot be measured: {what}"
            return
        with self._lock:
            self._source, self.devices = source, devices

    def measure(self, running: Mapping[str, Reservation]) -> None:
        """Measure all devices now, and what running tasks take of them."""
        sessions = {r.session for r in running.values() if r.session is not None}
        with self._lock:
            if self._source is None:
                return
            try:
                self.devices = tuple(self._source.measure(sessions))
            except LfadsqError as error:
                _logger.warning("%s", error)
                return
            for name, taken_mb in taken_by_task(self.devices, running).items():
                self._peaks_mb[name] = max(taken_mb, self._peaks_mb.get(name, 0.0))

    def environment(self, device_id: str) -> dict[str, str]:
        """Give what a task on a device needs in its environment."""
        num_places = max(1, sum(device.max_tasks for device in self.devices))
        shown = self._source.environment(device_id) if self._source is not None else {}
        return {**thread_counts(self._num_cpus // num_places), **shown}

    def peak_mb(self, name: str) -> float | None:
        """Give the most device memory that a running task was seen to take [MB]."""
        return self._peaks_mb.get(name)

    def forget(self, name: str) -> None:
        """Begin anew for a task."""
        with self._lock:
            self._peaks_mb.pop(name, None)

    def close(self) -> None:
        """Let go of the driver."""
        with self._lock:
            source, self._source = self._source, None
        if source is not None:
            source.close()
