"""``lfadsq status``: how a whole collection stands, with or without a queue."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.cli.targets import collection_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lfadsq.texts import StyledLine

__all__ = ["status"]

_NUM_BEST = 3
_PIPE_SIZE = os.terminal_size((10_000, 24))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="[COLLECTION]", required=False, type=click.Path(path_type=Path))
@click.option("--failed", is_flag=True, help="Every failed run, with the end of its log.")
@click.option(
    "--best",
    "num_best",
    type=click.IntRange(min=0),
    default=_NUM_BEST,
    show_default=True,
    metavar="N",
    help="So many runs of lowest validation cost, for each dataset or stitched set.",
)
@click.option("--all", "show_all", is_flag=True, help="Every run at work, not only the first ones.")
@collection_option
@json_option
def status(
    path: Path | None,
    failed: bool,
    num_best: int,
    show_all: bool,
    collection: Path | None,
    as_json: bool,
) -> int:
    """Show how a collection stands, on one screen, whether or not a queue runs.

    COLLECTION is its folder or anything inside, by default the current folder. Counts of its runs
    by state; what trains where, how far it is and how long it will take; what failed, why, and what
    to do; the best runs so far and the hyperparameters in which they differ; trainings that say
    nothing any more, and a disk that is nearly full. Runs that were trained by hand or by LFADS Run
    Manager count too. Nothing is changed, and nothing but files is asked.

    This is about the runs. `lfadsq queue status` is about the queues: their devices, jobs and
    orders, what each task waits for, and tasks that are no runs; `lfadsq explain RUN` is about one
    run. Where the queue says "waiting", this also says "not prepared", "trained" (by hand, without
    a done-marker) or "stopped"; "interrupted" is "stopped" here, and "running" is "training".

    \b
    Examples:
      lfadsq status
      lfadsq status ~/runs/my_collection --best 10
      lfadsq status --failed
      lfadsq status --json | jq '.runs[] | select(.state == "failed") | .name'

    \b
    JSON, schema_version 1: collection, at, num_runs, counts (by state), is_paused, queues,
    last_queue, disk, warnings (kind, text, run), varying (names of hyperparameters), best (rank,
    data, run, lowest_valid_cost, settings), runs (name, state, phase, reason, cause, remedy, host,
    device, num_epochs, valid_cost, lowest_valid_cost, learning_rate, steps_per_s, remaining_s,
    updated, log, ...). Costs that are not numbers are null; keys may be added.

    \b
    Exit status: 0 if no run has failed, 1 if one has (or there is no collection), 2 if the command
    line is wrong.
    """
    if failed and as_json:
        raise click.UsageError("--failed is for people; with --json, select state == failed.")
    if collection is not None and path is not None:
        raise click.UsageError("name the collection once: as COLLECTION or with --collection.")
    from lfadsq.watching.collection_status import find_runs_above, read_collection_status
    from lfadsq.watching.quick_reading import making_many_objects

    with making_many_objects():
        found = read_collection_status(find_runs_above(collection or path or Path()))
    if as_json:
        click.echo(_json_text(found.to_dict(num_best)))
    else:
        from lfadsq.watching.status_text import failed_lines, status_lines

        is_terminal = sys.stdout.isatty()
        size = shutil.get_terminal_size() if is_terminal else _PIPE_SIZE
        if failed:
            lines = failed_lines(found)
        else:
            lines = status_lines(
                found,
                num_best=num_best,
                show_all=show_all,
                width=size.columns,
                height=size.lines,
            )
        _show(lines, is_terminal=is_terminal)
    return 1 if found.has_failed else 0


def _json_text(told: dict[str, Any]) -> str:
    """Write a run a line: quicker than indenting thousands, and still to be read by people."""
    runs = ",\n".join(json.dumps(run) for run in told.pop("runs"))
    head = json.dumps(told, indent=2).removesuffix("\n}")
    return f'{head},\n  "runs": [\n{runs}\n]}}'


def _show(lines: Iterable[StyledLine], *, is_terminal: bool) -> None:
    if not is_terminal:
        # Whoever reads a file or a pipe breaks lines as they like.
        click.echo("\n".join(line.text for line in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        # As Text, so that rich reads no [brackets] in names as markup.
        console.print(Text(line.text, style=line.style), no_wrap=True, overflow="ellipsis")
