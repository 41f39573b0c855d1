"""What a job must know of its queue to decide whether another job is to go on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from lfadsq.queue.events import (
    Event,
    QueueEnded,
    QueueSummary,
    Reporter,
    StopRequested,
    TaskFinished,
    TaskStarted,
)
from lfadsq.queue.tasks import Task

__all__ = ["Witness"]

_BY_PERSON = "lfadsq queue stop"

# Every start writes these, whether or not anything comes of it.
_NO_PROGRESS = ("hyperparameters", "events.out.tfevents", ".")
_MAX_FILES = 2000


class Witness:
    """Passes on what a queue tells, and remembers what came of it.

    Parameters
    ----------
    reporter : Reporter
        Told everything, and closed.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._before: dict[str, tuple[Task, frozenset[tuple[str, int]]]] = {}
        self._has_finished_some = False
        self.summary: QueueSummary | None = None
        self._stops: list[tuple[str, float]] = []

    def report(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, TaskStarted):
            self._before.setdefault(event.task.name, (event.task, _written(event.task)))
        elif isinstance(event, TaskFinished):
            self._has_finished_some |= event.attempt is not None
        elif isinstance(event, StopRequested):
            self._stops.append((event.signal, time.time()))
        elif isinstance(event, QueueEnded):
            self.summary = event.summary
        self._reporter.report(event)

    def close(self) -> None:
        """Close whom it passes things on to."""
        self._reporter.close()

    @property
    def was_stopped_by_person(self) -> bool:
        """Whether `lfadsq queue stop` ended the queue."""
        return any(why == _BY_PERSON for why, _ in self._stops)

    def was_told_again_before(self, time_s: float) -> bool:
        """Tell whether a queue that was ending got another signal before a time [s since 1970].

        At the end of a job the batch system sends one too; before it somebody cancels the job.
        """
        return any(at_s < time_s for _, at_s in self._stops[1:])

    def has_progressed(self) -> bool:
        """Tell whether a task finished, or wrote more than it does at every start.

        Files of a run are compared by name and size: a trainer's checkpoints bear their step, and
        its fit log gets a line an epoch. What is written anew as it was before is no progress.
        """
        return self._has_finished_some or any(
            _written(task) != before for task, before in self._before.values()
        )


def _written(task: Task) -> frozenset[tuple[str, int]]:
    ours = {task.outfile, task.files.lock, task.files.record}
    return frozenset(_sizes(task.donefile.parent, ours))


def _sizes(folder: Path, ours: set[Path]) -> Iterator[tuple[str, int]]:
    num_left = _MAX_FILES
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(where, name)
            if name.startswith(_NO_PROGRESS) or path in ours:
                continue
            num_left -= 1
            if num_left < 0:
                return
            try:
                yield str(path), path.stat().st_size
            except OSError:
                continue  # a link to nowhere, or it has just been removed
