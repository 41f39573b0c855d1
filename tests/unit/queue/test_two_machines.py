"""Two machines that share a disk: another host name, other processes, one file system."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import QUEUE_PROGRAM, attempts_of, is_alive, is_done, spec_of, wait_until

_OTHER = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*_OTHER, "hostname other"], capture_output=True, check=False)
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(
    not _can_unshare(), reason="another host name and process table need root"
)

# Fails if it is not alone in its run directory; notes each time it starts, and where.
_TASK = (
    "hostname >> {0}/starts; mkdir {0}/busy || exit 9;"
    " while ! test -e {1}/go; do sleep 0.05; done; rmdir {0}/busy"
)


class Machine:
    """Starts queues on this machine, or on another with the same disk."""

    def __init__(self, root: Path, host: str | None) -> None:
        self._root = root
        self._host = host
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, specs: list[dict[str, Any]], **arguments: Any) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", QUEUE_PROGRAM, json.dumps({"specs": specs, **arguments})]
        if self._host is not None:
            # "$@" keeps the words as they are.
            words = [*_OTHER, f'hostname {self._host} && exec "$@"', "sh", *words]
        number = len(self._started)
        with (self._root / f"{self._host}{number}.log").open("wb") as log:
            self._started.append(
                subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
            )
        return self._started[-1]

    def said(self) -> str:
        """Give what its newest queue printed."""
        return (self._root / f"{self._host}{len(self._started) - 1}.log").read_text()

    def switch_off(self) -> None:
        """Take the power from all that runs there."""
        for process in self._started:
            if process.poll() is None:
                there = psutil.Process(process.pid).children(recursive=True)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                # The kernel ends them with their process table, which takes a moment.
                psutil.wait_procs(there)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    here, there = Machine(tmp_path, None), Machine(tmp_path, "node77")
    yield here, there
    (tmp_path / "go").touch()
    here.switch_off()
    there.switch_off()


def starts_of(spec: dict[str, Any]) -> list[str]:
    path = Path(spec["donefile"]).with_name("starts")
    return path.read_text().split() if path.exists() else []


def specs_in(root: Path, num: int) -> list[dict[str, Any]]:
    return [spec_of(root, f"t{n}", _TASK.format(root / f"t{n}", root)) for n in range(num)]


def test_queues_started_together_share_the_runs_and_train_none_twice(
    tmp_path: Path, machines: tuple[Machine, Machine]
) -> None:
    specs = specs_in(tmp_path, 24)
    queues = [machine.start(specs, max_tasks_simultaneously=2) for machine in machines]
    names = {os.uname().nodename, "node77"}
    wait_until(lambda: {host for spec in specs for host in starts_of(spec)} == names, "both")
    (tmp_path / "go").touch()
    assert [queue.wait(60) for queue in queues] == [0, 0]
    assert all(is_done(spec) for spec in specs)
    hosts = [starts_of(spec) for spec in specs]
    assert [len(host) for host in hosts] == [1] * len(specs)
    assert [a["host"] for spec in specs for a in attempts_of(spec)] == [h for (h,) in hosts]


def test_what_runs_there_is_waited_for_here(
    tmp_path: Path, machines: tuple[Machine, Machine]
) -> None:
    here, there = machines
    specs = specs_in(tmp_path, 2)
    there.start(specs[:1])
    wait_until(lambda: starts_of(specs[0]), "the run there")
    queue = here.start(specs)
    wait_until(lambda: "on node77 already: waiting for it" in here.said(), "the run is seen")
    wait_until(lambda: starts_of(specs[1]), "the other run here")
    # To end it is not in our power, nor do we mean to.
    queue.send_signal(signal.SIGINT)
    queue.wait(30)
    assert (tmp_path / "t0/busy").exists()
    (tmp_path / "t1/busy").rmdir()
    queue = here.start(specs)
    (tmp_path / "go").touch()
    assert queue.wait(30) == 0
    assert starts_of(specs[0]) == ["node77"]
    assert [a["outcome"] for a in attempts_of(specs[0])] == ["succeeded"]


def test_a_run_is_taken_over_when_its_machine_has_died(
    tmp_path: Path, machines: tuple[Machine, Machine]
) -> None:
    here, there = machines
    (spec,) = specs_in(tmp_path, 1)
    there.start([spec])
    wait_until(lambda: starts_of(spec), "the run there")
    queue = here.start([spec])
    wait_until(lambda: "waiting for it" in here.said(), "the run is seen")
    # The run is taken over at once.
    (tmp_path / "t0/busy").rmdir()
    there.switch_off()
    (tmp_path / "go").touch()
    assert queue.wait(30) == 0
    assert starts_of(spec) == ["node77", os.uname().nodename]
    assert [a["outcome"] for a in attempts_of(spec)] == ["lost", "succeeded"]
    assert not is_alive(attempts_of(spec)[1]["pid"])
