"""Whether anything more will come of a run: somebody is at work on it, or a live queue has it."""

from __future__ import annotations

from pathlib import Path

from lfadsq.errors import StorageError
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.control_paths import is_locked
from lfadsq.queue.status import TaskState
from lfadsq.watching.run_logs import RunLog

__all__ = ["EndWatch"]

_OF_A_QUEUE_S = 2.0


class EndWatch:
    """Tells of runs whether they have ended.

    A run goes on while its lock is held, which needs no queue; and while a live queue has it and
    has not finished with it, such as one that waits, is paused, or is tried again later.

    Parameters
    ----------
    collection : Path or None
        Whose queues are asked; None for no collection.
    """

    def __init__(self, collection: Path | None) -> None:
        self._control = None if collection is None else ControlFolder.of(collection)
        self._wanted: set[str] = set()
        self._asked_s = float("-inf")

    def has_ended(self, log: RunLog, now_s: float) -> bool:
        """Tell whether a run has ended.

        Parameters
        ----------
        log : RunLog
        now_s : float
            By a clock that never goes back [s]; queues are asked anew every few seconds.

        Raises
        ------
        QueueError, StorageError
            If control files cannot be read.
        """
        if _is_at_work(log):
            return False
        if now_s - self._asked_s >= _OF_A_QUEUE_S:
            self._wanted = self._wanted_by_queues()
            self._asked_s = now_s
            # It may have been started between the two looks.
            return str(log.donefile) not in self._wanted and not _is_at_work(log)
        return str(log.donefile) not in self._wanted

    def how(self, log: RunLog) -> str:
        """Say in a word or two how a run that has ended stands."""
        if log.donefile.exists():
            return "done"
        from lfadsq.queue.records import Record

        last = Record.read(log.files.record, log.name).last
        if last is None:
            return "not started, and no queue has it"
        if not last.state.is_finished or last.outcome is None:
            return "interrupted: nobody is at work on it"
        cause = f" ({last.cause.value})" if last.cause else ""
        return f"{last.outcome.value}{cause}"

    def _wanted_by_queues(self) -> set[str]:
        if self._control is None:
            return set()
        return {
            task.donefile
            for queue, lives in self._control.queues(max_dead=0)
            if lives
            for task in queue.tasks
            if not task.state.is_finished and task.state is not TaskState.INTERRUPTED
        }


def _is_at_work(log: RunLog) -> bool:
    try:
        return is_locked(log.files.lock)
    except StorageError:  # a file system that knows no locks: queues tell, then
        return False
