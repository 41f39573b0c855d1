"""``lfadsq queue priority``: who starts first."""

from __future__ import annotations

from pathlib import Path

import click

from lfadsq.cli.effects import finish, num_tasks, on_tasks
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option, target_of

__all__ = ["priority"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "words", nargs=-1, metavar="[COLLECTION] RUN... NUMBER", shell_complete=suggest_runs
)
@click.option("--priority", "number", type=int, help="The number, instead of as the last word.")
@collection_option
@json_option
def priority(
    words: tuple[str, ...], number: int | None, collection: Path | None, as_json: bool
) -> None:
    """Let runs start before others (a higher number) or after them (a lower one).

    Without a word of yours, a run has the priority of its task list, which is 0 unless told there.

    \b
    Examples:
      lfadsq queue priority run003 10
      lfadsq queue priority '*_param_Yw0JcR_*' --priority -1
    """
    from lfadsq.queue.status import TaskState

    if number is None and words:
        try:
            number = int(words[-1])
        except ValueError:
            raise click.UsageError(f"{words[-1]!r} is no whole number.") from None
        words = words[:-1]
    target = target_of(collection, words)
    if number is None or not target.words:
        raise click.UsageError("name runs and a number, as in: lfadsq queue priority run003 10")
    waits = (TaskState.WAITING, TaskState.PAUSED)
    overview, tasks = target.find(target.words)
    names, wanted = [task.name for task in tasks], number
    overview.control.edit(lambda wishes: wishes.with_priorities(names, wanted))
    finish(
        overview,
        "priority",
        names,
        f"{num_tasks(names)} with priority {wanted}",
        # For what runs it counts only if it waits again.
        on_tasks(names, lambda task: task.priority == wanted or task.state not in waits),
        "taken note",
        as_json=as_json,
    )
