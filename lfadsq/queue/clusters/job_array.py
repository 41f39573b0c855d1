"""A collection as a job array, for clusters in which nodes may not speak with each other.

Each job runs an ordinary queue of its own machine on the GPUs it was given. It takes the next
waiting run by the same records and locks as any two queues that share a file system, so no run is
trained twice at a time, and nobody needs to know of anybody. A job ends when nothing is left that
it could start, and does not wait for runs that others work on; one that its walltime ends has one
plain job go on in its place (`lfadsq.queue.clusters.successors`).

Submitting is all there is to do here: nothing has to stay alive on the login node, where long
programs are often not allowed. So it returns at once; `lfadsq queue status` shows from anywhere,
at any time, what the jobs do. If jobs were killed, and so have left work that nobody goes on with,
the same command submits as many again as are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError, QueueError
from lfadsq.queue.clusters.in_job import LOCAL_OPTIONS, program_of, queue_words
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.seats import holders, seat_name
from lfadsq.queue.clusters.submission import (
    job_folder,
    make_job_folder,
    write_private,
)
from lfadsq.queue.clusters.systems.base import BatchSystem, Program
from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths
from lfadsq.queue.tasks import tasks_from_specs

__all__ = ["JobArray", "prepare_job_array", "run_job_array"]

_NAME = "lfadsq-array"
_REFUSED = {
    "gpu_list": "each job uses the GPUs that it was given: leave it out",
    "tmux": "nobody could look at it in a job: leave it out",
    "detach": "a job takes everything in it along when it ends: leave it out",
    "ignore_donefile": "every job would run everything again: remove the done-markers instead",
}


@dataclass(frozen=True)
class JobArray:
    """Jobs that run a collection side by side.

    Attributes
    ----------
    folder : Path
        Of the collection.
    num_left : int
        Tasks that are not done.
    num_jobs : int
        How many jobs are submitted; 0 if nothing is to be done.
    text : str
        Script of the array.
    successor : Path
        Where the script of one job lies that goes on in place of another.
    successor_text : str
        Of that script.
    log_folder : Path
        Where the output of the jobs goes.
    job_id : str
        Of the array, once it is submitted.
    """

    folder: Path
    num_left: int
    num_jobs: int
    text: str
    successor: Path
    successor_text: str
    log_folder: Path
    job_id: str = ""


def run_job_array(
    arguments: Mapping[str, Any],
    wanted: Mapping[str, Any],
    options: ClusterOptions,
    system: BatchSystem,
) -> JobArray:
    """Submit a job array that runs every task that is not done.

    Parameters
    ----------
    arguments : dict
        Of `lfadsq.queue.run_lfads_queue`, with ``script``.
    wanted : dict
        Further ones, which come first.
    options : ClusterOptions
        Of each job.
    system : BatchSystem

    Returns
    -------
    JobArray
        Its `job_id` is empty if nothing was left to do.

    Raises
    ------
    ConfigError
        If anything in the arguments is wrong; nothing was written or submitted.
    QueueError
        If as many jobs as there may be live already; likewise.
    ClusterError
        In the words of the batch system, if it refuses; nothing was submitted.
    StorageError
        If the files for the jobs cannot be written; likewise.
    """
    array = prepare_job_array(arguments, wanted, options, system)
    if not array.num_jobs:
        return array
    paths = ControlPaths(array.log_folder.parent)
    paths.make()
    make_job_folder(array.log_folder)
    write_private(array.successor, array.successor_text)
    return replace(array, job_id=system.submit(array.text))


def prepare_job_array(
    arguments: Mapping[str, Any],
    wanted: Mapping[str, Any],
    options: ClusterOptions,
    system: BatchSystem,
) -> JobArray:
    """Write down what `run_job_array` would submit, without touching the disk.

    Raises
    ------
    ConfigError, QueueError
        As `run_job_array`.
    """
    script = _script_of(arguments)
    settings = {**arguments, **{k: v for k, v in wanted.items() if v not in (None, (), False)}}
    _refuse_what_no_job_can(settings)
    _refuse_too_little_time(options)
    tasks = tasks_from_specs(settings["task_specs"])
    num_left = sum(not task.donefile.exists() for task in tasks)
    per_job = _num_tasks_per_job(options, settings)
    paths = ControlPaths(script.parent / FOLDER_NAME)
    seat = seat_name("array", script)
    num_jobs = min(options.max_jobs, ceil(num_left / per_job))
    alive = holders(paths, seat, options.max_jobs)
    if alive and num_jobs and len(alive) >= num_jobs:
        raise QueueError(
            f"{len(alive)} jobs of {script} live already, and are enough for the {num_left} tasks"
            " that are left",
            "`lfadsq queue status` shows them, and `lfadsq queue stop` ends them",
        )
    num_jobs = max(0, num_jobs - len(alive))
    successor = paths.folder / f"{seat}.sh"
    job = {
        "seat": seat,
        "num_seats": options.max_jobs,
        "system": system.name,
        "successor": successor,
        "walltime_s": options.walltime_s,
        "margin_s": options.end_margin_s,
        "min_left_s": options.min_time_left_s,
        "in_array": True,
    }
    local = {key: settings.get(key) for key in LOCAL_OPTIONS}
    local["max_tasks_simultaneously"] = per_job
    argv = program_of(options.python, script, job, queue_words(local))
    log_folder = job_folder(paths)

    def text(num_in_array: int) -> str:
        program = Program(_NAME, argv, log_folder, num_in_array)
        return system.program_script(options, program)

    return JobArray(
        folder=script.parent,
        num_left=num_left,
        num_jobs=num_jobs,
        text=text(max(1, num_jobs)),
        successor=successor,
        successor_text=text(0),
        log_folder=log_folder,
    )


def _script_of(arguments: Mapping[str, Any]) -> Path:
    if arguments.get("script") is None:
        raise ConfigError(
            "a job array needs the script of the queue, which each of its jobs runs",
            "give run_lfads_queue script=__file__",
        )
    return Path(arguments["script"]).expanduser().absolute()


def _refuse_what_no_job_can(settings: Mapping[str, Any]) -> None:
    problems = [
        f"{key} is {settings[key]!r}; {remedy}"
        for key, remedy in _REFUSED.items()
        if settings.get(key)
    ]
    if problems:
        raise ConfigError("a job array cannot do that: " + "; ".join(problems))


def _refuse_too_little_time(options: ClusterOptions) -> None:
    longest_s = options.walltime_s - max(options.end_margin_s, options.min_time_left_s)
    if longest_s <= 0:
        raise ConfigError(
            f"jobs of {options.walltime_s} s would start nothing: they stop"
            f" {options.end_margin_s} s before their end, and start nothing in the last"
            f" {options.min_time_left_s} s",
            "give a longer walltime, or less of end_margin and min_time_left",
        )


def _num_tasks_per_job(options: ClusterOptions, settings: Mapping[str, Any]) -> int:
    """Count the tasks that a job runs at once, where memory allows it."""
    shares = not settings.get("one_task_per_gpu", True)
    # The queue itself needs next to no processor.
    most = options.num_places(settings.get("max_tasks_per_gpu") or (None if shares else 1))
    return min(most, settings.get("max_tasks_simultaneously") or most)
