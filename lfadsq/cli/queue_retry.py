"""``lfadsq queue retry``: try runs again."""

from __future__ import annotations

from pathlib import Path

import click

from lfadsq.cli.effects import finish, num_tasks, on_tasks
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import chosen, collection_option, json_option

__all__ = ["retry"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@click.option("--failed", is_flag=True, help="All runs that failed.")
@collection_option
@json_option
def retry(words: tuple[str, ...], failed: bool, collection: Path | None, as_json: bool) -> None:
    """Try runs again that failed or were cancelled, as if they had never been tried.

    They go on from their last checkpoint. A cost that became NaN will do so again unless you
    change something.

    \b
    Examples:
      lfadsq queue retry --failed
      lfadsq queue retry run003
    """
    from lfadsq.queue.overview import task_of
    from lfadsq.queue.records import Record
    from lfadsq.queue.status import TaskState

    overview, tasks = chosen(words, collection, everything=failed, option="--failed")
    again = (TaskState.FAILED,) if failed else (TaskState.FAILED, TaskState.CANCELLED)
    # The record, not the snapshot, which may be a moment old, tells the newest attempt.
    num_attempts = {
        task.name: max(task.attempt, last.number if last else 0)
        for task in tasks
        if task.state in again or (not failed and task.name in overview.wishes.cancelled)
        for last in [Record.read(task_of(task).files.record, task.name).last]
    }
    names = list(num_attempts)
    wishes = overview.wishes
    if names:
        wishes = overview.control.edit(lambda wishes: wishes.with_retried(num_attempts))
    num_held = sum(wishes.holds_back(name) for name in names)
    finish(
        overview,
        "retry",
        names,
        f"{num_tasks(names)} to be tried again"
        if names
        else "nothing to try again: none of them failed or was cancelled",
        on_tasks(
            names, lambda task: task.state not in again or task.attempt > num_attempts[task.name]
        ),
        "taken them up",
        as_json=as_json,
        notes=[f"{num_held} of them paused still: `lfadsq queue resume`"] if num_held else [],
    )
