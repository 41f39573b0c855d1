"""HTCondor."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError, ConfigError
from lfadsq.queue.clusters.jobs import JobReport, JobState, report_of_array
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import Launch, Program
from lfadsq.queue.clusters.systems.calls import (
    Answer,
    ask_command,
    call,
    refusal,
    refuse_unless_gone,
)
from lfadsq.queue.clusters.systems.lists import chunked
from lfadsq.queue.clusters.systems.scripts import (
    UMASK,
    ScriptWriter,
    from_dask_jobqueue,
    job_name,
    require,
)
from lfadsq.queue.records import Cause

__all__ = ["HTCondor"]

_ATTRIBUTES = (
    "ClusterId,ProcId,JobStatus,LastJobStatus,HoldReason,RemoveReason,ExitCode,ExitBySignal,"
    "ExitSignal,RemoteHost,LastRemoteHost"
)
_STATES = {
    1: "IDLE",
    2: "RUNNING",
    3: "REMOVED",
    4: "COMPLETED",
    5: "HELD",
    6: "TRANSFERRING OUTPUT",
    7: "SUSPENDED",
}
_IDLE, _RUNNING, _REMOVED, _COMPLETED, _HELD = 1, 2, 3, 4, 5
_GONE = re.compile(r"couldn't find|not found|no jobs|already", re.IGNORECASE)
_SETTING = re.compile(r"(\+?[A-Za-z_][\w.]*)\s*=\s*(.*)")


class HTCondor(ScriptWriter):
    """HTCondor, through condor_submit, condor_q, condor_history and condor_rm."""

    name = "htcondor"
    title = "HTCondor"
    commands = ("condor_submit", "condor_q", "condor_rm")
    prefix = ""
    shebang = "#!/usr/bin/env condor_submit"

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options HTCondor cannot do, and what to give in its place."""
        found = super().problems(options)
        if options.partition:
            found.append(
                "HTCondor has no partitions: name in a directive what the machines must have, "
                "such as 'requirements = TARGET.GPUs_GlobalMemoryMb > 20000'"
            )
        settings = [line for line in options.directives if not _SETTING.fullmatch(line.strip())]
        found += [
            f"the directive {line!r} is no setting of HTCondor: write 'name = value'"
            for line in settings
        ]
        names = {_key(line).lower() for line in options.directives if line not in settings}
        if options.exclude_nodes and "requirements" in names:
            found.append(
                "exclude_nodes and a directive 'requirements' cannot be given together: add "
                "'&& Machine != \"name.of.node\"' to the directive"
            )
        found += [
            f"the setup line {line!r} has a line break: give each line by itself"
            for line in options.setup
            if "\n" in line
        ]
        return found

    def program_script(self, options: ClusterOptions, program: Program) -> str:
        """Write the description of a job, or of several alike; see `BatchSystem`."""
        self._check(options, program, program.argv)
        job = self._job(options, program, self._common(options, program))
        command = "; ".join(
            [
                *self._lines_before(options, program),
                "exec " + " ".join(map(self._quote, program.argv)),
            ]
        )
        quoted = from_dask_jobqueue("htcondor", "quote_arguments")
        lines = [f"{key} = {value}" for key, value in job.job_header_dict.items()]
        return "\n".join(
            [
                self.shebang,
                "",
                *lines,
                "",
                f'Arguments = "{quoted(["-c", command])}"',
                f"Executable = {job.executable}",
                "",
                f"Queue {program.num_in_array}" if program.num_in_array else "Queue",
                "",
            ]
        )

    def submit(self, script: str) -> str:
        """Submit a description; see `BatchSystem`."""
        answer = ask_command(
            ["condor_submit", "-terse", "-"],
            given=script,
            remedy="'condor_status' lists the machines; then change the options of the cluster",
        )
        found = re.findall(r"^(\d+)\.(\d+) - \d+\.(\d+)\s*$", answer.out, re.MULTILINE)
        if not found:
            raise refusal(answer, "'condor_q' says whether the job is there")
        cluster, first, last = found[-1]
        return f"{cluster}.{first}" if first == last else str(cluster)

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for some in chunked(job_ids):
            refuse_unless_gone(call(["condor_rm", *some]), _GONE)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        reports = {}
        for some in chunked(job_ids):
            told = _jobs(ask_command(["condor_q", "-json", "-attributes", _ATTRIBUTES, *some]))
            missing = [job_id for job_id in some if not _of(told, job_id)]
            if missing:
                command = ["condor_history", "-json", "-attributes", _ATTRIBUTES]
                if all("." in job_id for job_id in missing):
                    # Reading a long history to its start takes minutes.
                    command += ["-limit", str(len(missing))]
                told += _jobs(ask_command([*command, *missing]))
            for job_id in some:
                found = [_report(job_id, one) for one in _of(told, job_id)]
                if found:
                    reports[job_id] = report_of_array(job_id, found)
        return reports

    def _check(
        self, options: ClusterOptions, job: Launch | Program, arguments: Sequence[str]
    ) -> None:
        super()._check(options, job, arguments)
        # "$$(" is replaced when a machine is found, and nothing can hide it from that.
        for text in (*arguments, job.name, options.python, *options.setup):
            if "$$(" in text or "$$[" in text:
                raise ConfigError(
                    f"HTCondor would change {text!r}, for it has '$$(' or '$$['",
                    "rename the folder or change the line",
                )

    def _check_log_folder(self, folder: Path) -> None:
        require(folder, r"\w./+=@~:,-", self.title)

    def _lines_before(self, options: ClusterOptions, job: Launch | Program) -> list[str]:
        # All lines become one: a comment in one of them must not swallow those after it.
        setup = [f"eval {self._quote(line)}" for line in options.setup if line.strip()]
        return [UMASK, *setup]

    def _quote(self, text: str) -> str:
        return shlex.quote(text).replace("$", "$(DOLLAR)")

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        left = f"(JobStatus == 2 && time() - EnteredCurrentStatus > {options.walltime_s})"
        if not options.requeue:
            left += " || (JobStatus == 1 && NumJobStarts > 0)"
        log = f"{job.log_folder}/{job_name(job.name)}-$(ClusterId).$(ProcId)"
        settings: dict[str, Any] = {
            "batch_name": job_name(job.name),
            "RequestMemory": options.memory_per_job_mb,
            "Output": f"{log}.log",
            "Error": f"{log}.log",
            "Log": f"{log}.events",
            "Stream_Output": True,
            "Stream_Error": True,
            "notification": "never",
            "periodic_remove": left,
            "job_max_vacate_time": max(options.end_margin_s, 10),
        }
        if options.gpus_per_job:
            settings["request_gpus"] = options.gpus_per_job
        if options.exclude_nodes:
            settings["requirements"] = " && ".join(
                f'(Machine != "{node}")' for node in options.exclude_nodes
            )
        if options.account:
            settings["accounting_group"] = options.account
        for line in options.directives:
            name, value = _key(line), line.partition("=")[2].strip()
            for given in [one for one in settings if one.lower() == name.lower()]:
                del settings[given]
            settings[name] = value
        return from_dask_jobqueue("htcondor", "HTCondorJob")(
            **common, disk="1GiB", job_extra_directives=settings
        )


def _key(line: str) -> str:
    return line.partition("=")[0].strip()


def _jobs(answer: Answer) -> list[dict[str, Any]]:
    """Read the answer of condor_q and condor_history, which is empty if there is no such job."""
    if not answer.out.strip():
        return []
    try:
        jobs = json.loads(answer.out)
    except ValueError as error:
        raise ClusterError(
            f"'{answer.argv[0]} -json' gave what is no JSON: {error}", "try the same by hand"
        ) from None
    return [one for one in jobs if isinstance(one, dict)]


def _of(told: Sequence[Mapping[str, Any]], job_id: str) -> list[Mapping[str, Any]]:
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in told:
        cluster, process = one.get("ClusterId"), one.get("ProcId")
        members[f"{cluster}"].append(one)
        members[f"{cluster}.{process}"].append(one)
    return members[job_id]


def _report(job_id: str, one: Mapping[str, Any]) -> JobReport:
    status = one.get("JobStatus")
    said = [str(one[key]) for key in ("HoldReason", "RemoveReason") if one.get(key)]
    code = one.get("ExitCode")
    if status == _COMPLETED and one.get("ExitBySignal"):
        said.append(f"signal {one.get('ExitSignal')}")
    elif status == _COMPLETED and code is not None:
        said.append(f"exit code {code}")
    state = _STATES.get(status, f"JobStatus {status}") if isinstance(status, int) else "?"
    words = f"{state} ({', '.join(said)})" if said else state
    nodes = str(one.get("RemoteHost") or one.get("LastRemoteHost") or "").rpartition("@")[2]
    if status == _COMPLETED:
        ended_well = code == 0 and not one.get("ExitBySignal")
        return JobReport(
            job_id, JobState.ENDED, words, None if ended_well else Cause.NODE_LOST, nodes
        )
    if status == _REMOVED:
        by_itself = "PeriodicRemove" in str(one.get("RemoveReason"))
        too_long = by_itself and one.get("LastJobStatus") == _RUNNING
        cause = Cause.WALLTIME if too_long else Cause.PREEMPTED
        return JobReport(job_id, JobState.ENDED, words, cause, nodes)
    if status in (_IDLE, _HELD):
        return JobReport(job_id, JobState.PENDING, words, None, nodes, status == _HELD)
    return JobReport(job_id, JobState.RUNNING, words, None, nodes)
