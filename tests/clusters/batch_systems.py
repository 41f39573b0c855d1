"""The batch systems of this machine, as a person at a terminal uses them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["BatchJob", "BatchSystem", "GridEngine", "Slurm", "wait_until"]

_PARTITIONS = {"gpu", "short", "scavenge"}
_QUEUES = {"all.q", "short.q"}
_NUM_GPUS = 4
_ANSWERS_WITHIN_S = 10.0
_BETWEEN = "\x1f"


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = 60.0) -> Any:
    """Wait for a condition to hold, and give its value."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"did not happen within {deadline_s} s: {what}")


@dataclass(frozen=True)
class BatchJob:
    """A job as its batch system shows it.

    Attributes
    ----------
    job_id, name, partition : str
    state : str
        In the words of the system, such as ``RUNNING`` or ``qw``.
    """

    job_id: str
    name: str
    partition: str
    state: str


class BatchSystem(Protocol):
    """What tests need of a batch system; its jobs are those submitted below one folder."""

    options: str
    """What a queue is told to use it."""

    def jobs(self) -> list[BatchJob]:
        """List our jobs that are waiting or running."""

    def submit(self, script: str, *options: str, cwd: Path | None = None) -> str:
        """Submit a script, and give the id of the job."""

    def cancel(self, *job_ids: str) -> None:
        """Cancel jobs."""


def run(
    *argv: str,
    input_text: str | None = None,
    cwd: Path | None = None,
    patience_s: float = 60.0,
) -> str:
    """Run a command of a batch system, and give what it prints."""
    done = subprocess.run(
        argv,
        input=input_text,
        stdin=subprocess.DEVNULL if input_text is None else None,
        capture_output=True,
        text=True,
        timeout=patience_s,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stderr}"
    return done.stdout


class _OfFolder:
    """Jobs that were submitted from a folder or below it: nobody else's are touched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def _is_ours(self, work_folder: str) -> bool:
        return Path(work_folder).is_relative_to(self._folder)


class Slurm(_OfFolder):
    """A SLURM such as ``single_node_slurm.sh`` brings up."""

    options = "--cluster slurm --partition gpu"

    def missing(self) -> str:
        """Say what of it is missing here; empty if it can be used."""
        if shutil.which("sinfo") is None:
            return "no sinfo is on PATH"
        try:
            lines = run(
                "sinfo", "-h", "-N", "-o", "%R %T %G", patience_s=_ANSWERS_WITHIN_S
            ).splitlines()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"sinfo does not answer: {error}"
        ready = {}
        for line in lines:
            partition, state, gpus = line.split(maxsplit=2)
            if state in ("idle", "mixed"):
                ready[partition] = gpus
        if not ready.keys() >= _PARTITIONS:
            return f"no idle node in all of the partitions {', '.join(sorted(_PARTITIONS))}"
        if f"gpu:{_NUM_GPUS}" not in ready["gpu"]:
            return f"its node has not {_NUM_GPUS} GPUs but {ready['gpu']}"
        return ""

    def jobs(self) -> list[BatchJob]:
        form = _BETWEEN.join(("%i", "%j", "%P", "%T", "%Z"))
        jobs = []
        for line in run("squeue", "-h", "-u", _user(), "-o", form).splitlines():
            fields = line.split(_BETWEEN)
            # A folder with a line break in its name takes several lines.
            if len(fields) == 5 and self._is_ours(fields[4]):
                jobs.append(BatchJob(*fields[:4]))
        return jobs

    def submit(self, script: str, *options: str, cwd: Path | None = None) -> str:
        out = run("sbatch", "--parsable", *options, input_text=script, cwd=cwd or self._folder)
        return out.strip().partition(";")[0]

    def cancel(self, *job_ids: str) -> None:
        run("scancel", *job_ids)


class GridEngine(_OfFolder):
    """A Grid Engine such as ``single_node_sge.sh`` brings up."""

    options = "--cluster sge --queue all.q"

    def missing(self) -> str:
        """Say what of it is missing here; empty if it can be used."""
        if shutil.which("qconf") is None:
            return "no qconf is on PATH"
        try:
            queues = set(run("qconf", "-sql", patience_s=_ANSWERS_WITHIN_S).split())
            states = run("qstat", "-f", "-q", "all.q").splitlines()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return f"Grid Engine does not answer: {error}"
        if not queues >= _QUEUES:
            return f"it has not the queues {', '.join(sorted(_QUEUES))}"
        # The sixth column is the state of the queue, and empty if all is well.
        if not any(line.startswith("all.q@") and len(line.split()) == 5 for line in states):
            return "the queue all.q has no machine that is ready"
        return ""

    def jobs(self) -> list[BatchJob]:
        lines = run("qstat", "-u", _user()).splitlines()[2:]
        jobs = []
        for job_id, _, name, _, state, *rest in map(str.split, lines):
            try:
                told = run("qstat", "-j", job_id)
            except AssertionError:
                continue  # it has ended meanwhile
            folder = re.search(r"^(?:cwd|sge_o_workdir): +(.*)$", told, re.MULTILINE)
            if folder and self._is_ours(folder[1]):
                queue = rest[2].partition("@")[0] if "@" in rest[2] else ""
                jobs.append(BatchJob(job_id, name, queue, state))
        return jobs

    def submit(self, script: str, *options: str, cwd: Path | None = None) -> str:
        return run("qsub", "-terse", *options, input_text=script, cwd=cwd or self._folder).strip()

    def cancel(self, *job_ids: str) -> None:
        run("qdel", *job_ids)


def _user() -> str:
    return run("id", "-un").strip()


def is_required(variable: str) -> bool:
    """Tell whether tests must fail rather than be skipped where a batch system is missing."""
    return os.environ.get(variable) == "1"
