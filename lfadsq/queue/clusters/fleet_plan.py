"""What to do next with the jobs of a queue: ask for more, give some back, or nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lfadsq.queue.clusters.fleet_jobs import Job, Patience, Table, WorkerView, is_usable
from lfadsq.queue.clusters.jobs import JobState
from lfadsq.queue.clusters.options import ClusterOptions

__all__ = ["Patience", "Plan", "WorkerView", "num_missing", "plan_of"]


@dataclass(frozen=True)
class Plan:
    """What to do next.

    Attributes
    ----------
    num_jobs : int
        How many more to ask for.
    give_back : tuple of str
        Workers of pending jobs that are not needed.
    close : dict of str to str
        Workers to close, and why.
    num_spent : int
        How many of them have too little time left for what waits, and never ran anything.
    cancel : tuple of Job
        Jobs that are to be cancelled now, after they were let go.
    """

    num_jobs: int = 0
    give_back: tuple[str, ...] = ()
    close: Mapping[str, str] = field(default_factory=dict)
    num_spent: int = 0
    cancel: tuple[Job, ...] = ()


def plan_of(
    table: Table,
    workers: Mapping[str, WorkerView],
    num_tasks: int | None,
    options: ClusterOptions,
    now_s: float,
    patience: Patience,
) -> Plan:
    """Decide what to do next.

    Parameters
    ----------
    table : Table
        After it was told of `workers`.
    workers : dict of str to WorkerView
        Those that are connected, by name; also ones of which no job is known.
    num_tasks : int or None
        How many tasks could use a place now, those that run among them; None while unknown: what
        is there is then left as it is.
    options : ClusterOptions
    now_s : float
        Monotonic [s].
    patience : Patience
    """
    cancel = tuple(
        job for job in table.alive if job.cancel_at_s is not None and job.cancel_at_s <= now_s
    )
    # One that can be used for nothing goes even while nobody knows what is needed.
    close = {job.worker_name: job.leaving for job in table.alive if _is_to_close(job)}
    if num_tasks is None:
        return Plan(cancel=cancel, close=close)
    give_back = _not_needed_pending(table, workers, num_tasks, options)
    idle = _not_needed_idle(table, workers, num_tasks, options, now_s, patience)
    num_jobs = num_missing(table, workers, num_tasks, options)
    spent = [job for job in table.alive if job.worker_name in idle and not job.has_worked]
    return Plan(
        num_jobs=min(num_jobs, _num_allowed(table, options, now_s)),
        give_back=give_back,
        close={**close, **dict.fromkeys(idle, "nothing waits for it")},
        num_spent=len(spent) if num_jobs else 0,
        cancel=cancel,
    )


def num_missing(
    table: Table,
    workers: Mapping[str, WorkerView],
    num_tasks: int | None,
    options: ClusterOptions,
) -> int:
    """Count the jobs that the tasks could use beyond those there are, whatever is allowed."""
    places = _num_places(table, workers, options) + _num_expected_places(table)
    return math.ceil(max(0, (num_tasks or 0) - places) / table.places_per_job)


def _num_allowed(table: Table, options: ClusterOptions, now_s: float) -> int:
    if table.why_gave_up or now_s < table.not_before_s:
        return 0
    most = options.max_jobs
    if table.limit is not None and now_s < table.limit_until_s:
        most = min(most, table.limit)
    allowed = max(0, most - len(table.alive))
    if table.num_silences:
        return min(allowed, 1)
    if table.failures or table.num_barren > 1:
        # One tries for all.
        num_expected = sum(job.is_expected for job in table.jobs)
        return min(allowed, max(0, 1 - num_expected))
    return allowed


def _not_needed_pending(
    table: Table, workers: Mapping[str, WorkerView], num_tasks: int, options: ClusterOptions
) -> tuple[str, ...]:
    spare = _num_places(table, workers, options) + _num_expected_places(table) - num_tasks
    pending = [j for j in table.jobs if j.is_expected and j.state is JobState.PENDING]
    num_spare = max(0, spare // table.places_per_job)
    newest_first = pending[::-1]
    return tuple(job.worker_name for job in newest_first[:num_spare])


def _not_needed_idle(
    table: Table,
    workers: Mapping[str, WorkerView],
    num_tasks: int,
    options: ClusterOptions,
    now_s: float,
    patience: Patience,
) -> list[str]:
    spare = _num_places(table, workers, options) - num_tasks
    idle = [
        worker
        for worker in workers.values()
        if worker.idle_since_s is not None
        and not worker.num_tasks
        and now_s - worker.idle_since_s >= patience.idle_s
        and not _is_leaving(table, worker)
    ]
    closed = []
    # Those that would be of use for longest are kept.
    for worker in sorted(idle, key=lambda w: math.inf if w.ends_in_s is None else w.ends_in_s):
        places = _places_of(worker, table, options)
        if places <= max(0, spare):
            spare -= places
            closed.append(worker.name)
    return closed


def _is_to_close(job: Job) -> bool:
    return job.worker is not None and bool(job.leaving) and not job.is_given_back


def _is_leaving(table: Table, worker: WorkerView) -> bool:
    job = table.find(worker.name)
    return job is not None and (bool(job.leaving) or not job.is_alive)


def _num_places(table: Table, workers: Mapping[str, WorkerView], options: ClusterOptions) -> int:
    """Count the places of workers that are there, and stay for a while."""
    return sum(
        _places_of(worker, table, options)
        for worker in workers.values()
        if not _is_leaving(table, worker)
    )


def _places_of(worker: WorkerView, table: Table, options: ClusterOptions) -> int:
    if worker.problem:
        return 0
    if worker.ends_in_s is not None and worker.ends_in_s < options.end_margin_s:
        return 0  # its tasks are about to need a place elsewhere
    if worker.ends_in_s is not None and worker.ends_in_s < options.min_time_left_s:
        return worker.num_tasks
    if not is_usable(worker):
        return table.places_per_job  # it is still finding out
    return worker.num_places


def _num_expected_places(table: Table) -> int:
    return table.places_per_job * sum(job.is_expected for job in table.jobs)
