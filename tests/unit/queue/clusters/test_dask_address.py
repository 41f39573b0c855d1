"""Queues on the workers of a Dask scheduler that is there already, and is not ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..conftest import QUEUE_PROGRAM, attempts_of, is_alive, spec_of, wait_until
from .conftest import ROOT, free_port, pids_of, stepper, steps_of, wait_gone


class Dask:
    """A scheduler and workers, as a user starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port)
        self.workers = [self._start("worker", self.address, "--no-nanny", "--nthreads", "1")]
        self.workers.append(self._start("worker", self.address, "--nworkers", "1"))

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, "--no-dashboard"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    @property
    def pids(self) -> list[int]:
        """The workers, the one under a nanny too."""
        nanny = psutil.Process(self.workers[1].pid)
        spawned = [c.pid for c in nanny.children(True) if "spawn_main" in " ".join(c.cmdline())]
        return [self.workers[0].pid, *spawned]

    def end(self) -> None:
        for process in [*self.workers, self.scheduler]:
            process.terminate()
        for process in [*self.workers, self.scheduler]:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    made = Dask(tmp_path_factory.mktemp("dask"))
    yield made
    made.end()


@pytest.fixture
def start(dask: Dask, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    queues: list[subprocess.Popen[bytes]] = []

    def begin(specs: list[dict[str, Any]]) -> subprocess.Popen[bytes]:
        arguments = {
            "specs": specs, "cluster": dask.address, "collection": str(tmp_path), "grace_s": 5,
        }  # fmt: skip
        with (tmp_path / "queue.log").open("ab") as log:
            queues.append(
                subprocess.Popen(
                    [sys.executable, "-c", QUEUE_PROGRAM, json.dumps(arguments)],
                    cwd=tmp_path,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
            )
        return queues[-1]

    yield begin
    for queue in queues:
        queue.kill()
        queue.wait()


def test_tasks_run_on_the_workers_that_are_there_and_nothing_of_the_queue_stays(
    dask: Dask, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    specs = [spec_of(tmp_path, f"t{n}", f"echo $PPID >>{tmp_path}/parents") for n in range(6)]
    for spec in specs:
        spec["command"] = f"sleep 0.3; {spec['command']}"
    queue = start(specs)
    assert queue.wait(60) == 0, (tmp_path / "queue.log").read_text()
    said = (tmp_path / "queue.log").read_text()
    assert f"  as many at a time as fit on the workers of {dask.address}\n" in said
    assert {a["outcome"] for s in specs for a in attempts_of(s)} == {"succeeded"}
    workers = wait_until(lambda: len(dask.pids) == 2 and dask.pids, "both workers stay")

    def children() -> list[str]:
        found = [c for pid in workers for c in psutil.Process(pid).children(recursive=True)]
        return [" ".join(c.cmdline()) for c in found]

    wait_until(lambda: not any("lfadsq" in words for words in children()), "guards end", 10)
    assert all(map(is_alive, [dask.scheduler.pid, *workers]))


@pytest.mark.slow
def test_a_killed_queue_takes_its_tasks_along_and_the_next_goes_on(
    dask: Dask, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    specs = [spec_of(tmp_path, f"t{n}", "") for n in range(2)]
    for spec in specs:
        spec["command"] = stepper(tmp_path / spec["name"], 1000)
    queue = start(specs)
    wait_until(lambda: all(steps_of(tmp_path / s["name"]) for s in specs), "all train", 40)
    workers = dask.pids
    queue.kill()
    pids = [pid for spec in specs for pid in pids_of(tmp_path / spec["name"])]
    assert wait_gone(pids, 60) < 60
    assert all(map(is_alive, workers)), "they are not ours to end"
    made = [steps_of(tmp_path / spec["name"]) for spec in specs]
    for spec, steps in zip(specs, made, strict=True):
        assert int((tmp_path / spec["name"] / "checkpoint").read_text()) == steps[-1]
        # The task is what it was; it just has less left to do.
        (tmp_path / spec["name"] / "checkpoint").write_text("990")
    assert start(specs).wait(60) == 0, (tmp_path / "queue.log").read_text()
    for spec in specs:
        outcomes = [(a["outcome"], a["cause"]) for a in attempts_of(spec)]
        assert outcomes == [("interrupted", "queue stopped"), ("succeeded", None)]


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_queue_with_its_address(
    dask: Dask, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    spec = spec_of(tmp_path, "t", stepper(tmp_path / "t", 4000))
    queue = start([spec])
    wait_until(lambda: steps_of(tmp_path / "t"), "it trains", 40)
    dask.scheduler.send_signal(signal.SIGKILL)
    assert queue.wait(120) not in (0, 130)
    log = (tmp_path / "queue.log").read_text()
    assert f"the Dask scheduler at {dask.address} is gone" in log
    assert wait_gone(pids_of(tmp_path / "t"), 30) < 30
