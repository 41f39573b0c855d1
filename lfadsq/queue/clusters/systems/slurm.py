"""SLURM."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.jobs import JobReport, JobState, report_of_array
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import Launch, Program
from lfadsq.queue.clusters.systems.calls import (
    ask_command,
    call,
    refusal,
    refuse_unless_gone,
)
from lfadsq.queue.clusters.systems.lists import chunked
from lfadsq.queue.clusters.systems.scripts import (
    ScriptWriter,
    from_dask_jobqueue,
    gives,
    job_name,
    require,
    walltime_text,
)
from lfadsq.queue.records import Cause

__all__ = ["Slurm"]

_PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
_PENDING |= {"RESV_DEL_HOLD"}
_CAUSES = {
    "COMPLETED": None,
    "TIMEOUT": Cause.WALLTIME,
    "DEADLINE": Cause.WALLTIME,
    "PREEMPTED": Cause.PREEMPTED,
    "CANCELLED": Cause.PREEMPTED,
    "REVOKED": Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE_LOST,
    "BOOT_FAIL": Cause.NODE_LOST,
    "OUT_OF_MEMORY": Cause.NODE_LOST,
    "FAILED": Cause.NODE_LOST,
}
_NO_REASON = {"", "None", "(null)"}
# What no waiting mends: a hold, or a limit that the job itself is above.
_STUCK = re.compile(
    r"held|BadConstraints|PartitionTimeLimit|DependencyNeverSatisfied|InvalidAccount|InvalidQOS|"
    r"AccountNotAllowed|QOSNotAllowed|Max\w+PerJob",
    re.IGNORECASE,
)
_GONE = re.compile(r"Invalid job id", re.IGNORECASE)
_ENDED = re.compile(rf"{_GONE.pattern}|already complet", re.IGNORECASE)
_NO_ACCOUNTING = re.compile(r"accounting storage is disabled|slurmdbd", re.IGNORECASE)

# sbatch takes these rather than what the script says.
_OVERRIDES = {
    "SBATCH_PARTITION": "-p ",
    "SBATCH_ACCOUNT": "-A ",
    "SBATCH_TIMELIMIT": "-t ",
    "SBATCH_GRES": "--gres",
    "SBATCH_GPUS": "--gres",
    "SBATCH_GPUS_PER_NODE": "--gres",
    "SBATCH_MEM_PER_NODE": "--mem",
    "SBATCH_SIGNAL": "--signal",
    "SBATCH_REQUEUE": "--no-requeue",
    "SBATCH_NO_REQUEUE": "--requeue",
    "SBATCH_OPEN_MODE": "--open-mode",
    "SBATCH_EXCLUDE": "--exclude",
    "SBATCH_OUTPUT": "-o ",
    "SBATCH_ERROR": "-o ",
    "SBATCH_JOB_NAME": "-J ",
    "SBATCH_ARRAY_INX": "-J ",
}
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "SLURM_TIME_FORMAT")


class Slurm(ScriptWriter):
    """SLURM, through sbatch, squeue, sacct, scontrol and scancel."""

    name = "slurm"
    title = "SLURM"
    commands = ("sbatch", "squeue", "scancel")
    prefix = "#SBATCH"

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options SLURM cannot do, and what to give in its place."""
        found = super().problems(options)
        if options.end_margin_s > 65535:
            found.append("SLURM warns a job 65535 s before its end at most: give a shorter margin")
        return found

    def submit(self, script: str) -> str:
        """Submit a script; see `BatchSystem`."""
        answer = ask_command(
            ["sbatch", "--parsable"],
            given=script,
            environment=submit_environment(script, os.environ),
            remedy="'sinfo' lists the partitions, 'sacctmgr show assoc user=$USER' your accounts; "
            "then change the options of the cluster",
        )
        # A site's own plugin may say something first.
        found = re.findall(r"^(\d+)(?:;\S*)?\s*$", answer.out, re.MULTILINE)
        if not found:
            raise refusal(answer, "'squeue --me' says whether the job is there")
        return str(found[-1])

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for some in chunked(job_ids):
            refuse_unless_gone(call(["scancel", *some]), _ENDED)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        reports = {}
        for some in chunked(job_ids):
            reports.update(self._ask_queue(some))
            missing = [job_id for job_id in some if job_id not in reports]
            if missing:
                reports.update(self._ask_accounting(missing))
        return reports

    def _ask_queue(self, job_ids: list[str]) -> dict[str, JobReport]:
        answer = call(
            ["squeue", "-h", "-r", "-t", "all", "-j", ",".join(job_ids), "-o", "%i|%T|%r|%N"]
        )
        if answer.status != 0:
            # One id alone that is forgotten is an error, among others it is passed over.
            if _GONE.search(answer.err):
                return {}
            raise refusal(answer, "SLURM is busy or down: try 'squeue' by hand, and later again")
        rows = [line.split("|", 3) for line in answer.out.splitlines() if line.count("|") == 3]
        failed = [row[0] for row in rows if row[1] == "FAILED"]
        return _combined((row[0], row[1], row[2], row[3]) for row in self._with_codes(rows, failed))

    def _with_codes(self, rows: list[list[str]], failed: list[str]) -> list[list[str]]:
        """Add the exit codes of jobs that failed, which squeue does not tell."""
        codes = {}
        for job_id in failed:
            answer = call(["scontrol", "-o", "show", "job", job_id])
            found = re.search(r"\bExitCode=(\d+:\d+)", answer.out)
            if answer.status == 0 and found:
                codes[job_id] = f"exit code {found.group(1)}"
        for row in rows:
            said = [text for text in (row[2], codes.get(row[0], "")) if text not in _NO_REASON]
            row[2] = ", ".join(said)
        return rows

    def _ask_accounting(self, job_ids: list[str]) -> dict[str, JobReport]:
        try:
            answer = call(
                ["sacct", "-n", "-P", "-X", "-j", ",".join(job_ids)]
                + ["-o", "JobID,State,ExitCode,NodeList"]
            )
        except ClusterError:
            # A site without sacct has forgotten the job; squeue did answer.
            return {}
        if answer.status != 0:
            if _NO_ACCOUNTING.search(answer.words):
                return {}
            raise refusal(answer)
        rows = [line.split("|", 3) for line in answer.out.splitlines() if line.count("|") == 3]
        return _combined(
            (row[0], row[1], "" if row[2] == "0:0" else f"exit code {row[2]}", row[3])
            for row in rows
        )

    def _check_log_folder(self, folder: Path) -> None:
        # A backslash anywhere ends the replacing of %j in the whole path.
        require(folder, r"^\\", self.title)

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        num_in_array = job.num_in_array if isinstance(job, Program) else 0
        one = "%A_%a" if num_in_array else "%j"
        folder = str(job.log_folder).replace("%", "%%").replace('"', '\\"')
        lines = [f'-o "{folder}/{job_name(job.name)}-{one}.log"', "--open-mode=append"]
        if num_in_array:
            lines.append(f"--array=1-{num_in_array}")
        if options.gpus_per_job and not gives(options, r"--gres|--gpus|-G"):
            lines.append(f"--gres=gpu:{options.gpus_per_job}")
        if options.exclude_nodes:
            lines.append("--exclude=" + ",".join(options.exclude_nodes))
        lines.append("--requeue" if options.requeue else "--no-requeue")
        if options.end_margin_s:
            lines.append(f"--signal=B:USR1@{options.end_margin_s}")
        return from_dask_jobqueue("slurm", "SLURMJob")(
            **common,
            queue=options.partition or None,
            account=options.account or None,
            walltime=walltime_text(options.walltime_s),
            job_cpu=options.cores_per_job,
            job_mem=f"{options.memory_per_job_mb}M",
            job_extra_directives=[*lines, *options.directives],
        )


def submit_environment(script: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would make of a job another one than its script says.

    A queue that is a job itself has variables of its own job, which its jobs must not inherit; and
    those that sbatch takes rather than a directive of the script must not win over it.
    """
    header = "\n".join(line for line in script.split("\n") if line.startswith("#SBATCH "))
    overridden = {name for name, option in _OVERRIDES.items() if f"#SBATCH {option}" in header}
    return {
        name: value
        for name, value in variables.items()
        if name not in overridden and (not name.startswith("SLURM_") or name in _KEPT)
    }


def _combined(rows: Iterable[tuple[str, str, str, str]]) -> dict[str, JobReport]:
    """Make reports of rows of id, state, reason and nodes, one for each job or array."""
    members: dict[str, list[JobReport]] = defaultdict(list)
    for job_id, state, reason, nodes in rows:
        whole = re.split(r"[_+]", job_id)[0]
        members[whole].append(_report(whole, state, reason, nodes))
    return {job_id: report_of_array(job_id, reports) for job_id, reports in members.items()}


def _report(job_id: str, said: str, reason: str, nodes: str) -> JobReport:
    # "CANCELLED by 1000" in the accounts.
    state = said.split()[0].rstrip("+") if said.split() else ""
    words = said if reason in _NO_REASON else f"{said} ({reason})"
    nodes = "" if nodes in {"", "None assigned"} else nodes
    if state in _CAUSES:
        return JobReport(job_id, JobState.ENDED, words, _CAUSES[state], nodes)
    if state in _PENDING:
        is_stuck = bool(_STUCK.search(reason)) or state in {"REQUEUE_HOLD", "SPECIAL_EXIT"}
        return JobReport(job_id, JobState.PENDING, words, None, nodes, is_stuck)
    # COMPLETING, STOPPED, SUSPENDED and words yet unknown: never take a job for ended by mistake.
    return JobReport(job_id, JobState.RUNNING, words, None, nodes)
