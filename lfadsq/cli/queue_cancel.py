"""``lfadsq queue cancel``: give runs up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.effects import finish, num_tasks, on_tasks, tell_at_once
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import chosen, collection_option, json_option
from lfadsq.errors import ConfigError

if TYPE_CHECKING:
    from lfadsq.queue.status import TaskStatus

__all__ = ["cancel"]

_NUM_ASKED = 10


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@click.option("--all", "all_runs", is_flag=True, help="All runs that are not done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@collection_option
@json_option
def cancel(
    words: tuple[str, ...], all_runs: bool, yes: bool, collection: Path | None, as_json: bool
) -> None:
    """Give runs up: they are not started, and those at work end, with all they started.

    A training writes a checkpoint first. `lfadsq queue retry` takes a run up again, and goes on
    from there.

    \b
    Examples:
      lfadsq queue cancel run003
      lfadsq queue cancel ~/runs/my_collection '*_param_Yw0JcR_*' --yes
      lfadsq queue cancel --all
    """
    from lfadsq.queue import requests

    overview, tasks = chosen(words, collection, everything=all_runs, option="--all")
    tasks = requests.can_be_cancelled(tasks)
    names = [task.name for task in tasks]
    if names and not yes:
        _ask(tasks)
    notes = requests.cancel(overview, tasks, tell_at_once)
    finish(
        overview,
        "cancel",
        names,
        f"{num_tasks(names)} cancelled"
        if names
        else "nothing to cancel: done or cancelled already",
        on_tasks(names, lambda task: task.state.is_finished),
        "ended and given them up",
        as_json=as_json,
        notes=notes,
    )


def _ask(tasks: list[TaskStatus]) -> None:
    from lfadsq.queue.status import TaskState

    running = [task for task in tasks if task.state in (TaskState.RUNNING, TaskState.LEFT)]
    names = [task.name for task in (running or tasks)]
    click.echo(
        f"This ends {num_tasks(running)} at work and keeps {len(tasks) - len(running)} from"
        " starting:",
        err=True,
    )
    for name in names[:_NUM_ASKED]:
        click.echo(f"  {name}", err=True)
    if len(tasks) > min(len(names), _NUM_ASKED):
        click.echo(f"  and {len(tasks) - min(len(names), _NUM_ASKED)} more", err=True)
    try:
        agreed = click.confirm("Cancel them?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question has no end of line
        raise ConfigError("nobody answered, so nothing was cancelled", "say --yes") from None
    if not agreed:
        raise ConfigError("nothing was cancelled")
