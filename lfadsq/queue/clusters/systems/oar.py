"""OAR."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.jobs import JobReport, JobState, report_of_array
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import Launch, Program
from lfadsq.queue.clusters.systems.calls import ask_command, call, refusal
from lfadsq.queue.clusters.systems.scripts import (
    ScriptWriter,
    from_dask_jobqueue,
    gives,
    job_name,
    require,
    walltime_text,
)
from lfadsq.queue.records import Cause

__all__ = ["Oar"]

_USR1 = 10
_ARRAY = "array:"
_PENDING = {"Waiting", "Hold", "toLaunch", "toAckReservation", "Launching"}
_ENDED = {"Terminated", "Error"}
_GONE = re.compile(r"not found|no such|unknown|already|does not exist|no job", re.IGNORECASE)


class Oar(ScriptWriter):
    """OAR, through oarsub, oarstat and oardel."""

    name = "oar"
    title = "OAR"
    commands = ("oarsub", "oarstat", "oardel")
    prefix = "#OAR"

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options OAR cannot do, and what to give in its place."""
        found = super().problems(options)
        if options.exclude_nodes and gives(options, r"(-p|--property)\b"):
            found.append(
                "exclude_nodes and a directive '-p' cannot be given together, for OAR obeys the "
                "last '-p' alone: add \"AND network_address != 'name.of.node'\" to the directive"
            )
        return found

    def submit(self, script: str) -> str:
        """Submit a script; see `BatchSystem`."""
        # OAR reads a script file only when the job starts: options and script go with the command.
        # Only "\n" ends a line, as in a shell; and only the head of a script has directives.
        lines = script.split("\n")
        end = next((i for i, line in enumerate(lines) if line and line[0] != "#"), len(lines))
        options = [line[len(self.prefix) :] for line in lines[:end] if line.startswith("#OAR ")]
        head = [line for line in lines[:end] if not line.startswith(("#OAR ", "#!"))]
        body = "\n".join([*head, *lines[end:]])
        answer = ask_command(
            ["oarsub", *(word for line in options for word in shlex.split(line)), body.strip()],
            remedy="'oarnodes' lists the properties of the machines, which sites name differently "
            "(memcore, gpu): give your site's as directives '-l' and '-p', which take the place "
            "of ours",
        )
        found = re.findall(r"^\s*OAR_JOB_ID\s*=\s*(\d+)", answer.out, re.MULTILINE)
        array = re.findall(r"^\s*OAR_ARRAY_ID\s*=\s*(\d+)", answer.out, re.MULTILINE)
        if not found:
            raise refusal(answer, "'oarstat -u' says whether the job is there")
        return f"{_ARRAY}{array[-1]}" if array else str(found[-1])

    def cancel_words(self, job_id: str) -> Sequence[str]:
        """Give the command by which a person cancels a job; see `BatchSystem`."""
        return "oardel", *_named(job_id, "")

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for job_id in dict.fromkeys(job_ids):
            answer = call(self.cancel_words(job_id))
            if answer.status != 0 and not _GONE.search(f"{answer.out} {answer.err}"):
                raise refusal(answer)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        reports = {}
        for job_id in dict.fromkeys(job_ids):
            answer = call(["oarstat", "-f", "-J", *_named(job_id, "-j")])
            if answer.status != 0:
                if _GONE.search(answer.words):
                    continue
                raise refusal(answer, "OAR is busy or down: try 'oarstat' by hand, and later again")
            try:
                jobs = json.loads(answer.out or "{}")
            except ValueError as error:
                raise ClusterError(
                    f"'oarstat -J' gave what is no JSON: {error}", "try the same by hand"
                ) from None
            found = [_report(job_id, one) for one in jobs.values() if isinstance(one, dict)]
            if found:
                reports[job_id] = report_of_array(job_id, found)
        return reports

    def _check_log_folder(self, folder: Path) -> None:
        # "%" begins a variable.
        require(folder, r"\w./+=@~:,-", self.title)

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        num_in_array = job.num_in_array if isinstance(job, Program) else 0
        cores = options.cores_per_job
        resources = f"/nodes=1/core={cores}"
        if options.gpus_per_job:
            # Cores are counted within each GPU.
            each = -(-cores // options.gpus_per_job)
            resources = f"/nodes=1/gpu={options.gpus_per_job}/core={each}"
        log = f"{job.log_folder}/{job_name(job.name)}-%jobid%.log"
        lines = [f"-O {log}", f"-E {log}"]
        if gives(options, r"(-l|--resource)\b"):
            common = {**common, "job_directives_skip": ["#OAR -l "]}
        if not gives(options, r"(-p|--property)\b"):
            wanted = [f"memcore>={-(-options.memory_per_job_mb // cores)}"]
            wanted += [f"network_address!='{node}'" for node in options.exclude_nodes]
            lines.append(f'-p "{" AND ".join(wanted)}"')
        if options.requeue:
            lines.append("-t idempotent")
        if options.end_margin_s:
            lines += [f"--checkpoint {options.end_margin_s}", f"--signal {_USR1}"]
        if num_in_array:
            lines.append(f"--array {num_in_array}")
        return from_dask_jobqueue("oar", "OARJob")(
            **common,
            queue=options.partition or None,
            project=options.account or None,
            resource_spec=resources,
            walltime=walltime_text(options.walltime_s),
            memory_per_core_property_name="not_applicable",
            job_extra_directives=[*lines, *options.directives],
        )


def _named(job_id: str, option: str) -> list[str]:
    if job_id.startswith(_ARRAY):
        return ["--array", job_id[len(_ARRAY) :]]
    return [option, job_id] if option else [job_id]


def _report(job_id: str, job: Mapping[str, Any]) -> JobReport:
    state = str(job.get("state", ""))
    events = job.get("events") or []
    kinds = [str(one.get("type")) for one in events if isinstance(one, dict) and one.get("type")]
    code = job.get("exit_code")
    said = [str(job["message"])] if job.get("message") and state in _PENDING else []
    if state in _ENDED:
        said += kinds + ([f"exit_code {code}"] if code not in (None, "") else [])
    words = f"{state} ({', '.join(said)})" if said else state
    nodes = ",".join(dict.fromkeys(map(str, job.get("assigned_network_address") or [])))
    if state in _ENDED:
        return JobReport(job_id, JobState.ENDED, words, _cause(state, kinds, code), nodes)
    if state in _PENDING:
        return JobReport(job_id, JobState.PENDING, words, None, nodes, state == "Hold")
    # Running, Finishing, Suspended, Resuming, toError: not known to have ended.
    return JobReport(job_id, JobState.RUNNING, words, None, nodes)


def _cause(state: str, kinds: list[str], code: object) -> Cause | None:
    if any("WALLTIME" in kind for kind in kinds):
        return Cause.WALLTIME
    if any("BESTEFFORT" in kind or "FRAG_JOB" in kind for kind in kinds):
        return Cause.PREEMPTED
    failed = state == "Error" or code not in (None, "", 0, "0")
    return Cause.NODE_LOST if failed else None
