"""The tasks of a worker that was killed are ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import is_alive, wait_until

_WORKER = """
import subprocess, sys, time
from lfadsq.queue.clusters.guard import Guard
guard = Guard(float(sys.argv[1]))
print(guard._process.pid, flush=True)
for command in sys.argv[2:]:
    group = subprocess.Popen(["/bin/sh", "-c", command.removeprefix("forget ")],
                             start_new_session=True)
    guard.watch(group.pid)
    if command.startswith("forget "):
        guard.forget(group.pid)
    print(group.pid, flush=True)
print("ready", flush=True)
time.sleep(60)
"""


class _Worker:
    def __init__(self, grace_s: float, *commands: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(grace_s), *commands],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.pids = []
        while (line := self.process.stdout.readline()) != "ready\n":
            self.pids.append(int(line))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def test_tasks_of_a_killed_worker_end_with_a_checkpoint(marker: Path) -> None:
    saves = f"trap 'sleep 0.3; echo saved >{marker}; exit 0' TERM; while :; do sleep 0.05; done"
    worker = _Worker(20, saves)
    time.sleep(0.2)  # the shell sets its trap
    worker.kill()
    wait_until(lambda: not any(map(is_alive, worker.pids)), "all end, the guard too", 10)
    assert marker.read_text() == "saved\n"


def test_a_deaf_task_is_killed_after_its_grace() -> None:
    worker = _Worker(1, "trap '' TERM; while :; do sleep 0.05; done")
    time.sleep(0.2)
    began_s = time.monotonic()
    worker.kill()
    wait_until(lambda: not any(map(is_alive, worker.pids)), "it is killed", 10)
    assert time.monotonic() - began_s >= 0.9


def test_a_task_that_is_over_is_left_alone() -> None:
    worker = _Worker(1, "exec sleep 60", "forget exec sleep 3", "exec sleep 60")
    guard, one, forgotten, other = worker.pids
    worker.kill()
    wait_until(lambda: not any(map(is_alive, (guard, one, other))), "the others end", 10)
    assert is_alive(forgotten)
    wait_until(lambda: not is_alive(forgotten), "it ends by itself", 10)


def test_nothing_is_left_when_the_worker_ends_well() -> None:
    from lfadsq.queue.clusters.guard import Guard

    guard = Guard(5)
    pid = guard._process.pid
    guard.watch(1 << 22)  # no such group
    guard.forget(1 << 22)
    guard.close()
    assert not is_alive(pid)
    guard.watch(1 << 22)  # too late, and harmless
