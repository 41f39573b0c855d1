"""What becomes of the jobs of a queue: by their workers, and by what the batch system says.

Only functions of values. Times are monotonic [s], given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from lfadsq.queue.clusters.fleet_jobs import (
    Job,
    News,
    Patience,
    StartFailure,
    Table,
    What,
    WorkerView,
    is_usable,
)
from lfadsq.queue.clusters.jobs import JobReport, JobState
from lfadsq.queue.records import Cause

__all__ = ["hear", "let_go", "refused", "see", "submitted", "taken_away", "unanswered"]


def see(
    table: Table, workers: Mapping[str, WorkerView], now_s: float, patience: Patience
) -> tuple[Table, list[News]]:
    """Take in which workers are connected, by name."""
    before = table.jobs
    table, news = _each(
        table, lambda job: _seen(job, workers.get(job.worker_name), now_s, patience)
    )
    if any(new.was_usable > old.was_usable for old, new in zip(before, table.jobs, strict=True)):
        table = replace(table, failures=(), failure_until_s=float("-inf"))
    if any(worker.num_tasks for worker in workers.values()):
        table = replace(table, num_barren=0)
    for worker in workers.values():
        if is_usable(worker):
            table = replace(table, places_per_job=worker.num_places)
    kept = (j for j in table.jobs if j.is_alive or now_s - j.since_s < patience.remember_s)
    return _counted(replace(table, jobs=tuple(kept)), news, now_s, patience), news


def hear(
    table: Table,
    reports: Mapping[str, JobReport],
    title: str,
    now_s: float,
    patience: Patience,
) -> tuple[Table, list[News]]:
    """Take in what the batch system, called `title`, says of the jobs that are alive, by id.

    Parameters
    ----------
    now_s : float
        When it was asked (monotonic) [s].
    """
    table, news = _each(
        table, lambda job: _told(job, reports.get(job.job_id), title, now_s, patience)
    )
    return _counted(table, news, now_s, patience), news


def submitted(table: Table, worker_name: str, job_id: str, now_s: float) -> Table:
    """Add a job that the batch system has taken."""
    limit = table.limit if now_s < table.limit_until_s else None
    return replace(
        table,
        jobs=(*table.jobs, Job(worker_name, job_id, now_s, submitted_s=now_s)),
        silent_since_s=None,
        num_silences=0,
        limit=limit,
    )


def refused(table: Table, words: str, now_s: float, patience: Patience) -> Table:
    """Take in that the batch system refused a job.

    If it holds others of ours, it may just not allow more: those are enough for a while.
    """
    table = replace(table, silent_since_s=None, num_silences=0)
    num_held = len(table.alive)
    if any(not job.leaving for job in table.alive):
        return replace(table, limit=num_held, limit_until_s=now_s + patience.limit_s)
    return _failed(table, StartFailure("", "", words), now_s, patience)


def unanswered(table: Table, words: str, now_s: float, patience: Patience) -> Table:
    """Take in that the batch system did not answer when it was given a job."""
    since_s = now_s if table.silent_since_s is None else table.silent_since_s
    table = replace(
        table,
        silent_since_s=since_s,
        num_silences=table.num_silences + 1,
        silence_until_s=now_s + _nth(patience.silence_s, table.num_silences + 1),
    )
    if now_s - since_s >= patience.silent_s and not table.has_usable_worker:
        return replace(table, why_gave_up=words, failures=())
    return table


def let_go(
    table: Table,
    worker_names: Collection[str],
    why: str,
    cancel_at_s: float,
    *,
    is_given_back: bool = True,
) -> Table:
    """Mark jobs as of no more use; those that were given up already keep their reason."""

    def step(job: Job) -> tuple[Job, list[News]]:
        if job.worker_name not in worker_names or not job.is_alive:
            return job, []
        if job.leaving:
            return replace(job, cancel_at_s=cancel_at_s), []
        return (
            replace(job, leaving=why, is_given_back=is_given_back, cancel_at_s=cancel_at_s),
            [],
        )

    return _each(table, step)[0]


def taken_away(table: Table, now_s: float, patience: Patience) -> Table:
    """Count a job, or several at once, that ended before any task had started."""
    if table.num_barren and now_s < table.barren_until_s:
        return table
    num_barren = table.num_barren + 1
    until_s = now_s + _nth(patience.barren_s, num_barren)
    return replace(table, num_barren=num_barren, barren_until_s=until_s)


_MOST_FAILURES = 3
_Step = Callable[[Job], tuple[Job, list[News]]]


def _each(table: Table, step: _Step) -> tuple[Table, list[News]]:
    stepped = [step(job) for job in table.jobs]
    news = [item for _, items in stepped for item in items]
    return replace(table, jobs=tuple(job for job, _ in stepped)), news


def _seen(
    job: Job, worker: WorkerView | None, now_s: float, patience: Patience
) -> tuple[Job, list[News]]:
    news: list[News] = []
    if not job.is_alive:
        if worker is None or job.missing_since_s is None:
            return job, []
        # The batch system had forgotten it, but it lives.
        job = replace(job, state=JobState.RUNNING, since_s=now_s, words="", missing_since_s=now_s)
    if worker is None:
        if job.worker is not None:
            job = replace(job, worker=None, lost_since_s=now_s, measures_since_s=None)
        return _judged(job, now_s, patience)
    if job.state is JobState.PENDING:
        job = replace(job, state=JobState.RUNNING, since_s=now_s, words="", nodes=worker.host)
        news.append(News(What.STARTED, job))
    measures = not is_usable(worker) and not worker.problem
    job = replace(
        job,
        worker=worker,
        was_usable=job.was_usable or is_usable(worker),
        has_worked=job.has_worked or worker.num_tasks > 0,
        measures_since_s=(job.measures_since_s or now_s) if measures else None,
        lost_since_s=None,
    )
    if job.is_given_back and worker.num_tasks:
        # It was idle when it was closed, and got a task in that moment.
        job = replace(job, leaving="", is_given_back=False, cancel_at_s=None)
    job, more = _judged(job, now_s, patience)
    return job, news + more


def _judged(job: Job, now_s: float, patience: Patience) -> tuple[Job, list[News]]:
    """Let a job go that has come to nothing."""
    if job.leaving or job.state is not JobState.RUNNING:
        return job, []
    if job.worker is not None:
        why = job.worker.problem
        if _is_over(job.measures_since_s, now_s, patience.connect_s):
            why = "its worker found nothing to run tasks on"
        # The worker is closed first, and may end the job by itself.
        what, cancel_at_s = What.UNUSABLE, now_s + patience.leave_s
    elif job.lost_since_s is not None:
        is_over = _is_over(job.lost_since_s, now_s, patience.gone_s)
        why = "its worker is gone" if is_over and job.missing_since_s is None else ""
        what, cancel_at_s = What.LOST, now_s
    else:
        is_over = now_s - job.since_s > patience.connect_s
        why = "its worker never connected" if is_over else ""
        what, cancel_at_s = What.CUT_OFF, now_s
    if not why:
        return job, []
    job = replace(job, leaving=why, cancel_at_s=cancel_at_s)
    return job, [News(what, job)]


def _told(
    job: Job, report: JobReport | None, title: str, now_s: float, patience: Patience
) -> tuple[Job, list[News]]:
    if not job.is_alive:
        return job, []
    if report is None:
        missing_since_s = now_s if job.missing_since_s is None else job.missing_since_s
        job = replace(job, missing_since_s=missing_since_s)
        is_lost = job.lost_since_s is None or _is_over(job.lost_since_s, now_s, patience.gone_s)
        if job.worker is None and is_lost and now_s - missing_since_s > patience.gone_s:
            return _ended(job, f"unknown to {title}", None, now_s)
        return job, []
    job = replace(job, missing_since_s=None, heard_s=now_s, nodes=report.nodes or job.nodes)
    if report.state is JobState.ENDED:
        return _ended(job, report.words, report.cause, now_s)
    if report.state is job.state:
        job = replace(job, words=report.words)
        if report.is_stuck and not job.leaving and now_s - job.since_s >= patience.stuck_s:
            job = replace(job, leaving=report.words, cancel_at_s=now_s)
            return job, [News(What.STUCK, job)]
        return job, []
    if report.state is JobState.RUNNING:
        job = replace(job, state=JobState.RUNNING, since_s=now_s, words=report.words)
        return job, [] if job.leaving else [News(What.STARTED, job)]
    if job.worker is not None:
        return job, []  # that its worker is gone will soon be seen
    job = replace(
        job, state=JobState.PENDING, since_s=now_s, words=report.words, lost_since_s=None, nodes=""
    )
    return job, [] if job.leaving else [News(What.PUT_BACK, job)]


def _ended(job: Job, words: str, cause: Cause | None, now_s: float) -> tuple[Job, list[News]]:
    job = replace(job, state=JobState.ENDED, since_s=now_s, words=words, cause=cause, worker=None)
    if job.leaving:
        return job, []
    has_failed = not job.was_usable and cause is not Cause.PREEMPTED
    return job, [News(What.FAILED if has_failed else What.ENDED, job)]


def _counted(table: Table, news: Collection[News], now_s: float, patience: Patience) -> Table:
    for item in news:
        job = item.job
        if item.what in (What.FAILED, What.STUCK, What.CUT_OFF) or (
            item.what is What.UNUSABLE and not job.has_worked
        ):
            failure = StartFailure(job.job_id, job.worker_name, job.leaving or job.words)
            table = _failed(table, failure, now_s, patience)
        elif item.what in (What.ENDED, What.LOST) and not job.has_worked:
            table = taken_away(table, now_s, patience)
    return table


def _failed(table: Table, failure: StartFailure, now_s: float, patience: Patience) -> Table:
    if table.failures and now_s < table.failure_until_s:
        return table  # asked for at once, failed at once: for one reason
    failures = (*table.failures, failure)
    table = replace(
        table,
        failures=failures[-_MOST_FAILURES - 1 :],
        failure_until_s=now_s + _nth(patience.failure_s, len(failures)),
    )
    if len(failures) >= _MOST_FAILURES and not table.has_usable_worker:
        return replace(table, why_gave_up=failure.words or "no reason was given")
    return table


def _is_over(since_s: float | None, now_s: float, limit_s: float) -> bool:
    return since_s is not None and now_s - since_s > limit_s


def _nth(waits_s: tuple[float, ...], number: int) -> float:
    return waits_s[min(number, len(waits_s)) - 1]
