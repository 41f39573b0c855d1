"""The line of waiting tasks, in the order in which they are to start.

Packing asks it at every decision for the first task that fits some memory. So it is kept in blocks
of a few hundred tasks in order, each of which knows the least and the most that any of its tasks
needs: whole blocks are passed over, and 100,000 tasks cost a decision little more than 100.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

__all__ = ["Limits", "Need", "WaitingLine"]

_MAX_IN_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Need:
    """A waiting task, as far as packing is concerned.

    Attributes
    ----------
    name : str
    memory_mb : float
        What to reserve for it [MB].
    priority : int
        Tasks of higher priority start first.
    expected_s : float
        How long it may take [s]; among equal priority the longest starts first. 0 for unknown.
    order : int
        Among tasks that are equal in this too, the lowest starts first.
    is_alone : bool
        It wants a device without any other task of ours, and keeps it for itself while it runs.
    avoids : frozenset of str
        Ids of devices it failed on: used only if it could never run on any other.
    """

    name: str
    memory_mb: float
    priority: int = 0
    expected_s: float = 0.0
    order: int = 0
    is_alone: bool = False
    avoids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is room for.

    Attributes
    ----------
    shared_mb : float
        The most memory for a task that may share its device [MB].
    alone_mb : float
        The most for one that wants to be alone [MB].
    brief_mb, brief_s : float
        The most for one that shares and is known to end soon, and how soon [MB, s].
    """

    shared_mb: float
    alone_mb: float
    brief_mb: float = -1.0
    brief_s: float = 0.0


_Rank = tuple[float | str, ...]
"""Of a need; or the beginning of one, and then infinity where it is to be after all of these."""


def _rank(need: Need) -> _Rank:
    return (-need.priority, -need.expected_s, need.order, need.name)


class WaitingLine:
    """Waiting tasks by priority, then longest expected first, then in the order given.

    Parameters
    ----------
    needs : iterable of Need, optional
        Who waits from the start.

    Raises
    ------
    ValueError
        If two of them have the same name.
    """

    def __init__(self, needs: Iterable[Need] = ()) -> None:
        self._needs: dict[str, Need] = {}
        self._lanes: dict[int, _Lane] = {}
        self._blocks: list[_Block] = []
        self._version = 0
        # Whole numbers, so that the sums do not depend on the order of what came and went.
        self._total_mb = 0
        self._total_mb_s = 0
        # Looked up at every decision; None where they have to be found again.
        self._least_mb: float | None = None
        self._most_mb: float | None = None
        for need in sorted(needs, key=_rank):
            if not self._blocks or len(self._blocks[-1].needs) >= _MAX_IN_BLOCK // 2:
                self._blocks.append(_Block([]))
            self._register(need)
            self._blocks[-1].needs.append(need)
        for block in self._blocks:
            block.measure()

    def __len__(self) -> int:
        return len(self._needs)

    def __contains__(self, name: object) -> bool:
        return name in self._needs

    def __iter__(self) -> Iterator[Need]:
        """Give all in order."""
        for block in self._blocks:
            yield from block.needs

    def __getitem__(self, name: str) -> Need:
        """Give the need of a task by its name; KeyError if it does not wait."""
        return self._needs[name]

    def get(self, name: str) -> Need | None:
        """Give the need of a task by its name; None if it does not wait."""
        return self._needs.get(name)

    @property
    def version(self) -> int:
        """Counts what was added or changed: as long as it is the same, nobody new has come."""
        return self._version

    @property
    def least_mb(self) -> float:
        """The least memory that any of them needs [MB]; infinite if nobody waits."""
        if self._least_mb is None:
            self._least_mb = min((block.least_mb for block in self._blocks), default=math.inf)
        return self._least_mb

    @property
    def most_mb(self) -> float:
        """The most memory that any of them needs [MB]; 0 if nobody waits."""
        if self._most_mb is None:
            self._most_mb = max((block.most_mb for block in self._blocks), default=0.0)
        return self._most_mb

    @property
    def total_mb(self) -> int:
        """The memory that all of them need together [MB]."""
        return self._total_mb

    @property
    def total_mb_s(self) -> int:
        """The memory that each needs times how long it may take, summed [MB s]."""
        return self._total_mb_s

    def add(self, need: Need) -> None:
        """Let a task join the line at its place.

        Raises
        ------
        ValueError
            If one of that name waits already; nothing was changed.
        """
        self._register(need)
        self._insert(need)

    def remove(self, name: str) -> Need:
        """Take a task out, because it starts or for any other reason, and give its need.

        Raises
        ------
        KeyError
            If none of that name waits.
        """
        need = self._needs.pop(name)
        self._take_out(need)
        self._count(need, -1)
        lane = self._lanes[need.priority]
        lane.leave(name)
        if not lane.tickets:
            del self._lanes[need.priority]
        return need

    def change(self, need: Need) -> None:
        """Give a waiting task another need; it counts as waiting since it first joined.

        Raises
        ------
        KeyError
            If none of that name waits.
        """
        old = self._needs[need.name]
        if old.priority != need.priority:
            self.remove(need.name)
            self.add(need)
            return
        self._take_out(old)
        self._needs[need.name] = need
        self._count(old, -1)
        self._count(need, 1)
        self._version += 1
        self._insert(need)

    def overtaken(self) -> Iterator[Need]:
        """Give those of the highest priority that were overtaken too often, the oldest first.

        That is: since one joined, more tasks of its priority have left the line than had joined
        until the first of them left. So later ones went in front of it, and if they keep coming
        they would do so for ever.
        """
        if self._lanes:
            for name in self._lanes[max(self._lanes)].overtaken():
                yield self._needs[name]

    def larger_than(self, memory_mb: float) -> Iterator[Need]:
        """Give in order those that need more than so much [MB]."""
        for block in self._blocks:
            if block.most_mb > memory_mb:
                yield from (need for need in block.needs if need.memory_mb > memory_mb)

    def fitting(
        self,
        limits: Callable[[], Limits],
        *,
        urgent_s: float = 0.0,
        large_mb: float = math.inf,
    ) -> Iterator[Need]:
        """Give those that are within the limits of that moment, by priority.

        In each priority first the urgent, then the large and those that want to be alone, then all
        others, and last those that fit only because they are brief; each of these in order.

        Parameters
        ----------
        limits : callable
            Asked again after each task given; what it says may only become less meanwhile.
        urgent_s : float
            Who may take at least so long is urgent [s]; 0: all are.
        large_mb : float
            Who needs more than this is large [MB].
        """
        for priority in sorted(self._lanes, reverse=True):
            start, end = (-priority,), (-priority, math.inf)
            middle = (-priority, -urgent_s, math.inf) if urgent_s > 0 else end
            given = set()
            for need in chain(
                self._within(limits, start, middle, large_mb, None),
                self._within(limits, middle, end, large_mb, True),
                self._within(limits, middle, end, large_mb, False),
            ):
                given.add(need.name)
                yield need
            for need in self._brief(limits, priority):
                if need.name not in given:
                    yield need

    def _within(
        self,
        limits: Callable[[], Limits],
        start: _Rank,
        end: _Rank,
        large_mb: float,
        are_large: bool | None,
    ) -> Iterator[Need]:
        """Give in order those between two ranks that are within limits, and large or not."""
        now = limits()
        most_mb = max(now.shared_mb, now.alone_mb)
        if start == end or most_mb < self.least_mb:
            return
        if are_large and now.alone_mb < 0 and now.shared_mb <= large_mb:
            return
        for block in self._blocks_between(start, end):
            if not block.holds(now, large_mb, are_large):
                continue
            for need in block.between(start, end):
                if need.memory_mb <= (now.alone_mb if need.is_alone else now.shared_mb) and (
                    are_large is None or are_large == (need.memory_mb > large_mb or need.is_alone)
                ):
                    yield need
                    now = limits()

    def _brief(self, limits: Callable[[], Limits], priority: int) -> Iterator[Need]:
        """Give in order those of a priority that are known to end soon enough."""
        now = limits()
        if now.brief_s <= 0 or now.brief_mb < self.least_mb:
            return
        start, end = (-priority, -now.brief_s), (-priority, 0.0)
        for block in self._blocks_between(start, end):
            if block.least_mb <= now.brief_mb:
                for need in block.between(start, end):
                    if need.memory_mb <= now.brief_mb and not need.is_alone:
                        yield need
                        now = limits()

    def _blocks_between(self, start: _Rank, end: _Rank) -> list[_Block]:
        return self._blocks[self._block_at(start) : self._block_at(end) + 1]

    def _register(self, need: Need) -> None:
        if need.name in self._needs:
            raise ValueError(f"{need.name!r} waits already")
        self._needs[need.name] = need
        self._count(need, 1)
        self._lanes.setdefault(need.priority, _Lane()).join(need.name)
        self._version += 1

    def _count(self, need: Need, sign: int) -> None:
        self._total_mb += sign * round(need.memory_mb)
        self._total_mb_s += sign * round(need.memory_mb * need.expected_s)

    def _insert(self, need: Need) -> None:
        self._least_mb = self._most_mb = None
        if not self._blocks:
            self._blocks.append(_Block([need]))
            return
        at = min(self._block_at(_rank(need)), len(self._blocks) - 1)
        block = self._blocks[at]
        block.insert(need)
        if len(block.needs) > _MAX_IN_BLOCK:
            middle = len(block.needs) // 2
            halves = (block.needs[:middle], block.needs[middle:])
            self._blocks[at : at + 1] = [_Block(half) for half in halves]

    def _take_out(self, need: Need) -> None:
        at = self._block_at(_rank(need))
        block = self._blocks[at]
        block.take_out(need)
        if need.memory_mb == self._least_mb:
            self._least_mb = None
        if need.memory_mb == self._most_mb:
            self._most_mb = None
        if not block.needs:
            del self._blocks[at]

    def _block_at(self, rank: _Rank) -> int:
        """Find the first block that does not end before a rank."""
        return bisect_left(self._blocks, rank, key=lambda block: _rank(block.needs[-1]))


class _Block:
    """Neighbours in the line, and the least and the most that any of them needs."""

    __slots__ = ("_large_mb", "_least_alone_mb", "_least_large_mb", "_least_mb", "most_mb", "needs")

    def __init__(self, needs: list[Need]) -> None:
        self.needs = needs
        self._large_mb = math.inf
        self.measure()

    @property
    def least_mb(self) -> float:
        """The least that any of them needs [MB]."""
        return min(self._least_mb, self._least_large_mb, self._least_alone_mb)

    def measure(self) -> None:
        shared_mb = sorted([need.memory_mb for need in self.needs if not need.is_alone])
        alone_mb = [need.memory_mb for need in self.needs if need.is_alone]
        num_small = bisect_right(shared_mb, self._large_mb)
        self._least_mb = shared_mb[0] if num_small else math.inf
        self._least_large_mb = shared_mb[num_small] if num_small < len(shared_mb) else math.inf
        self._least_alone_mb = min(alone_mb, default=math.inf)
        self.most_mb = max(shared_mb[-1] if shared_mb else 0.0, max(alone_mb, default=0.0))

    def insert(self, need: Need) -> None:
        insort(self.needs, need, key=_rank)
        memory_mb = need.memory_mb
        if need.is_alone:
            self._least_alone_mb = min(self._least_alone_mb, memory_mb)
        elif memory_mb > self._large_mb:
            self._least_large_mb = min(self._least_large_mb, memory_mb)
        else:
            self._least_mb = min(self._least_mb, memory_mb)
        self.most_mb = max(self.most_mb, memory_mb)

    def take_out(self, need: Need) -> None:
        del self.needs[bisect_left(self.needs, _rank(need), key=_rank)]
        if need.memory_mb in (
            self._least_mb,
            self._least_large_mb,
            self._least_alone_mb,
            self.most_mb,
        ):
            self.measure()

    def holds(self, limits: Limits, large_mb: float, are_large: bool | None) -> bool:
        """Tell whether any may be within limits, and large or not; never False if one is."""
        if large_mb != self._large_mb:
            self._large_mb = large_mb
            self.measure()
        if are_large is None:
            least_mb = min(self._least_mb, self._least_large_mb)
        else:
            least_mb = self._least_large_mb if are_large else self._least_mb
        return least_mb <= limits.shared_mb or (
            are_large is not False and self._least_alone_mb <= limits.alone_mb
        )

    def between(self, start: _Rank, end: _Rank) -> list[Need]:
        """Give in order those between two ranks."""
        first = bisect_left(self.needs, start, key=_rank)
        return self.needs[first : bisect_left(self.needs, end, key=_rank)]


class _Lane:
    """Who waits in one priority, since when, and who was overtaken."""

    __slots__ = ("_due", "_num_joined", "_num_left", "_queue", "tickets")

    def __init__(self) -> None:
        self.tickets: dict[str, int] = {}
        self._queue: deque[tuple[int, str]] = deque()
        self._num_joined = 0
        self._num_left = 0
        # Numbers of those who had joined, each time that somebody left after somebody had joined.
        self._due: deque[int] = deque()

    def join(self, name: str) -> None:
        self._num_joined += 1
        self.tickets[name] = self._num_joined
        self._queue.append((self._num_joined, name))

    def leave(self, name: str) -> None:
        if not self._due or self._due[-1] < self._num_joined:
            self._due.append(self._num_joined)
        self._num_left += 1
        del self.tickets[name]
        while self._queue and self.tickets.get(self._queue[0][1]) != self._queue[0][0]:
            self._queue.popleft()
        while self._queue and self._due and self._due[0] < self._queue[0][0]:
            self._due.popleft()

    def overtaken(self) -> Iterator[str]:
        if not self._due or self._num_left < self._due[0]:
            return
        due = list(self._due)
        for ticket, name in self._queue:
            if self.tickets.get(name) == ticket:
                at = bisect_left(due, ticket)
                if at == len(due) or self._num_left < due[at]:
                    return
                yield name
