"""Whole queues on a real SLURM, as a user runs them."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from .batch_systems import wait_until
from .stepper import LEFT, SAVED_EVERY

pytestmark = pytest.mark.slurm

_GIVEN_BACK_WITHIN_S = 60


@pytest.fixture
def system(slurm):
    return slurm


def no_jobs(slurm):
    wait_until(lambda: not slurm.jobs(), "no job of ours is left", 30)


def finished(collection, queue, slurm, deadline_s=120):
    """Wait until a queue has done everything, and see that it did it well."""
    assert queue.wait(deadline_s) == 0, queue.said
    assert collection.problems() == []
    no_jobs(slurm)


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def worker_of(job_id):
    """Find the process of our worker in a job on this machine."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            argv = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        in_job = f"SLURM_JOB_ID={job_id}".encode() in environment_of(folder.name)
        if in_job and b"lfadsq.queue.clusters.worker" in argv:
            return int(folder.name)
    return None


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def steppers(collection):
    """List the live processes that work on runs of a collection."""
    pids = [int(line[1]) for run in collection.runs for line in run.lines("starts")]
    return [pid for pid in pids if is_alive(pid)]


# --- runs, jobs and GPUs -------------------------------------------------------------------------


def test_twelve_runs_share_four_gpus_and_each_runs_once(collect, slurm):
    collection = collect(12, num_steps=50)
    queue = collection.start()
    finished(collection, queue, slurm)
    starts = [line for run in collection.runs for line in run.lines("starts")]
    assert len(starts) == 12
    assert sorted(queue.summary["finished"]) == [run.name for run in collection.runs]
    gpu_of_job = {job_id: gpu for _, _, job_id, gpu in starts}
    assert {(job_id, gpu) for _, _, job_id, gpu in starts} == set(gpu_of_job.items())
    assert sorted(gpu_of_job.values()) == [f"GPU-{n:08d}-standin" for n in range(4)]
    devices = {a["device"] for run in collection.runs for a in run.attempts}
    assert devices == set(gpu_of_job.values())


def test_no_more_jobs_are_asked_for_than_the_tasks_can_use(collect, slurm):
    collection = collect(2, num_steps=30)
    queue = collection.start()
    seen = set()
    while not queue.is_over:
        seen |= {job.job_id for job in slurm.jobs()}
        time.sleep(0.2)
    finished(collection, queue, slurm)
    assert len(seen) == 2


def test_jobs_with_nothing_to_do_are_given_back_and_an_interrupt_ends_the_last(collect, slurm):
    collection = collect(4, num_steps=5)
    collection.lengthen(0, num_steps=3000)
    queue = collection.start("--no-detach")
    wait_until(lambda: all(run.is_done for run in collection.runs[1:]), f"three end: {queue.said}")
    wait_until(lambda: len(slurm.jobs()) <= 1, "three jobs go back", _GIVEN_BACK_WITHIN_S)
    last = collection.runs[0]
    (job,) = slurm.jobs()
    assert job.job_id == last.job_ids[-1]
    assert not queue.is_over
    queue.interrupt()
    assert queue.wait(60) == 130, queue.said
    no_jobs(slurm)
    assert last.outcomes[-1] == "interrupted"
    assert last.attempts[-1]["exit_status"] == LEFT
    assert int((last.folder / "checkpoint").read_text()) == last.steps[-1]
    assert steppers(collection) == []


def test_two_queues_share_a_collection(collect, slurm):
    collection = collect(6, num_steps=30)
    queues = [collection.start("--max-jobs", "2") for _ in range(2)]
    for queue in queues:
        finished_here = queue.wait(120)
        assert finished_here == 0, queue.said
    assert collection.problems() == []
    assert [len(run.lines("starts")) for run in collection.runs] == [1] * 6
    no_jobs(slurm)


# --- jobs that end too early ---------------------------------------------------------------------


def test_run_goes_on_elsewhere_when_its_job_is_cancelled(collect, slurm):
    collection = collect(2, num_steps=100)
    queue = collection.start("--max-jobs", "2")
    run, other = collection.wait_for_starts(2, queue)
    slurm.cancel(run.job_ids[0])
    finished(collection, queue, slurm)
    assert run.outcomes == ["interrupted", "succeeded"]
    assert run.attempts[0]["cause"] == "preempted"
    assert len(set(run.job_ids)) == 2
    assert run.steps == list(range(1, run.num_steps + 1)), "it wrote a checkpoint"
    assert other.outcomes == ["succeeded"]


def test_run_goes_on_elsewhere_when_its_worker_is_killed(collect, slurm):
    collection = collect(1, num_steps=60)
    queue = collection.start("--max-jobs", "1")
    (run,) = collection.wait_for_starts(1, queue)
    os.kill(wait_until(lambda: worker_of(run.job_ids[0]), "there is a worker"), signal.SIGKILL)
    finished(collection, queue, slurm)
    assert len(set(run.job_ids)) == 2
    assert len(run.steps) <= run.num_steps + SAVED_EVERY


def test_run_goes_on_in_the_next_job_when_one_ends(collect, slurm):
    collection = collect(1, num_steps=35, step_s=1)
    queue = collection.start(
        *("--partition", "short", "--walltime", "0:01:00", "--max-jobs", "1"),
        *("--end-margin", "35s", "--min-time-left", "20s"),
    )
    finished(collection, queue, slurm, 150)
    (run,) = collection.runs
    assert {attempt["cause"] for attempt in run.attempts[:-1]} == {"walltime"}
    assert run.attempts[0]["exit_status"] == LEFT
    assert run.steps == list(range(1, run.num_steps + 1))
    # SLURM warns up to a minute early, and so a job may be left as soon as it has begun.
    assert 2 <= len(set(run.job_ids)) <= 4
    assert len(run.job_ids) == len(set(run.job_ids))


@pytest.mark.slow
def test_training_of_four_minutes_finishes_through_jobs_of_one(collect, slurm):
    collection = collect(1, num_steps=1200, step_s=0.2)
    queue = collection.start("--partition", "short", "--walltime", "0:01:00", "--max-jobs", "1")
    finished(collection, queue, slurm, 560)
    (run,) = collection.runs
    assert len(set(run.job_ids)) >= 4
    assert len(run.steps) < 1.05 * run.num_steps
    assert {attempt["cause"] for attempt in run.attempts} == {"walltime", None}


def test_job_that_gave_way_is_requeued_and_its_run_goes_on(collect, slurm):
    collection = collect(1, num_steps=100)
    queue = collection.start("--partition", "scavenge", "--requeue", "--max-jobs", "1")
    (run,) = collection.wait_for_starts(1, queue)
    script = "#!/bin/bash\nsleep 5\n"
    first = slurm.submit(script, "--partition=gpu", "--gres=gpu:4", "--output=/dev/null")
    most = 0
    while not queue.is_over:
        most = max(most, sum(job.job_id != first for job in slurm.jobs()))
        time.sleep(0.2)
    finished(collection, queue, slurm)
    assert len(run.attempts) >= 2
    assert run.attempts[0]["cause"] == "preempted"
    assert len(run.steps) <= run.num_steps + SAVED_EVERY
    assert most == 1, "a job that waits to be started again is counted"


# --- what cannot work ----------------------------------------------------------------------------


def test_partition_that_does_not_exist_is_told_in_the_words_of_slurm(collect, slurm):
    collection = collect(3)
    queue = collection.start("--partition", "nosuch")
    assert queue.wait(45) not in (0, 130)
    assert "nvalid partition" in queue.said
    assert slurm.jobs() == []
    assert not any(run.lines("starts") for run in collection.runs)


def test_python_that_is_missing_on_the_node_ends_the_queue_with_the_log_of_the_job(collect, slurm):
    collection = collect(3)
    queue = collection.start("--python", "/no/such/python")
    assert queue.wait(120) not in (0, 130)
    assert "/no/such/python" in queue.said
    assert "No such file or directory" in queue.said
    no_jobs(slurm)
    assert not any(run.lines("starts") for run in collection.runs)


# --- queues that end too early -------------------------------------------------------------------


def test_trainings_end_within_a_minute_of_their_queue_and_the_next_goes_on(collect, slurm):
    collection = collect(4, num_steps=1500)
    queue = collection.start()
    collection.wait_for_starts(4, queue)
    queue.kill()
    killed_s = time.monotonic()
    wait_until(lambda: not steppers(collection), "the trainings end", 60)
    left_s = 60 - (time.monotonic() - killed_s)
    wait_until(lambda: not slurm.jobs(), "the jobs end too", left_s + 15)
    assert not any(run.is_done for run in collection.runs)
    for run in collection.runs:
        assert int((run.folder / "checkpoint").read_text()) == run.steps[-1]
    collection.set_pace(0.002)
    finished(collection, collection.start(), slurm)
    for run in collection.runs:
        assert run.steps == list(range(1, run.num_steps + 1)), "nothing was done twice"


# --- scripts -------------------------------------------------------------------------------------


def test_dry_run_shows_the_script_and_submits_nothing(collect, slurm):
    collection = collect(3)
    queue = collection.start("--dry-run")
    while not queue.is_over:
        assert slurm.jobs() == []
        time.sleep(0.1)
    assert queue.wait() == 0, queue.said
    shown = queue.printed + queue.said
    assert "#SBATCH" in shown
    assert re.search(r"\b3 (such )?jobs\b", shown)
    script = shown[shown.index("#!") :]
    for words in ("gpu:1", "gpu", "lfadsq.queue.clusters.worker", "LFADSQ_STANDIN_GPUS"):
        assert words in script
    assert slurm.jobs() == []
    assert not any(run.lines("starts") for run in collection.runs)


@pytest.mark.parametrize(
    "name", ['it\'s "here" $(touch pwned)', "`touch pwned`; touch pwned #", "--wrap=touch pwned"]
)
def test_names_are_no_commands(collect, slurm, name):
    collection = collect(2, name, names=[f"{name} 1", "\\$HOME %j 100% {x}"])
    queue = collection.start()
    finished(collection, queue, slurm)
    places = {Path.cwd(), Path.home(), Path("/"), *collection.folder.parent.rglob("*")}
    assert not any((place / "pwned").exists() for place in places if place.is_dir())
