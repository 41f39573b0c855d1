"""Where there will be room soonest, when running tasks end as they should.

Asked at nearly every decision, mostly for the same task as before, while hardly any device has
changed. So places are held by when the first task there ends: those that come too late to matter
are never looked at, and what was found is looked at again only where something has changed.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lfadsq.queue.places import Place, Reservation, Vacancy
from lfadsq.queue.waiting import Need

__all__ = ["Upcoming"]

_Change = tuple[float, float, str]


@dataclass(frozen=True, slots=True)
class _Known:
    need: Need
    device_id: str


class Upcoming:
    """Places by when they change.

    Parameters
    ----------
    places : dict of str to Place
        By device id; say `touch` when one has changed, and make a new `Upcoming` when one is added
        or taken away.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._change = {name: _change_of(place) for name, place in places.items()}
        self._changes = sorted(self._change.values())
        self._known: _Known | None = None
        self._touched: set[str] = set()

    def touch(self, device_id: str) -> None:
        """Take in that a place has changed."""
        change = _change_of(self._places[device_id])
        del self._changes[bisect_left(self._changes, self._change[device_id])]
        insort(self._changes, change)
        self._change[device_id] = change
        self._touched.add(device_id)

    def soonest(
        self,
        need: Need,
        shunned: frozenset[str],
        starting: Mapping[str, Mapping[str, Reservation]],
    ) -> tuple[str, Vacancy] | None:
        """Find the place where a task that fits nothing now will have room first.

        Parameters
        ----------
        need : Need
        shunned : frozenset of str
            Devices that are not for it.
        starting : dict of str to dict of str to Reservation
            What starts now, before it, by device and name.

        Returns
        -------
        tuple of str and Vacancy, or None
            The device; if nobody knows any end, the one where the least has to be freed. None if
            the end of our own tasks makes room nowhere.
        """
        self._touched.update(starting)
        best: tuple[float, float] | None = None
        found = None
        for device_id, place in self._as_they_will_be(self._candidates(need), starting):
            lacks_mb = max(0.0, need.memory_mb - place.left_mb)
            if best is not None and (place.changes_s, lacks_mb) >= best:
                break  # no later one has room before its first change, nor lacks less
            if need.memory_mb > place.reach_mb or device_id in shunned:
                continue
            vacancy = place.vacancy(need)
            if vacancy is not None and (best is None or (vacancy.at_s, vacancy.lacks_mb) < best):
                best, found = (vacancy.at_s, vacancy.lacks_mb), (device_id, vacancy)
        # What starts now is only planned: whether it did is looked at again.
        self._touched = set(starting)
        self._known = None if found is None else _Known(need, found[0])
        return found

    def _candidates(self, need: Need) -> Sequence[_Change]:
        known = self._known
        if known is None or known.need is not need or known.device_id in self._touched:
            return self._changes
        # Nothing was better than what is known, and only those touched are not as they were.
        return sorted(self._change[name] for name in {known.device_id, *self._touched})

    def _as_they_will_be(
        self, changes: Sequence[_Change], starting: Mapping[str, Mapping[str, Reservation]]
    ) -> Iterator[tuple[str, Place]]:
        """Give places by first change, then by what is left, with what starts now in them."""
        changed = {name: self._places[name].with_also(new) for name, new in starting.items()}
        others = (change for change in changes if change[-1] not in changed)
        for _, _, name in heapq.merge(others, sorted(map(_change_of, changed.values()))):
            yield name, changed.get(name) or self._places[name]


def _change_of(place: Place) -> _Change:
    return (place.changes_s, -place.left_mb, place.device.device_id)
