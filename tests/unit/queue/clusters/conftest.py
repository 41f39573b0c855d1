"""Queues on machines of a cluster, all of which are this one: real Dask, TLS and processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lfadsq.queue.clusters.certificates import certificate_in
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.clusters.transport import ClusterTransport
from lfadsq.queue.execution import Order
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.sites import Listener
from lfadsq.queue.tasks import tasks_from_specs

from ..conftest import is_alive, spec_of, wait_until

ROOT = Path(__file__).parents[4]

# Counts steps, and writes a checkpoint when it is told to end, as the trainer does.
STEPPER = f"""exec {sys.executable} -I -S -c '
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1]); end = []
signal.signal(signal.SIGTERM, lambda *_: end.append(1))
checkpoint = folder / "checkpoint"
step = int(checkpoint.read_text()) if checkpoint.exists() else 0
(folder / "pids").open("a").write(str(os.getpid()) + "\\n")
while step < int(sys.argv[2]) and not end:
    step += 1
    (folder / "steps").open("a").write(str(step) + "\\n")
    time.sleep(0.05)
time.sleep(float(sys.argv[3]) if end else 0)
checkpoint.write_text(str(step))
sys.exit(75 if end else 0)
' """


def stepper(folder: Path, num_steps: int, *, end_s: float = 0) -> str:
    """Give a command that makes steps of 50 ms, and takes so long to write a checkpoint."""
    return f"{STEPPER}{folder} {num_steps} {end_s}"


def steps_of(folder: Path) -> list[int]:
    """List the steps that were made in a folder, in all attempts."""
    file = folder / "steps"
    return list(map(int, file.read_text().split())) if file.exists() else []


def pids_of(folder: Path) -> list[int]:
    """List the processes that ran in a folder."""
    file = folder / "pids"
    return list(map(int, file.read_text().split())) if file.exists() else []


def listening(pids: list[int]) -> list[tuple[str, int]]:
    """List where processes listen."""
    found = []
    for pid in pids:
        for one in psutil.Process(pid).net_connections("all"):
            if one.status == psutil.CONN_LISTEN:
                found.append((one.laddr.ip, one.laddr.port))
    return sorted(set(found))


class Heard:
    """What a transport tells."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started: list[tuple[Order, Attempt]] = []
        self.ended: list[tuple[Order, Any]] = []
        self.failed: list[Exception] = []
        self.num_changes = 0

    @property
    def listener(self) -> Listener:
        def change() -> None:
            self.num_changes += 1

        return Listener(
            started=lambda order, attempt: self.started.append((order, attempt)),
            ended=lambda order, result: self.ended.append((order, result)),
            failed=self.failed.append,
            changed=change,
            note=lambda noted: None,
            peak_mb=lambda name: None,
        )

    def wait_started(self, name: str) -> Attempt:
        def find() -> Attempt | None:
            return next((a for o, a in self.started if o.task.name == name), None)

        return wait_until(find, f"{name} started")  # type: ignore[no-any-return]

    def wait_ended(self, name: str, deadline_s: float = 30.0, number: int = 1) -> Any:
        def find() -> Any:
            found = [r for o, r in self.ended if o.task.name == name]
            return found[number - 1] if len(found) >= number else None

        return wait_until(find, f"{name} ended", deadline_s)


class WorkerProcess:
    """The program of a job, started without a batch system."""

    def __init__(self, scheduler: str, name: str, log: Path, *options: str, **variables: str):
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lfadsq.queue.clusters.worker", scheduler]
                + ["--name", name, "--nthreads", "1", "--interface", "lo", *options],
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            )
        self.pid = self.process.pid

    @property
    def said(self) -> str:
        """What is in the log."""
        return self.log.read_text()

    def wait(self, timeout_s: float = 60.0) -> int:
        return self.process.wait(timeout_s)


class Cluster:
    """A transport, and workers that are started by hand."""

    def __init__(self, folder: Path, **terms: Any) -> None:
        self.folder = folder
        self.heard = Heard()
        self.machines = Machines()
        self.causes: dict[str, Cause | None] = {}
        self.certificate = certificate_in(folder / ".lfadsqueue")
        self.workers: list[WorkerProcess] = []
        terms = {"needs_gpu": False, "grace_s": 3.0, **terms}
        self.transport = ClusterTransport(
            Terms("here-1-abc", **terms),
            self.machines,
            self.heard.listener,
            self.causes.get,
            certificate=self.certificate,
            interface="lo",
        )
        self.is_open = True

    def start_worker(self, name: str = "w1", *options: str, waits: bool = True) -> WorkerProcess:
        """Start a worker, and wait until its devices are known."""
        log = self.folder / f"{name}-{len(self.workers)}.log"
        worker = WorkerProcess(
            self.transport.address, name, log, f"--tls-ca-file={self.certificate}", *options
        )
        self.workers.append(worker)
        if waits:
            self.wait_for(name)
        return worker

    def wait_for(self, name: str) -> None:
        """Wait until the devices of a worker are known."""

        def is_known() -> bool:
            return any(m.name == name and m.devices for m in self.machines.all())

        wait_until(is_known, f"{name} connects: {self.said()}")

    def said(self) -> str:
        return "\n".join(worker.said for worker in self.workers)

    def order(self, name: str, command: str, worker: str = "w1") -> Order:
        """Send an order."""
        (task,) = tasks_from_specs([spec_of(self.folder, name, command)])
        order = Order(task, f"cpu@{worker}", "cpu", queue_id="here-1-abc")
        self.transport.submit(order)
        return order

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.transport.close()

    def end(self) -> None:
        self.close()
        for worker in self.workers:
            worker.process.kill()
            worker.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Give a transport with real TLS; workers are added by the test."""
    made: list[Cluster] = []

    def make(**terms: Any) -> Cluster:
        made.append(Cluster(tmp_path, **terms))
        return made[-1]

    yield make
    for one in made:
        one.end()
    for pids in tmp_path.glob("*/pids"):
        for pid in pids_of(pids.parent):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    """Find a port of this machine that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_gone(pids: list[int], deadline_s: float) -> float:
    """Wait until processes are gone; give how long that took [s]."""
    began_s = time.monotonic()
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} end", deadline_s)
    return time.monotonic() - began_s
