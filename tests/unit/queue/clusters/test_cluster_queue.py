"""Whole queues on a PBS that really runs its jobs: real Dask over TLS, real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.status import DeviceStatus
from lfadsq.watching.gpu_history import GpuHistory

from ....nvml_standin.standin import StandInGpus
from ..conftest import QUEUE_PROGRAM, attempts_of, is_alive, is_done, spec_of, wait_until
from .conftest import ROOT, listening, pids_of, stepper, steps_of, wait_gone
from .systems.pbs_standin import PbsStandIn, pbs_on_path

_OPTIONS = {
    "gpus_per_job": 0,
    "cores_per_job": 1,
    "max_jobs": 2,
    "interface": "lo",
    "end_margin": "30s",
    "min_time_left": "30s",
    "walltime": "0:10:00",
    "setup": [f"export PYTHONPATH={ROOT}", "export CUDA_VISIBLE_DEVICES="],
}


@pytest.fixture
def pbs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PbsStandIn]:
    with pbs_on_path(tmp_path_factory.mktemp("pbs"), monkeypatch.setenv) as standin:
        yield standin


class Queue:
    """A queue in a process of its own, on a cluster."""

    def __init__(self, folder: Path, specs: list[dict[str, Any]], umask: int, **given: Any) -> None:
        options = {**_OPTIONS, **given.pop("cluster_options", {})}
        arguments = {
            "specs": specs, "cluster": "pbs", "collection": str(folder),
            "cluster_options": options, "grace_s": 5, **given,
        }  # fmt: skip
        self.log = folder.parent / f"queue-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", QUEUE_PROGRAM, json.dumps(arguments)],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                umask=umask,
            )
        self.pid = self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait(self, timeout_s: float = 90) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the queue does not end: {self.said}") from None

    def done(self, timeout_s: float = 90) -> None:
        assert self.wait(timeout_s) == 0, self.said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "collection"
    made.mkdir()
    return made


@pytest.fixture
def start(pbs: PbsStandIn, folder: Path) -> Iterator[Callable[..., Queue]]:
    """Start queues; what is left of them is killed."""
    queues: list[Queue] = []

    def begin(specs: list[dict[str, Any]], umask: int = 0o022, **given: Any) -> Queue:
        queues.append(Queue(folder, specs, umask, **given))
        return queues[-1]

    yield begin
    for queue in queues:
        queue.process.kill()
        queue.process.wait()
    for pid in [p for file in folder.glob("*/pids") for p in pids_of(file.parent)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _training(folder: Path, name: str, num_steps: int) -> dict[str, Any]:
    return spec_of(folder, name, stepper(folder / name, num_steps))


def _workers(folder: Path) -> list[int]:
    """List the workers of a collection's queues."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "lfadsq.queue.clusters.worker" in words and any(str(folder) in w for w in words):
            found.append(process.pid)
    return found


def _causes(spec: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["outcome"], one["cause"]) for one in attempts_of(spec)]


def _logs(folder: Path) -> str:
    return "\n".join(p.read_text() for p in (folder / ".lfadsqueue" / "jobs").glob("*.log"))


def _no_jobs(pbs: PbsStandIn) -> bool:
    states = [json.loads(p.read_text())["job_state"] for p in (pbs.folder / "jobs").glob("*.json")]
    return all(state == "F" for state in states)


def test_tasks_run_in_jobs_which_are_gone_afterwards(
    start: Callable[..., Queue], folder: Path, pbs: PbsStandIn
) -> None:
    specs = [spec_of(folder, f"t{n}", 'echo "job $PBS_JOBID"; sleep 0.2') for n in range(6)]
    queue = start(specs)
    queue.done()
    assert _no_jobs(pbs)
    assert _workers(folder) == []
    jobs = {Path(s["outfile"]).read_text().rpartition("\njob ")[2].split()[0] for s in specs}
    assert jobs == {"1.standin", "2.standin"}
    log = _logs(folder)
    for words in ("connected to the queue at tls://", "t0 started on", "t0 ended: succeeded"):
        assert words in log
    assert "leaves: the queue needs it no longer" in log
    (devices,) = [line for line in queue.said.splitlines() if line.startswith("  devices: ")]
    assert devices.endswith(" CPU hours"), "no idle share: machines come and go"
    for chatter in ("distributed", "Run out-of-band", "plugin", "Traceback"):
        assert chatter not in log


def test_no_more_jobs_are_asked_for_than_tasks_may_run_at_once(
    start: Callable[..., Queue], folder: Path, pbs: PbsStandIn
) -> None:
    specs = [spec_of(folder, f"t{n}", "true") for n in range(3)]
    given = {"max_tasks_simultaneously": 1}
    shown = start(specs, dry_run=True, **given)
    assert shown.wait() == 0
    assert "1 such job of PBS would be asked for" in shown.said
    start(specs, **given).done()
    assert len(list((pbs.folder / "jobs").glob("*.json"))) == 1


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_whatever_the_umask_keys_are_private_and_ports_demand_them(
    start: Callable[..., Queue], folder: Path, umask: int
) -> None:
    specs = [_training(folder, "t", 2000)]
    queue = start(specs, umask=umask)
    wait_until(lambda: steps_of(folder / "t"), f"it trains: {queue.said}", 30)
    everything = [*folder.rglob("*"), folder / ".lfadsqueue"]
    modes = {path: path.stat().st_mode for path in everything}
    # The folder of the run was made by this test, and what lies in it by the training.
    assert {"steps", "lfads.out"} <= {path.name for path in modes if path.parent.name == "t"}
    assert [path for path, mode in modes.items() if mode & stat.S_IWOTH] == []
    keys = {p: m for p, m in modes.items() if p.is_file() and b"PRIVATE KEY" in p.read_bytes()}
    assert len(keys) == 1
    for path in (*keys, *(key.parent for key in keys), folder / ".lfadsqueue" / "jobs"):
        assert not modes[path] & 0o077, path
    family = [queue.pid, *_workers(folder)]
    family += [c.pid for pid in family for c in psutil.Process(pid).children(recursive=True)]
    ports = listening(list(dict.fromkeys(family)))
    assert len(ports) == 2, "a scheduler and a worker, and no web server"
    for host, port in ports:
        assert host == "127.0.0.1"
        said = subprocess.run(
            ["curl", "-s", "-m", "2", f"http://{host}:{port}/"], capture_output=True, check=False
        )
        assert said.returncode != 0
    queue.process.send_signal(signal.SIGTERM)
    assert queue.wait() == -signal.SIGINT


def test_a_killed_queue_takes_its_tasks_along_within_a_minute_and_the_next_goes_on(
    start: Callable[..., Queue], folder: Path, pbs: PbsStandIn
) -> None:
    specs = [_training(folder, f"t{n}", 100) for n in range(2)]
    queue = start(specs)
    wait_until(lambda: all(steps_of(folder / s["name"]) for s in specs), "all train", 30)
    workers, trainings = _workers(folder), [p for s in specs for p in pids_of(folder / s["name"])]
    queue.process.kill()
    assert wait_gone([*trainings, *workers], 60) < 60
    assert "leaves: its queue is gone" in _logs(folder)
    for spec in specs:
        checkpoint = folder / spec["name"] / "checkpoint"
        assert int(checkpoint.read_text()) == steps_of(checkpoint.parent)[-1]
    start(specs).done()
    for spec in specs:
        assert steps_of(folder / spec["name"]) == list(range(1, 101)), "nothing twice"
        assert _causes(spec) == [("interrupted", "queue stopped"), ("succeeded", None)]


@pytest.mark.slow
def test_a_queue_that_was_stopped_for_a_while_goes_on(
    start: Callable[..., Queue], folder: Path
) -> None:
    specs = [_training(folder, "t0", 40), _training(folder, "t1", 500), _training(folder, "t2", 5)]
    queue = start(specs)
    wait_until(lambda: steps_of(folder / "t0") and steps_of(folder / "t1"), "both train", 30)
    queue.process.send_signal(signal.SIGSTOP)
    time.sleep(20)  # the case itself
    assert is_done(specs[0])
    assert not steps_of(folder / "t2")
    queue.process.send_signal(signal.SIGCONT)
    queue.done()
    assert [len(attempts_of(spec)) for spec in specs] == [1, 1, 1]


def test_a_killed_worker_costs_a_task_nothing(start: Callable[..., Queue], folder: Path) -> None:
    specs = [_training(folder, "t", 150)]
    queue = start(specs, cluster_options={"max_jobs": 1})
    wait_until(lambda: len(steps_of(folder / "t")) > 10, "it trains", 30)
    (worker,) = _workers(folder)
    os.kill(worker, signal.SIGKILL)
    queue.done()
    assert steps_of(folder / "t") == list(range(1, 151)), "the guard had it write a checkpoint"
    assert [outcome for outcome, _ in _causes(specs[0])] == ["interrupted", "succeeded"]


@pytest.mark.parametrize(
    ("number", "walltime", "cause"),
    [
        (signal.SIGTERM, "0:10:00", "preempted"),
        (signal.SIGUSR1, "0:01:20", "walltime"),
    ],
)
def test_a_signal_of_the_batch_system_sends_tasks_elsewhere(
    start: Callable[..., Queue],
    folder: Path,
    number: signal.Signals,
    walltime: str,
    cause: str,
) -> None:
    specs = [_training(folder, "t", 60)]
    queue = start(specs, cluster_options={"max_jobs": 1, "walltime": walltime})
    wait_until(lambda: len(steps_of(folder / "t")) > 10, "it trains", 30)
    os.kill(_workers(folder)[0], number)
    queue.done()
    assert _causes(specs[0]) == [("interrupted", cause), ("succeeded", None)]
    assert steps_of(folder / "t") == list(range(1, 61))
    assert f"{number.name} of the batch system ({cause})" in _logs(folder)


@pytest.mark.slow
def test_a_training_goes_through_jobs_that_are_too_short_for_it(
    start: Callable[..., Queue], folder: Path
) -> None:
    """Their own clock ends them: the batch system has nothing to end."""
    specs = [_training(folder, "t", 260)]
    limits = {"walltime": "0:00:14", "end_margin": "5s", "min_time_left": "8s", "max_jobs": 1}
    queue = start(specs, cluster_options=limits)
    queue.done()
    causes = _causes(specs[0])
    assert len(causes) >= 2
    assert set(causes[:-1]) == {("interrupted", "walltime")}
    assert steps_of(folder / "t") == list(range(1, 261))
    assert "walltime" not in "".join(
        p.read_text() for p in (folder / ".lfadsqueue" / "jobs").glob("*.OU")
    )


@pytest.mark.slow
def test_a_deaf_task_is_killed_before_its_job_ends(
    start: Callable[..., Queue], folder: Path
) -> None:
    pids = folder / "t" / "pids"
    spec = spec_of(folder, "t", f"trap '' TERM; echo $$ >>{pids}; while :; do sleep 0.2; done")
    limits = {"walltime": "0:00:25", "end_margin": "8s", "min_time_left": "8s", "max_jobs": 1}
    queue = start([spec], cluster_options=limits)
    pid = wait_until(lambda: pids_of(folder / "t"), "it runs", 30)[0]
    wait_until(lambda: not is_alive(pid), "it is killed", 30)
    wait_until(lambda: "is killed: t" in _logs(folder), "the log says so", 5)
    wait_until(lambda: ("interrupted", "walltime") in _causes(spec), "the record says so", 5)
    queue.process.send_signal(signal.SIGTERM)
    assert queue.wait() == -signal.SIGINT


@pytest.mark.slow
def test_a_node_without_gpus_is_told_by_its_name(start: Callable[..., Queue], folder: Path) -> None:
    queue = start([spec_of(folder, "t", "true")], cluster_options={"gpus_per_job": 1})
    assert queue.wait(120) not in (0, -signal.SIGINT)
    assert f"{os.uname().nodename} has no GPU for its job" in queue.said
    assert not is_done({"donefile": str(folder / "t" / "lfads.done")})


def test_what_a_dead_queue_left_in_its_job_is_not_started_twice(
    start: Callable[..., Queue], folder: Path
) -> None:
    """It takes 4 s to write its checkpoint, and the next queue is there at once."""
    spec = spec_of(folder, "t", stepper(folder / "t", 80, end_s=4))
    queue = start([spec], cluster_options={"max_jobs": 1})
    wait_until(lambda: steps_of(folder / "t"), "it trains", 30)
    queue.process.kill()
    following = start([spec], cluster_options={"max_jobs": 1})
    wait_until(lambda: "elsewhere" in following.said, "the next queue sees it", 20)
    assert len(pids_of(folder / "t")) == 1
    following.done()
    assert steps_of(folder / "t") == list(range(1, 81))
    assert _causes(spec) == [("interrupted", "queue stopped"), ("succeeded", None)]


def test_a_second_queue_on_the_node_leaves_the_tasks_of_the_first_alone(
    start: Callable[..., Queue], folder: Path
) -> None:
    """Not the first queue holds their locks, but its worker: they are no leftovers of it."""
    spec = _training(folder, "t", 200)
    first = start([spec], cluster_options={"max_jobs": 1})
    wait_until(lambda: steps_of(folder / "t"), "it trains", 30)
    second = start([spec], cluster_options={"max_jobs": 1})
    wait_until(lambda: "already: waiting for it" in second.said, "the second sees it", 20)
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() == -signal.SIGINT
    assert not attempts_of(spec)[-1].get("ended_at"), "it goes on"
    first.done()
    assert _causes(spec) == [("succeeded", None)]
    assert steps_of(folder / "t") == list(range(1, 201))


def device_of_snapshot(folder: Path, uuid: str) -> DeviceStatus | None:
    """Find what the live queue tells of a GPU of its machines."""
    shown = [q for q, lives in ControlFolder.of(folder).queues() if lives]
    devices = [device for queue in shown for device in queue.devices if device.tasks]
    return next((d for d in devices if d.device_id.startswith(f"{uuid}@")), None)


def test_jobs_have_gpus_of_their_own_and_peaks_are_recorded(
    start: Callable[..., Queue], folder: Path, gpus: StandInGpus
) -> None:
    gpus.put_alike(4)
    busy = gpus.gpus[0]
    busy.util, busy.power, busy.limit, busy.temp = 87, 321, 400, 61
    gpus.write()
    with_gpus = {
        "gpus_per_job": 1,
        "setup": [f"export PYTHONPATH={ROOT}"]
        + [f"export {key}={value}" for key, value in gpus.environment().items()],
    }
    specs = [
        spec_of(folder, f"t{n}", f"echo ENV$CUDA_VISIBLE_DEVICES; {gpus.training(500, 3)}")
        for n in range(2)
    ]
    queue = start(specs, cluster_options=with_gpus)
    device = wait_until(lambda: device_of_snapshot(folder, "GPU-00000000-standin"), "is shown", 60)
    assert (device.utilisation_percent, device.power_w) == (87, 321)
    assert (device.power_limit_w, device.temperature_c) == (400, 61)
    assert device.host == socket.gethostname()
    queue.done()
    attempts = [attempts_of(spec)[0] for spec in specs]
    assert sorted(a["device"] for a in attempts) == [f"GPU-{n:08d}-standin" for n in range(2)]
    for spec, attempt in zip(specs, attempts, strict=True):
        assert f"ENV{attempt['device']}\n" in Path(spec["outfile"]).read_text()
        assert 500 <= attempt["peak_memory_mb"] <= 600
    # What GPUs of other machines did is kept too, by their own UUIDs.
    history = GpuHistory.load(folder)
    assert {d.device_id: [r.name for r in d.runs] for d in history.devices.values()} == {
        attempt["device"]: [spec["name"]] for spec, attempt in zip(specs, attempts, strict=True)
    }
    first = history.devices["GPU-00000000-standin"]
    assert (first.utilisation_percent[0], first.power_w[0]) == (87, 321)
    assert first.name == f"GPU 0 (NVIDIA A100) of {socket.gethostname()}"


def test_gpus_are_shared_and_memory_is_learned_across_machines(
    start: Callable[..., Queue], folder: Path, gpus: StandInGpus
) -> None:
    gpus.put_alike(4, total=4000)
    with_gpus = {
        "gpus_per_job": 1,
        "setup": [f"export PYTHONPATH={ROOT}"]
        + [f"export {key}={value}" for key, value in gpus.environment().items()],
    }
    shape = {"shape": "gen_dim=64"}
    specs = [
        spec_of(folder, f"t{n}", gpus.training(500, 5 if n else 3), "auto") | shape
        for n in range(6)
    ]
    specs[0]["priority"] = specs[1]["priority"] = 1
    queue = start(specs, cluster_options=with_gpus, one_task_per_gpu=False, max_tasks_per_gpu=2)
    queue.done()
    attempts = [attempts_of(spec)[0] for spec in specs]
    assert [a["is_alone"] for a in attempts] == [True, True] + [False] * 4
    assert {a["memory_mb"] for a in attempts[2:]} <= {a["peak_memory_mb"] + 256 for a in attempts}
    late = attempts[2:]
    devices = [a["device"] for a in late]
    assert sorted(devices) == sorted([*set(devices)] * 2), "two on each"
    assert max(a["started_at"] for a in late) < min(a["ended_at"] for a in late)
