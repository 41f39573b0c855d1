"""``lfadsq watch``: a collection live in the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from lfadsq.cli.targets import collection_option
from lfadsq.errors import ConfigError

__all__ = ["watch"]

_INTERVAL_S = 2.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="[COLLECTION]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.2, max=3600),
    default=_INTERVAL_S,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option("--ascii", "is_ascii", is_flag=True, help="Draw bars and courses with ASCII alone.")
@collection_option
def watch(path: Path | None, interval_s: float, is_ascii: bool, collection: Path | None) -> int:
    """Watch a collection live in the terminal: devices, runs, costs, failures, the best so far.

    COLLECTION is its folder or anything inside, by default the current folder. It shows what
    `lfadsq status` shows, and GPUs with use, memory, power, temperature and whose processes are on
    them, also those of other machines on which a queue trains. Pick a run with the arrow keys, then
    `l` follows its log, `e` explains, `c` cancels (it asks first), `r` tries again; `?` tells all
    keys, `q` quits. It needs no queue, and changes nothing but by `c` and `r`.

    Only what changes is sent to the terminal, so that it is quick over a slow line. Where NO_COLOR
    is set it uses no colour; nothing is told by colour alone.

    \b
    Examples:
      lfadsq watch
      lfadsq watch ~/runs/my_collection --interval 10
      NO_COLOR=1 lfadsq watch --ascii
      ssh -t workstation lfadsq watch runs/my_collection

    \b
    Exit status: 0 if you quit, 1 if there is no collection or no terminal, 128 and its number after
    a signal.
    """
    if collection is not None and path is not None:
        raise click.UsageError("name the collection once: as COLLECTION or with --collection.")
    from lfadsq.watching.collection_status import find_runs_above

    found = find_runs_above(collection or path or Path())
    # The view is drawn on standard error, as its library does.
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    if not all(stream is not None and stream.isatty() for stream in streams):
        raise ConfigError(
            "the live view needs a terminal: standard input, output and error must be one",
            "`lfadsq status` writes the same once, anywhere; over ssh, `ssh -t` makes a terminal",
        )
    if os.environ.get("TERM", "dumb") == "dumb":
        raise ConfigError(
            "this terminal can only print (TERM is 'dumb' or not set)",
            "set TERM, such as `export TERM=xterm`, or use `lfadsq status`",
        )
    from lfadsq.watching.live.running import watch_collection

    return watch_collection(
        found,
        interval_s=interval_s,
        has_colour=not os.environ.get("NO_COLOR"),
        is_ascii=is_ascii,
    )
