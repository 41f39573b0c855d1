"""Which waiting task starts on which device now: a pure function of what was measured.

The policy, in the order in which it decides:

1. Tasks are looked at by priority, then the longest expected first, then in the order given. No
   more than `max_tasks` run at once in all, and no more on a device than its own `max_tasks` (one
   for a GPU, if that was asked for).
2. Only if devices are shared, and those who may start need more memory than there is: among equal
   priority large tasks, of which fewer than four fit together on the largest device, and those that
   want to be alone, go before longer ones: they have few places, and small ones fill what is left.
   But who is expected to take nearly as long as all that waits would need on all devices together
   is urgent, and goes before them. If no lengths are known, the order is as given.
3. A task fits a device that has a place and enough memory: what is free now, less what running
   tasks have reserved and not yet taken. A task that wants to be alone fits only a device without
   any task of ours, and no other joins it there.
4. Of the devices it fits, it gets the emptiest: the one with the fewest of our tasks, then the one
   of which the least is in use (in steps of 5 %), then the smallest, to save the larger ones. If
   memory is as short as in 2, shared devices get full in any case, and it gets the one with the
   least left, to save the most in one piece for large tasks.
5. A task that fits nothing now is passed by those behind it that do fit, so that no memory is idle
   while it waits; but for the first such task, the device where it will have room soonest is kept.
   If nobody knows when running tasks end, that is the device where the least has to be freed.
6. A kept device takes only tasks that should end before it is wanted. As every task comes to be
   the first in its turn, none is starved.
7. A device that others have filled is not kept: what they do, and when, is not for us to know.
   Then a device is kept for the next task in line.
8. If more tasks have left the line than were in it when somebody joined, he was overtaken by later
   ones again and again: he comes first in the highest priority, however long or large others are.
9. A task goes to a device that it failed on only if no other could ever hold it, and one that needs
   more than any device has in all is told so, and never waits.

One decision looks only at devices where something has changed since the last one: elsewhere nobody
fitted then, so nobody fits now. `pack` decides from scratch; `Places` remembers, for clusters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lfadsq.queue.devices import Device
from lfadsq.queue.filling import Filling, Placement
from lfadsq.queue.places import Place, Reservation, Vacancy, memory_left_mb
from lfadsq.queue.upcoming import Upcoming
from lfadsq.queue.waiting import Limits, Need, WaitingLine

__all__ = [
    "Need",
    "Packing",
    "Placement",
    "Places",
    "Reservation",
    "WaitingLine",
    "memory_left_mb",
    "pack",
]

_NUM_OF_LARGE = 4
"""Tasks are large if fewer than so many fit together on the largest device."""
_MARGIN = 0.7
"""A task is urgent somewhat before its time has come, for expectations are seldom exact."""


@dataclass(frozen=True)
class Packing:
    """What to do now.

    Attributes
    ----------
    placements : tuple of Placement
    fits_nowhere : tuple of str
        Names of tasks that no device could ever hold, in order.
    is_waiting_for_others : bool
        A task waits that might start if others left a device, so look again from time to time.
    kept_for, kept_device : str or None
        Name of the task for which a device is kept, and the id of that device.
    """

    placements: tuple[Placement, ...]
    fits_nowhere: tuple[str, ...]
    is_waiting_for_others: bool
    kept_for: str | None = None
    kept_device: str | None = None


def pack(
    waiting: WaitingLine,
    devices: Sequence[Device],
    running: Mapping[str, Reservation],
    max_tasks: int,
    *,
    now_s: float = 0.0,
) -> Packing:
    """Decide what starts now, by the policy above.

    Parameters
    ----------
    waiting : WaitingLine
    devices : sequence of Device
        As measured now.
    running : dict of str to Reservation
        Our running tasks by name, in the order in which they started.
    max_tasks : int
        How many may run at once in all.
    now_s : float
        The time on the clock that counts `Reservation.ends_s` [s].

    Returns
    -------
    Packing
        Nothing that was given is changed.
    """
    return Places(devices, running).pack(waiting, max_tasks, now_s=now_s)


class Places:
    """Devices and what runs on them, kept up to date between decisions.

    Parameters
    ----------
    devices : sequence of Device
        As measured now.
    running : dict of str to Reservation
        Our running tasks by name, in the order in which they started; those on a device that is
        not among `devices` count towards `max_tasks` only.
    """

    def __init__(self, devices: Sequence[Device], running: Mapping[str, Reservation]) -> None:
        self._running: dict[str, dict[str, Reservation]] = {}
        self._device_of: dict[str, str] = {}
        for name, reservation in running.items():
            self._running.setdefault(reservation.device_id, {})[name] = reservation
            self._device_of[name] = reservation.device_id
        self._places: dict[str, Place] = {}
        for device in devices:
            mine = self._running.setdefault(device.device_id, {})
            self._places[device.device_id] = Place(device, mine)
        # What earlier decisions found out: where somebody who waits may fit, for which line that
        # holds, and who must have started for it to hold; who reaches most; where there will be
        # room soonest; what each has left and could reach, in whole numbers, and the sums of these.
        self._unsettled: dict[str, None]
        self._settled_for: tuple[WaitingLine, int] | None
        self._placed: tuple[str, ...]
        self._reach: tuple[float, str] | None
        self._upcoming: Upcoming
        self._share: dict[str, tuple[int, int]]
        self._forget()

    def measure(self, device: Device) -> None:
        """Take in a new measurement of a device, or a new device."""
        place = self._places.get(device.device_id)
        if place is None:
            mine = self._running.setdefault(device.device_id, {})
            self._places[device.device_id] = Place(device, mine)
            self._forget()
            return
        was = place.device
        place.measure(device)
        if (was.memory_total_mb, was.max_tasks) != (device.memory_total_mb, device.max_tasks):
            self._forget()
        self._touch(device.device_id)

    def start(self, name: str, reservation: Reservation) -> None:
        """Note that a task runs, or that its reservation has changed."""
        self._running.setdefault(reservation.device_id, {})[name] = reservation
        self._device_of[name] = reservation.device_id
        self._measure_again(reservation.device_id)

    def end(self, name: str) -> None:
        """Note that a task has ended; KeyError if it was not running."""
        device_id = self._device_of.pop(name)
        del self._running[device_id][name]
        self._measure_again(device_id)

    def pack(self, waiting: WaitingLine, max_tasks: int, *, now_s: float = 0.0) -> Packing:
        """Decide what starts now; see the function `pack`.

        Neither `waiting` nor what is known to run is changed: say `start` for what was started.
        """
        if not self._places:
            return Packing((), (), False)
        fits_nowhere: tuple[str, ...] = ()
        if waiting.most_mb > self._largest_mb:
            fits_nowhere = tuple(need.name for need in waiting.larger_than(self._largest_mb))
        num_free = max_tasks - len(self._device_of)
        num_waiting = len(waiting) - len(fits_nowhere)
        if num_free <= 0 or num_waiting == 0:
            return Packing((), fits_nowhere, False)
        is_carried_out = not any(name in waiting for name in self._placed)
        if self._settled_for != (waiting, waiting.version) or not is_carried_out:
            self._unsettled = dict.fromkeys(self._places)
        decision = _Decision(self, waiting, num_free, now_s)
        placements = decision.placements()
        is_settled = len(placements) < num_free
        if is_settled:
            self._settled_for = (waiting, waiting.version)
            self._unsettled = dict.fromkeys(p.device_id for p in placements)
            self._placed = tuple(p.name for p in placements)
            if decision.kept_device is not None:
                self._unsettled[decision.kept_device] = None
        return Packing(
            placements,
            fits_nowhere,
            is_settled
            and len(placements) < num_waiting
            and self._may_gain_from_others(waiting.least_mb),
            decision.kept_for,
            decision.kept_device,
        )

    def _forget(self) -> None:
        self._largest_mb = max(
            (place.device.memory_total_mb for place in self._places.values()), default=math.inf
        )
        self._are_shared = any(place.device.max_tasks > 1 for place in self._places.values())
        self._unsettled = dict.fromkeys(self._places)
        self._settled_for = self._reach = None
        self._placed = ()
        self._upcoming = Upcoming(self._places)
        self._left_mb = self._reach_in_all_mb = 0
        self._share = {}
        for device_id in self._places:
            self._sum_up(device_id)
        self._of_others = {
            name for name, place in self._places.items() if place.may_gain_from_others
        }

    def _measure_again(self, device_id: str) -> None:
        place = self._places.get(device_id)
        if place is not None:
            place.measure(place.device)
            self._touch(device_id)

    def _touch(self, device_id: str) -> None:
        self._unsettled[device_id] = None
        if self._reach is not None:
            reach_mb = self._places[device_id].reach_mb
            if reach_mb >= self._reach[0]:
                self._reach = (reach_mb, device_id)
            elif self._reach[1] == device_id:
                self._reach = None
        self._upcoming.touch(device_id)
        self._sum_up(device_id)
        if self._places[device_id].may_gain_from_others:
            self._of_others.add(device_id)
        else:
            self._of_others.discard(device_id)

    def _sum_up(self, device_id: str) -> None:
        place = self._places[device_id]
        old_left_mb, old_reach_mb = self._share.get(device_id, (0, 0))
        left_mb = max(0, round(place.left_mb)) if place.has_room else 0
        reach_mb = max(0, round(place.reach_mb))
        self._share[device_id] = (left_mb, reach_mb)
        self._left_mb += left_mb - old_left_mb
        self._reach_in_all_mb += reach_mb - old_reach_mb

    def _may_gain_from_others(self, least_mb: float) -> bool:
        return any(
            self._places[i].device.memory_total_mb - self._places[i].reserved_mb >= least_mb
            for i in self._of_others
        )

    # What a decision asks.

    def open_places(self) -> list[Place]:
        """Give the places where somebody who waits might fit."""
        return [self._places[i] for i in self._unsettled]

    def reach_mb(self) -> float:
        """Give the most that any place could give to one task, once ours have ended [MB]."""
        if self._reach is None:
            self._reach = max((place.reach_mb, name) for name, place in self._places.items())
        return self._reach[0]

    @property
    def large_mb(self) -> float:
        """What a task needs more than, if it is large [MB]."""
        return self._largest_mb / _NUM_OF_LARGE

    def urgent_s(self, waiting: WaitingLine) -> float:
        """Give the time from which on a task is urgent that is expected to take so long [s].

        0, so that all are, if no device is shared.
        """
        if not self._are_shared:
            return 0.0
        return _MARGIN * waiting.total_mb_s / max(1, self._reach_in_all_mb)

    def will_be_full(self, waiting: WaitingLine, num_free: int) -> bool:
        """Tell whether those who wait and may start need more memory than is left."""
        num_starting = min(num_free, len(waiting))
        return waiting.total_mb * num_starting > self._left_mb * len(waiting)

    def shunned_by(self, need: Need) -> frozenset[str]:
        """Give the devices that a task avoids, if it could ever run on another."""
        if need.avoids and any(
            place.device.memory_total_mb >= need.memory_mb
            for device_id, place in self._places.items()
            if device_id not in need.avoids
        ):
            return need.avoids
        return frozenset()

    def soonest(self, need: Need, placements: Sequence[Placement]) -> tuple[str, Vacancy] | None:
        """Find the device where a task that fits nothing now will have room first.

        Parameters
        ----------
        need : Need
        placements : sequence of Placement
            What starts before it.
        """
        starting: dict[str, dict[str, Reservation]] = {}
        for placement in placements:
            mine = starting.setdefault(placement.device_id, {})
            mine[placement.name] = placement.reservation
        return self._upcoming.soonest(need, self.shunned_by(need), starting)


class _Decision:
    """One walk along the line."""

    def __init__(self, places: Places, waiting: WaitingLine, num_free: int, now_s: float) -> None:
        self._places = places
        self._waiting = waiting
        self._num_free = num_free
        self._fills_up = fills_up = places.will_be_full(waiting, num_free)
        self._filling = Filling(places.open_places(), waiting.least_mb, now_s, fills_up=fills_up)
        self.kept_for: str | None = None
        self.kept_device: str | None = None

    def placements(self) -> tuple[Placement, ...]:
        """Decide, and note what is kept for whom on the way."""
        placements: list[Placement] = []
        for need in self._candidates():
            placement = self._filling.put(need, self._places.shunned_by(need))
            if placement is not None:
                placements.append(placement)
                if len(placements) == self._num_free:
                    break
            elif self.kept_for is None:
                self._keep(need, placements)
        return tuple(placements)

    def _candidates(self) -> Iterator[Need]:
        seen = set()
        for need in self._waiting.overtaken():
            if self.kept_for is not None:
                break
            seen.add(need.name)
            yield need
        urgent_s = self._places.urgent_s(self._waiting) if self._fills_up else 0.0
        large_mb = self._places.large_mb
        for need in self._waiting.fitting(self._limits, urgent_s=urgent_s, large_mb=large_mb):
            if need.name not in seen:
                yield need

    def _limits(self) -> Limits:
        if self.kept_for is None:
            # Nobody may be passed over unseen before somebody has a device kept for him.
            reach_mb = self._places.reach_mb()
            return Limits(reach_mb, reach_mb)
        return self._filling.limits

    def _keep(self, need: Need, placements: Sequence[Placement]) -> None:
        soonest = self._places.soonest(need, placements)
        if soonest is not None:
            self.kept_for = need.name
            self.kept_device, vacancy = soonest
            self._filling.keep(self.kept_device, vacancy)
