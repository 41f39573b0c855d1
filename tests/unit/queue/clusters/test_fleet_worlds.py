"""Whatever happens to jobs, in any order: no more than allowed, none too many, none forgotten."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lfadsq.queue.clusters import fleet_table as tables
from lfadsq.queue.clusters.fleet_jobs import News, Table
from lfadsq.queue.clusters.fleet_plan import Plan, WorkerView, plan_of
from lfadsq.queue.clusters.jobs import JobReport, JobState
from lfadsq.queue.records import Cause

from .test_fleet_plan import ENDED, OPTIONS, PATIENCE, PENDING, RUNNING, by_name, view


@dataclass
class RealJob:
    """A job as it really is."""

    number: int
    state: JobState = PENDING
    words: str = "PENDING (Priority)"
    cause: Cause | None = None
    is_connected: bool = False
    num_tasks: int = 0
    idle_since_s: float = 0.0
    is_told: bool = True


class Worlds(RuleBasedStateMachine):
    """A batch system, its jobs, and workers, to which a plan is applied."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.table = Table()
        self.jobs: dict[str, RealJob] = {}
        self.num_tasks: int | None = None
        self.answer = "takes"
        self.num_submitted = 0
        self.options = OPTIONS
        self.places = 1
        self.news: list[News] = []

    @initialize(max_jobs=st.integers(1, 4), places=st.integers(1, 3))
    def begin(self, max_jobs: int, places: int) -> None:
        self.options, self.places = replace(OPTIONS, max_jobs=max_jobs), places

    @property
    def views(self) -> dict[str, WorkerView]:
        return by_name(
            *(
                view(
                    job.number,
                    num_places=self.places,
                    num_tasks=job.num_tasks,
                    idle_since_s=None if job.num_tasks else job.idle_since_s,
                )
                for job in self.jobs.values()
                if job.is_connected
            )
        )

    @property
    def alive(self) -> list[RealJob]:
        return [job for job in self.jobs.values() if job.state is not ENDED]

    def pick(self, number: int) -> RealJob | None:
        return self.alive[number % len(self.alive)] if self.alive else None

    @rule(num_tasks=st.none() | st.integers(0, 9))
    def want(self, num_tasks: int | None) -> None:
        self.num_tasks = num_tasks

    @rule(seconds=st.sampled_from([0.5, 2, 6, 31, 61, 400]))
    def let_time_pass(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(answer=st.sampled_from(["takes", "takes", "refuses", "is silent"]))
    def change_the_system(self, answer: str) -> None:
        self.answer = answer

    @rule(number=st.integers(0, 9))
    def start(self, number: int) -> None:
        if (job := self.pick(number)) and job.state is PENDING:
            job.state, job.words = RUNNING, "RUNNING"

    @rule(number=st.integers(0, 9))
    def connect(self, number: int) -> None:
        if (job := self.pick(number)) and not job.is_connected:
            job.state, job.words = RUNNING, "RUNNING"
            job.is_connected, job.idle_since_s = True, self.now_s

    @rule(number=st.integers(0, 9), num_tasks=st.integers(0, 3))
    def work(self, number: int, num_tasks: int) -> None:
        if (job := self.pick(number)) and job.is_connected:
            if job.num_tasks and not num_tasks:
                job.idle_since_s = self.now_s
            job.num_tasks = min(num_tasks, self.places)

    @rule(number=st.integers(0, 9))
    def lose_worker(self, number: int) -> None:
        if job := self.pick(number):
            job.is_connected, job.num_tasks = False, 0

    @rule(
        number=st.integers(0, 9),
        cause=st.sampled_from([None, Cause.WALLTIME, Cause.PREEMPTED, Cause.NODE_LOST]),
        is_told=st.booleans(),
    )
    def end(self, number: int, cause: Cause | None, is_told: bool) -> None:
        if job := self.pick(number):
            self.finish(job, "ENDED", cause)
            job.is_told = is_told

    @rule(number=st.integers(0, 9))
    def put_back(self, number: int) -> None:
        if (job := self.pick(number)) and job.state is RUNNING:
            job.state, job.words = PENDING, "PENDING (BeginTime)"
            job.is_connected, job.num_tasks = False, 0

    @rule(asks=st.booleans())
    def go_round(self, asks: bool) -> None:
        before = {job.number: job.num_tasks for job in self.alive}
        places_before = self.places * sum(job.is_connected for job in self.alive)
        had_given_up = bool(self.table.why_gave_up)
        self.table, news = tables.see(self.table, self.views, self.now_s, PATIENCE)
        if asks:
            reports = {
                key: JobReport(key, job.state, job.words, job.cause)
                for key, job in self.jobs.items()
                if job.is_told
            }
            self.table, more = tables.hear(self.table, reports, "S", self.now_s, PATIENCE)
            news += more
        done = plan_of(self.table, self.views, self.num_tasks, self.options, self.now_s, PATIENCE)
        if had_given_up or self.num_tasks is None:
            assert done.num_jobs == 0
        else:
            assert done.num_jobs <= max(0, self.num_tasks)
            leaving = [j for j in self.table.jobs if j.leaving or not j.is_alive]
            if not leaving and places_before >= self.num_tasks:
                assert done.num_jobs == 0
        self.apply(done)
        for number, num_tasks in before.items():
            ended = self.jobs[str(number)].state is ENDED
            known = self.table.find(f"w{number}")
            assert not (ended and num_tasks) or (known and known.leaving not in ("idle", "spare"))

    def apply(self, done: Plan) -> None:
        self.close(done)
        late_s = self.now_s + PATIENCE.cancel_again_s
        self.table = tables.let_go(self.table, done.give_back, "spare", late_s)
        for name in done.give_back:
            known = self.table.find(name)
            assert known
            real = self.jobs[known.job_id]
            assert not real.num_tasks
            self.finish(real, "CANCELLED", Cause.PREEMPTED)
        for job in done.cancel:
            self.finish(self.jobs[job.job_id], "CANCELLED", Cause.PREEMPTED)
        names = [job.worker_name for job in done.cancel]
        self.table = tables.let_go(self.table, names, "", late_s)
        for _ in range(done.num_jobs):
            if self.answer == "takes":
                self.num_submitted += 1
                key = str(self.num_submitted)
                self.jobs[key] = RealJob(self.num_submitted)
                self.table = tables.submitted(self.table, f"w{key}", key, self.now_s)
            elif self.answer == "refuses":
                self.table = tables.refused(self.table, "no", self.now_s, PATIENCE)
                break
            else:
                self.table = tables.unanswered(self.table, "?", self.now_s, PATIENCE)
                break

    def close(self, done: Plan) -> None:
        needed = self.num_tasks or 0
        for name in done.close:
            known = self.table.find(name)
            assert known
            if not known.leaving:
                real = self.jobs[known.job_id]
                assert not real.num_tasks
                assert self.now_s - real.idle_since_s >= PATIENCE.idle_s
                self.table = tables.let_go(self.table, [name], "idle", self.now_s + 15)
                kept = [j for j in self.table.alive if j.worker and not j.leaving]
                assert self.places * len(kept) >= needed
        for name in done.close:
            known = self.table.find(name)
            assert known
            self.finish(self.jobs[known.job_id], "COMPLETED", None)

    def finish(self, job: RealJob, words: str, cause: Cause | None) -> None:
        if job.state is not ENDED:
            job.state, job.words, job.cause = ENDED, words, cause
            job.is_connected, job.num_tasks = False, 0

    @invariant()
    def never_more_than_allowed(self) -> None:
        assert len(self.alive) <= self.options.max_jobs
        assert len(self.table.alive) <= self.options.max_jobs

    @invariant()
    def gives_up_only_for_a_reason(self) -> None:
        if self.table.why_gave_up and self.table.failures:
            assert len(self.table.failures) >= 3

    @rule()
    def nothing_is_left_when_nothing_is_wanted(self) -> None:
        """A pending job goes at once; one that runs within a minute after its worker is there."""
        self.num_tasks = 0
        for job in self.alive:
            if job.num_tasks:
                job.num_tasks, job.idle_since_s = 0, self.now_s
        for _ in range(20):
            for job in self.alive:
                if job.state is RUNNING and not job.is_connected and job.is_told:
                    job.is_connected, job.idle_since_s = True, self.now_s
            self.now_s += 5
            self.go_round(asks=True)
        assert not self.alive

    def teardown(self) -> None:
        """All that waits is served once all is well."""
        self.num_tasks = num_tasks = self.num_tasks or 3
        self.answer = "takes"
        for _ in range(100 if not self.table.why_gave_up else 0):
            for job in self.alive:
                if not job.is_connected:
                    job.state, job.words = RUNNING, "RUNNING"
                    job.is_connected, job.is_told = True, True
                job.num_tasks = 0
                job.idle_since_s = self.now_s
            self.now_s += 10
            self.go_round(asks=True)
            num_needed = math.ceil(num_tasks / self.places)
            if len(self.alive) >= min(num_needed, self.options.max_jobs):
                return
            if self.table.why_gave_up:
                return  # by what was heard late of failures before
        assert self.table.why_gave_up, "tasks wait, and nothing is asked for"


TestWorlds = Worlds.TestCase
TestWorlds.settings = settings(max_examples=60, stateful_step_count=30)
