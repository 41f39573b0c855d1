"""What is decided about jobs, in a world in which anything may happen to them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from lfadsq.queue.clusters import fleet_table as tables
from lfadsq.queue.clusters.fleet_jobs import News, Table, What
from lfadsq.queue.clusters.fleet_plan import Patience, Plan, WorkerView, num_missing, plan_of
from lfadsq.queue.clusters.fleet_words import news_note
from lfadsq.queue.clusters.jobs import JobReport, JobState
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.records import Cause

PATIENCE = Patience()
OPTIONS = ClusterOptions("slurm", max_jobs=3)


def view(
    number: int,
    *,
    num_tasks: int = 0,
    idle_since_s: float | None = None,
    num_places: int = 1,
    ends_in_s: float | None = None,
    problem: str = "",
) -> WorkerView:
    return WorkerView(
        f"w{number}",
        str(number),
        "node",
        num_places,
        num_tasks,
        idle_since_s,
        ends_in_s,
        problem,
    )


def by_name(*views: WorkerView) -> dict[str, WorkerView]:
    return {each.name: each for each in views}


def with_jobs(num_jobs: int, now_s: float = 0.0) -> Table:
    table = Table()
    for number in range(1, num_jobs + 1):
        table = tables.submitted(table, f"w{number}", str(number), now_s)
    return table


def plan(
    table: Table,
    num_tasks: int | None,
    now_s: float,
    workers: dict[str, WorkerView] | None = None,
    options: ClusterOptions = OPTIONS,
) -> Plan:
    return plan_of(table, workers or {}, num_tasks, options, now_s, PATIENCE)


def see(table: Table, now_s: float, *views: WorkerView) -> tuple[Table, list[What]]:
    table, news = tables.see(table, by_name(*views), now_s, PATIENCE)
    return table, [item.what for item in news]


def hear(table: Table, now_s: float, **reports: JobReport) -> tuple[Table, list[What]]:
    known = {key.lstrip("j"): report for key, report in reports.items()}
    table, news = tables.hear(table, known, "SLURM", now_s, PATIENCE)
    return table, [item.what for item in news]


def report(number: int, state: JobState, words: str = "", cause: Cause | None = None) -> JobReport:
    return JobReport(str(number), state, words or state.value.upper(), cause, "node")


RUNNING, PENDING, ENDED = JobState.RUNNING, JobState.PENDING, JobState.ENDED


# --- how many jobs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_tasks", "places", "asked"),
    [(None, 1, 0), (0, 1, 0), (1, 1, 1), (2, 1, 2), (7, 1, 3), (4, 4, 1), (5, 4, 2), (99, 4, 3)],
)
def test_as_many_jobs_as_the_tasks_can_use_and_never_more_than_allowed(
    num_tasks: int | None, places: int, asked: int
) -> None:
    assert plan(Table(places_per_job=places), num_tasks, 0.0).num_jobs == asked


def test_jobs_that_wait_count_as_places_that_come() -> None:
    assert plan(with_jobs(2), 3, 1.0).num_jobs == 1
    assert plan(with_jobs(2), 2, 1.0).num_jobs == 0


def test_a_worker_tells_how_many_places_a_job_has() -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_places=4, num_tasks=4))
    workers = by_name(view(1, num_places=4, num_tasks=4))
    assert plan(table, 9, 1.0, workers).num_jobs == 2
    assert plan(table, 8, 1.0, workers).num_jobs == 1
    assert plan(table, 4, 1.0, workers).num_jobs == 0


def test_the_newest_pending_jobs_are_given_back() -> None:
    assert plan(with_jobs(3), 1, 1.0).give_back == ("w3", "w2")
    assert plan(with_jobs(3), None, 1.0).give_back == ()


def test_a_job_that_has_started_is_kept_before_one_that_waits() -> None:
    table, _ = hear(with_jobs(2), 1.0, j1=report(1, PENDING), j2=report(2, RUNNING))
    assert plan(table, 1, 1.0).give_back == ("w1",)


@pytest.mark.parametrize(
    ("num_tasks", "now_s", "closed"),
    [(0, 29.0, set()), (0, 31.0, {"w1", "w2", "w3"}), (2, 31.0, {"w2"}), (None, 31.0, set())],
)
def test_idle_workers_are_closed_once_they_are_not_needed(
    num_tasks: int | None, now_s: float, closed: set[str]
) -> None:
    """The one with the least time left goes first."""
    left_s = {1: 9000.0, 2: 2000.0, 3: None}
    views = [view(n, idle_since_s=0.0, ends_in_s=left_s[n]) for n in (1, 2, 3)]
    table, _ = see(with_jobs(3), now_s, *views)
    assert set(plan(table, num_tasks, now_s, by_name(*views)).close) == closed


def test_a_worker_that_got_a_task_while_it_was_closed_is_used() -> None:
    table, _ = see(with_jobs(1), 0.0, view(1, idle_since_s=0.0))
    table = tables.let_go(table, ["w1"], "nothing waits", 50.0)
    working = view(1, num_tasks=1)
    table, _ = see(table, 36.0, working)
    assert plan(table, 1, 60.0, by_name(working)) == Plan()


def test_a_worker_of_a_job_that_nobody_knows_is_used() -> None:
    stranger = view(77, num_places=2, num_tasks=1)
    assert plan(Table(), 2, 0.0, by_name(stranger)).num_jobs == 0
    assert plan(Table(), 3, 0.0, by_name(stranger)).num_jobs == 1


def test_what_runs_in_a_job_about_to_end_needs_a_place_elsewhere() -> None:
    for left_s, num_tasks, asked in [(700, 1, 0), (300, 1, 0), (300, 2, 1), (100, 1, 1)]:
        workers = by_name(view(1, num_tasks=1, ends_in_s=left_s))
        table, _ = see(with_jobs(1), 0.0, *workers.values())
        assert plan(table, num_tasks, 0.0, workers).num_jobs == asked, left_s


def test_jobs_too_short_for_what_waits_are_not_asked_for_again_and_again() -> None:
    """Each is idle until it is closed; tasks wait all the time."""
    table, asked_s = Table(), []
    number, since_s = 0, 0.0
    for now in range(3600):
        views = [view(number, idle_since_s=since_s, ends_in_s=500)] if table.alive else []
        table, _ = see(table, now, *views)
        one = ClusterOptions("slurm", max_jobs=1)
        done = plan(table, 1, now, by_name(*views), one)
        if done.close:
            table = tables.let_go(table, list(done.close), "nothing waits", now)
            for _ in range(done.num_spent):
                table = tables.taken_away(table, now, PATIENCE)
            ended = report(number, ENDED, "COMPLETED")
            table, _ = hear(table, now, **{f"j{number}": ended})
        elif done.num_jobs:
            number, since_s = number + 1, float(now)
            table = tables.submitted(table, f"w{number}", str(number), now)
            asked_s.append(now)
    assert 3 <= len(asked_s) <= 15


# --- jobs that do not start ---------------------------------------------------------------------


def test_after_three_refusals_nothing_is_asked_for_any_more() -> None:
    table, now_s, waits_s = Table(), 0.0, []
    for _ in range(3):
        began_s = now_s
        while not plan(table, 5, now_s).num_jobs:
            now_s += 0.5
        waits_s.append(now_s - began_s)
        table = tables.refused(table, "invalid partition", now_s, PATIENCE)
    assert waits_s == [0, 1, 5]
    assert table.why_gave_up == "invalid partition"
    assert plan(table, 5, 1e6).num_jobs == 0


def test_a_refusal_while_other_jobs_are_there_is_a_limit() -> None:
    table = tables.refused(with_jobs(2), "QOSMaxSubmitJobPerUserLimit", 10.0, PATIENCE)
    assert not table.failures
    assert plan(table, 9, 100.0).num_jobs == 0
    assert plan(table, 9, 311.0).num_jobs == 1
    table, _ = hear(table, 20.0, j1=report(1, ENDED, "PREEMPTED", Cause.PREEMPTED))
    assert plan(table, 9, 26.0).num_jobs == 1


def failing_once(table: Table, number: int, now_s: float) -> Table:
    table = tables.submitted(table, f"w{number}", str(number), now_s)
    ended = report(number, ENDED, "FAILED", Cause.NODE_LOST)
    table, news = hear(table, now_s, **{f"j{number}": ended})
    assert What.FAILED in news
    return table


def test_jobs_that_end_before_their_worker_connected_are_start_failures() -> None:
    table = Table()
    for number in (1, 2, 3):
        assert not table.why_gave_up
        table = failing_once(table, number, 100.0 * number)
    assert table.why_gave_up == "FAILED"
    assert [failure.job_id for failure in table.failures] == ["1", "2", "3"]


def test_a_connection_resets_the_count() -> None:
    table = failing_once(failing_once(Table(), 1, 0.0), 2, 100.0)
    table, _ = see(tables.submitted(table, "w3", "3", 200.0), 201.0, view(3))
    assert not table.failures
    table, _ = see(table, 202.0)
    table = failing_once(failing_once(table, 4, 300.0), 5, 400.0)
    assert not table.why_gave_up


def test_jobs_that_fail_together_count_once_and_then_one_is_tried() -> None:
    failed = {f"j{n}": report(n, ENDED, "FAILED", Cause.NODE_LOST) for n in (1, 2, 3)}
    table, _ = hear(with_jobs(3), 5.0, **failed)
    assert len(table.failures) == 1
    assert plan(table, 9, 5.5).num_jobs == 0
    assert plan(table, 9, 6.1).num_jobs == 1
    assert plan(tables.submitted(table, "w4", "4", 6.1), 9, 60.0).num_jobs == 0


def test_while_a_worker_can_be_used_a_bad_node_does_not_stop_everything() -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_tasks=1))
    for number in (2, 3, 4, 5):
        table = failing_once(table, number, 400.0 * number)
    assert not table.why_gave_up
    workers = by_name(view(1, num_tasks=1))
    assert plan(table, 3, 2200.0, workers).num_jobs == 0
    assert plan(table, 3, 2301.0, workers).num_jobs == 1
    table, _ = see(table, 2302.0)
    table = failing_once(table, 6, 2400.0)
    assert table.why_gave_up == "FAILED"


def test_a_worker_that_can_be_used_for_nothing_is_a_start_failure() -> None:
    table, news = see(with_jobs(1), 1.0, view(1, num_places=0, problem="no GPU in the job"))
    assert news == [What.STARTED, What.UNUSABLE]
    assert table.failures[0].words == "no GPU in the job"
    workers = by_name(view(1, num_places=0, problem="no GPU in the job"))
    assert plan(table, None, 1.0, workers).close == {"w1": "no GPU in the job"}
    assert [job.job_id for job in plan(table, 1, 17.0, workers).cancel] == ["1"]
    assert num_missing(table, workers, 1, OPTIONS) == 1


def test_a_worker_that_never_knows_its_devices_is_a_start_failure() -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_places=0))
    assert not table.failures
    assert plan(table, 1, 2.0, by_name(view(1, num_places=0))).num_jobs == 0
    table, news = see(table, 302.0, view(1, num_places=0))
    assert news == [What.UNUSABLE]
    assert table.failures


def test_a_job_whose_worker_never_connects_is_cancelled_and_a_start_failure() -> None:
    table, news = hear(with_jobs(1), 10.0, j1=report(1, RUNNING))
    assert news == [What.STARTED]
    table, news = see(table, 309.0)
    assert not news
    table, news = see(table, 311.0)
    assert news == [What.CUT_OFF]
    assert [job.job_id for job in plan(table, 1, 311.0).cancel] == ["1"]
    assert len(table.failures) == 1


def test_a_job_that_would_wait_for_ever_is_cancelled_and_a_start_failure() -> None:
    held = replace(report(1, PENDING, "PENDING (JobHeldAdmin)"), is_stuck=True)
    table, news = hear(with_jobs(1), 59.0, j1=held)
    assert not news
    table, news = hear(table, 61.0, j1=held)
    assert news == [What.STUCK]
    assert table.failures[0].words == "PENDING (JobHeldAdmin)"
    assert [job.job_id for job in plan(table, 1, 61.0).cancel] == ["1"]
    table, news = hear(table, 62.0, j1=held)
    assert not news
    noted = news_note(News(What.STUCK, table.jobs[0]), "SLURM", is_wanted=True)
    assert noted is not None
    assert "job 1 would wait for ever" in noted.text
    assert "JobHeldAdmin" in noted.text


def test_silence_is_no_refusal_and_ends_after_ten_minutes() -> None:
    table, tried_s = Table(), []
    for now in range(2000):
        if plan(table, 3, now).num_jobs:
            tried_s.append(now)
            table = tables.unanswered(table, "no route", now, PATIENCE)
    assert table.why_gave_up == "no route"
    waits_s = [later - earlier for earlier, later in pairwise(tried_s)]
    assert waits_s == sorted(waits_s)
    assert waits_s[:3] == [5, 10, 20]
    assert 600 <= tried_s[-1] <= 660


def test_an_answer_ends_a_silence() -> None:
    table = tables.unanswered(Table(), "no route", 0.0, PATIENCE)
    table = tables.submitted(table, "w1", "1", 6.0)
    table = tables.unanswered(table, "no route", 700.0, PATIENCE)
    assert not table.why_gave_up
    assert plan(table, 9, 706.0).num_jobs == 1


# --- jobs that end ------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [Cause.WALLTIME, Cause.PREEMPTED, Cause.NODE_LOST, None])
def test_a_job_that_worked_and_ended_is_replaced_at_once(cause: Cause | None) -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_tasks=1))
    table, news = hear(table, 100.0, j1=report(1, ENDED, "TIMEOUT", cause))
    assert news == [What.ENDED]
    assert plan(table, 1, 100.0).num_jobs == 1
    assert plan(table, 0, 100.0).num_jobs == 0


def test_a_cluster_that_preempts_at_once_is_asked_ever_more_seldom() -> None:
    table, asked_s, number = Table(), [], 0
    for now in range(3600):
        for _ in range(plan(table, 9, now).num_jobs):
            number += 1
            asked_s.append(now)
            table = tables.submitted(table, f"w{number}", str(number), now)
        ended = {
            f"j{job.job_id}": report(int(job.job_id), ENDED, "PREEMPTED", Cause.PREEMPTED)
            for job in table.alive
        }
        table, _ = hear(table, now, **ended)
    assert not table.why_gave_up
    assert asked_s.count(0) == 3
    assert len([at for at in asked_s if at < 600]) <= 10
    assert 15 <= len(asked_s) <= 25


def test_a_lost_worker_whose_job_is_forgotten_has_ended() -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_tasks=1))
    table, news = hear(table, 2.0)
    assert not news
    assert plan(table, 1, 100.0, by_name(view(1, num_tasks=1))).num_jobs == 0
    table, _ = see(table, 100.0)
    table, news = hear(table, 125.0)
    assert not news
    table, news = hear(table, 131.0)
    assert news == [What.ENDED]
    assert table.jobs[0].words == "unknown to SLURM"


def test_a_job_just_submitted_may_be_unknown_for_a_moment() -> None:
    table, news = hear(with_jobs(1), 1.0)
    table, more = hear(table, 20.0)
    table, last = hear(table, 25.0, j1=report(1, PENDING))
    assert not (news + more + last)
    assert table.jobs[0].missing_since_s is None


def test_a_forgotten_job_whose_worker_comes_back_is_used() -> None:
    table, _ = hear(with_jobs(1), 1.0)
    table, news = hear(table, 40.0)
    assert news == [What.FAILED]
    table, _ = see(table, 50.0, view(1))
    assert table.alive
    assert plan(table, 1, 50.0, by_name(view(1))).num_jobs == 0


def test_a_job_put_back_by_the_batch_system_is_waited_for() -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_tasks=1))
    table, _ = see(table, 50.0)
    table, news = hear(table, 51.0, j1=report(1, PENDING, "PENDING (BeginTime)"))
    assert news == [What.PUT_BACK]
    assert plan(table, 1, 500.0).num_jobs == 0
    table, news = see(table, 600.0, view(1))
    assert news == [What.STARTED]


def test_a_job_that_runs_on_without_its_worker_is_cancelled() -> None:
    table, _ = see(with_jobs(1), 1.0, view(1, num_tasks=1))
    table, _ = hear(table, 2.0, j1=report(1, RUNNING))
    table, _ = see(table, 50.0)
    assert plan(table, 1, 60.0).num_jobs == 0
    table, news = see(table, 81.0)
    assert news == [What.LOST]
    assert [job.job_id for job in plan(table, 1, 81.0).cancel] == ["1"]
    assert plan(table, 1, 81.0).num_jobs == 1


def test_what_has_ended_is_forgotten_in_time() -> None:
    table, _ = hear(with_jobs(1), 1.0, j1=report(1, ENDED, "CANCELLED", Cause.PREEMPTED))
    assert see(table, 800.0)[0].jobs
    assert not see(table, 1000.0)[0].jobs
