"""Ending tasks that go on without a queue: there is nobody else to do it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from lfadsq.queue.execution import settle
from lfadsq.queue.locks import read_journal
from lfadsq.queue.processes import LeftGroup, signal_tokens
from lfadsq.queue.records import Cause
from lfadsq.queue.tasks import Task

__all__ = ["LeftTask", "end_left", "find_left"]

_KILL_PATIENCE_S = 5.0
_POLL_S = 0.05


@dataclass(frozen=True)
class LeftTask:
    """A task that goes on without a queue.

    Attributes
    ----------
    task : Task
    host : str
        Machine it runs on; empty if unknown.
    group : LeftGroup or None
        Its processes; None if they are on another machine, or cannot be found.
    """

    task: Task
    host: str
    group: LeftGroup | None


def find_left(tasks: Iterable[Task]) -> list[LeftTask]:
    """Find the processes of tasks that go on without a queue.

    Raises
    ------
    StorageError
        If a journal cannot be read.
    """
    found = []
    for task in tasks:
        journal = read_journal(task.files.lock)
        host = str(journal.attempt.get("host", ""))
        group = None
        if host == socket.gethostname() and journal.pid is not None:
            candidate = LeftGroup(journal.pid, task.files.lock)
            group = candidate if candidate.token and candidate.is_alive() else None
        found.append(LeftTask(task, host, group))
    return found


def end_left(left: Iterable[LeftTask], cause: Cause, grace_s: float) -> list[Task]:
    """End tasks, with all they started, and record why.

    Parameters
    ----------
    left : iterable of LeftTask
    cause : Cause
        `Cause.CANCELLED` or `Cause.PAUSED`.
    grace_s : float
        How long they may take to write a checkpoint before they are killed [s].

    Returns
    -------
    list of Task
        Those that have ended. The others are on another machine, belong to somebody else, or
        cannot be ended at all.

    Notes
    -----
    A record that cannot be written is left to the next queue, as after a loss of power.
    """
    going = {one.group.token: one for one in left if one.group is not None}
    already: set[tuple[int, float, signal.Signals]] = set()
    ended: list[Task] = []
    began_s = time.monotonic()
    while going and time.monotonic() < began_s + grace_s + _KILL_PATIENCE_S:
        is_late = time.monotonic() >= began_s + grace_s
        number = signal.SIGKILL if is_late else signal.SIGTERM
        alive = signal_tokens(dict.fromkeys(going, number), already)
        for token in [token for token in going if token not in alive]:
            one = going[token]
            # In the middle of an exec a process shows no token.
            if one.group is not None and not one.group.is_alive():
                settle(one.task, watched=True, told_to_end=cause)
                ended.append(one.task)
                del going[token]
        if going:
            time.sleep(_POLL_S)
    return ended
