"""Which waiting task starts on which device now: a pure function of what was measured.

The policy, in the order in which it decides:

1. Tasks are looked at in the order given. No more than `max_tasks` run at once in all, and no
   more on a device than its own `max_tasks` (one for a GPU, if that was asked for).
2. A task fits a device that has a place and enough memory: what is free now, less what running
   tasks have reserved and not yet taken.
3. Of the devices it fits, it gets the emptiest: the one with the fewest of our tasks, then the most
   memory left.
4. If a task fits no device now but would fit one once our own tasks there have ended, that device
   is kept for it: smaller tasks behind it go elsewhere, so that it is never starved. A device that
   others have filled is not waited for in this way.
5. A task that needs more than any device has in all is told so, and never waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lfadsq.queue.devices import Device

__all__ = ["Need", "Packing", "Placement", "Reservation", "memory_left_mb", "pack"]


@dataclass(frozen=True)
class Need:
    """A waiting task, as far as packing is concerned.

    Attributes
    ----------
    name : str
    memory_mb : float
        [MB]
    """

    name: str
    memory_mb: float


@dataclass(frozen=True)
class Reservation:
    """A running task of ours.

    Attributes
    ----------
    device_id : str
    memory_mb : float
        What it was promised [MB].
    used_before_mb : float
        What was in use on the device, by anybody, when this task was placed [MB].
    session : int or None
        Session of its processes, once they exist.
    """

    device_id: str
    memory_mb: float
    used_before_mb: float = 0.0
    session: int | None = None


@dataclass(frozen=True)
class Placement:
    """A task to start now.

    Attributes
    ----------
    name : str
    device_id : str
    reservation : Reservation
        To keep while it runs.
    """

    name: str
    device_id: str
    reservation: Reservation


@dataclass(frozen=True)
class Packing:
    """What to do now.

    Attributes
    ----------
    placements : tuple of Placement
    fits_nowhere : tuple of str
        Names of tasks that no device could ever hold.
    is_waiting_for_others : bool
        A task waits for memory though none of our own tasks, by ending, would free it.
    """

    placements: tuple[Placement, ...]
    fits_nowhere: tuple[str, ...]
    is_waiting_for_others: bool


def memory_left_mb(device: Device, reservations: Sequence[Reservation]) -> float:
    """Compute what a device can still promise [MB].

    Free memory counts what running tasks have taken already; what they have reserved and not yet
    taken is subtracted. If NVML shows the memory of our sessions, each is known; else what was
    taken since the first of them was placed is put down to them, up to what they reserved.

    Parameters
    ----------
    device : Device
        As measured now.
    reservations : sequence of Reservation
        Of our running tasks on this device.
    """
    if not reservations:
        return device.memory_free_mb
    reserved = sum(r.memory_mb for r in reservations)
    visible = [device.taken_mb_by_session.get(r.session or 0) for r in reservations]
    if any(taken is not None for taken in visible):
        untaken = sum(
            max(0.0, r.memory_mb - (taken or 0.0))
            for r, taken in zip(reservations, visible, strict=True)
        )
    else:
        used_mb = device.memory_total_mb - device.memory_free_mb
        taken_mb = used_mb - reservations[0].used_before_mb
        untaken = reserved - min(max(taken_mb, 0.0), reserved)
    return device.memory_free_mb - untaken


def pack(
    waiting: Iterable[Need],
    devices: Sequence[Device],
    running: Mapping[str, Reservation],
    max_tasks: int,
) -> Packing:
    """Decide what starts now, by the policy above.

    Parameters
    ----------
    waiting : iterable of Need
        In order; read no further than there are places.
    devices : sequence of Device
        As measured now.
    running : dict of str to Reservation
        Our running tasks by name, in the order in which they started.
    max_tasks : int
        How many may run at once in all.
    """
    on_device: dict[str, list[Reservation]] = {device.device_id: [] for device in devices}
    for reservation in running.values():
        on_device.get(reservation.device_id, []).append(reservation)
    places = [_Place(device, on_device[device.device_id]) for device in devices]
    largest_mb = max((device.memory_total_mb for device in devices), default=math.inf)
    smallest_unfit_mb = math.inf
    placements: list[Placement] = []
    fits_nowhere: list[str] = []
    waits_for_others = False
    kept: _Place | None = None
    for need in waiting:
        open_places = [place for place in places if place.has_room]
        if len(running) + len(placements) >= max_tasks or not open_places:
            break
        if need.memory_mb > largest_mb:
            fits_nowhere.append(need.name)
        elif need.memory_mb < smallest_unfit_mb:
            # What did not fit once fits no more: places only fill up in here.
            fitting = [p for p in open_places if p is not kept and need.memory_mb <= p.left_mb]
            if fitting:
                best = min(fitting, key=lambda place: (place.num_tasks, -place.left_mb))
                placements.append(best.put(need))
                continue
            smallest_unfit_mb = need.memory_mb
            if kept is None:
                kept = max(
                    (p for p in places if need.memory_mb <= p.left_mb + p.reserved_mb),
                    key=lambda place: place.left_mb,
                    default=None,
                )
                waits_for_others = kept is None
    return Packing(tuple(placements), tuple(fits_nowhere), waits_for_others)


class _Place:
    """A device while it is being filled."""

    def __init__(self, device: Device, reservations: list[Reservation]) -> None:
        self._device = device
        self.left_mb = memory_left_mb(device, reservations)
        self.reserved_mb = sum(r.memory_mb for r in reservations)
        self.num_tasks = len(reservations)
        self._used_before_mb = device.memory_total_mb - device.memory_free_mb

    @property
    def has_room(self) -> bool:
        return self.num_tasks < self._device.max_tasks

    def put(self, need: Need) -> Placement:
        self.left_mb -= need.memory_mb
        self.reserved_mb += need.memory_mb
        self.num_tasks += 1
        device_id = self._device.device_id
        reservation = Reservation(device_id, need.memory_mb, self._used_before_mb)
        return Placement(need.name, device_id, reservation)
