"""Giving tasks up, and trying them again: what `lfadsq queue` and the live view both ask for.

What is asked for is written to the control files, from which every queue takes it, now or later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import RunNotFoundError
from lfadsq.queue.leftovers import end_left, find_left
from lfadsq.queue.options import GRACE_S
from lfadsq.queue.overview import Overview, look, task_of
from lfadsq.queue.records import Cause, Record
from lfadsq.queue.run_names import find_tasks
from lfadsq.queue.status import TaskState, TaskStatus
from lfadsq.texts import count_text

__all__ = ["Retry", "can_be_cancelled", "cancel", "end_left_tasks", "find_in", "retry"]


@dataclass(frozen=True)
class Retry:
    """Tasks that are to be tried again.

    Attributes
    ----------
    num_attempts : dict of str to int
        How many attempts each has had, which count no longer.
    num_held : int
        How many of them a pause holds back still.
    """

    num_attempts: dict[str, int]
    num_held: int = 0


def find_in(
    collection: Path, words: Sequence[str], script: Path | None = None
) -> tuple[Overview, list[TaskStatus]]:
    """Find tasks of a collection, also those that live queues know nothing of.

    Parameters
    ----------
    collection : Path
        Its folder.
    words : sequence of str
        As `lfadsq.queue.run_names.find_tasks` takes them.
    script : Path, optional
        Only tasks of this queue script are meant.

    Raises
    ------
    RunNotFoundError
        If one of the words fits no task, or a part several.
    QueueError, StorageError
        If the control folder cannot be obeyed or read.
    """
    overview = look(collection, script)
    try:
        return overview, find_tasks(words, overview.tasks, collection)
    except RunNotFoundError:
        if not overview.queues:
            if overview.problem and not overview.tasks:
                raise RunNotFoundError(
                    f"the tasks of {overview.collection} are not known: {overview.problem}"
                ) from None
            raise
    overview = look(collection, script, beyond_queues=True)
    return overview, find_tasks(words, overview.tasks, collection)


def can_be_cancelled(tasks: Iterable[TaskStatus]) -> list[TaskStatus]:
    """List those of some tasks that can be given up."""
    return [task for task in tasks if task.state not in (TaskState.DONE, TaskState.CANCELLED)]


def cancel(
    overview: Overview, tasks: Sequence[TaskStatus], tell: Callable[[str], None]
) -> list[str]:
    """Give tasks up: queues do not start them, and end those at work.

    Parameters
    ----------
    overview : Overview
    tasks : sequence of TaskStatus
        Of it; all that can be cancelled.
    tell : callable
        Takes what takes long, before it is done.

    Returns
    -------
    list of str
        What there is to say of those that went on without a queue, and are ended here.

    Raises
    ------
    QueueError, StorageError
        If the control files cannot be written; nothing is changed then.
    """
    names = [task.name for task in tasks]
    if names:
        overview.control.edit(lambda wishes: wishes.with_cancelled(names))
    return end_left_tasks(overview, tasks, is_pause=False, tell=tell)


def retry(overview: Overview, tasks: Sequence[TaskStatus], *, only_failed: bool = False) -> Retry:
    """Have tasks tried again that failed or were cancelled, as if they had never been tried.

    Parameters
    ----------
    overview : Overview
    tasks : sequence of TaskStatus
        Of it; those that neither failed nor were cancelled are left as they are.
    only_failed : bool, default False
        Leave those that were cancelled as they are, too.

    Raises
    ------
    QueueError, StorageError
        If a record cannot be read, or the control files cannot be written; nothing is changed then.
    """
    again = (TaskState.FAILED,) if only_failed else (TaskState.FAILED, TaskState.CANCELLED)
    # The record, not the snapshot, which may be a moment old, tells the newest attempt.
    num_attempts = {
        task.name: max(task.attempt, last.number if last else 0)
        for task in tasks
        if task.state in again or (not only_failed and task.name in overview.wishes.cancelled)
        for last in [Record.read(task_of(task).files.record, task.name).last]
    }
    if not num_attempts:
        return Retry({})
    wishes = overview.control.edit(lambda wishes: wishes.with_retried(num_attempts))
    return Retry(num_attempts, sum(wishes.holds_back(name) for name in num_attempts))


def end_left_tasks(
    overview: Overview,
    tasks: Iterable[TaskStatus],
    *,
    is_pause: bool,
    tell: Callable[[str], None],
) -> list[str]:
    """End tasks that go on without a queue ourselves, for nobody else will.

    Parameters
    ----------
    overview : Overview
        As it was before.
    tasks : iterable of TaskStatus
        Of which those are ended that go on without a queue.
    is_pause : bool
        Whether they are to go on later; else they are given up.
    tell : callable
        Takes what takes long, before it is done.

    Returns
    -------
    list of str
        What there is to say of each of them.
    """
    without_queue = [
        task_of(task)
        for task in tasks
        if task.state is TaskState.LEFT and overview.queue_of(task.name) is None
    ]
    if not without_queue:
        return []
    left = find_left(without_queue)
    if any(one.group is not None for one in left):
        num = count_text(len(left), "task")
        tell(f"ending {num} at work without a queue, for {GRACE_S:g} s at most")
    cause = Cause.PAUSED if is_pause else Cause.CANCELLED
    ended = {task.name for task in end_left(left, cause, GRACE_S)}
    notes = [f"{one.task.name} ran without a queue, and has ended" for one in left]
    for at, one in enumerate(left):
        if one.task.name not in ended:
            where = f"on {one.host}" if one.host else "on another machine"
            notes[at] = (
                f"{one.task.name} still runs {where}, without a queue: start one there to end it"
            )
    return notes
