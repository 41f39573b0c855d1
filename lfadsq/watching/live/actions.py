"""What keys do to a run: through the same control files as `lfadsq queue`, so that any queue obeys.

All of this reads and writes files, and may run the queue's script: it is called from threads.
"""

from __future__ import annotations

from pathlib import Path

from lfadsq.errors import LfadsqError, RunNotFoundError
from lfadsq.paths import RunPaths
from lfadsq.queue import requests
from lfadsq.queue.explain import explain, explanation_text
from lfadsq.queue.overview import Overview
from lfadsq.queue.status import TaskStatus
from lfadsq.watching.live.listing import short_name
from lfadsq.watching.live.run_lines import facts_of
from lfadsq.watching.run_logs import RunLog, log_at
from lfadsq.watching.run_status import RunStatus

__all__ = ["cancel_run", "explain_run", "log_of_run", "retry_run"]


def cancel_run(collection: Path, run: RunStatus) -> str:
    """Give a run up; what is at work ends with a checkpoint.

    Parameters
    ----------
    collection : Path
    run : RunStatus

    Returns
    -------
    str
        What became of it, for people.

    Raises
    ------
    LfadsqError
        If it is no task of a queue, or the control files cannot be written.
    """
    overview, tasks = _tasks_of(collection, run)
    tasks = requests.can_be_cancelled(tasks)
    name = short_name(run.name)
    if not tasks:
        return f"{name}: nothing to cancel, it is done or cancelled already"
    notes = requests.cancel(overview, tasks, lambda text: None)
    return "; ".join([f"{name}: cancelled", *notes, *_for_later(overview, tasks)])


def retry_run(collection: Path, run: RunStatus) -> str:
    """Have a run tried again that failed or was cancelled; it goes on from its last checkpoint.

    Parameters
    ----------
    collection : Path
    run : RunStatus

    Returns
    -------
    str
        What became of it, for people.

    Raises
    ------
    LfadsqError
        If it is no task of a queue, or the control files cannot be written.
    """
    overview, tasks = _tasks_of(collection, run)
    asked = requests.retry(overview, tasks)
    name = short_name(run.name)
    if not asked.num_attempts:
        return f"{name}: nothing to try again, it neither failed nor was cancelled"
    held = ["a pause holds it back still: `lfadsq queue resume`"] if asked.num_held else []
    again = [task for task in tasks if task.name in asked.num_attempts]
    return "; ".join([f"{name}: to be tried again", *held, *_for_later(overview, again)])


def explain_run(collection: Path, run: RunStatus) -> str:
    """Tell everything about a run, as `lfadsq explain` does; with less where no queue knows it."""
    lines = [run.name, *facts_of(run), ""]
    try:
        overview, tasks = _tasks_of(collection, run)
        # Training and sampling posterior means again may be tasks of their own.
        lines += [explanation_text(explain(task.name, overview)) for task in tasks]
    except LfadsqError as error:
        lines.append(f"no queue can tell more: {error}")
    return "\n".join(lines)


def log_of_run(collection: Path, run: RunStatus) -> RunLog:
    """Find the log of a run; it need not exist yet."""
    folder = collection / run.name
    found = log_at(str(folder), None)
    files = RunPaths(folder)
    return found or RunLog(run.name, files.log, files.done)


def _tasks_of(collection: Path, run: RunStatus) -> tuple[Overview, list[TaskStatus]]:
    folder = collection / run.name
    if not folder.is_dir():
        raise RunNotFoundError(f"there is no {folder}", "prepare it first (`prepare_for_lfads`)")
    return requests.find_in(collection, [str(folder)])


def _for_later(overview: Overview, tasks: list[TaskStatus]) -> list[str]:
    if not overview.queues:
        return ["no queue runs here now: this is kept for the next one"]
    if all(overview.queue_of(task.name) is None for task in tasks):
        return ["no queue that runs has it: this is kept for the next one"]
    return []
