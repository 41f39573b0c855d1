"""LSF."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

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
)
from lfadsq.queue.records import Cause

__all__ = ["Lsf"]

_FIELDS = "jobid stat exit_code exit_reason exec_host pend_reason delimiter='^'"
_GONE = re.compile(r"is not found|No matching job|already finished|No unfinished job", re.I)
_PENDING = {"PEND", "PROV", "PSUSP", "WAIT"}
_ENDED = {"DONE", "EXIT"}
_CAUSES = {
    "TERM_RUNLIMIT": Cause.WALLTIME,
    "TERM_DEADLINE": Cause.WALLTIME,
    "TERM_WINDOW": Cause.WALLTIME,
    "TERM_PREEMPT": Cause.PREEMPTED,
    "TERM_LOAD": Cause.PREEMPTED,
    "TERM_OWNER": Cause.PREEMPTED,
    "TERM_ADMIN": Cause.PREEMPTED,
    "TERM_FORCE_OWNER": Cause.PREEMPTED,
    "TERM_FORCE_ADMIN": Cause.PREEMPTED,
    "TERM_REQUEUE_OWNER": Cause.PREEMPTED,
    "TERM_REQUEUE_ADMIN": Cause.PREEMPTED,
}


class Lsf(ScriptWriter):
    """LSF, through bsub, bjobs and bkill."""

    name = "lsf"
    title = "LSF"
    commands = ("bsub", "bjobs", "bkill")
    prefix = "#BSUB"

    def submit(self, script: str) -> str:
        """Submit a script; see `BatchSystem`."""
        answer = ask_command(
            ["bsub"],
            given=script,
            # Else LSF keeps what a job writes on its node until the job ends.
            environment={**os.environ, "LSB_STDOUT_DIRECT": "Y"},
            remedy="'bqueues' lists the queues; then change the options of the cluster",
        )
        found = re.findall(r"Job <(\d+)> is submitted", answer.out)
        if not found:
            raise refusal(answer, "'bjobs' says whether the job is there")
        return str(found[-1])

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for some in chunked(job_ids):
            refuse_unless_gone(call(["bkill", *some]), _GONE)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        reports = {}
        for some in chunked(job_ids):
            answer = call(["bjobs", "-a", "-noheader", "-o", _FIELDS, *some])
            remedy = "LSF is busy or down: try 'bjobs' by hand, and later again"
            refuse_unless_gone(answer, _GONE, remedy)
            members: dict[str, list[JobReport]] = defaultdict(list)
            for line in answer.out.splitlines():
                parts = [part.strip() for part in line.split("^", 5)]
                if len(parts) == 6:
                    members[parts[0]].append(_report(*parts))
            for job_id, found in members.items():
                reports[job_id] = report_of_array(job_id, found)
        return reports

    def _check_log_folder(self, folder: Path) -> None:
        # "%" begins a variable.
        require(folder, r"\w./+=@~:,-", self.title)

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        num_in_array = job.num_in_array if isinstance(job, Program) else 0
        name = job_name(job.name)
        log = f"{job.log_folder}/{name}-%J{'_%I' if num_in_array else ''}.log"
        lines = [f"-o {log}", "-r" if options.requeue else "-rn"]
        if options.gpus_per_job and not gives(options, r"-gpu\b"):
            lines.append(f'-gpu "num={options.gpus_per_job}"')
        if options.exclude_nodes:
            avoided = " && ".join(f"hname!='{node}'" for node in options.exclude_nodes)
            lines.append(f'-R "select[{avoided}]"')
        if options.end_margin_s:
            # In whole minutes, and never later than asked for.
            minutes = -(-options.end_margin_s // 60)
            lines.append(f"-wa USR1 -wt {minutes}")
        if num_in_array:
            common = {**common, "job_name": f'"{name}[1-{num_in_array}]"'}
        if gives(options, r"-M\b"):
            common = {**common, "job_directives_skip": ["#BSUB -M "]}
        else:
            lines.append(f'-R "rusage[mem={_memory(options)}]"')
        return from_dask_jobqueue("lsf", "LSFJob")(
            **common,
            queue=options.partition or None,
            project=options.account or None,
            ncpus=options.cores_per_job,
            mem=options.memory_per_job_mb * 1024**2,
            walltime=_minutes_text(options.walltime_s),
            job_extra_directives=[*lines, *options.directives],
        )


def _memory(options: ClusterOptions) -> str:
    """Give the memory to reserve, in the units of the site, as dask-jobqueue gives the limit."""
    units = from_dask_jobqueue("lsf", "lsf_detect_units")()
    in_units = from_dask_jobqueue("lsf", "lsf_format_bytes_ceil")
    return str(in_units(options.memory_per_job_mb * 1024**2, units))


def _minutes_text(walltime_s: int) -> str:
    """Give a walltime as LSF takes it, in hours and minutes; a part of a minute is left out.

    Examples
    --------
    >>> _minutes_text(3 * 3600 + 30 * 60 + 59), _minutes_text(10)
    ('03:30', '00:01')
    """
    minutes = max(1, walltime_s // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _report(job_id: str, state: str, code: str, reason: str, hosts: str, waits: str) -> JobReport:
    if state in _ENDED:
        said = [text for text in (reason, f"exit code {code}" if code not in "-" else "")
                if text not in ("-", "")]  # fmt: skip
    else:
        said = [] if waits in ("-", "") else [waits]
    words = f"{state} ({', '.join(said)})" if said else state
    nodes = "" if hosts == "-" else ",".join(
        dict.fromkeys(one.rpartition("*")[2] for one in hosts.split(":"))
    )  # fmt: skip
    if state == "DONE":
        return JobReport(job_id, JobState.ENDED, words, None, nodes)
    if state == "EXIT":
        found = re.match(r"TERM_\w+", reason)
        cause = _CAUSES.get(found.group(), Cause.NODE_LOST) if found else Cause.NODE_LOST
        return JobReport(job_id, JobState.ENDED, words, cause, nodes)
    if state in _PENDING:
        return JobReport(job_id, JobState.PENDING, words, None, nodes, state == "PSUSP")
    # RUN, USUSP, SSUSP, UNKWN (its machine does not answer), ZOMBI: not known to have ended.
    return JobReport(job_id, JobState.RUNNING, words, None, nodes)
