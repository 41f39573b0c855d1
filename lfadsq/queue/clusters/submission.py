"""The queue itself as a small job, which submits itself again before its walltime.

Its script lies beside the script of the queue, for people to read, change, and submit by hand; it
is also what the next job is submitted from. When the next one starts, how there are never two, and
when there is no next one: `lfadsq.queue.clusters.in_job` and `lfadsq.queue.clusters.successors`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lfadsq.errors import QueueError
from lfadsq.files import storage_errors, written_aside
from lfadsq.queue.clusters.in_job import program_of
from lfadsq.queue.clusters.job_end import queue_margin_s
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.seats import holders, seat_name
from lfadsq.queue.clusters.systems.base import BatchSystem, Program
from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths

__all__ = [
    "Submission",
    "job_folder",
    "make_job_folder",
    "prepare",
    "queue_job_options",
    "submit",
    "watch_and_end",
    "write_job_script",
    "write_private",
]

_CORES = 1
_MEMORY_MB = 2000
_READS_STDIN = {"lsf"}


@dataclass(frozen=True)
class Submission:
    """A job that runs the queue of a script.

    Attributes
    ----------
    script : Path
        Of the queue.
    job_script : Path
        Of the job.
    text : str
        Of `job_script`.
    log_folder : Path
        Where the job's output goes.
    seat : str
        Name of the seat that the queue will take.
    """

    script: Path
    job_script: Path
    text: str
    log_folder: Path
    seat: str


def queue_job_options(
    options: ClusterOptions, *, walltime_s: int, partition: str = ""
) -> ClusterOptions:
    """Make the options of a queue's own job from those of the jobs that train.

    Account, Python and setup are the same. Directives are not: they ask for what trainings need.

    Parameters
    ----------
    options : ClusterOptions
        Of the jobs that train.
    walltime_s : int
        Of the queue's job [s].
    partition : str, optional
        By default the batch system's own: partitions with GPUs often refuse jobs without.
    """
    return replace(
        options,
        partition=partition,
        walltime_s=walltime_s,
        gpus_per_job=0,
        cores_per_job=_CORES,
        memory_per_job_mb=_MEMORY_MB,
        max_jobs=1,
        exclude_nodes=(),
        directives=(),
        end_margin_s=round(queue_margin_s(walltime_s)),
    )


def prepare(
    script: Path, options: ClusterOptions, system: BatchSystem, queue_argv: Sequence[str]
) -> Submission:
    """Write down the job of a queue, without touching the disk.

    Parameters
    ----------
    script : Path
        Of the queue.
    options : ClusterOptions
        Of its job (`queue_job_options`).
    system : BatchSystem
    queue_argv : sequence of str
        Options of the queue.

    Raises
    ------
    ConfigError
        If the batch system cannot be given these options or paths.
    """
    script = script.absolute()
    seat = seat_name("queue", script)
    job_script = script.with_name(f"submit_{script.stem.removeprefix('run_')}.sh")
    job = {
        "seat": seat,
        "system": system.name,
        "successor": job_script,
        "walltime_s": options.walltime_s,
        "margin_s": options.end_margin_s,
    }
    log_folder = job_folder(ControlPaths(script.parent / FOLDER_NAME))
    argv = program_of(options.python, script, job, queue_argv)
    text = system.program_script(options, Program("lfadsq-queue", argv, log_folder))
    return Submission(script, job_script, _with_head(text, system), log_folder, seat)


def submit(submission: Submission, system: BatchSystem) -> str:
    """Submit the job of a queue, whose script is written.

    Returns
    -------
    str
        Its id.

    Raises
    ------
    QueueError
        If a queue that was submitted lives already; nothing was submitted.
    ClusterError
        In the words of the batch system, if it refuses; the script is left to be submitted by hand.
    """
    refuse_second(submission)
    return system.submit(submission.text)


def refuse_second(submission: Submission) -> None:
    """See that no queue that was submitted lives: its next job will be what is written there.

    Raises
    ------
    QueueError
        If one does.
    """
    paths = ControlPaths(submission.script.parent / FOLDER_NAME)
    alive = holders(paths, submission.seat)
    if alive:
        raise QueueError(
            f"a submitted queue of {submission.script} lives already: {alive[0]}",
            "`lfadsq queue status` shows it, and `lfadsq queue stop` ends it",
        )


def write_job_script(submission: Submission) -> None:
    """Write the script of the job, and make the folder of its log; both for the owner alone.

    Raises
    ------
    QueueError
        If strangers could write to the folder of the queue, or a submitted queue lives.
    StorageError
        If they cannot be written.
    """
    refuse_second(submission)
    paths = ControlPaths(submission.script.parent / FOLDER_NAME)
    paths.make()
    make_job_folder(submission.log_folder)
    write_private(submission.job_script, submission.text)


def watch_and_end(folder: Path) -> tuple[str, str]:
    """Give the commands that watch and end whatever queues run in a folder.

    Examples
    --------
    >>> watch_and_end(Path("/data/my runs"))[0]
    "lfadsq queue status -C '/data/my runs'"
    """
    where = shlex.quote(str(folder))
    return f"lfadsq queue status -C {where}", f"lfadsq queue stop -C {where}"


def job_folder(paths: ControlPaths) -> Path:
    """Give the folder of what jobs print."""
    return paths.folder / "jobs"


def make_job_folder(folder: Path) -> None:
    """Make the folder of what jobs print, for the owner alone."""
    with storage_errors(folder, "make the folder"):
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a script that its owner alone may read, run and change: it may hold secrets."""
    with written_aside(path) as aside:
        aside.write_bytes(os.fsencode(text))
        aside.chmod(0o700)


def _with_head(text: str, system: BatchSystem) -> str:
    """Say in the script what it is, below its first line, which must stay the first."""
    by_hand = f"{system.commands[0]}{' <' if system.name in _READS_STDIN else ''}"
    head = (
        f"# Runs the queue of this collection as a small job of {system.title}, which submits this"
        " file again\n"
        "# before its time is up, as long as work is left. `lfadsq submit` wrote it, and writes it"
        " anew;\n"
        f"# what you change here holds until then. By hand: {by_hand} <this file>\n"
        "# Watch it with `lfadsq queue status`, end it with `lfadsq queue stop`.\n"
    )
    first, newline, rest = text.partition("\n")
    return first + newline + head + rest if first.startswith("#!") else head + text
