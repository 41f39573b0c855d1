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
    fills_up : bool
        Shared devices get full anyway: fill them one by one, those with the least left first.
    """

    def __init__(
        self, places: Iterable[Place], least_mb: float, now_s: float, *, fills_up: bool = False
    ) -> None:
        self._rooms = {
            place.device.device_id: _Room(place, now_s, fills_up)
            for place in places
            if place.has_room and place.left_mb >= least_mb
        }
        self._least_mb = least_mb
        self._rooms_by_turn = [(room.turn, name) for name, room in self._rooms.items()]
        heapq.heapify(self._rooms_by_turn)
        self.limits = self._measure()

    def put(self, need: Need, shunned: frozenset[str]) -> Placement | None:
        """Put a task on the first place in turn that it fits; None if it fits none.

        Parameters
        ----------
        need : Need
        shunned : frozenset of str
            Devices that are not for it.
        """
        too_small = []
        placement = None
        while self._rooms_by_turn and placement is None:
            entry = heapq.heappop(self._rooms_by_turn)
            _, device_id = entry
            room = self._rooms[device_id]
            if device_id in shunned or not room.fits(need):
                too_small.append(entry)
                continue
            placement = Placement(need.name, device_id, room.put(need))
            if room.is_open and room.left_mb >= self._least_mb:
                too_small.append((room.turn, device_id))
            else:
                del self._rooms[device_id]
        for entry in too_small:
            heapq.heappush(self._rooms_by_turn, entry)
        if placement is None or len(self._rooms) <= 1:
            # Limits that are too wide do no harm; with many places they are measured seldom.
            self.limits = self._measure()
        return placement

    def keep(self, device_id: str, vacancy: Vacancy) -> None:
        """Keep a place for a task that waits for it: others may use it only until then."""
        room = self._rooms.get(device_id)
        if room is not None:
            room.kept = vacancy
            self.limits = self._measure()

    def _measure(self) -> Limits:
        shared_mb = alone_mb = brief_mb = -1.0
        brief_s = 0.0
        for room in self._rooms.values():
            if room.kept is not None:
                brief_mb, brief_s = room.left_mb, room.kept_for_s
                continue
            shared_mb = max(shared_mb, room.left_mb)
            if room.num_tasks == 0:
                alone_mb = max(alone_mb, room.left_mb)
        return Limits(shared_mb, alone_mb, brief_mb, brief_s)


class _Room:
    """A place while it is being filled."""

    __slots__ = (
        "_fills_up",
        "_is_exclusive",
        "_now_s",
        "_place",
        "_used_mb",
        "kept",
        "left_mb",
        "num_tasks",
    )

    def __init__(self, place: Place, now_s: float, fills_up: bool) -> None:
        self._place = place
        self._fills_up = fills_up and place.device.max_tasks > 1
        self._now_s = now_s
        self._used_mb = place.used_by_others_mb
        self.left_mb = place.left_mb
        self.num_tasks = place.num_tasks
        self.kept: Vacancy | None = None
        self._is_exclusive = False

    @property
    def turn(self) -> tuple[int, int, float]:
        """What is to be used first sorts first: the fullest, or else the emptiest and smallest."""
        if self._fills_up:
            return (0, 0, self.left_mb)
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
        return self.kept is None or 0 < need.expected_s <= self.kept_for_s

    def put(self, need: Need) -> Reservation:
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
