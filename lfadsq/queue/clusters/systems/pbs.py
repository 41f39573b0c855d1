"""PBS: OpenPBS and PBS Professional."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lfadsq.queue.clusters.jobs import JobReport, JobState
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

__all__ = ["Pbs", "parse_full_text"]

# Old ones refuse longer names.
LONGEST_NAME = 15

_PENDING = frozenset("QHWT")
_ENDED = frozenset("FXMC")
_DELETED_SUBSTATE = "91"
_KILLED_FOR_WALLTIME = -29
_SIGNALS = {128 + 9, 128 + 15, 256 + 9, 256 + 15}
_GONE = re.compile(r"Unknown Job Id|Job has finished|Request invalid for finished", re.IGNORECASE)
# A job that is ending already is "in a state" in which it cannot be deleted.
_ENDING = re.compile(rf"{_GONE.pattern}|Request invalid for state of job", re.IGNORECASE)
_NO_HISTORY = re.compile(r"history|illegal option|invalid option|conflicting options|usage", re.I)


class Pbs(ScriptWriter):
    """PBS, through qsub, qstat and qdel."""

    name = "pbs"
    title = "PBS"
    commands = ("qsub", "qstat", "qdel")
    prefix = "#PBS"

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options PBS cannot do, and what to give in its place."""
        found = super().problems(options)
        if options.exclude_nodes:
            found.append(
                "PBS cannot leave out nodes: in place of exclude_nodes, name in a directive what "
                "the nodes wanted have in common, such as '-l select=1:ncpus=4:ngpus=1:mem=16gb:"
                "gpu_model=a100', or name a queue"
            )
        return found

    def submit(self, script: str) -> str:
        """Submit a script; see `BatchSystem`."""
        answer = ask_command(
            ["qsub"],
            given=script,
            remedy="'qstat -q' lists the queues, 'pbsnodes -a' what nodes have (where GPUs are no "
            "'ngpus', give a directive '-l select=...'); then change the options of the cluster",
        )
        found = re.findall(r"^(\d+(?:\[\])?(?:\.\S+)?)\s*$", answer.out, re.MULTILINE)
        if not found:
            raise refusal(answer, "'qstat -u $USER' says whether the job is there")
        return str(found[-1])

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for some in chunked(job_ids):
            refuse_unless_gone(call(["qdel", *some]), _ENDING)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        reports = {}
        for some in chunked(job_ids):
            told = _ask_json(some)
            missing = [job_id for job_id in some if _find(told, job_id) is None]
            # Some versions give only the first of several jobs as JSON, or no JSON that can be
            # read; and without a history, "-x" is refused.
            if missing:
                told.update(_ask_text(missing))
            for job_id in some:
                attributes = _find(told, job_id)
                if attributes is not None:
                    reports[job_id] = report_of(job_id, attributes)
        return reports

    def _check_log_folder(self, folder: Path) -> None:
        # A colon would end the name of a machine, a comma an attribute.
        require(folder, r"\w./+=@~-", self.title)

    def _prologue(self, options: ClusterOptions, job: Launch | Program) -> list[str]:
        # PBS starts in the home folder, and keeps what a job writes on its node until the end:
        # a log that can be read while the job runs is written by the job itself.
        start = shlex.quote(f"{job.log_folder}/{job_name(job.name)}-")
        return [
            f'exec >>{start}"$PBS_JOBID".log 2>&1',
            'cd "$PBS_O_WORKDIR" || exit',
            *options.setup,
        ]

    def _arguments(
        self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]
    ) -> dict[str, Any]:
        """Give the arguments that all of this family take alike."""
        return {
            **common,
            "job_name": job_name(job.name, LONGEST_NAME),
            "queue": options.partition or None,
            "account": options.account or None,
            "walltime": walltime_text(options.walltime_s),
        }

    def _lines(self, options: ClusterOptions, job: Launch | Program) -> list[str]:
        """Give the directives that all of this family take alike."""
        # Into a folder, under a name of its own: what PBS says when it ends a job.
        return [
            f"-o {job.log_folder}/",
            "-j oe",
            "-S /bin/bash",
            "-r y" if options.requeue else "-r n",
        ]

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        num_in_array = job.num_in_array if isinstance(job, Program) else 0
        arguments = self._arguments(options, job, common)
        resources = f"select=1:ncpus={options.cores_per_job}"
        if options.gpus_per_job:
            resources += f":ngpus={options.gpus_per_job}"
        resources += f":mem={options.memory_per_job_mb}mb"
        if gives(options, r"-l\s*(select|nodes)\b"):
            arguments["job_directives_skip"] = ["-l select="]
        if num_in_array > 1:
            # PBS takes no array that may not be run again.
            lines = self._lines(replace(options, requeue=True), job)
            lines.append(f"-J 1-{num_in_array}")
        else:
            lines = self._lines(options, job)
        return from_dask_jobqueue("pbs", "PBSJob")(
            **arguments,
            resource_spec=resources,
            job_extra_directives=[*lines, *options.directives],
        )


def parse_full_text(text: str) -> dict[str, dict[str, str]]:
    r"""Read the answer of ``qstat -f``, by the id of the job; long lines are folded there.

    Examples
    --------
    >>> parse_full_text("Job Id: 7.here\n    job_state = R\n    comment = At\n\t noon\n")
    {'7.here': {'job_state': 'R', 'comment': 'At noon'}}
    """
    jobs: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in re.sub(r"\n\t", "", text).splitlines():
        if line.startswith("Job Id:"):
            current = jobs.setdefault(line.partition(":")[2].strip(), {})
        elif found := re.match(r" {4}([A-Za-z]\w*(?:\.\w+)?) = (.*)", line):
            # Variables of the job may hold line breaks, and after them anything.
            current.setdefault(found[1], found[2])
    return jobs


def report_of(job_id: str, attributes: Mapping[str, Any]) -> JobReport:
    """Make a report of the attributes that PBS or Torque gives of a job."""
    state = str(attributes.get("job_state", ""))
    status = attributes.get("Exit_status", attributes.get("exit_status"))
    said = [str(attributes["comment"])] if attributes.get("comment") else []
    if status is not None:
        said.append(f"Exit_status = {status}")
    words = f"{state} ({', '.join(said)})" if said else state
    nodes = ",".join(
        dict.fromkeys(
            one.partition("/")[0] for one in str(attributes.get("exec_host", "")).split("+") if one
        )
    )
    if state in _ENDED:
        return JobReport(job_id, JobState.ENDED, words, _cause(status, attributes), nodes)
    if state in _PENDING:
        return JobReport(job_id, JobState.PENDING, words, None, nodes, is_stuck=state == "H")
    # R, E, B, S, U, and states yet unknown: never take a job for ended by mistake.
    return JobReport(job_id, JobState.RUNNING, words, None, nodes)


def _cause(status: Any, attributes: Mapping[str, Any]) -> Cause | None:
    try:
        code = int(status)
    except (TypeError, ValueError):
        # Deleted before it ran, or the array itself, which has no status of its own.
        deleted = str(attributes.get("substate", "")) == _DELETED_SUBSTATE
        return Cause.PREEMPTED if deleted else None
    if code == 0:
        return None
    comment = str(attributes.get("comment", "")).lower()
    if code == _KILLED_FOR_WALLTIME or "walltime" in comment:
        return Cause.WALLTIME
    if code in _SIGNALS:
        used = _seconds(_nested(attributes, "resources_used", "walltime"))
        allowed = _seconds(_nested(attributes, "Resource_List", "walltime"))
        if used and allowed and used >= allowed:
            return Cause.WALLTIME
        return Cause.PREEMPTED
    if str(attributes.get("substate", "")) == _DELETED_SUBSTATE:
        return Cause.PREEMPTED
    return Cause.NODE_LOST


def _nested(attributes: Mapping[str, Any], name: str, key: str) -> str:
    """Find what JSON nests and the text writes with a dot."""
    inner = attributes.get(name)
    if isinstance(inner, Mapping):
        return str(inner.get(key, ""))
    return str(attributes.get(f"{name}.{key}", ""))


def _seconds(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return 0
    return int(parts[0]) * 3600 + int(parts[1]) * 60 + int(parts[2])


def _ask_json(job_ids: list[str]) -> dict[str, Mapping[str, Any]]:
    answer = call(["qstat", "-x", "-f", "-F", "json", *job_ids])
    try:
        jobs = json.loads(answer.out)["Jobs"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {key: value for key, value in jobs.items() if isinstance(value, dict)}


def _ask_text(job_ids: list[str]) -> dict[str, Mapping[str, Any]]:
    """Ask in plain text, with history if there is one; raise if PBS itself does not answer."""
    answer = call(["qstat", "-x", "-f", *job_ids])
    if answer.status != 0 and not answer.out.strip() and _NO_HISTORY.search(answer.err):
        answer = call(["qstat", "-f", *job_ids])
    remedy = "PBS is busy or down: try 'qstat' by hand, and later again"
    refuse_unless_gone(answer, _GONE, remedy)
    return dict(parse_full_text(answer.out))


def _find(told: Mapping[str, Mapping[str, Any]], job_id: str) -> Mapping[str, Any] | None:
    """Find a job whose server may be named in full, or not at all."""
    if job_id in told:
        return told[job_id]
    number = job_id.partition(".")[0]
    return next((found for key, found in told.items() if key.partition(".")[0] == number), None)
