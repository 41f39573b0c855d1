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
    from lfadsq.queue import requests
    from lfadsq.queue.status import TaskState

    overview, tasks = chosen(words, collection, everything=failed, option="--failed")
    again = (TaskState.FAILED,) if failed else (TaskState.FAILED, TaskState.CANCELLED)
    asked = requests.retry(overview, tasks, only_failed=failed)
    num_attempts, num_held = asked.num_attempts, asked.num_held
    names = list(num_attempts)
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
