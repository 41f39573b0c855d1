"""What a fleet of jobs tells people, in a line each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lfadsq.errors import ClusterError, LfadsqError
from lfadsq.queue.clusters.fleet_jobs import Job, News, Table, What
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.events import Noted
from lfadsq.queue.failures import last_lines, log_tail
from lfadsq.texts import count_text, duration_text

__all__ = [
    "asked_text",
    "does_not_answer",
    "give_up_error",
    "job_log",
    "lasting_text",
    "news_note",
    "one_line",
    "pending_text",
]

_NUM_LOG_LINES = 15
_LONGEST_LINE = 500

_NO_ANSWER = re.compile(
    r"does not answer|had not ended after|timed? ?out|temporarily unable|temporarily unavailable"
    r"|unable to contact|cannot connect|can't connect|could not connect|failed to connect"
    r"|connection (refused|reset|failure|failed)|communication (failure|error)|commlib error"
    r"|unable to send message|unable to establish|no route to host|is down|not responding"
    r"|can't find address|please wait",
    re.IGNORECASE,
)


def does_not_answer(error: LfadsqError) -> bool:
    """Tell whether a batch system could not be reached, other than that it refused.

    >>> does_not_answer(ClusterError("sbatch: error: Unable to contact slurm controller"))
    True
    >>> does_not_answer(ClusterError("sbatch: error: invalid partition specified: gpus"))
    False
    """
    return isinstance(error, ClusterError) and bool(_NO_ANSWER.search(error.problem))


def asked_text(title: str, num_jobs: int, options: ClusterOptions) -> str:
    """Say what was asked for.

    >>> asked_text("SLURM", 4, ClusterOptions("slurm"))
    'asked SLURM for 4 jobs (1 GPU, 4 cores, 16 GB, 1 day)'
    """
    each = [
        count_text(options.gpus_per_job, "GPU") if options.gpus_per_job else "no GPU",
        count_text(options.cores_per_job, "core"),
        f"{options.memory_per_job_mb / 1000:g} GB",
        _walltime_text(options.walltime_s),
    ]
    return f"asked {title} for {count_text(num_jobs, 'job')} ({', '.join(each)})"


def news_note(news: News, title: str, *, is_wanted: bool) -> Noted | None:
    """Say what happened to a job.

    Parameters
    ----------
    news : News
    title : str
        Of the batch system.
    is_wanted : bool
        Whether another job is asked for in its place.
    """
    job = news.job
    words = one_line(job.words) or "without a word"
    again = ", and is asked for again" if is_wanted else ""
    head = f"job {job.job_id}"
    if news.what is What.STARTED:
        return Noted(f"{head} started{f' on {job.nodes}' if job.nodes else ''}")
    if news.what is What.PUT_BACK:
        return Noted(f"{head} waits again, put back by {title}: {words}")
    if news.what is What.ENDED:
        return Noted(f"{head} has ended: {words}{again}")
    if news.what is What.FAILED:
        return Noted(f"{head} ended before its worker had connected: {words}{again}")
    if news.what is What.STUCK:
        text = f"{head} would wait for ever, and is cancelled: {words}{again}"
        return Noted(text, is_warning=True)
    if news.what is What.LOST:
        return Noted(f"{head} is cancelled: {title} says {words}, but its worker is gone{again}")
    if news.what is What.UNUSABLE:
        return Noted(
            f"{head}{f' on {job.nodes}' if job.nodes else ''} can be used for nothing:"
            f" {one_line(job.leaving)}{again}",
            is_warning=True,
        )
    return Noted(
        f"{head} has run{f' on {job.nodes}' if job.nodes else ''} for minutes and its worker never"
        " connected: the nodes may not reach this machine. Choose a network that they can reach"
        " (--interface), ask whether a firewall closes the ports between nodes, or do without"
        f" connections (--no-dask); the job is cancelled{again}",
        is_warning=True,
    )


def pending_text(jobs: Sequence[Job], waited_s: float) -> str:
    """Say that jobs still wait, all of them for the same reason.

    >>> pending_text([Job("w", "124", 0.0, words="PENDING (Priority)")], 600)
    'job 124 is still pending: Priority (since 10 min)'
    """
    found = re.fullmatch(r"\w+ \((.+)\)", one_line(jobs[0].words))
    why = found[1] if found else one_line(jobs[0].words)
    ids = ", ".join(job.job_id for job in jobs)
    subject = f"job {ids} is" if len(jobs) == 1 else f"jobs {ids} are"
    return f"{subject} still pending{f': {why}' if why else ''} (since {_walltime_text(waited_s)})"


def lasting_text(job: Job, title: str) -> str:
    """Say that a job was cancelled, and is still there.

    >>> job = Job("w", "63", 0.0, words="dr (deletion)")
    >>> print(lasting_text(job, "Grid Engine").partition("; ")[0])
    job 63 was cancelled and does not end: Grid Engine says dr (deletion)
    """
    words = one_line(job.words) or "nothing"
    node = f"its node {job.nodes}" if job.nodes else "its node"
    return (
        f"job {job.job_id} was cancelled and does not end: {title} says {words}; {node} may be"
        f" down, and then an administrator of {title} can remove it. Until it is gone it counts as"
        " one of the jobs that may be asked for (--max-jobs)"
    )


def give_up_error(table: Table, title: str, log_folder: Path | None) -> ClusterError:
    """Say why nothing is asked for any more, with the end of the log of the last job."""
    why = one_line(table.why_gave_up)
    ids = [failure.job_id for failure in table.failures if failure.job_id]
    log = None
    for failure in table.failures:  # the last one counts
        if failure.job_id and log_folder is not None:
            log = job_log(log_folder, failure.job_id, failure.worker_name) or log
    by_words: dict[str, list[str]] = {}
    for failure in table.failures:
        by_words.setdefault(one_line(failure.words), []).append(failure.job_id)
    said = "; ".join(
        f"job {', '.join(filter(None, of))}: {words}" if any(of) else words
        for words, of in by_words.items()
    )
    if not table.failures:
        problem = f"{title} has not answered for too long: {why}"
        remedy = "try its commands by hand; start the queue again when they answer"
    elif not ids:
        problem = f"{title} refused every job: {why}"
        remedy = "change what is asked for (--dry-run shows the script of a job)"
    else:
        problem = f"{title} gave no job that can be used, {len(table.failures)} times: {said}"
        remedy = "look at the log of a job; `lfadsq doctor --cluster` finds out what is missing"
    if log is not None:
        lines = last_lines(log_tail(log), _NUM_LOG_LINES)
        remedy += "".join(
            [f"; the end of {log}:", *(f"\n  | {ln[:_LONGEST_LINE]}" for ln in lines)]
        )
    elif ids:
        remedy += f"; no log of it was found in {log_folder}"
    return ClusterError(problem, remedy)


def job_log(log_folder: Path, job_id: str, worker_name: str) -> Path | None:
    """Find the newest file that has a job's id in its name, rather one that is not empty."""
    number = re.match(r"\d+", job_id)
    ids = {job_id, number[0]} if number else {job_id}
    pattern = re.compile(rf"(?<!\d)(?:{'|'.join(map(re.escape, ids))})(?!\d)")
    found = []
    try:
        for path in log_folder.iterdir():
            # Names of workers hold numbers of their own.
            name = path.name.replace(worker_name, " ", 1)
            if pattern.search(name) and path.suffix not in (".json", ".lock"):
                stat = path.stat()
                found.append((stat.st_size > 0, stat.st_mtime_ns, path.name))
    except OSError:
        return None
    return log_folder / max(found)[2] if found else None


def one_line(words: str) -> str:
    """Make the words of others safe for a line on a terminal."""
    return " / ".join(last_lines(words, 100))


def _walltime_text(seconds: float) -> str:
    """Write a duration that somebody chose.

    >>> [_walltime_text(s) for s in (86400, 129600, 5400, 600, 90.0)]
    ['1 day', '1 day 12 h', '1 h 30 min', '10 min', '1 min 30 s']
    """
    if seconds < 60:
        return duration_text(seconds)
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        count_text(days, "day") if days else "",
        f"{hours} h" if hours else "",
        f"{minutes} min" if minutes else "",
        f"{rest_s} s" if rest_s and not days and not hours else "",
    ]
    return " ".join(part for part in parts if part)
