"""Moab, as a rule above Torque."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from lfadsq.queue.clusters.jobs import JobReport, JobState
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import Launch, Program
from lfadsq.queue.clusters.systems.calls import ask_command, call, refusal
from lfadsq.queue.clusters.systems.pbs import LONGEST_NAME, Pbs
from lfadsq.queue.clusters.systems.scripts import (
    ScriptWriter,
    from_dask_jobqueue,
    gives,
    job_name,
)
from lfadsq.queue.records import Cause

__all__ = ["Moab"]

_PENDING = {"Idle", "Deferred", "Hold", "BatchHold", "SystemHold", "UserHold", "Blocked", "Staged"}
_PENDING |= {"NotQueued", "Migrated", "Staging"}
_HELD = {"Hold", "BatchHold", "SystemHold", "UserHold"}
_ENDED = {"Completed": None, "Removed": Cause.PREEMPTED, "Vacated": Cause.PREEMPTED}
_GONE = re.compile(r"invalid job|cannot locate job|unknown job|does not exist", re.IGNORECASE)
_SIGNALS = {143, 137, 271, 265}


class Moab(Pbs):
    """Moab, through msub, checkjob and canceljob."""

    name = "moab"
    title = "Moab"
    commands = ("msub", "checkjob", "canceljob")

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options Moab cannot do, and what to give in its place."""
        return ScriptWriter.problems(self, options)

    def submit(self, script: str) -> str:
        """Submit a script; see `BatchSystem`."""
        answer = ask_command(
            ["msub"],
            given=script,
            remedy="'showq -c' and 'mdiag -c' list the classes; then change the options of the "
            "cluster",
        )
        found = re.findall(
            r"^\s*((?:[A-Za-z][\w-]*\.)?\d+(?:\[\])?(?:\.\S+)?)\s*$", answer.out, re.M
        )
        if not found:
            raise refusal(answer, "'showq -u $USER' says whether the job is there")
        return str(found[-1])

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for job_id in dict.fromkeys(job_ids):
            answer = call(["canceljob", job_id])
            if answer.status != 0 and not _GONE.search(f"{answer.out} {answer.err}"):
                raise refusal(answer)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        reports = {}
        for job_id in dict.fromkeys(job_ids):
            answer = call(["checkjob", "-v", job_id])
            if answer.status == 0:
                reports[job_id] = _report(job_id, answer.out)
            elif not _GONE.search(f"{answer.out} {answer.err}"):
                raise refusal(answer, "Moab is busy or down: try 'checkjob' by hand, later again")
        return reports

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        num_in_array = job.num_in_array if isinstance(job, Program) else 0
        arguments = self._arguments(options, job, common)
        resources = f"nodes=1:ppn={options.cores_per_job}"
        if options.gpus_per_job:
            resources += f":gpus={options.gpus_per_job}"
        resources += f",mem={options.memory_per_job_mb}mb"
        if gives(options, r"-l\s*nodes\b"):
            arguments["job_directives_skip"] = ["-l nodes="]
        lines = self._lines(options, job)
        if options.end_margin_s:
            lines.append(f"-l signal=USR1@{options.end_margin_s}")
        if options.exclude_nodes:
            lines.append("-l excludenodes=" + ":".join(options.exclude_nodes))
        if num_in_array:
            lines.append(f"-t {job_name(job.name, LONGEST_NAME)}[1-{num_in_array}]")
        return from_dask_jobqueue("moab", "MoabJob")(
            **arguments,
            resource_spec=resources,
            job_extra_directives=[*lines, *options.directives],
        )


def _report(job_id: str, text: str) -> JobReport:
    """Make a report of what checkjob says."""
    state = _field(text, r"State:\s*(\w+)")
    code = _field(text, r"Completion Code:\s*(-?\d+)")
    reason = _field(text, r"(?:BLOCK MSG|Message\[\d+\]|NOTE|Hold Reason)\S*:?\s+(.+?)\s*$")
    said = [f"Completion Code: {code}"] if code else []
    said += [reason] if reason else []
    words = f"{state} ({', '.join(said)})" if said else state
    nodes = ",".join(re.findall(r"\[([\w.-]+):\d+\]", text))
    if state in _ENDED:
        return JobReport(job_id, JobState.ENDED, words, _cause(state, code, text), nodes)
    if state in _PENDING:
        return JobReport(job_id, JobState.PENDING, words, None, nodes, state in _HELD)
    return JobReport(job_id, JobState.RUNNING, words, None, nodes)


def _cause(state: str, code: str, text: str) -> Cause | None:
    if re.search(r"wallclock|walltime", _field(text, r"Message\S*\s+(.+)"), re.IGNORECASE):
        return Cause.WALLTIME
    if not code or int(code) == 0:
        return _ENDED[state]
    return Cause.PREEMPTED if int(code) in _SIGNALS else Cause.NODE_LOST


def _field(text: str, pattern: str) -> str:
    found = re.search(rf"^\s*{pattern}", text, re.MULTILINE)
    return found.group(1) if found else ""
