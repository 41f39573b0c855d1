"""The table of cluster options, from which command line, files and documentation derive."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lfadsq.queue.clusters import option_values as values
from lfadsq.queue.clusters.option_values import Kind
from lfadsq.queue.clusters.options import ClusterOptions

__all__ = ["OPTIONS", "ClusterOption", "find_option", "option_names"]


@dataclass(frozen=True)
class ClusterOption:
    """One option of a cluster.

    Attributes
    ----------
    name : str
        In TOML files and in Python; on the command line it has dashes.
    field : str
        Of `ClusterOptions`.
    kind : Kind
        How values are read and written.
    help : str
        What it means, in a line.
    becomes : str
        What the batch system is told, in the words of its manual.
    example : str
        A value in TOML, shown where the default is empty.
    default_text : str
        The default in words; empty if its value says it.
    other_name : str
        Another spelling of the name.
    flag_name : str
        On the command line, if that differs.
    """

    name: str
    field: str
    kind: Kind
    help: str
    becomes: str
    example: str = ""
    default_text: str = ""
    other_name: str = ""
    flag_name: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All spellings in files."""
        return (self.name, self.other_name) if self.other_name else (self.name,)

    @property
    def flags(self) -> tuple[str, ...]:
        """All spellings on the command line; a switch has its opposite as well.

        >>> find_option("queue").flags, find_option("requeue").flags
        (('--partition', '--queue'), ('--requeue/--no-requeue',))
        """
        names = (self.flag_name,) if self.flag_name else self.names
        dashed = [name.replace("_", "-") for name in names]
        if self.is_switch:
            return tuple(f"--{name}/--no-{name}" for name in dashed)
        return tuple(f"--{name}" for name in dashed)

    @property
    def is_switch(self) -> bool:
        """Whether it is true or false."""
        return self.kind is values.SWITCH

    @property
    def default(self) -> Any:
        """What holds if nothing is said."""
        return next(field.default for field in fields(ClusterOptions) if field.name == self.field)


OPTIONS: tuple[ClusterOption, ...] = (
    ClusterOption(
        "partition",
        "partition",
        values.PARTITION,
        "Partition or queue that jobs are submitted to.",
        "SLURM `--partition`; PBS, SGE, LSF, OAR, Moab `-q`; HTCondor has none",
        example='"gpu"',
        default_text="that of the batch system",
        other_name="queue",
    ),
    ClusterOption(
        "account",
        "account",
        values.ACCOUNT,
        "Account or project that is charged.",
        "SLURM `--account`; PBS, Moab `-A`; SGE, LSF `-P`; OAR `--project`; HTCondor"
        " `accounting_group`",
        example='"my_lab"',
        default_text="that of the batch system",
    ),
    ClusterOption(
        "walltime",
        "walltime_s",
        values.DURATION,
        "How long a job may run; trainings that take longer go on in the next job.",
        "SLURM `--time`; PBS, Moab, OAR `-l walltime`; SGE `-l h_rt`; LSF `-W`",
    ),
    ClusterOption(
        "gpus_per_job",
        "gpus_per_job",
        values.COUNT_OR_NONE,
        "GPUs of each job; 0 trains on processors.",
        "SLURM `--gres=gpu`; PBS `ngpus`; SGE `-l gpu`; LSF `-gpu`; HTCondor `request_gpus`",
    ),
    ClusterOption(
        "cores_per_job",
        "cores_per_job",
        values.COUNT,
        "Processor cores of each job.",
        "SLURM `--cpus-per-task`; PBS `ncpus`; LSF `-n`; HTCondor `RequestCpus`",
    ),
    ClusterOption(
        "memory_per_job",
        "memory_per_job_mb",
        values.MEMORY,
        "Main memory of each job; GB are 1000 MB, GiB are 1024 MiB.",
        "SLURM `--mem`; PBS `mem`; LSF `-M`; HTCondor `RequestMemory`",
    ),
    ClusterOption(
        "max_jobs",
        "max_jobs",
        values.COUNT,
        "Jobs at once at most; fewer are asked for where less is to be done.",
        "the number of jobs that are submitted",
    ),
    ClusterOption(
        "exclude_nodes",
        "exclude_nodes",
        values.NODES,
        "Nodes to avoid, with commas; node[01-04] is a range.",
        "SLURM `--exclude`; SGE `-l h=`; LSF `-R select[hname!=...]`; HTCondor `requirements`; OAR"
        " `-p`; Moab `-l excludenodes`; PBS cannot",
        example='["node07", "node[11-14]"]',
        default_text="none",
    ),
    ClusterOption(
        "directives",
        "directives",
        values.DIRECTIVES,
        "Further lines for the head of the job script, without #SBATCH or the like.",
        "`#SBATCH`, `#PBS`, `#$`, `#BSUB`, `#OAR` lines as they stand",
        example='["--qos=normal", "--constraint=a100"]',
        default_text="none",
        flag_name="directive",
    ),
    ClusterOption(
        "setup",
        "setup",
        values.LINES,
        "Shell lines that run first in each job: modules, environment variables.",
        "lines of the job script before the program",
        example='["module load cuda/12.4", "export TF_CPP_MIN_LOG_LEVEL=2"]',
        default_text="none",
    ),
    ClusterOption(
        "interface",
        "interface",
        values.INTERFACE,
        "Network interface through which the nodes reach each other.",
        "where scheduler and workers listen",
        example='"ib0"',
        default_text="that of the default route",
    ),
    ClusterOption(
        "python",
        "python",
        values.PYTHON,
        "The Python of the jobs, which has lfadsq.",
        "the program that each job runs",
        example='"/home/me/venv/bin/python"',
        default_text="the one that runs the queue",
    ),
    ClusterOption(
        "requeue",
        "requeue",
        values.SWITCH,
        "The batch system may start a job again that had to give way (scavenger partitions).",
        "SLURM `--requeue`; PBS, SGE, Moab `-r y`; LSF `-r`; OAR `-t idempotent`",
    ),
    ClusterOption(
        "end_margin",
        "end_margin_s",
        values.MARGIN,
        "How long before its end a job has its trainings write a checkpoint and leave.",
        "SLURM `--signal`; our own clock everywhere",
        default_text='`"2m"`; a tenth of the walltime at most',
    ),
    ClusterOption(
        "min_time_left",
        "min_time_left_s",
        values.MARGIN,
        "No training is started in a job that ends sooner.",
        "our own clock",
        default_text='`"10m"`; a tenth of the walltime at most',
    ),
)
"""Every option, in the order in which it is shown."""

_BY_NAME = {name: option for option in OPTIONS for name in option.names}


def find_option(name: str) -> ClusterOption | None:
    """Find an option by one of its names in files; None if there is none."""
    return _BY_NAME.get(name)


def option_names() -> tuple[str, ...]:
    """List the names in files, other spellings included."""
    return tuple(_BY_NAME)
