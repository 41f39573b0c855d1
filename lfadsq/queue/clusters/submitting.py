"""What a queue does with a batch system in place of running: showing and submitting."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lfadsq.errors import ClusterError, ConfigError
from lfadsq.queue.clusters.certificates import key_folder
from lfadsq.queue.clusters.job_array import prepare_job_array, run_job_array
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.site import launch_of
from lfadsq.queue.clusters.submission import watch_and_end
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES, is_address
from lfadsq.queue.clusters.systems import system_of
from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths
from lfadsq.queue.events import QueueSummary
from lfadsq.queue.options import QueueOptions
from lfadsq.queue.tasks import Task
from lfadsq.texts import count_text

__all__ = ["check_system", "show", "submit_array"]

_NAME = "lfadsq-queue-1"
_OWN_PROGRAM = {"pbs": "pbsnodes", "sge": "qconf"}
"""Two batch systems have a ``qsub``; these are beside it."""

_ADDRESS = "tls://ADDRESS:PORT"
"""Stands for what is known only once the queue runs."""


def check_system(cluster: ClusterOptions, *, is_dry: bool) -> None:
    """See that a batch system is there and can do what is asked of it.

    Parameters
    ----------
    cluster : ClusterOptions
    is_dry : bool
        Its commands are not needed.

    Raises
    ------
    ConfigError
        If it cannot do what is asked of it.
    ClusterError
        If its commands are not here.
    """
    if is_address(cluster.system):
        if is_dry:
            raise ConfigError(
                f"{cluster.system} is the scheduler of a Dask that runs: no job is asked for",
                "leave out the dry run",
            )
        return
    system = system_of(cluster.system)
    problems = system.problems(cluster)
    if problems:
        raise ConfigError("; ".join(problems))
    missing = [command for command in system.commands if shutil.which(command) is None]
    if missing and not is_dry:
        raise ClusterError(
            f"{system.title} is not here: {', '.join(missing)} cannot be found",
            "start the queue on a login node of the cluster; there `module avail` may tell how its"
            " commands come to PATH",
        )
    other = _whose_qsub(cluster.system)
    if other and not is_dry:
        raise ClusterError(
            f"the qsub of this machine belongs to {other}, not to {system.title}",
            "name that one in --cluster, or put the commands of the other first on PATH",
        )


def _whose_qsub(system_name: str) -> str:
    """Name whose ``qsub`` it is, if not that of a batch system: it would submit all the same."""
    if system_name not in _OWN_PROGRAM:
        return ""
    folder = Path(shutil.which("qsub") or "").parent
    beside = {name for name, program in _OWN_PROGRAM.items() if (folder / program).exists()}
    return "" if system_name in beside or not beside else system_of(beside.pop()).title


def show(
    options: QueueOptions,
    cluster: ClusterOptions,
    tasks: Sequence[Task],
    folder: Path | None,
    arguments: Mapping[str, Any],
) -> QueueSummary:
    """Print the job script, and how many jobs would be asked for; nothing is written or submitted.

    Parameters
    ----------
    options : QueueOptions
    cluster : ClusterOptions
    tasks : sequence of Task
    folder : Path or None
        Of the collection.
    arguments : dict
        Of `lfadsq.queue.run_lfads_queue`.
    """
    system = system_of(cluster.system)
    num_left = sum(not task.donefile.exists() for task in tasks)
    if options.no_dask:
        array = prepare_job_array(arguments, {}, cluster, system)
        text, num_jobs = array.text, array.num_jobs
        how = "in one array"
    else:
        paths = ControlPaths((folder or Path.cwd()) / FOLDER_NAME)
        certificate = key_folder(paths.folder) / "CERTIFICATE.pem"
        launch = launch_of(_NAME, _ADDRESS, certificate, cluster, paths)
        text = system.worker_script(cluster, launch)
        num_at_once = min(num_left, options.max_tasks_simultaneously or num_left)
        per_job = cluster.num_places(1 if options.one_task_per_gpu else options.max_tasks_per_gpu)
        num_jobs = min(cluster.max_jobs, math.ceil(num_at_once / per_job))
        how = "at once, and others in their place while tasks wait"
    click.echo(text, nl=not text.endswith("\n"))
    left = f"{num_left} of {count_text(len(tasks), 'task')} not done"
    asked = f"{count_text(num_jobs, 'such job')} of {system.title} would be asked for, {how}"
    click.echo(f"{left}: {asked}", err=True)
    if not options.no_dask:
        click.echo("(ADDRESS:PORT and CERTIFICATE stand for what each queue has)", err=True)
    return _nothing_run(options, tasks)


def submit_array(
    options: QueueOptions,
    cluster: ClusterOptions,
    tasks: Sequence[Task],
    arguments: Mapping[str, Any],
) -> QueueSummary:
    """Submit a job array that runs every task that is not done.

    Parameters
    ----------
    options : QueueOptions
    cluster : ClusterOptions
    tasks : sequence of Task
    arguments : dict
        Of `lfadsq.queue.run_lfads_queue`.
    """
    if is_address(cluster.system):
        raise ConfigError(
            f"{cluster.system} is the scheduler of a Dask, which no_dask leaves out",
            f"name a batch system: {', '.join(SYSTEM_NAMES)}",
        )
    system = system_of(cluster.system)
    array = run_job_array(arguments, {}, cluster, system)
    if array.num_jobs:
        num_jobs, num_left = count_text(array.num_jobs, "job"), count_text(array.num_left, "task")
        watch, end = watch_and_end(array.folder)
        cancel = shlex.join(system.cancel_words(array.job_id))
        said = [
            f"{system.title} has {num_jobs} for {num_left}: {array.job_id}",
            f"  their logs: in {array.log_folder}",
            f"  watch:      {watch}",
            f"  end:        {end}",
            f"              and for jobs that have not started: {cancel}",
        ]
    else:
        said = ["every task is done: nothing was submitted"]
    text = "\n".join(said).encode("utf-8", "backslashreplace").decode("utf-8")
    click.echo(text, err=True)
    return replace(_nothing_run(options, tasks), job_id=array.job_id)


def _nothing_run(options: QueueOptions, tasks: Sequence[Task]) -> QueueSummary:
    done = tuple(task.name for task in tasks if task.donefile.exists())
    return QueueSummary(
        queue_name=options.queue_name,
        finished=(),
        skipped=done,
        failed=(),
        interrupted=(),
        not_started=(),
        wall_s=0.0,
    )
