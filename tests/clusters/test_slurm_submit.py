"""Queues as jobs, and job arrays, on a real SLURM."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..nvml_standin.standin import StandInGpus
from .batch_systems import Slurm, wait_until
from .collection import StepCollection

pytestmark = pytest.mark.slurm

Collect = Callable[..., StepCollection]
# By our own clock; SLURM itself counts in minutes.
SHORT = ("--walltime", "20s", "--end-margin", "8s", "--min-time-left", "10s")


@pytest.fixture
def system(slurm: Slurm) -> Slurm:
    return slurm


def array(collection: StepCollection, *options: str) -> str:
    """Submit a job array as a user would, and give what that said."""
    queue = collection.start("--no-dask", *options)
    assert queue.wait() == 0, queue.said
    return queue.said


def wait_for_all(collection: StepCollection, slurm: Slurm, deadline_s: float = 120.0) -> None:
    """Wait until all is done and no job of ours is left."""
    done = [run.is_done for run in collection.runs]

    def is_over() -> bool:
        nonlocal done
        done = [run.is_done for run in collection.runs]
        return all(done) and not slurm.jobs()

    wait_until(is_over, f"all is done: {done}; {logs(collection)}", deadline_s)


def logs(collection: StepCollection) -> str:
    folder = collection.folder / ".lfadsqueue" / "jobs"
    return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))


def test_array_of_two_jobs_does_eight_runs_each_exactly_once(
    collect: Collect, slurm: Slurm
) -> None:
    collection = collect(8, name='it\'s "mine" $(touch hacked); & 100%j')
    array(collection, "--max-jobs", "2")
    wait_for_all(collection, slurm)
    assert collection.problems() == []
    assert all(len(run.job_ids) == 1 for run in collection.runs)
    assert len({run.job_ids[0] for run in collection.runs}) == 2
    assert not list(collection.folder.parent.rglob("hacked"))


def test_training_longer_than_the_jobs_of_an_array_finishes_through_successors(
    collect: Collect, slurm: Slurm
) -> None:
    collection = collect(1, num_steps=150)
    array(collection, "--max-jobs", "2", *SHORT)
    wait_for_all(collection, slurm)
    assert collection.problems() == []
    (run,) = collection.runs
    assert len(set(run.job_ids)) == len(run.job_ids) >= 2
    # Each went on from the checkpoint of the last one: nothing was done twice.
    assert sorted(run.steps) == list(range(1, 151))
    assert {attempt["cause"] for attempt in run.attempts[:-1]} == {"walltime"}


def test_array_that_is_cancelled_leaves_everything_to_the_next(
    collect: Collect, slurm: Slurm
) -> None:
    collection = collect(2, num_steps=80)
    array(collection, "--max-jobs", "2")
    wait_until(lambda: all(run.steps for run in collection.runs), "both are worked on")
    slurm.cancel(*{job.job_id.partition("_")[0] for job in slurm.jobs()})
    wait_until(lambda: not slurm.jobs(), "all jobs have ended")
    for run in collection.runs:
        assert not run.is_done
        (attempt,) = run.attempts
        assert (attempt["state"], attempt["outcome"]) == ("ended", "interrupted")
    array(collection, "--max-jobs", "2")
    wait_for_all(collection, slurm)
    assert collection.problems() == []
    assert all(sorted(run.steps) == list(range(1, 81)) for run in collection.runs)


def submit(collection: StepCollection, gpus: StandInGpus, *options: str) -> dict[str, Any]:
    """Submit a queue as a user would, and give what that told."""
    words = [sys.executable, "-m", "lfadsq", "submit", collection.folder, "--json"]
    words += ["--partition-of-queue", "gpu", "--cluster", "slurm", "--partition", "gpu"]
    words += ["--gpus-per-job", "1", "--cores-per-job", "1", "--memory-per-job", "500MB"]
    words += ["--max-jobs", "2", "--walltime", "0:10:00", "--interface", "lo", *setup(gpus)]
    # Jobs of tests are known by where they were submitted.
    done = subprocess.run(
        [*words, *options], cwd=collection.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def setup(gpus: StandInGpus) -> list[str]:
    names = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    names |= gpus.environment()
    return [f"--setup=export {name}={shlex.quote(value)}" for name, value in names.items()]


def test_submitted_queue_submits_itself_again_and_finishes(
    collect: Collect, slurm: Slurm, node_gpus: StandInGpus
) -> None:
    collection = collect(2, num_steps=300)
    told = submit(collection, node_gpus, "--walltime-of-queue", "50s")
    wait_for_all(collection, slurm, 240)
    assert collection.problems() == []
    text = logs(collection)
    assert text.count("and work is left: job") >= 1
    assert text.count("nothing is left to start") == 1
    assert f"lfadsq-queue-{told['job_id']}.log" in {
        path.name for path in Path(told["log_folder"]).iterdir()
    }


@pytest.mark.parametrize("how", ["stop", "scancel"])
def test_submitted_queue_that_a_person_ends_stays_ended(
    collect: Collect, slurm: Slurm, node_gpus: StandInGpus, how: str
) -> None:
    collection = collect(1, num_steps=10**5)
    job_id = submit(collection, node_gpus, "--walltime-of-queue", "10m")["job_id"]
    wait_until(lambda: collection.runs[0].steps, "it is worked on")
    if how == "scancel":
        slurm.cancel(job_id)
    else:
        stop = [sys.executable, "-m", "lfadsq", "queue", "stop", str(collection.folder)]
        subprocess.run(stop, check=True, capture_output=True)
    wait_until(lambda: not slurm.jobs(), f"all jobs have ended; {logs(collection)}", 90)
    time.sleep(1)  # nothing comes: there is no event to wait for
    assert not slurm.jobs()
    assert collection.runs[0].outcomes == ["interrupted"]
