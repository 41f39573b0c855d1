"""What is asked of a cluster: one table of options for all batch systems."""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["ClusterOptions"]


@dataclass(frozen=True)
class ClusterOptions:
    """Options of a cluster, as `lfadsq.queue.clusters.option_reading` reads and checks them.

    Attributes
    ----------
    system : str
        Name of a batch system, or the address of a Dask scheduler that is already there.
    partition : str
        Partition or queue of the batch system; empty for its default.
    account : str
        Account or project; empty for the default.
    walltime_s : int
        How long a job may run [s].
    gpus_per_job : int
        0 for jobs that train on processors.
    cores_per_job : int
    memory_per_job_mb : int
        Main memory [MB].
    max_jobs : int
        How many jobs are asked for at once at most.
    exclude_nodes : tuple of str
        Nodes to avoid, each by its own name.
    directives : tuple of str
        Further lines for the head of the job script, without ``#SBATCH`` or the like.
    setup : tuple of str
        Shell lines that run first in the job: modules, environment variables.
    interface : str
        Network interface that the nodes of the cluster speak through; empty for the default.
    python : str
        The Python of the jobs.
    requeue : bool
        Whether a job that had to give way may be started again by the batch system.
    end_margin_s : int
        How long before its end a job tells its trainings to write a checkpoint and leave [s].
    min_time_left_s : int
        Nothing is started in a job that ends sooner [s].
    """

    system: str
    partition: str = ""
    account: str = ""
    walltime_s: int = 24 * 3600
    gpus_per_job: int = 1
    cores_per_job: int = 4
    memory_per_job_mb: int = 16_000
    max_jobs: int = 8
    exclude_nodes: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    interface: str = ""
    python: str = sys.executable
    requeue: bool = False
    end_margin_s: int = 120
    min_time_left_s: int = 600

    def num_places(self, max_tasks_on_gpu: int | None) -> int:
        """Count the tasks that a job can run at once, where memory allows it.

        Parameters
        ----------
        max_tasks_on_gpu : int or None
            How many tasks may share a GPU; None for one for each core of the job.

        Examples
        --------
        >>> ClusterOptions("slurm", gpus_per_job=2, cores_per_job=8).num_places(1)
        2
        >>> ClusterOptions("slurm", gpus_per_job=0, cores_per_job=8).num_places(1)
        8
        """
        if not self.gpus_per_job:
            return self.cores_per_job
        return self.gpus_per_job * (max_tasks_on_gpu or self.cores_per_job)
