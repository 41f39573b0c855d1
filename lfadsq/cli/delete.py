"""``lfadsq delete``: delete what training wrote, so that runs can be trained from scratch."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import chosen, collection_option, json_option
from lfadsq.errors import ConfigError
from lfadsq.texts import harmless

if TYPE_CHECKING:
    from lfadsq.manager.deletion import RunOutput

__all__ = ["delete"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@click.option("--all", "all_runs", is_flag=True, help="All runs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@collection_option
@json_option
def delete(
    words: tuple[str, ...],
    all_runs: bool,
    yes: bool,
    dry_run: bool,
    collection: Path | None,
    as_json: bool,
) -> None:
    """Delete what the trainings of runs wrote: lfadsOutput, done-markers, records and logs.

    Prepared data and scripts stay, so the runs can be trained from scratch. Runs that are being
    trained are refused. Links are removed, never followed.

    \b
    Examples:
      lfadsq delete run003
      lfadsq delete ~/runs/my_collection '*_param_Yw0JcR_*' --dry-run
      lfadsq delete --all --yes
    """
    from lfadsq.manager.deletion import delete_outputs, find_outputs
    from lfadsq.paths import RunPaths

    overview, tasks = chosen(words, collection, everything=all_runs, option="--all")
    folders = dict.fromkeys(Path(task.donefile).parent for task in tasks)
    outputs = find_outputs([RunPaths(folder) for folder in folders], overview.collection)
    if outputs and not dry_run:
        if not yes:
            _ask(outputs)
        delete_outputs(outputs)
    _tell(outputs, overview.collection, dry_run=dry_run, as_json=as_json)


def _ask(outputs: Sequence[RunOutput]) -> None:
    from lfadsq.manager.deletion import describe_outputs

    click.echo(harmless(describe_outputs(outputs)), err=True)
    try:
        agreed = click.confirm("Delete it?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question has no end of line
        raise ConfigError("nobody answered, so nothing was deleted", "say --yes") from None
    if not agreed:
        raise ConfigError("nothing was deleted")


def _tell(outputs: Sequence[RunOutput], collection: Path, *, dry_run: bool, as_json: bool) -> None:
    from lfadsq.manager.deletion import describe_outputs

    if as_json:
        runs = [
            {"folder": str(output.paths.folder), "num_bytes": output.num_bytes}
            for output in outputs
        ]
        result = {
            "verb": "delete",
            "collection": str(collection),
            "runs": runs,
            "is_dry_run": dry_run,
        }
        click.echo(json.dumps(result, indent=2))
    elif not outputs:
        click.echo("nothing to delete: these runs have written nothing")
    elif dry_run:
        click.echo(harmless(describe_outputs(outputs)))
    else:
        click.echo(f"deleted what {len(outputs)} run{'s' * (len(outputs) > 1)} wrote")
