"""What people want of a collection's queues, as a state that is kept rather than a message.

A wish is true until somebody takes it back. So nothing is lost if a queue dies before it obeys,
several queues obey the same wishes, and so does one that is started later. The functions here are
pure; where wishes lie and how they are changed is told in `lfadsq.queue.control`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["END", "LEAVE", "SCHEMA_VERSION", "Wishes"]

SCHEMA_VERSION = 1
"""Of the file: change it with any change of a field, and keep reading old ones."""

END = "end"
"""A queue shall stop, and its running tasks end with a checkpoint."""

LEAVE = "leave"
"""A queue shall stop, and its running tasks go on without it."""


@dataclass(frozen=True)
class Wishes:
    """All that people want.

    Attributes
    ----------
    is_paused : bool
        Nothing more is started.
    ends_running_when_paused : bool
        While `is_paused`: what runs ends with a checkpoint and waits again, uncharged.
    paused : frozenset of str
        Tasks that are not started.
    paused_now : frozenset of str
        Of those, the ones that end with a checkpoint if they run.
    cancelled : frozenset of str
        Tasks that are not started, and end with a checkpoint if they run.
    priorities : dict of str to int
        In place of the priorities in the task list.
    forgiven : dict of str to int
        Attempts of a task up to this number count no longer against it.
    added : tuple of dict
        Tasks besides those of the task list (`lfadsq.queue.tasks.SPEC_KEYS`).
    stops : dict of str to str
        Queues that shall stop, and how: `END` or `LEAVE`.
    """

    is_paused: bool = False
    ends_running_when_paused: bool = False
    paused: frozenset[str] = frozenset()
    paused_now: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()
    priorities: Mapping[str, int] = field(default_factory=dict)
    forgiven: Mapping[str, int] = field(default_factory=dict)
    added: tuple[Mapping[str, Any], ...] = ()
    stops: Mapping[str, str] = field(default_factory=dict)

    def holds_back(self, name: str) -> bool:
        """Tell whether a task must not be started now."""
        return self.is_paused or name in self.paused or name in self.cancelled

    def ends(self, name: str) -> bool:
        """Tell whether a task must end, with a checkpoint, if it runs."""
        ends_all = self.is_paused and self.ends_running_when_paused
        return ends_all or name in self.paused_now or name in self.cancelled

    def with_paused(self, names: Collection[str] = (), *, now: bool = False) -> Wishes:
        """Hold tasks back, or the whole queue if none are named.

        Parameters
        ----------
        names : collection of str
        now : bool, default False
            End them if they run.
        """
        if not names:
            return replace(self, is_paused=True, ends_running_when_paused=now)
        paused_now = self.paused_now.union(names) if now else self.paused_now.difference(names)
        return replace(self, paused=self.paused.union(names), paused_now=paused_now)

    def with_resumed(self, names: Collection[str] = ()) -> Wishes:
        """Let tasks go on that were paused or cancelled; without names, all that is paused."""
        if not names:
            return replace(
                self,
                is_paused=False,
                ends_running_when_paused=False,
                paused=frozenset(),
                paused_now=frozenset(),
            )
        return replace(
            self,
            paused=self.paused.difference(names),
            paused_now=self.paused_now.difference(names),
            cancelled=self.cancelled.difference(names),
        )

    def with_cancelled(self, names: Iterable[str]) -> Wishes:
        """Give tasks up."""
        return replace(self, cancelled=self.cancelled.union(names))

    def with_retried(self, num_attempts: Mapping[str, int]) -> Wishes:
        """Begin anew with tasks, as if they had not been tried or cancelled.

        Parameters
        ----------
        num_attempts : dict of str to int
            Each task, and the number of its newest attempt; 0 if it was never tried.
        """
        forgiven = {name: number for name, number in num_attempts.items() if number > 0}
        return replace(
            self,
            cancelled=self.cancelled.difference(num_attempts),
            forgiven={**self.forgiven, **forgiven},
        )

    def with_priorities(self, names: Iterable[str], priority: int) -> Wishes:
        """Give tasks a priority."""
        return replace(self, priorities={**self.priorities, **dict.fromkeys(names, priority)})

    def with_added(self, specs: Iterable[Mapping[str, Any]]) -> Wishes:
        """Add tasks, which must have new names."""
        return replace(self, added=(*self.added, *specs))

    def with_stops(self, queue_ids: Iterable[str], how: str) -> Wishes:
        """Ask queues to stop; `how` is `END` or `LEAVE`."""
        return replace(self, stops={**self.stops, **dict.fromkeys(queue_ids, how)})

    def without_stops(self, queue_ids: Iterable[str]) -> Wishes:
        """Forget that queues were asked to stop, once they have."""
        gone = set(queue_ids)
        return replace(self, stops={key: how for key, how in self.stops.items() if key not in gone})

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {
            "schema_version": SCHEMA_VERSION,
            "is_paused": self.is_paused,
            "ends_running_when_paused": self.ends_running_when_paused,
            "paused": sorted(self.paused),
            "paused_now": sorted(self.paused_now),
            "cancelled": sorted(self.cancelled),
            "priorities": dict(self.priorities),
            "forgiven": dict(self.forgiven),
            "added": [dict(spec) for spec in self.added],
            "stops": dict(self.stops),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Wishes:
        """Convert from JSON; what is missing is not wished.

        Raises
        ------
        ValueError, TypeError
            If it is nothing that `to_dict` gives.
        """
        stops = _mapping(data, "stops", str)
        if unknown := set(stops.values()) - {END, LEAVE}:
            raise ValueError(f"stops holds {unknown}")
        return cls(
            is_paused=_flag(data, "is_paused"),
            ends_running_when_paused=_flag(data, "ends_running_when_paused"),
            paused=_names(data, "paused"),
            paused_now=_names(data, "paused_now"),
            cancelled=_names(data, "cancelled"),
            priorities=_mapping(data, "priorities", int),
            forgiven=_mapping(data, "forgiven", int),
            added=tuple(_list(data, "added", dict)),
            stops=stops,
        )


def _flag(data: Mapping[str, Any], key: str) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise TypeError(f"{key} is {value!r}")
    return value


def _list(data: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    values = data.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise TypeError(f"{key} is {values!r}")
    return values


def _names(data: Mapping[str, Any], key: str) -> frozenset[str]:
    return frozenset(_list(data, key, str))


def _mapping(data: Mapping[str, Any], key: str, kind: type) -> dict[str, Any]:
    values = data.get(key, {})
    # bool is an int to Python, but no priority.
    if not isinstance(values, dict) or not all(
        isinstance(value, kind) and not isinstance(value, bool) for value in values.values()
    ):
        raise TypeError(f"{key} is {values!r}")
    return values
