"""Grid Engine: Son of Grid Engine, Univa and Altair Grid Engine."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.jobs import JobReport, JobState, report_of_array
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import Launch, Program
from lfadsq.queue.clusters.systems.calls import ask_command, call, refusal
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

__all__ = ["Sge"]

_REMEDY = (
    "sites name these differently: 'qconf -spl' lists the parallel environments, 'qconf -sc' the "
    "resources, 'qconf -sql' the queues; give your site's as directives, such as '-pe threaded 4' "
    "or '-l ngpus=1', which then take the place of ours"
)
_DONE = re.compile(r"has registered|has deleted|already in deletion", re.IGNORECASE)
_GONE = re.compile(r"does not exist|denied: job|job id \S+ not found", re.IGNORECASE)
_MEANINGS = {"d": "deletion", "E": "error", "[sST]": "suspended", "h[^r]*$": "hold"}
"""Of the letters of states, by qstat(1); others are usual."""

_STAMP = re.compile(r"^[\d/]+ [\d:]+ \[\d+:\d+\]: ")
_NO_REASON = re.compile(r"not contained in its hard queue list|turned off")
_EXPLAINS_WITHIN_S = 15.0
_TOO_LONG = ("37", "enforced h_rt")


class Sge(ScriptWriter):
    """Grid Engine, through qsub, qstat, qacct and qdel."""

    name = "sge"
    title = "Grid Engine"
    commands = ("qsub", "qstat", "qdel")
    prefix = "#$"
    # USR2 comes before a deleted job is killed, a minute by default. Before it has begun there is
    # nothing to save: it would only stay for that minute, and even take a task.
    warnings = ("USR1", "XCPU")

    def submit(self, script: str) -> str:
        """Submit a script; see `BatchSystem`."""
        answer = ask_command(["qsub", "-terse"], given=script, remedy=_REMEDY)
        found = re.findall(r"^(\d+)(?:\.\d+-\d+:\d+)?\s*$", answer.out, re.MULTILINE)
        if not found:
            raise refusal(answer, "'qstat' says whether the job is there")
        return str(found[-1])

    def cancel(self, job_ids: Collection[str]) -> None:
        """Cancel jobs; see `BatchSystem`."""
        for some in chunked(job_ids):
            answer = call(["qdel", *some])
            # It complains to its output, and of some that have ended it says nothing wrong.
            wrong = [
                line
                for line in f"{answer.out}\n{answer.err}".splitlines()
                if line.strip() and not _DONE.search(line)
            ]
            if answer.status != 0 and not (wrong and all(map(_GONE.search, wrong))):
                raise refusal(answer)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        """Ask how jobs stand; see `BatchSystem`."""
        wanted = dict.fromkeys(job_ids)
        if not wanted:
            return {}
        answer = ask_command(
            ["qstat", "-xml"],
            remedy="Grid Engine is busy or down: try 'qstat' by hand, and later again",
        )
        listed = _listed(answer.out)
        reports = _explained({job_id: listed[job_id] for job_id in wanted if job_id in listed})
        for job_id in wanted:
            if job_id not in reports:
                ended = self._ask_accounting(job_id)
                if ended is not None:
                    reports[job_id] = ended
        return reports

    def _ask_accounting(self, job_id: str) -> JobReport | None:
        """Ask of a job that has ended; the accounts are written some seconds after its end."""
        try:
            answer = call(["qacct", "-j", job_id])
        except ClusterError:
            return None
        if answer.status != 0:
            return None
        blocks = [
            dict(re.findall(r"^(\w+)[ \t]+(.*?)[ \t]*$", block, re.MULTILINE))
            for block in re.split(r"^=+$", answer.out, flags=re.MULTILINE)
        ]
        ended = [_ended(job_id, block) for block in blocks if "exit_status" in block]
        if not ended:
            return None
        # Numbers of jobs start again after the last: the newest account is ours.
        tasks = [block.get("taskid", "undefined") for block in blocks if "exit_status" in block]
        return ended[-1] if tasks[-1] == "undefined" else report_of_array(job_id, ended)

    def _check_log_folder(self, folder: Path) -> None:
        # A colon would end the name of a machine, a comma a path, a dollar sign begins a variable.
        require(folder, r"\w./+=@~-", self.title)

    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        num_in_array = job.num_in_array if isinstance(job, Program) else 0
        one = "$JOB_ID.$TASK_ID" if num_in_array else "$JOB_ID"
        log = f"{job.log_folder}/{job_name(job.name)}-{one}.log"
        lines = [f"-o {log}", "-S /bin/bash", "-r y" if options.requeue else "-r n"]
        if options.end_margin_s:
            # USR1 comes at the soft limit, USR2 before a job is killed by qdel.
            left_s = options.walltime_s - options.end_margin_s
            lines += [f"-l s_rt={walltime_text(left_s)}", "-notify"]
        if options.cores_per_job > 1 and not gives(options, r"-pe\b"):
            lines.append(f"-pe smp {options.cores_per_job}")
        if not gives(options, r"-l\s.*(mem|vmem|rss)"):
            lines.append(f"-l mem_free={options.memory_per_job_mb}M")
        if options.gpus_per_job and not gives(options, r"-l\s.*gpu"):
            lines.append(f"-l gpu={options.gpus_per_job}")
        if options.exclude_nodes:
            lines.append(f"-l h=!({'|'.join(options.exclude_nodes)})")
        if num_in_array:
            lines.append(f"-t 1-{num_in_array}")
        return from_dask_jobqueue("sge", "SGEJob")(
            **common,
            queue=options.partition or None,
            project=options.account or None,
            walltime=walltime_text(options.walltime_s),
            job_extra_directives=[*lines, *options.directives],
        )


def _listed(text: str) -> dict[str, JobReport]:
    members: dict[str, list[JobReport]] = defaultdict(list)
    try:
        entries = list(ElementTree.fromstring(text).iter("job_list"))
    except ElementTree.ParseError as error:
        raise ClusterError(
            f"'qstat -xml' gave what is no XML: {error}", "try the same command by hand"
        ) from None
    for entry in entries:
        job_id = entry.findtext("JB_job_number", "")
        letters = entry.findtext("state", "")
        members[job_id].append(_report(job_id, letters, entry.findtext("queue_name", "") or ""))
    return {
        job_id: reports[0] if len(reports) == 1 else report_of_array(job_id, reports)
        for job_id, reports in members.items()
    }


def _report(job_id: str, letters: str, queue: str) -> JobReport:
    nodes = queue.partition("@")[2]
    meanings = [text for pattern, text in _MEANINGS.items() if re.search(pattern, letters)]
    words = f"{letters} ({meanings[0]})" if meanings else letters
    is_running = re.search("[rtsST]", letters) or not re.search("[qhE]", letters)
    if is_running:
        return JobReport(job_id, JobState.RUNNING, words, None, nodes)
    is_stuck = "E" in letters or "h" in letters
    return JobReport(job_id, JobState.PENDING, words, None, nodes, is_stuck)


def _explained(reports: dict[str, JobReport]) -> dict[str, JobReport]:
    """Add why jobs wait, which the list does not tell, as far as that is to be had."""
    waiting = [job_id for job_id, one in reports.items() if one.state is JobState.PENDING]
    explained = dict(reports)
    for some in chunked(waiting):
        try:
            answer = call(["qstat", "-j", ",".join(some)], timeout_s=_EXPLAINS_WITHIN_S)
        except ClusterError:
            break
        for block in re.split(r"^=+$", answer.out, flags=re.MULTILINE):
            number = re.search(r"^job_number: +(\d+)", block, re.MULTILINE)
            if number and number[1] in some:
                explained[number[1]] = _with_reason(reports[number[1]], block)
    return explained


def _with_reason(report: JobReport, block: str) -> JobReport:
    errors = re.findall(r"^error reason\s+\S+\s+(.*?)\s*$", block, re.MULTILINE)
    found = re.search(r"^scheduling info: +(.*(?:\n +.*)*)", block, re.MULTILINE)
    info = [line.strip() for line in found[1].splitlines()] if found else []
    reasons = [_STAMP.sub("", line) for line in errors or info if not _NO_REASON.search(line)]
    letters = report.words.partition(" (")[0]
    # What waits for another job looks the same in the list as what a person holds.
    waits = not errors and "jid_predecessor_list" in block
    return replace(
        report,
        words=f"{letters} ({reasons[0]})" if reasons else report.words,
        is_stuck=report.is_stuck and not waits,
    )


def _ended(job_id: str, account: dict[str, str]) -> JobReport:
    status, failed = account["exit_status"], account.get("failed", "0")
    said = [f"exit_status {status}"]
    if not re.fullmatch(r"0\s*", failed):
        said.append(f"failed {failed}")
    words = ", ".join(said)
    nodes = account.get("hostname", "")
    number = failed.split()[0] if failed.split() else "0"
    if number == "0" and status.split()[0] == "0":
        cause = None
    elif number == _TOO_LONG[0] or _TOO_LONG[1] in failed:
        cause = Cause.WALLTIME
    elif number == "100" and status.split()[0] in {"137", "143", "138", "140"}:
        cause = Cause.PREEMPTED
    else:
        cause = Cause.NODE_LOST
    return JobReport(job_id, JobState.ENDED, words, cause, nodes)
