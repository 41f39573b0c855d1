"""Queues on GPUs, as the stand-in driver shows them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lfadsq.queue.events import (
    TaskFinished,
    TaskRetried,
    TaskStarted,
)
from lfadsq.queue.records import Cause

from ...nvml_standin.standin import StandInGpu, StandInGpus
from .conftest import attempts_of, spec_of
from .running import Listener, log_of, run

pytestmark = pytest.mark.usefixtures("no_delay")


def test_gpus_are_given_one_by_one(tmp_path: Path, gpus: StandInGpus) -> None:
    gpus.put_alike(3)
    one, _, three = gpus.gpus
    specs = [
        spec_of(tmp_path, f"t{n}", "echo ENV$CUDA_VISIBLE_DEVICES,$CUDA_DEVICE_ORDER; sleep 0.3")
        for n in range(4)
    ]
    listener = Listener()
    summary = run(specs, listener, gpu_list=[0, 2])
    assert len(summary.finished) == 4
    masks = sorted(log_of(s).rpartition("\nENV")[2].splitlines()[0] for s in specs)
    assert masks == sorted([f"{one.uuid},PCI_BUS_ID", f"{three.uuid},PCI_BUS_ID"] * 2)
    assert listener.events[0].max_tasks == 2  # type: ignore[union-attr]
    running: set[str] = set()
    for event in listener.events:
        if isinstance(event, TaskStarted):
            assert event.attempt.device not in running
            running.add(event.attempt.device)
        elif isinstance(event, TaskFinished) and event.attempt:
            running.discard(event.attempt.device)


def test_a_gpu_others_use_is_waited_for(tmp_path: Path, gpus: StandInGpus) -> None:
    gpus.put(StandInGpu("GPU-one", total=1000, used=900))

    def free() -> None:
        gpus.gpus[0].used = 0
        gpus.write()

    threading.Timer(1.0, free).start()
    summary = run([spec_of(tmp_path, "t", "true", memory_req=500)])
    assert summary.finished == ("t",)
    assert summary.wall_s > 1.0


def test_tasks_share_a_gpu_if_asked_for(tmp_path: Path, gpus: StandInGpus) -> None:
    gpus.put_alike(1, total=1000)
    work = tmp_path / "work"
    work.mkdir()
    command = f"touch {work}/$$; ls {work} | wc -l >> {tmp_path}/counts; sleep 0.3; rm {work}/$$"
    specs = [spec_of(tmp_path, f"t{n}", command, memory_req=300) for n in range(5)]
    run(specs, one_task_per_gpu=False)
    assert max(int(c) for c in (tmp_path / "counts").read_text().split()) == 3
    limited = [spec_of(tmp_path, f"u{n}", command, memory_req=300) for n in range(5)]
    (tmp_path / "counts").unlink()
    run(limited, one_task_per_gpu=False, max_tasks_per_gpu=2)
    assert max(int(c) for c in (tmp_path / "counts").read_text().split()) == 2


def test_out_of_gpu_memory_is_tried_again_alone(tmp_path: Path, gpus: StandInGpus) -> None:
    """Each says it needs 300 MB and takes 700: one of two that share a GPU of 1000 MB fails."""
    gpus.put_alike(1, total=1000)
    specs = [spec_of(tmp_path, f"t{n}", gpus.training(700, 0.5), 300) for n in range(2)]
    listener = Listener()
    summary = run(specs, listener, one_task_per_gpu=False)
    assert sorted(summary.finished) == ["t0", "t1"]
    (again,) = listener.all_of(TaskRetried)
    assert again.failure.cause is Cause.GPU_MEMORY
    assert "alone" in again.how
    attempts = attempts_of(next(s for s in specs if s["name"] == again.task.name))
    assert [(a["outcome"], a["is_alone"]) for a in attempts] == [
        ("failed", False),
        ("succeeded", True),
    ]


def test_a_task_that_no_gpu_can_hold_gives_up(tmp_path: Path, gpus: StandInGpus) -> None:
    gpus.put_alike(1, total=1000)
    spec = spec_of(tmp_path, "t", gpus.training(2000, 0.1), 300)
    (failure,) = run([spec], one_task_per_gpu=False).failed
    assert failure.cause is Cause.GPU_MEMORY
    assert 2 <= len(attempts_of(spec)) <= 4
    assert len(failure.tried) == len(attempts_of(spec)) - 1


def test_memory_is_learned_from_the_first_run_of_a_shape(tmp_path: Path, gpus: StandInGpus) -> None:
    """Unknown, the first has the GPU to itself; what it took packs the others side by side."""
    gpus.put_alike(1, total=4000)
    specs = [
        spec_of(tmp_path, f"t{n}", gpus.training(500, 3.0 if n == 0 else 0.6), "auto")
        | {"shape": "gen_dim=64"}
        for n in range(5)
    ]
    specs[0]["priority"] = 1
    summary = run(specs, one_task_per_gpu=False)
    assert len(summary.finished) == 5
    first, *others = [attempts_of(spec)[0] for spec in specs]
    assert first["is_alone"]
    assert 500 <= first["peak_memory_mb"] <= 600
    assert not any(other["is_alone"] for other in others)
    assert len({other["memory_mb"] for other in others}) == 1
    assert 600 < others[0]["memory_mb"] < 1000
    starts = sorted(other["started_at"] for other in others)
    assert starts[-1] < min(other["ended_at"] for other in others)
