"""Whoever has tasks run in this process: tells them to end, and finds what they leave behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lfadsq.queue.execution import Order
from lfadsq.queue.processes import ProcessGroup, signal_tokens
from lfadsq.queue.records import Attempt, Cause

__all__ = ["Foreman"]


@dataclass
class _Told:
    """A task that was told to end."""

    cause: Cause
    signal: signal.Signals
    token: str = ""


class Foreman:
    """Oversees the attempts that run on threads of this process (`execution.Overseer`).

    Parameters
    ----------
    on_started : callable
        Called with order and attempt from the thread of an attempt.
    peak_mb : callable
        Gives the most device memory that a task was seen to take [MB], by its name.
    """

    def __init__(
        self,
        on_started: Callable[[Order, Attempt], None],
        peak_mb: Callable[[str], float | None],
    ) -> None:
        self._on_started = on_started
        self.peak_mb = peak_mb
        self._lock = threading.Lock()
        self._told: dict[str, _Told] = {}
        self._all_end_for: Cause | None = None
        self._groups: dict[str, ProcessGroup] = {}
        self._signalled: set[tuple[int, float, signal.Signals]] = set()
        self.left, self._left_other_end = os.pipe()

    def expect(self, name: str) -> None:
        """Forget what a task was told before: it is to run again."""
        with self._lock:
            self._told.pop(name, None)

    def ended(self, name: str) -> None:
        """Note that an attempt at a task is over."""
        with self._lock:
            self._groups.pop(name, None)

    def tell_to_end(self, names: Collection[str] | None, cause: Cause) -> None:
        """Ask tasks to end, for a cause, also those that are about to start.

        Parameters
        ----------
        names : collection of str or None
            None for all; no more will start then.
        cause : Cause
            What their ending is put down to.
        """
        with self._lock:
            if names is None:
                self._all_end_for = cause
                names = list(self._groups)
            groups = []
            for name in names:
                told = self._told.setdefault(name, _Told(cause, signal.SIGTERM))
                group = self._groups.get(name)
                if group is not None:
                    told.token = group.token
                    groups.append(group)
        for group in groups:
            group.send(signal.SIGTERM, cause)

    def tell_left_to_end(self, name: str, token: str, cause: Cause) -> None:
        """Count a task that a dead queue left behind among those told to end.

        Its processes are signalled by the next `leftovers`.
        """
        with self._lock:
            self._told[name] = _Told(cause, signal.SIGTERM, token)

    def kill(self, names: Collection[str]) -> None:
        """Kill tasks that were told to end, with everything they started."""
        with self._lock:
            groups = [self._groups[name] for name in names if name in self._groups]
            for name in names:
                if name in self._told:
                    self._told[name].signal = signal.SIGKILL
        for group in groups:
            group.send(signal.SIGKILL, group.end_cause or Cause.QUEUE_STOPPED)
        self.leftovers()

    def leftovers(self) -> set[str]:
        """Name the tasks told to end of which processes are left; signal those not seen before."""
        with self._lock:
            told = {t.token: (name, t.signal) for name, t in self._told.items() if t.token}
            groups = {group.pid for group in self._groups.values()}
        found = signal_tokens(
            {token: number for token, (_, number) in told.items()},
            self._signalled,
            except_groups=groups,
        )
        return {told[token][0] for token in found}

    def leave(self) -> None:
        """Let all tasks go on without us; their attempts end at once."""
        with self._lock:
            self._all_end_for = self._all_end_for or Cause.QUEUE_STOPPED
            if self._left_other_end >= 0:
                os.close(self._left_other_end)
                self._left_other_end = -1

    def close(self) -> None:
        """Let go of everything; no attempt may be under way any more."""
        self.leave()
        if self.left >= 0:
            os.close(self.left)
            self.left = -1

    def end_cause(self, name: str) -> Cause | None:
        """Tell why a task is to end, or must not start; None if it may run."""
        with self._lock:
            told = self._told.get(name)
            return told.cause if told else self._all_end_for

    def why_signalled(self, name: str) -> Cause:
        """Tell what the end of a task is put down to that somebody has signalled."""
        return self.end_cause(name) or Cause.KILLED_BY_USER

    def started(self, order: Order, attempt: Attempt, group: ProcessGroup) -> None:
        """Take note of an attempt and its processes, as soon as they exist."""
        name = order.task.name
        with self._lock:
            self._groups[name] = group
            told = self._told.get(name)
            if told is None and self._all_end_for is not None and self._left_other_end >= 0:
                told = self._told[name] = _Told(self._all_end_for, signal.SIGTERM)
            if told is not None:
                told.token = group.token
        if told is not None:
            group.send(told.signal, told.cause)
        self._on_started(order, attempt)
