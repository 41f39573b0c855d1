"""Whole queues on a real Grid Engine, as a user runs them."""

from __future__ import annotations

import pytest

from .batch_systems import wait_until
from .stepper import SAVED_EVERY

pytestmark = pytest.mark.sge


@pytest.fixture
def system(sge):
    return sge


def finished(collection, queue, sge):
    assert queue.wait(240) == 0, queue.said
    assert collection.problems() == []
    wait_until(lambda: not sge.jobs(), "no job of ours is left", 90)


def test_runs_share_gpus_and_each_runs_once(collect, sge):
    collection = collect(6, num_steps=40)
    queue = collection.start("--max-jobs", "2")
    finished(collection, queue, sge)
    starts = [line for run in collection.runs for line in run.lines("starts")]
    assert len(starts) == 6
    assert len({(job_id, gpu) for _, _, job_id, gpu in starts}) == 2
    assert len({gpu for _, _, _, gpu in starts}) == 2


def test_run_goes_on_elsewhere_when_its_job_is_deleted(collect, sge):
    collection = collect(1, num_steps=60)
    queue = collection.start("--max-jobs", "1")
    (run,) = collection.wait_for_starts(1, queue, 180)
    sge.cancel(run.job_ids[0])
    finished(collection, queue, sge)
    assert len(set(run.job_ids)) == 2
    assert len(run.steps) <= run.num_steps + SAVED_EVERY


def test_queue_that_does_not_exist_is_told_in_the_words_of_grid_engine(collect, sge):
    collection = collect(2)
    queue = collection.start("--queue", "nosuch.q")
    assert queue.wait(180) not in (0, 130)
    assert "nosuch.q" in queue.said
    assert sge.jobs() == []
