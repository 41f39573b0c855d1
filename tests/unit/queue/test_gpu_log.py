"""What queues note of their GPUs, read back from the disk as whoever watches does."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths
from lfadsq.queue.devices import CPU, Device
from lfadsq.queue.gpu_log import GpuLog
from lfadsq.queue.places import Reservation
from lfadsq.watching.gpu_history import GpuHistory

from ...nvml_standin.standin import StandInGpu, StandInGpus
from .conftest import QueueProcess, spec_of, wait_until
from .running import run

NOON_S = 1_800_000_000.0
DAY_S = 86400


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def wall_s(self) -> float:
        return NOON_S + self.at_s

    def steady_s(self) -> float:
        return self.at_s


def gpu(
    name: str = "GPU-1", used: float = 1000, usage: float | None = 50, power: float | None = 100
) -> Device:
    return Device(
        name,
        f"GPU 0 ({name})",
        40000,
        40000 - used,
        1,
        {},
        utilisation_percent=usage,
        power_w=power,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_log(tmp_path: Path, clock: Clock) -> Callable[..., GpuLog]:
    def open_one(queue_id: str = "here-1") -> GpuLog:
        paths = ControlPaths(tmp_path / FOLDER_NAME)
        return GpuLog(paths, queue_id, wall_s=clock.wall_s, steady_s=clock.steady_s)

    return open_one


def pass_time(
    log: GpuLog,
    clock: Clock,
    seconds: float,
    devices: Sequence[Device],
    **running: str,
) -> None:
    """Let a queue's loop go round each second."""
    end_s = clock.at_s + seconds
    while clock.at_s < end_s:
        log.follow(devices, {name: Reservation(on, 1) for name, on in running.items()})
        clock.at_s += 1


def files(tmp_path: Path, suffix: str) -> list[Path]:
    return sorted((tmp_path / FOLDER_NAME / "gpus").glob(f"*{suffix}"))


def test_samples_and_runs_come_back(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    log = open_log()
    one, two = gpu("GPU-1", 1234, 97, 411.6), gpu("GPU-2", usage=None, power=None)
    pass_time(log, clock, 100, [one, two], a="GPU-1")
    pass_time(log, clock, 100, [one, two])
    log.close()
    history = GpuHistory.load(tmp_path)
    first, second = history.devices["GPU-1"], history.devices["GPU-2"]
    assert (first.times_s - NOON_S).tolist() == list(range(0, 200, 5))
    assert set(first.utilisation_percent) == {97}
    assert set(first.used_mb) == {1234}
    assert set(first.power_w) == {412}
    assert first.memory_mb == 40000
    (alone,) = first.runs
    assert (alone.name, alone.began_s - NOON_S, alone.ended_s - NOON_S) == ("a", 0, 100)
    assert alone.has_end
    assert first.idle_share == 0.5
    assert second.idle_share == 1
    assert history.idle_share == 0.75
    assert second.mean_utilisation_percent != second.mean_utilisation_percent  # never told: NaN
    assert first.energy_kwh == pytest.approx(412 * 200 / 3.6e6)
    assert history.num_damaged == 0
    assert [device.device_id for device, _ in history.of_run("a")] == ["GPU-1"]


def test_only_gpus_leave_anything(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    log = open_log()
    pass_time(log, clock, 100, [Device(CPU, CPU, 1, 1, 4, {})], a=CPU)
    log.close()
    assert not (tmp_path / FOLDER_NAME).exists()


def test_a_killed_queue_loses_its_last_record_at_most(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    pass_time(open_log("first-1"), clock, 50, [gpu()], a="GPU-1")  # no close
    (samples,) = files(tmp_path, ".samples")
    for size in range(samples.stat().st_size, 0, -7):
        os.truncate(samples, size)
        assert GpuHistory.load(tmp_path).num_damaged <= 1, size
    clock.at_s = 1000
    second = open_log("second-1")
    pass_time(second, clock, 50, [gpu()], b="GPU-1")
    second.close()
    runs = GpuHistory.load(tmp_path).devices["GPU-1"].runs
    assert [(r.name, r.has_end, r.queue_id) for r in runs] == [
        ("a", False, "first-1"),
        ("b", True, "second-1"),
    ]


def test_time_that_nobody_watched_is_not_idle(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    for queue_id in ("first-1", "second-1"):
        log = open_log(queue_id)
        pass_time(log, clock, 100, [gpu()], a="GPU-1")
        log.close()
        clock.at_s += 5 * DAY_S
    device = GpuHistory.load(tmp_path).devices["GPU-1"]
    assert device.idle_share == 0
    assert device.watched_s == pytest.approx(200, abs=15)


def test_weeks_stay_small_and_minutes_of_all_of_them_are_kept(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    log = open_log()
    busy, idle = gpu(usage=100), gpu(usage=0)
    while clock.at_s < 6 * DAY_S:
        log.follow([busy if clock.at_s % 60 < 30 else idle], {"long": Reservation("GPU-1", 1)})
        if clock.at_s % DAY_S == 0:
            for path in files(tmp_path, ".samples")[:-1]:  # as if written on their day
                day = int(path.name.split(".")[1])
                os.utime(path, (NOON_S + day * DAY_S,) * 2)
        clock.at_s += 5
    log.close()
    assert len(files(tmp_path, ".samples")) <= 5
    num_bytes = sum(path.stat().st_size for path in files(tmp_path, "s"))
    assert num_bytes < 6 * 60_000 + 5 * 600_000
    device = GpuHistory.load(tmp_path).devices["GPU-1"]
    assert device.times_s[0] - NOON_S < 60
    assert device.watched_s == pytest.approx(6 * DAY_S, rel=1e-3)
    assert device.mean_utilisation_percent == pytest.approx(50, abs=0.5)
    assert device.idle_share == pytest.approx(0, abs=1e-4)
    (long,) = device.runs
    assert long.ended_s - long.began_s == pytest.approx(6 * DAY_S)


def test_old_samples_of_dead_queues_go_and_their_minutes_stay(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    log = open_log("dead-1")
    pass_time(log, clock, 300, [gpu()], a="GPU-1")
    log.close()
    (old,) = files(tmp_path, ".samples")
    os.utime(old, (NOON_S, NOON_S))
    clock.at_s = 4 * DAY_S
    open_log("new-1").follow([gpu()], {})
    assert [path.name for path in files(tmp_path, ".samples")] == ["new-1.0001.samples"]
    device = GpuHistory.load(tmp_path).devices["GPU-1"]
    assert device.runs[0].ended_s - NOON_S == 300
    assert len(device.times_s) == 6  # five minutes and a sample


def test_a_full_disk_is_told_once_and_what_follows_is_whole(
    tmp_path: Path,
    clock: Clock,
    open_log: Callable[..., GpuLog],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = open_log()
    pass_time(log, clock, 20, [gpu()])
    write = os.write
    monkeypatch.setattr(os, "write", lambda to, data: write(to, data[: len(data) // 2]))
    with caplog.at_level(logging.WARNING):
        pass_time(log, clock, 20, [gpu()], a="GPU-1")
    monkeypatch.setattr(os, "write", write)
    pass_time(log, clock, 60, [gpu()], a="GPU-1")
    log.close()
    assert [r.message.split(":")[0] for r in caplog.records] == ["what the GPUs do cannot be kept"]
    history = GpuHistory.load(tmp_path)
    (device,) = history.devices.values()
    assert [(r.began_s - NOON_S, r.ended_s - NOON_S) for r in device.runs] == [(20, 100)]
    kept = {round(at_s - NOON_S) for at_s in device.times_s}
    assert kept == {*range(0, 20, 5), *range(40, 100, 5)}
    assert history.num_damaged


def test_whoever_may_read_wishes_may_read_this_and_nobody_else(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    folder = tmp_path / FOLDER_NAME
    folder.mkdir()
    folder.chmod(0o750)
    log = open_log()
    pass_time(log, clock, 10, [gpu()], a="GPU-1")
    log.close()
    assert (folder / "gpus").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in files(tmp_path, "s")} == {0o640}


def test_damaged_and_newer_files_are_left_out(
    tmp_path: Path, clock: Clock, open_log: Callable[..., GpuLog]
) -> None:
    log = open_log()
    pass_time(log, clock, 50, [gpu()])
    log.close()
    folder = tmp_path / FOLDER_NAME / "gpus"
    head = {"schema_version": 99, "queue_id": "q", "host": "h", "interval_s": 5}
    (folder / "newer.0001.samples").write_text(json.dumps(head) + "\n")
    (folder / "noise.minutes").write_bytes(os.urandom(999))
    with files(tmp_path, "1.samples")[0].open("a") as file:
        file.write(
            '[]\n5\n[1e999,[0,1,2,3]]\n[1,[7,1,2,3]]\n[1,[0,1]]\n{"run":1}\n[1,[[],1,2,3]]\n'
        )
    history = GpuHistory.load(tmp_path)
    assert len(history.devices["GPU-1"].times_s) == 10
    assert history.num_damaged == 8
    (problem,) = history.problems
    assert "newer lfadsq" in problem


# --- queues ---------------------------------------------------------------------------------------


def spans(history: GpuHistory) -> dict[str, list[tuple[str, bool]]]:
    return {
        uuid: [(one.name, one.has_end) for one in device.runs]
        for uuid, device in history.devices.items()
    }


def test_a_queue_notes_its_gpus_and_runs(tmp_path: Path, gpus: StandInGpus) -> None:
    gpus.put(
        StandInGpu("GPU-one", util=83, power=251),
        StandInGpu("GPU-two", util=-1, power=-1),
    )
    specs = [spec_of(tmp_path, f"t{n}", gpus.training(5000, 0.7), 4000) for n in range(3)]
    run(specs, collection=tmp_path)
    history = GpuHistory.load(tmp_path)
    one, two = history.devices["GPU-one"], history.devices["GPU-two"]
    assert one.utilisation_percent[0] == 83
    assert one.power_w[0] == 251
    assert one.name == "GPU 0 (NVIDIA A100)"
    assert two.power_w[0] != two.power_w[0]
    assert sorted(r.name for d in (one, two) for r in d.runs) == ["t0", "t1", "t2"]
    assert all(0.6 < r.ended_s - r.began_s < 10 for d in (one, two) for r in d.runs)


def test_a_queue_on_processors_keeps_no_history(tmp_path: Path) -> None:
    run([spec_of(tmp_path, "t", "true")], collection=tmp_path)
    assert not (tmp_path / FOLDER_NAME / "gpus").exists()
    assert not GpuHistory.load(tmp_path).devices


def test_history_survives_queues_that_are_killed(
    tmp_path: Path, gpus: StandInGpus, start_queue: Callable[..., QueueProcess]
) -> None:
    """The next queue takes up what the dead one left on its GPU, and notes it too."""
    gpus.put(StandInGpu("GPU-one", util=50))
    specs: list[dict[str, Any]] = [spec_of(tmp_path, "t", gpus.training(1000, 60), 500)]
    queue = start_queue(specs, collection=str(tmp_path))
    wait_until(lambda: spans(GpuHistory.load(tmp_path)).get("GPU-one"), "its run is noted")
    queue.kill()
    again = start_queue(specs, collection=str(tmp_path), grace_s=1)
    wait_until(lambda: len(spans(GpuHistory.load(tmp_path)).get("GPU-one", ())) == 2, "noted again")
    again.send_signal(signal.SIGTERM)
    again.wait()
    assert spans(GpuHistory.load(tmp_path)) == {"GPU-one": [("t", False), ("t", True)]}
