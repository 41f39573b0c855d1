"""``lfadsq logs``: what runs printed, and what they print now."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from lfadsq.cli.run_choice import chosen_logs, target_or_places
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option

__all__ = ["logs"]

_NUM_LINES = "100"
_ALL = "all"


def _num_lines(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    if value == _ALL:
        return None
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number of lines nor 'all'.")
    return int(value)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "words", nargs=-1, required=True, metavar="[COLLECTION] RUN...", shell_complete=suggest_runs
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until the run ends.")
@click.option("--follow-forever", is_flag=True, help="The same, also after the run has ended.")
@click.option(
    "-n",
    "--lines",
    "num_lines",
    callback=_num_lines,
    default=_NUM_LINES,
    show_default=True,
    metavar="LINES",
    help="So many lines at the end, or 'all'.",
)
@click.option(
    "--attempt",
    type=int,
    metavar="N",
    help="Only what attempt N printed; -1 is the newest, -2 the one before.",
)
@collection_option
@json_option
def logs(
    words: tuple[str, ...],
    follow: bool,
    follow_forever: bool,
    num_lines: int | None,
    attempt: int | None,
    collection: Path | None,
    as_json: bool,
) -> None:
    """Show what runs printed.

    RUN is the name of its task, a part of one name, a pattern, the path of its run directory, or
    <HASH>/<run name>. Lines of several runs begin with the run. On a terminal, control characters
    are taken out or shown; into a file or pipe every byte goes as it is. With --json each line is
    an object, {"run": ..., "line": ...}.

    \b
    Examples:
      lfadsq logs run003
      lfadsq logs run003 -f               until it ends; Ctrl-C leaves, and harms nothing
      lfadsq logs run003 --attempt -1 -n all
      lfadsq logs '*_run00?_*' -f -n 5
      lfadsq logs '*' --json -n 5 | jq 'select(.line | test("nan"; "i")) | .run'
      lfadsq logs ~/runs/my_collection/param_Yw0JcR/single_dataset001 | less
    """
    if attempt == 0:
        raise click.UsageError("attempts are counted from 1; -1 is the newest.")
    from lfadsq.watching.log_showing import follow_logs, show_logs
    from lfadsq.watching.run_ends import EndWatch

    target = target_or_places(collection, words)
    if not target.words:
        raise click.UsageError("name the runs, as in: lfadsq logs run003")
    found = chosen_logs(target)
    is_terminal = sys.stdout.isatty()
    # What was printed before must not come after it.
    sys.stdout.flush()
    parts = [log.part_of_attempt(attempt) for log in found] if attempt is not None else []
    is_over = bool(parts) and all(end is not None for _, end in parts)
    try:
        if (follow or follow_forever) and not is_over:
            ends = None if follow_forever else EndWatch(target.collection)
            follow_logs(
                found,
                sys.stdout.buffer,
                num_lines,
                ends,
                begins=[begin for begin, _ in parts],
                is_terminal=is_terminal,
                as_json=as_json,
                tell=_tell,
            )
        else:
            show_logs(
                found,
                sys.stdout.buffer,
                num_lines,
                attempt=attempt,
                is_terminal=is_terminal,
                as_json=as_json,
                tell=_tell if len(found) > 1 else lambda _: None,
            )
    except BrokenPipeError:
        # `| head` has seen enough, which is no failure; Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(text: str) -> None:
    from lfadsq.texts import harmless

    click.echo(harmless(f"-- {text}"), err=True)
