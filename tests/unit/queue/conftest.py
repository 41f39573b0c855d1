"""Real queues on real processes, in folders of their own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue import retries

from ...nvml_standin.standin import StandInGpus, build_driver

QUEUE_PROGRAM = """
import json, sys
import lfadsqueue as lq
arguments = json.loads(sys.argv[1])
specs = arguments.pop("specs")
summary = lq.run_lfads_queue("test", arguments.pop("tensorboard_script", None), specs, **arguments)
print("finished:", json.dumps(summary.finished), flush=True)
raise SystemExit(summary.exit_status)
"""


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = 20.0) -> Any:
    """Wait for a condition to hold, and give its value."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"did not happen within {deadline_s} s: {what}")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def spec_of(root: Path, name: str, command: str, memory_req: float | str = 1) -> dict[str, Any]:
    """Make a run directory, and a task in it."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "name": name,
        "command": command,
        "memory_req": memory_req,
        "outfile": str(folder / "lfads.out"),
        "donefile": str(folder / "lfads.done"),
    }


def record_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Read a task's record as anybody would."""
    path = Path(spec["donefile"]).with_name("lfads.record.json")
    data = json.loads(path.read_text())
    assert isinstance(data, dict)
    return data


def attempts_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """List the attempts in a task's record."""
    return list(record_of(spec)["attempts"])


def is_done(spec: dict[str, Any]) -> bool:
    """Tell whether a task has its marker."""
    return Path(spec["donefile"]).exists()


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same on a machine with GPUs; tests of devices bring their own.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the stand-in driver, once."""
    try:
        return build_driver(tmp_path_factory.mktemp("nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def gpus(
    _no_gpu: None,
    nvml_library: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StandInGpus]:
    """Give this process, and those it starts, the GPUs that the test puts into it."""
    import pynvml

    machine = StandInGpus(tmp_path_factory.mktemp("gpus") / "gpus.txt", nvml_library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)
    # This process may have another driver loaded already, under the same name.
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(nvml_library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    # In a container only a process with a GPU open is believed to use one; this one may pretend to.
    with machine.device_node.open("rb"):
        yield machine


class QueueProcess:
    """A queue in a process of its own, whose output goes to files."""

    def __init__(self, arguments: dict[str, Any], folder: Path, cwd: Path | str) -> None:
        self.out, self.err = folder / "stdout", folder / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-c", QUEUE_PROGRAM, json.dumps(arguments)],
                cwd=cwd,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            )
        self.pid = self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the queue alone, so that it can do nothing about it."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_s: float = 60) -> int:
        return self._process.wait(timeout_s)

    def wait_for(self, *texts: str) -> None:
        """Wait until it has printed all of these."""
        wait_until(lambda: all(text in self.out.read_text() for text in texts), str(texts))

    def finished(self) -> list[str]:
        """Wait for its end, and give the names of the tasks it says it has finished."""
        self.wait()
        lines = [li for li in self.out.read_text().splitlines() if li.startswith("finished: ")]
        assert lines, (self.out.read_text(), self.err.read_text())
        return list(json.loads(lines[0].removeprefix("finished: ")))


@pytest.fixture
def start_queue(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., QueueProcess]]:
    """Start queues as processes; whatever is left of them at the end is killed."""
    started: list[QueueProcess] = []
    specs_of_all: list[dict[str, Any]] = []

    def start(specs: list[dict[str, Any]], **arguments: Any) -> QueueProcess:
        cwd = arguments.pop("cwd", tmp_path)
        folder = tmp_path_factory.mktemp("queue")
        specs_of_all.extend(specs)
        started.append(QueueProcess({"specs": specs, **arguments}, folder, cwd))
        return started[-1]

    yield start
    for process in started:
        process.kill()
    # A test that failed must not leave tasks to the next one.
    for spec in specs_of_all:
        lock = Path(spec["donefile"]).with_name("lfads.lock")
        text = lock.read_text() if lock.exists() else ""
        if "\npid " in text and "\nexit " not in text:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(text.split("\npid ")[1].split()[0]), signal.SIGKILL)


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks that failed be tried again at once."""
    at_once = {c: retries.Budget((0.0,) * len(b.delays_s)) for c, b in retries.BUDGETS.items()}
    monkeypatch.setattr(retries, "BUDGETS", at_once)
