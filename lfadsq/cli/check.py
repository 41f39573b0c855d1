"""``lfadsq check``: everything in a collection that would fail or mislead, before it is trained."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.targets import json_option

if TYPE_CHECKING:
    from lfadsq.preflight.findings import CheckReport

__all__ = ["check"]

_Advance = Callable[[int], None]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--quick",
    is_flag=True,
    help="Look at headers, links and scripts only: seconds for 1,000 runs. The queue does so when"
    " it starts.",
)
@click.option("--strict", is_flag=True, help="Warnings count as errors in the exit status.")
@json_option
def check(path: Path | None, quick: bool, strict: bool, as_json: bool) -> int:
    """Find everything in a collection that would fail or mislead, all at once.

    PATH is the folder of a collection, or of one run in it; by default the current folder. It may
    have been written by lfadsq or by LFADS Run Manager, and needs no drive script. Links, scripts
    and settings are looked at; inputs against batch sizes, external inputs, alignment matrices,
    trial numbers, conditions and hashes; all data for impossible counts and for silent or
    duplicated channels; and the disk for the room that outputs will need. Nothing is changed.

    \b
    Examples:
      lfadsq check ~/runs/my_collection
      lfadsq check ~/runs/my_collection/param_YOs74u/single_dataset001
      lfadsq check --quick --json > findings.json

    \b
    Exit status: 0 without errors (there may be warnings), 1 with errors (with --strict also with
    warnings) or if there is no collection, 2 if the command line is wrong.
    """
    # Not on import: reading HDF5 and MAT files takes a while to load.
    from lfadsq.preflight.examination import check_collection
    from lfadsq.preflight.findings import Severity

    with _progress() as show_progress:
        report = check_collection(path or Path(), quick=quick, show_progress=show_progress)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        _show(report)
    fails = not report.is_ok or (strict and bool(report.of_severity(Severity.WARNING)))
    return 1 if fails else 0


@contextmanager
def _progress() -> Iterator[Callable[[str, float], _Advance]]:
    """Show how many bytes were read of which file, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, total_bytes: lambda num_bytes: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from lfadsq.texts import printable

    columns = (
        TextColumn("reading {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("headers", total=None)

        def show(what: str, total_bytes: float) -> _Advance:
            bar.reset(task, total=total_bytes, description=escape(printable(what)))
            return lambda num_bytes: bar.advance(task, num_bytes)

        yield show


def _show(report: CheckReport) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from lfadsq.preflight.report_text import report_lines

    console = Console(highlight=False)
    for line in report_lines(report):
        if console.is_terminal:
            # As Text, so that rich reads no [brackets] in names as markup.
            console.print(Padding(Text(line.text, style=line.style), (0, 0, 0, line.indent)))
        else:
            # Whoever reads a file or a pipe breaks lines as they like.
            click.echo(" " * line.indent + line.text)
