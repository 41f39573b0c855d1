"""The queue's hand on a machine: the clock of its job, and queues that fall silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.clusters import agent as module
from lfadsq.queue.clusters.agent import Agent, agents
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.clusters.own_job import Job
from lfadsq.queue.execution import Order
from lfadsq.queue.tasks import tasks_from_specs

from ..conftest import is_alive, spec_of, wait_until
from .conftest import Cluster, pids_of, stepper, steps_of


class _Worker:
    """What an agent needs of a Dask worker; it notes what is told."""

    address = "tls://127.0.0.1:1"
    name = "dask-1"

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.closed_for = ""
        self.loop = self.state = self
        self.nthreads = 1

    def log_event(self, topic: str, text: str) -> None:
        import json

        self.told.append(json.loads(text))

    def add_callback(self, function: Callable[..., None], reason: str) -> None:
        function(reason=reason)

    def close(self, reason: str) -> None:
        self.closed_for = reason

    def ended(self, name: str) -> dict[str, Any] | None:
        return next((m for m in self.told if m["kind"] == "ended" and m["order_id"] == name), None)

    @property
    def machine(self) -> dict[str, Any]:
        return dict(wait_until(lambda: [m["machine"] for m in self.told if "machine" in m], "")[-1])


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Agent, _Worker]]]:
    made: list[Agent] = []

    def make(job: Job | None = None, **terms: Any) -> tuple[Agent, _Worker]:
        monkeypatch.setattr(module, "own_job", lambda: job or Job("w1"))
        monkeypatch.setattr(module, "_MEASURE_S", 0.05)
        terms = {"needs_gpu": False, "grace_s": 2.0, **terms}
        agent, worker = Agent(Terms("q", **terms)), _Worker()
        agent.setup(worker)
        made.append(agent)
        return agent, worker

    yield make
    for agent in made:
        agent.wait()
    assert agents() == ()


def _order(folder: Path, name: str, command: str) -> Order:
    (task,) = tasks_from_specs([spec_of(folder, name, command)])
    return Order(task, "cpu", "cpu")


def test_the_end_of_a_job_is_told_early_and_tasks_go(
    begin: Callable[..., tuple[Agent, _Worker]], tmp_path: Path
) -> None:
    agent, worker = begin(Job("w1", "7", time.time() + 5), end_margin_s=3.0)
    agent.take("t", _order(tmp_path, "t", stepper(tmp_path / "t", 2000)))
    told = wait_until(lambda: worker.ended("t"), "it ends", 10)
    attempt = told["result"]["attempt"]
    assert (attempt["outcome"], attempt["cause"]) == ("interrupted", "walltime")
    assert worker.machine["is_leaving"]
    assert worker.machine["job_id"] == "7"
    wait_until(lambda: worker.closed_for, "the worker is closed", 5)
    assert (tmp_path / "t" / "checkpoint").exists()


def test_nothing_is_started_where_too_little_time_is_left(
    begin: Callable[..., tuple[Agent, _Worker]], tmp_path: Path
) -> None:
    agent, worker = begin(Job("w1", ends_at_s=time.time() + 100), min_time_left_s=200.0)
    assert "ends in less than 200 s" in worker.machine["closed_because"]
    assert not worker.machine["is_leaving"]
    agent.take("t", _order(tmp_path, "t", f"touch {tmp_path}/ran"))
    told = wait_until(lambda: worker.ended("t"), "it comes back")
    assert told["result"]["kind"] == "returned"
    assert not (tmp_path / "ran").exists()


def test_no_more_tasks_than_the_job_has_processors(
    begin: Callable[..., tuple[Agent, _Worker]],
) -> None:
    _, worker = begin(Job("w1", num_cpus=1))
    wait_until(lambda: worker.machine["devices"], "devices are known")
    assert [device["max_tasks"] for device in worker.machine["devices"]] == [1]


def test_tasks_of_a_silent_queue_end_and_the_machine_stays_for_it(
    begin: Callable[..., tuple[Agent, _Worker]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.5)
    agent, worker = begin(hears_queue=True)
    agent.hear()
    agent.take("t", _order(tmp_path, "t", stepper(tmp_path / "t", 2000)))
    told = wait_until(lambda: worker.ended("t"), "it ends", 10)
    assert told["result"]["attempt"]["cause"] == "queue stopped"
    assert worker.closed_for == ""
    monkeypatch.setattr(module, "_SILENCE_S", 30)
    agent.hear()
    agent.take("u", _order(tmp_path, "u", "true"))
    told = wait_until(lambda: worker.ended("u"), "it is used again", 10)
    assert told["result"]["attempt"]["outcome"] == "succeeded"


def test_a_queue_that_is_silent_for_long_is_forgotten(
    begin: Callable[..., tuple[Agent, _Worker]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FORGET_S", 0.3)
    agent, worker = begin(hears_queue=True)
    wait_until(lambda: agent not in agents(), "it is gone", 5)
    assert worker.closed_for == "", "the worker is not ours"


def test_a_fault_of_ours_costs_one_task(
    begin: Callable[..., tuple[Agent, _Worker]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    agent, worker = begin()
    with monkeypatch.context() as patch:
        patch.setattr(module, "run_attempt", fail)
        agent.take("t", _order(tmp_path, "t", "true"))
        told = wait_until(lambda: worker.ended("t"), "it ends")
    assert told["fault"] == "ValueError: a fault"
    agent.take("u", _order(tmp_path, "u", "true"))
    wait_until(lambda: worker.ended("u"), "the next runs")


def test_a_machine_without_its_gpu_has_a_problem(
    begin: Callable[..., tuple[Agent, _Worker]],
) -> None:
    _, worker = begin(needs_gpu=True)
    problem = wait_until(lambda: worker.machine["problem"], "it is told")
    assert "has no GPU for its job" in problem
    assert worker.machine["devices"] == []


def test_two_tasks_of_one_worker_end_apart(cluster: Callable[..., Cluster]) -> None:
    here = cluster()
    here.start_worker()
    for name in ("t", "u"):
        here.order(name, stepper(here.folder / name, 40))
    wait_until(lambda: steps_of(here.folder / "u"), "both run")
    from lfadsq.queue.records import Cause

    here.transport.tell_to_end(["t"], Cause.PAUSED)
    assert here.heard.wait_ended("t").attempt.cause is Cause.PAUSED
    assert here.heard.wait_ended("u").attempt.outcome.value == "succeeded"
    assert steps_of(here.folder / "u") == list(range(1, 41))
    assert not any(map(is_alive, pids_of(here.folder / "t")))
