"""``lfadsq submit``: the queue itself as a small job of a batch system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.option_flags import GroupedCommand
from lfadsq.queue.command_line import queue_options
from lfadsq.texts import harmless

if TYPE_CHECKING:
    from lfadsq.queue.clusters.submission import Submission
    from lfadsq.queue.clusters.systems.base import BatchSystem

__all__ = ["submit"]


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="[SCRIPT|FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--walltime-of-queue",
    metavar="TIME",
    default="1d",
    show_default=True,
    help="How long the queue's own job runs before it submits itself again.",
)
@click.option(
    "--partition-of-queue",
    metavar="NAME",
    help="Where the queue's own job runs; by default the batch system's own choice.",
)
@click.option("--write-only", is_flag=True, help="Write the job's script, and submit nothing.")
@queue_options
def submit(
    path: Path | None,
    walltime_of_queue: str,
    partition_of_queue: str | None,
    write_only: bool,
    dry_run: bool | None,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Run the queue of a collection as a small job, which submits itself again while work is left.

    The job's script, submit_lfadsqueue.sh, is written beside the queue script and submitted: one
    core, 2 GB, no GPU. The queue in it asks for the jobs that train, with the options given here.
    Before its walltime it ends, its trainings with a checkpoint, and goes on in another job. It
    ends for good when all is done, with `lfadsq queue stop`, or when its job is cancelled.

    \b
    Examples:
      lfadsq submit --cluster slurm --partition gpu --account my_lab
      lfadsq submit ~/runs/my_collection --cluster slurm --partition-of-queue cpu
      lfadsq submit --cluster slurm --dry-run        print the job's script, and do nothing
    """
    from lfadsq.queue.clusters import submission as jobs

    script = _script_of(path)
    system, submission = _prepare(script, walltime_of_queue, partition_of_queue, wanted)
    if dry_run:
        _tell(submission, "", as_json=as_json, said=submission.text.rstrip("\n"))
        return
    jobs.write_job_script(submission)
    name = submission.job_script.name
    if write_only:
        said = f"{submission.job_script} is written; `{system.commands[0]} {name}` submits it"
        _tell(submission, "", as_json=as_json, said=said)
        return
    job_id = jobs.submit(submission, system)
    watch, end = jobs.watch_and_end(submission.script.parent)
    said = "\n".join(
        [
            f"the queue of {submission.script} is job {job_id} of {system.title}",
            f"  its log: in {submission.log_folder}",
            f"  watch:   {watch}",
            f"  end:     {end}",
        ]
    )
    _tell(submission, job_id, as_json=as_json, said=said)


def _script_of(path: Path | None) -> Path:
    from lfadsq.cli.targets import target_of
    from lfadsq.queue.overview import MAIN_SCRIPT, scripts_in

    target = target_of(path)
    if target.script is not None:
        return target.script
    scripts = scripts_in(target.collection)
    if not scripts:
        raise ConfigError(f"{target.collection} has no {MAIN_SCRIPT}", "name the queue script")
    if len(scripts) > 1 and scripts[0].name != MAIN_SCRIPT:
        names = ", ".join(script.name for script in scripts)
        raise ConfigError(f"{target.collection} has several queue scripts: {names}", "name one")
    return scripts[0]


def _prepare(
    script: Path, walltime: str, partition: str | None, wanted: dict[str, Any]
) -> tuple[BatchSystem, Submission]:
    from lfadsq.queue.clusters.in_job import queue_words
    from lfadsq.queue.clusters.option_reading import read_cluster_options
    from lfadsq.queue.clusters.submission import prepare, queue_job_options
    from lfadsq.queue.clusters.system_names import SYSTEM_NAMES, is_address
    from lfadsq.queue.clusters.systems import system_of

    name = wanted.get("cluster")
    if name is None or is_address(name):
        raise ConfigError(
            "a queue is submitted to a batch system" + (f", and {name} is none" if name else ""),
            f"say which: --cluster {' | '.join(SYSTEM_NAMES)}",
        )
    if wanted.get("no_dask"):
        raise ConfigError(
            "with --no-dask there is no queue that would have to run: the array runs by itself",
            f"submit it with `python {script.name} --cluster {name} --no-dask`",
        )
    if wanted.get("ignore_donefile"):
        raise ConfigError(
            "with --ignore-donefile each job of the queue would run everything again",
            "remove the done-markers of the runs instead",
        )
    options = read_cluster_options(name, script.parent, command_line=wanted)
    own = queue_job_options(
        options,
        walltime_s=_read("walltime", walltime, "--walltime-of-queue"),
        partition=_read("partition", partition, "--partition-of-queue") if partition else "",
    )
    system = system_of(options.system)
    return system, prepare(script, own, system, queue_words({**wanted, "cluster": options.system}))


def _read(option_name: str, text: str, called: str) -> Any:
    from lfadsq.queue.clusters.option_table import find_option

    option = find_option(option_name)
    if option is None:
        raise KeyError(option_name)
    try:
        return option.kind.read(text)
    except ValueError as error:
        raise ConfigError(f"{called} is {text!r}", str(error)) from None


def _tell(submission: Submission, job_id: str, *, as_json: bool, said: str) -> None:
    if not as_json:
        click.echo(harmless(said))
        return
    result = {
        "script": str(submission.script),
        "job_script": str(submission.job_script),
        "text": submission.text,
        "log_folder": str(submission.log_folder),
        "job_id": job_id or None,
    }
    click.echo(json.dumps(result, indent=2))
