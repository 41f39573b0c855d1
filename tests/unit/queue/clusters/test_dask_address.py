"""Queues on the workers of a Dask scheduler that is there already, and is not ours."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.status import Snapshot

from ..conftest import QUEUE_PROGRAM, attempts_of, is_alive, spec_of, wait_until
from .conftest import ROOT, free_port, pids_of, stepper, steps_of, wait_gone


class Dask:
    """A scheduler and workers, as a user starts them."""

    def __init__(self, folder: Path, *, with_dashboard: bool = False) -> None:
        self.folder = folder
        self._page = ["--dashboard-address", "127.0.0.1:0"] if with_dashboard else []
        self.address = f"tcp://127.0.0.1:{free_port()}"
        port = self.address.rpartition(":")[2]
        page = self._page or ["--no-dashboard"]
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port, *page)
        self.workers = [self._start("worker", self.address, "--no-nanny", "--nthreads", "1")]
        self.workers.append(self._start("worker", self.address, "--nworkers", "1"))

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
                + (["--no-dashboard"] if kind == "worker" else []),
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
def dask(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Dask]:
    made = Dask(tmp_path_factory.mktemp("dask"), with_dashboard=getattr(request, "param", False))
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
    assert "ashboard" not in said, "it has none"


@pytest.mark.parametrize("dask", [True], indirect=True)
def test_the_dashboard_of_the_scheduler_is_shown_with_its_tunnel(
    dask: Dask, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    queue = start([spec_of(tmp_path, "t", f"until [ -e '{go_on}' ]; do sleep 0.1; done")])
    control = ControlFolder.of(tmp_path)

    def shown() -> Snapshot | None:
        return next((s for s, lives in control.queues() if lives and s.dashboard), None)

    snapshot = wait_until(shown, "the queue shows it", 40)
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/status", snapshot.dashboard)
    assert match, snapshot
    with urllib.request.urlopen(snapshot.dashboard, timeout=10) as page:
        assert page.status == 200
    tunnel = rf"ssh -N -L 8787:127\.0\.0\.1:{match[1]} \S+@\S+"
    assert re.fullmatch(tunnel, snapshot.dashboard_tunnel)
    for words in (["queue", "status"], ["status"]):
        told = subprocess.run(
            [sys.executable, "-m", "lfadsq", *words, str(tmp_path)],
            capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout  # fmt: skip
        assert f"Dask dashboard: {snapshot.dashboard}" in told
        assert snapshot.dashboard_tunnel in told
    go_on.touch()
    assert queue.wait(60) == 0, (tmp_path / "queue.log").read_text()
    said = (tmp_path / "queue.log").read_text()
    assert f"Dask dashboard: {snapshot.dashboard}\n  from your own computer: ssh" in said


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
