"""``lfadsq compare``: the runs of a sweep in one table, the best by a stated rule, the broken."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.cli.run_choice import chosen_runs
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option

if TYPE_CHECKING:
    from lfadsq.manager.runs import Run
    from lfadsq.results.comparison import SweepComparison
    from lfadsq.results.comparison_rows import RunRow

__all__ = ["compare"]

_SCHEMA_VERSION = 1
_OTHER_LINES = 14
_LEAST_ROWS, _MOST_SIGNS = 5, 3
_PICTURES = (".png", ".pdf", ".svg")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@click.option("--by", metavar="RULE", help="What the best run is best by; see above.")
@click.option("--sort", metavar="COLUMN", help="Order of the table, by default that of the ranks.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--quick", is_flag=True, help="Read costs only, not posterior means.")
@click.option(
    "--held-out", is_flag=True, help="Score held-out channels (heldoutSpikes of the recordings)."
)
@click.option(
    "--smoothing",
    "smoothing_ms",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="Deviation of the Gaussian that smooths spikes for PSTHs.",
)
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Write the table.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw scores against hyperparameters (PNG, PDF or SVG).",
)
@click.option("--all", "show_all", is_flag=True, help="Every run, not only as many as fit.")
@collection_option
@json_option
def compare(
    words: tuple[str, ...],
    by: str | None,
    sort: str | None,
    reverse: bool,
    quick: bool,
    held_out: bool,
    smoothing_ms: float,
    csv: Path | None,
    plot: Path | None,
    show_all: bool,
    collection: Path | None,
    as_json: bool,
) -> None:
    """Compare the runs of a sweep: which is best, by what, and which look broken.

    A row for each run: the hyperparameters that vary, the lowest validation cost, reconstruction
    and KL of that epoch, over-fitting gaps, bits per spike, R2 of PSTHs and of true rates where
    they are known, time and memory. Scores are of validation trials. Runs on different data are
    ranked apart. A ! marks runs that look broken; below the table is why, and what to do. Nothing
    in the collection is changed.

    \b
    RULE is one of
      valid_cost         lowest validation cost (the default)
      valid_bound        reconstruction + KL without weights (the default where the weights vary)
      co_bits_per_spike  co-smoothing of held-out channels, with --held-out
      bits_per_spike     of the channels that the model saw
      psth_r2            R2 of condition averages
      truth_r2, truth_log_r2  R2 of true rates, of their logs

    \b
    Examples:
      lfadsq compare
      lfadsq compare ~/runs/my_collection --by psth_r2
      lfadsq compare --quick --sort c_gen_dim         in seconds, from the logs of costs
      lfadsq compare '*_param_Yw0JcR_*' run003
      lfadsq compare --held-out --csv sweep.csv --plot sweep.png
      lfadsq compare --json | jq '.runs[] | select(.rank == 1) | .run'

    \b
    JSON, schema_version 1: collection, rule, about, varying, columns (name: what it is), best
    (names), notes, runs (run, data, rank, state, hyperparameters, columns, best_epoch, signs,
    notes).
    Numbers that are not known are null; keys may be added.
    """
    _check_files(csv, plot)
    opened, runs, _ = chosen_runs(words, collection)
    if sort is not None:
        _check_sort(sort, runs)
    with _progress(quiet=quick) as show:
        found = opened.compare(
            runs=runs,
            by=by,
            quick=quick,
            held_out="recordings" if held_out else None,
            smoothing_ms=smoothing_ms,
            on_scored=show,
        )
    rows = list(found.rows)
    if sort is not None:
        rows = found.sorted_by(sort, descending=reverse)
    elif reverse:
        rows.reverse()
    if csv is not None:
        found.to_csv(csv)
    if plot is not None:
        found.plot(plot)
    if as_json:
        click.echo(_json_text(found, rows, opened.path))
    else:
        _show(found, rows, show_all=show_all)
    for path in filter(None, (csv, plot)):
        click.echo(f"wrote {_printable(str(path))}", err=as_json)


def _check_files(csv: Path | None, plot: Path | None) -> None:
    """Refuse before minutes of scoring what would fail after them."""
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise click.UsageError(f"--plot: let the name end with {', '.join(_PICTURES)}.")
    for path in filter(None, (csv, plot)):
        if not path.absolute().parent.is_dir():
            raise click.UsageError(f"there is no folder {path.absolute().parent}.")
        if path.is_dir():
            raise click.UsageError(f"{path} is a folder.")


def _check_sort(sort: str, runs: Sequence[Run]) -> None:
    from lfadsq.results.comparison_rows import check_column
    from lfadsq.watching.sweep_reading import varying_names

    check_column(sort, varying_names(runs))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show how many runs are looked through, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("scoring runs"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _json_text(found: SweepComparison, rows: Sequence[RunRow], folder: Path) -> str:
    from lfadsq.results.comparison_rows import COLUMNS

    abouts = {column.name: column.about for column in COLUMNS}
    dicts = {row["run"]: row for row in found.to_dicts()}
    told: dict[str, Any] = {
        "schema_version": _SCHEMA_VERSION,
        "collection": str(folder),
        "rule": found.rule,
        "about": abouts[found.rule],
        "varying": list(found.varying),
        "columns": abouts,
        "best": [row.name for row in found.best],
        "notes": list(found.notes),
        "runs": [dicts[row.name] for row in rows],
    }
    return json.dumps(told, indent=2)


def _show(found: SweepComparison, rows: list[RunRow], *, show_all: bool) -> None:
    from lfadsq.results.comparison_text import comparison_lines

    if not sys.stdout.isatty():
        # Whoever reads a file or a pipe breaks lines as they like.
        click.echo("\n".join(line.text for line in comparison_lines(found, rows=rows)))
        return
    from rich.console import Console
    from rich.text import Text

    size = shutil.get_terminal_size()
    lines = comparison_lines(
        found,
        rows=rows,
        width=size.columns,
        most_rows=None if show_all else max(_LEAST_ROWS, size.lines - _OTHER_LINES),
        most_signs=None if show_all else _MOST_SIGNS,
    )
    console = Console(highlight=False)
    for line in lines:
        # As Text, so that rich reads no [brackets] in names as markup.
        console.print(Text(line.text, style=line.style), no_wrap=True, overflow="ellipsis")


def _printable(text: str) -> str:
    from lfadsq.texts import printable

    return printable(text)
