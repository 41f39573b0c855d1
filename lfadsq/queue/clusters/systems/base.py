"""What every batch system must be able to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lfadsq.queue.clusters.jobs import JobReport
from lfadsq.queue.clusters.options import ClusterOptions

__all__ = ["BatchSystem", "Launch", "Program"]


@dataclass(frozen=True)
class Launch:
    """A job that runs a worker of a queue.

    Attributes
    ----------
    name : str
        Of the worker, and of the job.
    scheduler : str
        Address, such as ``tls://10.0.0.1:40123``.
    worker_arguments : tuple of str
        Further arguments of `lfadsq.queue.clusters.worker`, unquoted.
    log_folder : Path
        Where the job's output goes.
    """

    name: str
    scheduler: str
    worker_arguments: tuple[str, ...]
    log_folder: Path


@dataclass(frozen=True)
class Program:
    """A job that runs any program.

    Attributes
    ----------
    name : str
        Of the job.
    argv : tuple of str
        What it runs, unquoted.
    log_folder : Path
        Where the job's output goes.
    num_in_array : int
        How many of it run side by side, as a job array; 0 for a plain job.
    """

    name: str
    argv: tuple[str, ...]
    log_folder: Path
    num_in_array: int = 0


class BatchSystem(Protocol):
    """A batch system, through its own commands.

    Every method but `worker_script` and `program_script` runs a command, which may take seconds.
    """

    @property
    def name(self) -> str:
        """As users write it, such as ``slurm``."""

    @property
    def title(self) -> str:
        """As people call it, such as ``SLURM``."""

    @property
    def commands(self) -> Sequence[str]:
        """The programs that must be on ``PATH``."""

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options this system cannot do, and what to give in its place."""

    def worker_script(self, options: ClusterOptions, launch: Launch) -> str:
        """Write the script of a job that runs a worker, by dask-jobqueue."""

    def program_script(self, options: ClusterOptions, program: Program) -> str:
        """Write the script of a job that runs a program."""

    def submit(self, script: str) -> str:
        """Submit a script; gives the id of the job.

        Raises
        ------
        ClusterError
            In the words of the batch system, if it refuses or does not answer.
        """

    def cancel_words(self, job_id: str) -> Sequence[str]:
        """Give the command by which a person cancels a job, or a job array."""

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; those that have ended are passed over.

        Raises
        ------
        ClusterError
            If the batch system does not answer.
        """

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand, by id; one that the system has forgotten is missing.

        Raises
        ------
        ClusterError
            If the batch system does not answer.
        """
