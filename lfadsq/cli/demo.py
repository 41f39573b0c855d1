"""``lfadsq demo``: from recordings to firing rates in one command."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.errors import ConfigError, QueueError
from lfadsq.training.quiet import INSTALL_TENSORFLOW

if TYPE_CHECKING:
    from lfadsq.demo import DemoScore

__all__ = ["demo"]

FIGURE_NAME = "rates.png"
HEARTBEAT_S = 10.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("lfadsq_demo"),
    show_default=True,
    help="Folder for recordings, runs and the picture; made if missing.",
)
@click.option(
    "--max-tasks-simultaneously",
    type=click.IntRange(min=1),
    help="Trainings at a time; by default one for each CPU core this process may use.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def demo(root: Path, max_tasks_simultaneously: int | None, as_json: bool) -> None:
    """Make Lorenz data, train a small sweep of LFADS models on it, and show how well they did.

    Needs no GPU, and takes a few minutes on two cores. What is already done is kept: run it again
    and it takes seconds; interrupt it and the next call goes on where it stopped. To begin anew,
    remove the folder.

    \b
    Examples:
      lfadsq demo
      lfadsq demo --root ~/lorenz_example --json > demo.json
    """
    started_s = time.monotonic()
    if find_spec("tensorflow") is None:
        raise ConfigError(
            "TensorFlow is not installed, and training needs it",
            INSTALL_TENSORFLOW,
        )
    # Imported here: together they cost a second that `--help` should not.
    from rich.console import Console

    from lfadsq import demo as steps
    from lfadsq.queue import run_lfads_queue
    from lfadsq.queue.machine import num_usable_cpus
    from lfadsq.queue.report import ConsoleReporter

    console = Console(stderr=as_json, highlight=False)
    root = root.expanduser().resolve()

    console.print(f"[bold]1/4 Recordings[/bold] in {root / 'datasets'}")
    written: list[Path] = []
    with console.status("simulating spikes of the Lorenz attractor"):
        collection = steps.make_collection(root, on_dataset=written.append)
    console.print(
        f"    {len(written)} made, {collection.num_datasets - len(written)} already there"
    )

    console.print(f"[bold]2/4 Runs[/bold] in {collection.path}")
    collection.prepare_for_lfads()
    collection.write_run_queue_script()
    num_done = sum(run.is_done for run in collection.runs)
    console.print(f"    {collection.num_runs_total} prepared, {num_done} already trained")

    console.print("[bold]3/4 Training and posterior means[/bold]")
    summary = run_lfads_queue(
        "demo",
        None,
        collection.get_task_specs(),
        max_tasks_simultaneously=max_tasks_simultaneously or num_usable_cpus(),
        hints=collection.get_task_hints(),
        collection=collection.path,
        reporter=ConsoleReporter(console, heartbeat_s=HEARTBEAT_S),
    )
    if summary.exit_status:
        raise QueueError(
            "not every run was trained",
            "the reasons are above; mend them and run lfadsq demo again, it goes on from here",
        )

    console.print("[bold]4/4 Results[/bold]")
    scores = [steps.score_run(run) for run in collection.runs]
    best = max(range(len(scores)), key=lambda index: scores[index].r2_valid)
    figure = root / FIGURE_NAME
    steps.draw_rates(collection.runs[best], figure)
    elapsed_s = time.monotonic() - started_s
    if as_json:
        result = {
            "folder": str(root),
            "figure": str(figure),
            "elapsed_s": round(elapsed_s, 1),
            "runs": [asdict(score) for score in scores],
        }
        click.echo(json.dumps(result, indent=2))
        return
    console.print(_table_of(scores))
    console.print(f"    Folder: {root}", soft_wrap=True)
    console.print(f"    Figure: {figure}", soft_wrap=True)
    console.print(f"    Done in {elapsed_s:.0f} s.")


def _table_of(scores: list[DemoScore]) -> object:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        box=SIMPLE,
        caption="R2: of inferred against true log rates, on validation trials",
        caption_justify="left",
    )
    for header in ("run", "swept", "epochs", "best valid cost", "R2"):
        is_number = header not in ("run", "swept")
        table.add_column(header, justify="right" if is_number else "left", overflow="fold")
    for score in scores:
        table.add_row(
            score.run,
            score.differences,
            str(score.num_epochs),
            f"{score.best_valid_cost:.2f}",
            f"{score.r2_valid:.3f}",
        )
    return table
