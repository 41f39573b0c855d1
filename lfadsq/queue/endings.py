"""Tasks that were told to end: given time, then killed with everything they started."""

from __future__ import annotations

import time
from collections.abc import Callable

from lfadsq.queue.entries import Entry
from lfadsq.queue.events import Event, Noted
from lfadsq.queue.ledger import Ledger
from lfadsq.queue.records import Cause
from lfadsq.queue.sites import Transport
from lfadsq.queue.status import TaskState

__all__ = ["Endings"]

_KILL_PATIENCE_S = 10.0
_LEFTOVER_POLL_S = 0.05


class Endings:
    """Follows tasks from being told to end until nothing of them is left.

    Parameters
    ----------
    transport : Transport
    ledger : Ledger
    grace_s : float
        How long they may take to end by themselves [s].
    report : callable
        Told of what cannot be ended.
    """

    def __init__(
        self,
        transport: Transport,
        ledger: Ledger,
        grace_s: float,
        report: Callable[[Event], None],
    ) -> None:
        self._transport = transport
        self._ledger = ledger
        self._grace_s = grace_s
        self._report = report
        self._deadlines_s: dict[str, float] = {}
        self._killed: set[str] = set()

    def __len__(self) -> int:
        """How many have not ended, or have left something behind."""
        return len(self._deadlines_s)

    def tell(self, entries: list[Entry], cause: Cause, *, everyone: bool = False) -> None:
        """Tell tasks to end.

        Parameters
        ----------
        entries : list of Entry
            Running ones of ours, or such that a dead queue left behind; others are passed over.
        cause : Cause
        everyone : bool, default False
            No other task is to start either.
        """
        deadline_s = time.monotonic() + self._grace_s
        told = []
        for entry in entries:
            name = entry.task.name
            if name in self._deadlines_s:
                continue
            if entry.state is TaskState.RUNNING:
                told.append(name)
            elif entry.left_group is not None:
                self._transport.tell_left_to_end(name, entry.left_group.token, cause)
            else:
                continue
            entry.end_cause = cause
            self._deadlines_s[name] = deadline_s
        self._transport.tell_to_end(None if everyone else told, cause)
        self._transport.leftovers()

    def tell_remains(self, entry: Entry, token: str) -> None:
        """End what the command of a task left behind when it ended; how it ended is known."""
        name = entry.task.name
        if token and name not in self._deadlines_s:
            self._transport.tell_left_to_end(name, token, Cause.QUEUE_STOPPED)
            self._deadlines_s[name] = time.monotonic() + self._grace_s
            self._transport.leftovers()

    def hurry(self) -> None:
        """Let nobody have any more time."""
        for name in self._deadlines_s:
            if name not in self._killed:
                self._deadlines_s[name] = time.monotonic()

    def patience_s(self) -> float | None:
        """Tell how long to wait before `press_on` has something to do [s]; None for ever."""
        if not self._deadlines_s:
            return None
        first_s = max(0.0, min(self._deadlines_s.values()) - time.monotonic())
        return min(first_s, _LEFTOVER_POLL_S) if self._some_have_ended() else first_s

    def press_on(self) -> None:
        """Forget those of which nothing is left; kill those whose time is up."""
        if self._some_have_ended():
            left = self._transport.leftovers()
            for name in [n for n in self._deadlines_s if not self._works(n) and n not in left]:
                self._forget(name)
        now_s = time.monotonic()
        late = [name for name, deadline_s in self._deadlines_s.items() if deadline_s <= now_s]
        stuck = [name for name in late if name in self._killed]
        if stuck:
            self._report(Noted(f"cannot be ended, not even by SIGKILL: {', '.join(stuck)}", True))
        for name in stuck:
            self._forget(name)
        to_kill = [name for name in late if name not in stuck]
        if to_kill:
            self._killed.update(to_kill)
            for name in to_kill:
                self._deadlines_s[name] = now_s + _KILL_PATIENCE_S
            self._transport.kill(to_kill)

    def _forget(self, name: str) -> None:
        self._deadlines_s.pop(name, None)
        self._killed.discard(name)

    def _some_have_ended(self) -> bool:
        return any(not self._works(name) for name in self._deadlines_s)

    def _works(self, name: str) -> bool:
        entry = self._ledger[name]
        return entry.state in (TaskState.RUNNING, TaskState.ELSEWHERE)
