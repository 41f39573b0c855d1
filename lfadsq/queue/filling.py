"""Devices while one decision fills them up, on paper only."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from lfadsq.queue.places import Place, Reservation, Vacancy
from lfadsq.queue.waiting import Limits, Need

__all__ = ["Filling", "Placement"]

_STEPS_OF_USE = 20
"""Devices whose use differs by less than one step count as equally empty: drivers take a little."""


@dataclass(frozen=True, slots=True)
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


class Filling:
    """What becomes of places in one decision.

    Parameters
    ----------
    places : iterable of Place
        Left as they are.
    least_mb : float
        The least that any waiting task needs: places with less take no part [MB].
    now_s : float
        [s]
    """

    def __init__(self, places: Iterable[Place], least_mb: float, now_s: float) -> None:
        self._rooms = {
            place.device.device_id: _Room(place, now_s)
            for place in places
            if place.has_room and place.left_mb >= least_mb
        }
        self._least_mb = least_mb
        self._emptiest = [(room.emptiness, name) for name, room in self._rooms.items()]
        heapq.heapify(self._emptiest)
        self.limits = self._measure()

    def put(self, need: Need, shunned: frozenset[str]) -> Placement | None:
        """Put a task on the emptiest place that it fits; None if it fits none.

        Parameters
        ----------
        need : Need
        shunned : frozenset of str
            Devices that are not for it.
        """
        too_small = []
        placement = None
        while self._emptiest and placement is None:
            entry = heapq.heappop(self._emptiest)
            _, device_id = entry
            room = self._rooms[device_id]
            if device_id in shunned or not room.fits(need):
                too_small.append(entry)
                continue
            placement = Placement(need.name, device_id, room.put(need))
            if room.is_open and room.left_mb >= self._least_mb:
                too_small.append((room.emptiness, device_id))
            else:
                del self._rooms[device_id]
        for entry in too_small:
            heapq.heappush(self._emptiest, entry)
        if placement is None or len(self._rooms) <= 1:
            # Limits that are too wide do no harm; with many places they are measured seldom.
            self.limits = self._measure()
        return placement

    def keep(self, device_id: str, vacancy: Vacancy) -> None:
        """Keep a place for a task that waits for it: others may use it until then, or beside it."""
        room = self._rooms.get(device_id)
        if room is not None:
            room.kept = vacancy
            room.spare_mb = vacancy.spare_mb
            self.limits = self._measure()

    def _measure(self) -> Limits:
        shared_mb = alone_mb = brief_mb = -1.0
        brief_s = 0.0
        for room in self._rooms.values():
            if room.kept is None:
                shared_mb = max(shared_mb, room.left_mb)
                if room.num_tasks == 0:
                    alone_mb = max(alone_mb, room.left_mb)
            else:
                shared_mb = max(shared_mb, min(room.left_mb, room.spare_mb))
                brief_mb, brief_s = room.left_mb, room.kept_for_s
        return Limits(shared_mb, alone_mb, brief_mb, brief_s)


class _Room:
    """A place while it is being filled."""

    __slots__ = (
        "_is_exclusive",
        "_now_s",
        "_place",
        "_used_mb",
        "kept",
        "left_mb",
        "num_tasks",
        "spare_mb",
    )

    def __init__(self, place: Place, now_s: float) -> None:
        self._place = place
        self._now_s = now_s
        self._used_mb = place.used_by_others_mb
        self.left_mb = place.left_mb
        self.num_tasks = place.num_tasks
        self.kept: Vacancy | None = None
        self.spare_mb = 0.0
        self._is_exclusive = False

    @property
    def emptiness(self) -> tuple[int, int, float]:
        """The emptiest sorts first; of equally empty ones the smallest, to save the larger."""
        total_mb = self._place.device.memory_total_mb
        used = 1.0 - self.left_mb / total_mb if total_mb > 0 else 1.0
        return (self.num_tasks, math.floor(used * _STEPS_OF_USE), total_mb)

    @property
    def is_open(self) -> bool:
        return self.num_tasks < self._place.device.max_tasks and not self._is_exclusive

    @property
    def kept_for_s(self) -> float:
        """How long until the task that it is kept for should start; 0 if nobody knows."""
        if self.kept is None or math.isinf(self.kept.at_s):
            return 0.0
        return self.kept.at_s - self._now_s

    def fits(self, need: Need) -> bool:
        if need.memory_mb > self.left_mb or (need.is_alone and self.num_tasks):
            return False
        return self.kept is None or (
            not need.is_alone and (self._is_brief(need) or need.memory_mb <= self.spare_mb)
        )

    def put(self, need: Need) -> Reservation:
        if self.kept is not None and not self._is_brief(need):
            self.spare_mb -= need.memory_mb
        self.left_mb -= need.memory_mb
        self.num_tasks += 1
        self._is_exclusive = need.is_alone
        return Reservation(
            device_id=self._place.device.device_id,
            memory_mb=need.memory_mb,
            used_before_mb=self._used_mb,
            is_alone=need.is_alone,
            ends_s=self._now_s + need.expected_s if need.expected_s > 0 else math.inf,
        )

    def _is_brief(self, need: Need) -> bool:
        return 0 < need.expected_s <= self.kept_for_s
