"""``lfadsq report``: a collection in one HTML file, to read in a browser and to mail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from lfadsq.cli.targets import collection_option
from lfadsq.errors import StorageError
from lfadsq.texts import printable

__all__ = ["report"]

_HEAD_BYTES = 4096


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="[COLLECTION]", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write it; - for stdout. By default <collection>_report.html in the current"
    " folder. A report that is there is replaced, any other file is not.",
)
@click.option(
    "--open", "open_it", is_flag=True, help="Open it in a browser, if there is a desktop."
)
@collection_option
def report(path: Path | None, output: Path | None, open_it: bool, collection: Path | None) -> None:
    """Write a report on a collection: one HTML file, which needs no network.

    COLLECTION is its folder or anything inside, by default the current folder. The report holds
    learning curves of all runs, a table of runs with the hyperparameters in which they differ and
    their scores, the sweep as parallel coordinates, a timeline of runs on devices with idle gaps,
    what the GPUs did, and failures with causes and the ends of logs. Read it in a browser: point,
    select, sort, filter, zoom, print. Mail it: it holds paths, names and logs of the collection,
    and nothing of the recordings themselves.

    Nothing in the collection is changed, and queues may be at work. Runs that were trained by hand
    or by LFADS Run Manager have curves and scores too; when and where they ran is not known.

    \b
    Examples:
      lfadsq report
      lfadsq report ~/runs/my_collection -o sweep.html
      lfadsq report ~/runs/my_collection --open
    """
    if collection is not None and path is not None:
        raise click.UsageError("name the collection once: as COLLECTION or with --collection.")
    to_stdout = output is not None and str(output) == "-"
    if to_stdout and open_it:
        raise click.UsageError("--open needs a file: -o - writes to stdout.")
    from lfadsq.watching.collection_status import find_runs_above

    found = find_runs_above(collection or path or Path())
    file = output if output is not None else Path(f"{found.name or 'lfads'}_report.html")
    if not to_stdout:
        _check_target(file)
    text = _page(found)
    if to_stdout:
        sys.stdout.buffer.write(text.encode("utf-8"))
        return
    from lfadsq.files import write_text

    write_text(file, text)
    size = f"{len(text.encode()) / 1e6:.1f} MB"
    click.echo(printable(f"{file} ({size})"))
    if open_it:
        _open(file)


def _page(collection: Path) -> str:
    from lfadsq.watching.report.document import collect
    from lfadsq.watching.report.page import page_of

    if not sys.stderr.isatty():
        return page_of(collect(collection, lambda *_: None))
    with click.progressbar(length=1, label="reading runs", file=sys.stderr) as bar:

        def advance(_: str, number: int, total: int) -> None:
            bar.length = total
            bar.update(number - bar.pos)

        told = collect(collection, advance)
    return page_of(told)


def _check_target(file: Path) -> None:
    """Refuse what would be lost, or cannot be written, before anything is read."""
    from lfadsq.files import storage_errors
    from lfadsq.watching.report.page import GENERATOR

    if file.is_dir():
        raise StorageError(f"{file} is a folder", "name a file in it, such as report.html")
    if not file.absolute().parent.is_dir():
        raise StorageError(f"there is no folder {file.absolute().parent}", "make it first")
    if not file.exists():
        return
    with storage_errors(file, "read"), file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head and f'content="{GENERATOR}"'.encode() not in head:
        raise StorageError(f"{file} is there already, and is no report", "name another file")


def _open(file: Path) -> None:
    from lfadsq.watching.desktop import browser_command, start

    command = browser_command(os.environ)
    if command is None:
        click.echo("there is no desktop here: copy the file to your own computer", err=True)
    elif not start(command, file.absolute().as_uri()):
        click.echo(f"{printable(command[0])} cannot open it", err=True)
