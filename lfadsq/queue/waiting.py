"""The line of waiting tasks, in the order in which they are to start.

Packing asks it at every decision for the first task that fits some memory. So it is kept in blocks
of a few hundred tasks in order, each of which knows the least and the most that any of its tasks
needs: whole blocks are passed over, and 100,000 tasks cost a decision little more than 100.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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


_Rank = tuple[int, float, int, str]


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
            least_mb = (min(block.least_mb, block.least_alone_mb) for block in self._blocks)
            self._least_mb = min(least_mb, default=math.inf)
        return self._least_mb

    @property
    def most_mb(self) -> float:
        """The most memory that any of them needs [MB]; 0 if nobody waits."""
        if self._most_mb is None:
            self._most_mb = max((block.most_mb for block in self._blocks), default=0.0)
        return self._most_mb

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

    def fitting(self, limits: Callable[[], Limits]) -> Iterator[Need]:
        """Give in order those that are within the limits of that moment.

        Parameters
        ----------
        limits : callable
            Asked again after each task given; what it says may only become less meanwhile.
        """
        now = limits()
        for block in self._blocks:
            if not block.holds(now):
                continue
            for need in block.needs:
                if need.memory_mb <= (now.alone_mb if need.is_alone else now.shared_mb) or (
                    need.memory_mb <= now.brief_mb
                    and 0 < need.expected_s <= now.brief_s
                    and not need.is_alone
                ):
                    yield need
                    now = limits()

    def _register(self, need: Need) -> None:
        if need.name in self._needs:
            raise ValueError(f"{need.name!r} waits already")
        self._needs[need.name] = need
        self._lanes.setdefault(need.priority, _Lane()).join(need.name)
        self._version += 1

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
            self._blocks[at : at + 1] = [_Block(block.needs[:middle]), _Block(block.needs[middle:])]

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

    __slots__ = ("least_alone_mb", "least_mb", "least_s", "most_mb", "needs")

    def __init__(self, needs: list[Need]) -> None:
        self.needs = needs
        self.measure()

    def measure(self) -> None:
        shared = [need.memory_mb for need in self.needs if not need.is_alone]
        alone = [need.memory_mb for need in self.needs if need.is_alone]
        self.least_mb = min(shared, default=math.inf)
        self.least_alone_mb = min(alone, default=math.inf)
        self.most_mb = max(max(shared, default=0.0), max(alone, default=0.0))
        known_s = (need.expected_s for need in self.needs if need.expected_s > 0)
        self.least_s = min(known_s, default=math.inf)

    def holds(self, limits: Limits) -> bool:
        """Tell whether any of them may be within limits; never False if one is."""
        return (
            self.least_mb <= limits.shared_mb
            or self.least_alone_mb <= limits.alone_mb
            or (self.least_mb <= limits.brief_mb and self.least_s <= limits.brief_s)
        )

    def insert(self, need: Need) -> None:
        insort(self.needs, need, key=_rank)
        if need.is_alone:
            self.least_alone_mb = min(self.least_alone_mb, need.memory_mb)
        else:
            self.least_mb = min(self.least_mb, need.memory_mb)
        self.most_mb = max(self.most_mb, need.memory_mb)
        if need.expected_s > 0:
            self.least_s = min(self.least_s, need.expected_s)

    def take_out(self, need: Need) -> None:
        del self.needs[bisect_left(self.needs, _rank(need), key=_rank)]
        if need.memory_mb in (self.least_mb, self.least_alone_mb, self.most_mb):
            self.measure()


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
