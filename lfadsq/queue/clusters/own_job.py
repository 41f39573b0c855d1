"""The batch job that this process is the program of."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Job", "job_id_in", "own_job", "set_own_job"]

_ID_VARIABLES = (
    "MOAB_JOBID",  # also where it gives its jobs to SLURM or PBS
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "OAR_JOB_ID",
    "JOB_ID",
)
_CONDOR_VARIABLE = "_CONDOR_JOB_AD"


@dataclass(frozen=True)
class Job:
    """A batch job, as its program knows it.

    Attributes
    ----------
    worker_name : str
        As the queue knows it; empty for Dask's own name.
    job_id : str
    ends_at_s : float or None
        [s since 1970]
    num_cpus : int or None
        How many processors the job asked for; not every batch system keeps it to them.
    """

    worker_name: str = ""
    job_id: str = ""
    ends_at_s: float | None = None
    num_cpus: int | None = None


_own = Job()


def own_job() -> Job:
    """Give the batch job that this process is the program of; without a name if it is of none."""
    return _own


def set_own_job(job: Job) -> None:
    """Note the batch job that this process is the program of."""
    global _own
    _own = job


def job_id_in(environment: Mapping[str, str]) -> str:
    """Find the id of the batch job that we are, as its batch system calls it; empty if unknown.

    Parameters
    ----------
    environment : mapping of str to str
        Of this process.
    """
    for name in _ID_VARIABLES:
        if environment.get(name):
            return str(environment[name])
    with contextlib.suppress(KeyError, OSError, ValueError):
        text = Path(environment[_CONDOR_VARIABLE]).read_text(encoding="utf-8")
        numbers = [re.search(rf"(?im)^{key} *= *(\d+)", text) for key in ("ClusterId", "ProcId")]
        return ".".join(number[1] for number in numbers if number)
    return ""
