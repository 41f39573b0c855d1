"""``lfadsq results``: what runs have come to, and their figures."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.cli.run_choice import best_option, chosen_runs
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option
from lfadsq.texts import printable

if TYPE_CHECKING:
    from lfadsq.manager.runs import Run
    from lfadsq.results.figures.atlas import DrawnFigure
    from lfadsq.watching.collection_status import CollectionStatus

__all__ = ["results"]

_FORMATS = ("png", "pdf", "svg")
_PIPE_SIZE = os.terminal_size((10_000, 24))
_OF_ALL = "learning_curves"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@best_option
@click.option(
    "-o",
    "--figures",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Draw everything there is to see, and write it there.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="Of the figures.",
)
@collection_option
@json_option
def results(
    words: tuple[str, ...],
    best: int | None,
    folder: Path | None,
    kind: str,
    collection: Path | None,
    as_json: bool,
) -> None:
    """Show what runs have come to, and draw it.

    RUN is the name of its task, a part of one name, a pattern, the path of its run directory, or
    <HASH>/<run name>; it can be left out where there is only one. What it was trained on, its
    lowest validation cost and what that is made of, R2 to the truth where it is known, its arrays
    and files. Of a run that has not ended, what is there.

    With --figures: learning curves, generator weights, read-outs; and of each dataset rasters,
    single trials, factors, trajectories in 2-D and 3-D, inferred inputs, initial conditions. Of
    several runs each has a folder of its own. Files of the same names are replaced. (The alignment
    of a stitched run needs its recordings: run.do_multisession_alignment(), in Python.)

    \b
    Examples:
      lfadsq results run003
      lfadsq results --best
      lfadsq results ~/runs/my_collection --best 3 --figures figures/
      lfadsq results run003 -o figures --format pdf
      lfadsq results '*_run00?_*' --json | jq '.runs[].training.lowest_valid_cost'

    \b
    JSON, schema_version 1: collection, runs (name, folder, state, settings, training (num_epochs,
    num_steps, lowest_valid_cost, lowest_epoch, recon_valid, kl_valid), training_problem, datasets
    (name, bin_ms, num_train, num_valid, num_bins, num_channels, num_conditions, r2_train, r2_valid,
    arrays (name, shape, dtype), problem), files (what, path, size_bytes), figures (name, path,
    reason)). What is not known is null; keys may be added.
    """
    from lfadsq.watching.collection_status import read_collection_status

    opened, runs, are_all = chosen_runs(words, collection, best)
    if are_all and len(runs) > 1:
        raise click.UsageError(f"{opened.path} has {len(runs)} runs: name some, or say --best.")
    status = read_collection_status(opened.path)
    told = []
    for number, run in enumerate(runs):
        told.append(_show(run, status, as_json=as_json, is_first=number == 0))
        if folder is not None:
            own = (
                folder if len(runs) == 1 else folder / f"{run.params.param_hash_string}_{run.name}"
            )
            drawn = _draw(run, own, kind, as_json=as_json)
            told[-1]["figures"] = [{**vars(one), "path": _text(one.path)} for one in drawn]
    if folder is not None and len(runs) > 1:
        _draw_together(runs, folder / f"{_OF_ALL}.{kind}", as_json=as_json)
    if as_json:
        whole = {"schema_version": _schema(), "collection": str(opened.path), "runs": told}
        click.echo(json.dumps(_without_nan(whole), indent=2))


def _name(run: Run) -> str:
    return f"{run.params.param_hash_string}/{run.name}"


def _show(run: Run, status: CollectionStatus, *, as_json: bool, is_first: bool) -> dict[str, Any]:
    from lfadsq.watching.run_results import read_run_results
    from lfadsq.watching.run_results_text import results_lines

    own = next((one for one in status.runs if one.name == _name(run)), None)
    found = read_run_results(run, own)
    if not as_json:
        # Whoever reads a file or a pipe breaks lines as they like.
        size = shutil.get_terminal_size() if sys.stdout.isatty() else _PIPE_SIZE
        lines = results_lines(found, size.columns)
        click.echo("\n".join([*([] if is_first else [""]), *lines]))
    return found.to_dict()


def _draw(run: Run, folder: Path, kind: str, *, as_json: bool) -> list[DrawnFigure]:
    from lfadsq.results.figures.atlas import draw_all

    def told() -> Iterator[DrawnFigure]:
        for one in draw_all(run, folder, kind):
            # JSON stands alone on stdout.
            text = f"drew {one.path}" if one.path else f"left out {one.name}: {one.reason}"
            click.echo(f"  {printable(text)}", err=as_json)
            yield one

    return list(told())


def _draw_together(runs: Sequence[Run], path: Path, *, as_json: bool) -> None:
    from lfadsq.errors import ResultError
    from lfadsq.results.figures import plot_learning_curves, save_figure

    logs = {}
    for run in runs:
        try:
            logs[_name(run)] = run.load_fit_log()
        except ResultError:
            continue
    if logs:
        save_figure(plot_learning_curves(logs).figure, path)
        click.echo(f"  drew {printable(str(path))}", err=as_json)


def _schema() -> int:
    from lfadsq.watching.run_results import SCHEMA_VERSION

    return SCHEMA_VERSION


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _without_nan(value: Any) -> Any:
    """Give null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
