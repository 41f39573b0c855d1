"""What a queue measures while it runs: its devices, and the memory its tasks take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from lfadsq.queue.devices import Device, DeviceSource
from lfadsq.queue.peaks import PeakBook, taken_by_task
from lfadsq.queue.places import Reservation, memory_left_mb
from lfadsq.queue.records import iso_time
from lfadsq.queue.status import DeviceStatus, Watermarks

__all__ = ["Gauges"]


class Gauges:
    """Measures devices, and remembers how empty they were.

    Parameters
    ----------
    source : DeviceSource
    peaks : PeakBook
        Told of the memory that running tasks are seen to take.

    Attributes
    ----------
    devices : list of Device
        As measured last.
    names : dict of str to str
        What people call each device that was ever measured, by its id.
    """

    def __init__(self, source: DeviceSource, peaks: PeakBook) -> None:
        self._source = source
        self._peaks = peaks
        self._watermarks: dict[str, Watermarks] = {}
        self._reservations: dict[str, dict[str, Reservation]] = {}
        self._kept: tuple[str | None, str | None] = None, None
        self.devices: list[Device] = []
        self.names: dict[str, str] = {}
        self.measure({}, lambda name: "")

    @property
    def num_places(self) -> dict[str, int]:
        """How many of our tasks each device takes at once, by its id."""
        return {device.device_id: device.max_tasks for device in self.devices}

    @property
    def largest_mb(self) -> float:
        """Memory of the largest device [MB]."""
        return max((device.memory_total_mb for device in self.devices), default=0.0)

    @property
    def all_answer(self) -> bool:
        """Whether no device that was there before is missing now."""
        return self._source.num_missing == 0

    def measure(
        self, running: Mapping[str, Reservation], shape_of: Callable[[str], str]
    ) -> list[Device]:
        """Measure all devices now.

        Parameters
        ----------
        running : dict of str to Reservation
            Our tasks by name.
        shape_of : callable
            Gives the shape of a task by its name.
        """
        sessions = {r.session for r in running.values() if r.session is not None}
        self.devices = self._source.measure(sessions)
        for name, taken_mb in taken_by_task(self.devices, running).items():
            self._peaks.note_sample(name, shape_of(name), taken_mb)
        self._reservations = _by_device(running)
        now = iso_time(time.time())
        for device in self.devices:
            self.names.setdefault(device.device_id, device.name)
            marks = self._watermarks.setdefault(device.device_id, Watermarks())
            marks.note(self._left_mb(device), now)
        return self.devices

    def keep(self, device_id: str | None, name: str | None) -> None:
        """Note which device is being freed for which waiting task; None for none."""
        self._kept = device_id, name

    def statuses(self, running: Mapping[str, Reservation]) -> tuple[DeviceStatus, ...]:
        """Give the devices as measured last, with those that run on them now, for other programs.

        Parameters
        ----------
        running : dict of str to Reservation
            Our tasks by name.
        """
        self._reservations = _by_device(running)
        return tuple(
            DeviceStatus(
                device_id=device.device_id,
                name=device.name,
                memory_total_mb=round(device.memory_total_mb, 1),
                memory_free_mb=round(device.memory_free_mb, 1),
                left_mb=round(self._left_mb(device), 1),
                max_tasks=device.max_tasks,
                tasks=tuple(self._reservations.get(device.device_id, {})),
                closed_because=device.closed_because,
                kept_for=(self._kept[1] or "") if device.device_id == self._kept[0] else "",
                history=self._watermarks[device.device_id].entries,
                utilisation_percent=device.utilisation_percent,
                power_w=device.power_w,
                power_limit_w=device.power_limit_w,
                temperature_c=device.temperature_c,
                num_others=device.num_others,
                other_users=device.other_users,
                host=device.host,
            )
            for device in self.devices
        )

    def _left_mb(self, device: Device) -> float:
        reservations = self._reservations.get(device.device_id, {})
        return memory_left_mb(device, list(reservations.values()))


def _by_device(running: Mapping[str, Reservation]) -> dict[str, dict[str, Reservation]]:
    by_device: dict[str, dict[str, Reservation]] = {}
    for name, reservation in running.items():
        by_device.setdefault(reservation.device_id, {})[name] = reservation
    return by_device
