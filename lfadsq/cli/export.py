"""``lfadsq export``: write results in the formats of other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.cli.run_choice import ChosenRuns, best_option, chosen_runs
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option
from lfadsq.texts import printable

if TYPE_CHECKING:
    from lfadsq.manager.runs import Run
    from lfadsq.results.exports.export_files import ExportFile

__all__ = ["export"]

_KINDS = {"sample": "posterior_sample_and_average", "mean": "posterior_push_mean"}
_OF_ZIP = {
    "checkpoints": "--with-checkpoints",
    "tensorboard": "--with-tensorboard",
    "data": "--without-data",
    "provenance": "--without-provenance",
}
_OF_NWB = {
    "nwb": "--nwb",
    "event": "--event",
    "table": "--table",
    "event_times": "--event-times",
    "session_start": "--session-start",
    "overlap_bins": "--overlap-bins",
    "num_bins": "--num-bins",
    "start_s": "--start-s",
}
_OPTIONS_OF = {"zip": _OF_ZIP, "nwb": _OF_NWB}
"""By format: choices of `Run.export`, and the options that make them."""

_BYTES_PER_MB = 1e6


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@click.option(
    "--to",
    required=True,
    type=click.Choice(["h5", "mat", "netcdf", "nwb", "zip"]),
    help="The format.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="Where to; by default `export` in the run's folder, or `posterior_means_export` in the"
    " collection's.",
)
@click.option("--dataset", "datasets", multiple=True, help="Only this dataset; may be repeated.")
@click.option(
    "--kind",
    type=click.Choice(list(_KINDS)),
    help="Averages of samples, or the mean pushed through once; by default as the run says.",
)
@best_option
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option(
    "--with-checkpoints",
    "checkpoints",
    is_flag=True,
    flag_value=True,
    default=None,
    help="zip: also checkpoints, for training on or for new trials.",
)
@click.option(
    "--with-tensorboard",
    "tensorboard",
    is_flag=True,
    flag_value=True,
    default=None,
    help="zip: also TensorBoard's events.",
)
@click.option(
    "--without-data",
    "data",
    is_flag=True,
    flag_value=False,
    default=None,
    help="zip: leave out the counts that the model was given.",
)
@click.option(
    "--without-provenance",
    "provenance",
    is_flag=True,
    flag_value=False,
    default=None,
    help="zip: leave out provenance.json, which names the machine and its folders.",
)
@click.option(
    "--nwb",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="nwb: the recording; by default the dataset's own file, if it is NWB.",
)
@click.option("--event", metavar="COLUMN", help="nwb: the column of times that trials were cut at.")
@click.option("--table", metavar="NAME", help="nwb: the table of trials, by default `trials`.")
@click.option(
    "--event-times",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="nwb: time 0 of each trial in the session [s], a number a line; needs no recording.",
)
@click.option(
    "--session-start",
    metavar="TIME",
    help="nwb: start of the session, 2018-01-31T09:30:00+00:00, where no recording tells it.",
)
@click.option(
    "--overlap-bins",
    type=click.IntRange(min=0),
    metavar="N",
    help="nwb: trials are windows of a continuous recording that overlap by N of the model's bins;"
    " they are merged. Needs --num-bins.",
)
@click.option(
    "--num-bins", type=click.IntRange(min=1), metavar="N", help="nwb: bins of that recording."
)
@click.option("--start-s", type=float, metavar="S", help="nwb: where it begins in the session [s].")
@collection_option
@json_option
def export(
    words: tuple[str, ...],
    to: str,
    out: Path | None,
    datasets: tuple[str, ...],
    kind: str | None,
    best: int | None,
    force: bool,
    dry_run: bool,
    collection: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write results in the formats of other tools.

    \b
    h5       HDF5 files named as exportResultsToH5 of LFADS Run Manager does
    mat      MAT files: pm = load('posteriorMeans_dataset001.mat')
    netcdf   labelled arrays: xarray.open_dataset
    nwb      rates, factors, inferred inputs beside an NWB recording's trials
    zip      one file with all that a colleague needs to look at the run

    RUN is a run directory, the name of its task, a part of it or a pattern. Without one, and
    without --best, all trained runs of the collection are exported. Files that are there are never
    replaced without --force; each appears complete or not at all, and nothing is written before it
    is known that all results are there.

    \b
    Examples:
      lfadsq export param_Yw0JcR/single_dataset001 --to h5
      lfadsq export ~/runs/my_collection --to netcdf -o ~/results
      lfadsq export --best --to mat
      lfadsq export run003 --to zip -o run003.zip --without-data
      lfadsq export run003 --to nwb --event go_cue_time

    \b
    JSON: to, files (path, what, run, num_bytes), left_out (runs without
    results), is_dry_run.
    """
    from lfadsq.manager.exporting import plan_exports
    from lfadsq.results.exports.export_files import write_files

    options = _options_of(to, options)
    chosen = chosen_runs(words, collection, best)
    runs, left_out = _ready(chosen, datasets, kind)
    for run in left_out:
        click.echo(printable(f"left out, as it has no results yet: {_title(run)}"), err=True)
    files = plan_exports(
        runs,
        to,
        out,
        of_collection=chosen.are_all,
        dataset_names=datasets or None,
        kind=_KINDS[kind] if kind else None,
        **options,
    )
    if not dry_run:
        write_files(files, force=force, tell=_teller(len(files)))
    if as_json:
        told = {
            "to": to,
            "files": [_told(file) for file in files],
            "left_out": [_title(run) for run in left_out],
            "is_dry_run": dry_run,
        }
        click.echo(json.dumps(told, indent=2))
        return
    for file in files:
        size = f"  {_size_text(file.path)}" if not dry_run else ""
        click.echo(printable(f"{file.path}{size}"))


def _options_of(to: str, given: dict[str, Any]) -> dict[str, Any]:
    """Give the options of the format; those of others are a mistake that would go unnoticed."""
    said = {name: value for name, value in given.items() if value is not None}
    for owner, options in _OPTIONS_OF.items():
        wrong = [options[name] for name in options if name in said]
        if owner != to and wrong:
            raise click.UsageError(f"{wrong[0]} is for --to {owner}.")
    return said


def _ready(
    chosen: ChosenRuns, datasets: Sequence[str], kind: str | None
) -> tuple[list[Run], list[Run]]:
    """Find the runs to export, and those left out because they have no results.

    One that was named is never left out: its export says what is missing.
    """
    from lfadsq.errors import ResultNotReadyError
    from lfadsq.manager.exporting import has_results

    if not chosen.are_all:
        return chosen.runs, []
    wanted = [run for run in chosen.runs if not datasets or set(datasets) <= set(run.dataset_names)]
    ready = [run for run in wanted if has_results(run, datasets, _KINDS[kind] if kind else None)]
    if not ready:
        raise ResultNotReadyError(
            f"no run of {chosen.collection.path} has results to export",
            "train them first: lfadsq status",
        )
    return ready, [run for run in wanted if run not in ready]


def _teller(number: int) -> Any:
    def tell(index: int, file: ExportFile) -> None:
        click.echo(printable(f"[{index + 1}/{number}] {file.run}: {file.what}"), err=True)

    return tell


def _told(file: ExportFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "what": file.what,
        "run": file.run,
        "num_bytes": file.path.stat().st_size if file.path.exists() else None,
    }


def _title(run: Run) -> str:
    return f"{run.params.param_hash_string}/{run.name}"


def _size_text(path: Path) -> str:
    return f"{path.stat().st_size / _BYTES_PER_MB:.1f} MB"
