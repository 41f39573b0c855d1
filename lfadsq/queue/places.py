"""A device, the tasks of ours that run on it, and the room that is left.

What is left is measured, not booked: somebody else may use the same device, and a task that has
just started has not yet taken the memory it was promised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from lfadsq.queue.devices import Device
from lfadsq.queue.waiting import Need

__all__ = ["Place", "Reservation", "Vacancy", "memory_left_mb"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A running task of ours.

    Attributes
    ----------
    device_id : str
    memory_mb : float
        What it was promised [MB].
    used_before_mb : float
        What others, not we, had in use on the device when this task was placed [MB].
    session : int or None
        Session of its processes, once they exist.
    is_alone : bool
        It keeps the device for itself.
    ends_s : float
        When it should end, on the clock of `pack` [s]; infinite if nobody knows.
    """

    device_id: str
    memory_mb: float
    used_before_mb: float = 0.0
    session: int | None = None
    is_alone: bool = False
    ends_s: float = math.inf


def memory_left_mb(device: Device, reservations: Sequence[Reservation]) -> float:
    """Compute what a device can still promise [MB].

    Free memory counts what running tasks have taken already; what they have reserved and not yet
    taken is subtracted. If NVML shows the memory of our sessions, each is known; else what is in
    use beyond what others had when the last of them was placed is put down to them, up to what they
    reserved.

    Parameters
    ----------
    device : Device
        As measured now.
    reservations : sequence of Reservation
        Of our running tasks on this device, in the order in which they started.
    """
    if not reservations:
        return device.memory_free_mb
    taken_by_session = device.taken_mb_by_session
    if taken_by_session:
        visible = [taken_by_session.get(r.session or 0) for r in reservations]
        if any(taken is not None for taken in visible):
            untaken = sum(
                max(0.0, r.memory_mb - (taken or 0.0))
                for r, taken in zip(reservations, visible, strict=True)
            )
            return device.memory_free_mb - untaken
    reserved = sum(r.memory_mb for r in reservations)
    used_mb = device.memory_total_mb - device.memory_free_mb
    taken_mb = used_mb - reservations[-1].used_before_mb
    return device.memory_free_mb - (reserved - min(max(taken_mb, 0.0), reserved))


@dataclass(frozen=True, slots=True)
class Vacancy:
    """When a device that is full will have room for a task.

    Attributes
    ----------
    at_s : float
        When those of our tasks that are in its way should have ended; infinite if nobody knows.
    lacks_mb : float
        What has to be freed before [MB].
    """

    at_s: float
    lacks_mb: float


class Place:
    """A device as measured at one moment, with the tasks of ours that run on it.

    Parameters
    ----------
    device : Device
    running : dict of str to Reservation
        Our tasks on it by name, in the order in which they started.

    Attributes
    ----------
    left_mb, reserved_mb : float
        What it can still promise, and what our tasks were promised [MB].
    reach_mb : float
        What it could give to a single task once all of ours have ended; -1 if nothing [MB].
    changes_s : float
        When the first of our tasks should end; infinite if nobody knows [s].
    num_tasks : int
    is_exclusive, has_room : bool
        Whether a task has it for itself; whether another one may start as far as numbers go.
    """

    __slots__ = (
        "_by_end",
        "changes_s",
        "device",
        "has_room",
        "is_exclusive",
        "left_mb",
        "num_tasks",
        "reach_mb",
        "reserved_mb",
        "running",
    )

    def __init__(self, device: Device, running: Mapping[str, Reservation]) -> None:
        self.running = running
        self.measure(device)

    def measure(self, device: Device) -> None:
        """Take in a new measurement, or that `running` has changed."""
        reservations = list(self.running.values())
        self.device = device
        self._by_end: list[Reservation] | None = None
        self.num_tasks = len(reservations)
        self.left_mb = memory_left_mb(device, reservations)
        self.reserved_mb = sum([r.memory_mb for r in reservations])
        self.is_exclusive = any(r.is_alone for r in reservations)
        self.has_room = (
            self.num_tasks < device.max_tasks
            and not device.closed_because
            and not self.is_exclusive
        )
        can_ever = not device.closed_because and device.max_tasks > 0
        self.reach_mb = self.left_mb + self.reserved_mb if can_ever else -1.0
        self.changes_s = min([r.ends_s for r in reservations], default=math.inf)

    def with_also(self, running: Mapping[str, Reservation]) -> Place:
        """Give the place as it will be once these run there too."""
        return Place(self.device, {**self.running, **running})

    @property
    def used_by_others_mb(self) -> float:
        """What is in use beyond what our tasks took, as far as that can be seen [MB]."""
        ours_mb = self.reserved_mb + self.left_mb - self.device.memory_free_mb
        return max(0.0, self.device.memory_total_mb - self.device.memory_free_mb - ours_mb)

    @property
    def may_gain_from_others(self) -> bool:
        """Whether it takes no more of our tasks only because of what others do there."""
        is_full = self.num_tasks >= self.device.max_tasks or self.is_exclusive
        return not is_full and (bool(self.device.closed_because) or self.used_by_others_mb > 0)

    def vacancy(self, need: Need) -> Vacancy | None:
        """Tell when it will have room, by the end of our own tasks alone; None if never."""
        if need.memory_mb > self.reach_mb:
            return None
        if self._by_end is None:
            self._by_end = sorted(self.running.values(), key=attrgetter("ends_s"))
        left_mb, num_tasks, at_s = self.left_mb, self.num_tasks, -math.inf
        is_exclusive = need.is_alone or self.is_exclusive
        max_beside = 0 if is_exclusive else self.device.max_tasks - 1
        for ending in self._by_end:
            if left_mb >= need.memory_mb and num_tasks <= max_beside:
                break
            left_mb += ending.memory_mb
            num_tasks -= 1
            at_s = ending.ends_s
        return Vacancy(at_s, max(0.0, need.memory_mb - self.left_mb))
