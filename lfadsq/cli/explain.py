"""``lfadsq explain``: everything about one run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option, target_of
from lfadsq.errors import RunNotFoundError
from lfadsq.texts import harmless

__all__ = ["explain"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "words", nargs=-1, required=True, metavar="[COLLECTION] RUN", shell_complete=suggest_runs
)
@collection_option
@json_option
def explain(words: tuple[str, ...], collection: Path | None, as_json: bool) -> None:
    """Tell everything about one run: why it waits or failed, what was tried, what to do.

    RUN is the name of its task, the path of its run directory, or a part of one name. It needs no
    queue: records, logs and markers in the run directory tell.

    \b
    Examples:
      lfadsq explain run003
      lfadsq explain ~/runs/my_collection/param_Yw0JcR/single_dataset001
      lfadsq explain ~/runs/my_collection run003 --json
    """
    from lfadsq.queue.explain import explain as explain_task
    from lfadsq.queue.explain import explanation_text

    target = target_of(collection, words)
    if len(target.words) != 1:
        raise click.UsageError("name one run, as in: lfadsq explain run003")
    overview, tasks = target.find(target.words)
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks[:8])
        raise RunNotFoundError(
            f"{target.words[0]!r} fits {len(tasks)} runs: {names}", "name one of them"
        )
    explanation = explain_task(tasks[0].name, overview)
    if as_json:
        click.echo(json.dumps(explanation.to_dict(), indent=2))
    else:
        click.echo(harmless(explanation_text(explanation)))
