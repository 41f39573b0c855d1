"""GPUs as the real bindings tell of them, over a driver that follows what a test says."""

from __future__ import annotations

import getpass
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ConfigError, NoGpuError
from lfadsq.queue import devices as devices_module
from lfadsq.queue import machine as machine_module
from lfadsq.queue.devices import CPU, Device, DeviceSource, find_devices

from ...nvml_standin.standin import ERRORS, EXCLUSIVE, PROHIBITED, StandInGpu, StandInGpus
from .conftest import wait_until

NO_SUCH_PROCESS = 2**22 + 1  # above the highest pid a kernel gives


@pytest.fixture
def three(gpus: StandInGpus) -> StandInGpus:
    gpus.put(
        StandInGpu("GPU-aaaa1111-0"),
        StandInGpu("GPU-aaaa2222-1", used=1000),
        StandInGpu("GPU-bbbb3333-2", "NVIDIA TITAN X", 12000),
    )
    return gpus


Find = Callable[..., DeviceSource]


@pytest.fixture
def find(gpus: StandInGpus) -> Iterator[Find]:
    """Find devices; at the end they are closed, and nothing is left open."""
    sources: list[DeviceSource] = []

    def find_and_close(
        wanted: Any = None, mask: str | None = None, max_tasks: int = 1, **environment: str
    ) -> DeviceSource:
        if mask is not None:
            environment["CUDA_VISIBLE_DEVICES"] = mask
        sources.append(
            find_devices(
                wanted, max_tasks_on_gpu=max_tasks, num_cpu_slots=3, environment=environment
            )
        )
        return sources[-1]

    yield find_and_close
    for source in sources:
        source.close()
    assert num_open() == 0


def ids(source: DeviceSource) -> list[str]:
    return [device.device_id.rpartition("-")[2] for device in source.measure()]


def only(source: DeviceSource, *our_sessions: int) -> Device:
    (device,) = source.measure(our_sessions)
    return device


def num_open() -> int:
    import pynvml

    count = pynvml.nvmlLib.standin_num_open()
    assert isinstance(count, int)
    return count


def test_gpus_are_measured(find: Find, three: StandInGpus) -> None:
    source = find(max_tasks=5)
    second = source.measure()[1]
    assert (second.device_id, second.name) == ("GPU-aaaa2222-1", "GPU 1 (NVIDIA A100)")
    assert (second.memory_total_mb, second.memory_free_mb, second.max_tasks) == (40000, 39000, 5)
    assert (second.closed_because, second.num_others) == ("", 0)
    assert second.is_gpu
    three.gpus[1].used = 3000
    three.write()
    assert source.measure()[1].memory_free_mb == 37000
    source.close()
    source.close()
    assert num_open() == 0


def test_how_hard_gpus_work_is_asked_from_time_to_time(
    find: Find, gpus: StandInGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.put(
        StandInGpu("GPU-a", util=97, power=411, limit=450, temp=71),
        StandInGpu("GPU-b", util=-1, power=-1, limit=-1, temp=-1),
    )
    source = find()
    told, silent = source.measure()
    assert (told.utilisation_percent, told.power_w) == (97, 411)
    assert (told.power_limit_w, told.temperature_c) == (450, 71)
    assert (silent.utilisation_percent, silent.power_w) == (None, None)
    assert (silent.power_limit_w, silent.temperature_c) == (None, None)
    gpus.gpus[0].util = 3
    gpus.write()
    assert source.measure()[0].utilisation_percent == 97
    monkeypatch.setattr(devices_module, "_ACTIVITY_HOLDS_S", 0.0)
    assert source.measure()[0].utilisation_percent == 3


def test_whose_other_processes_are_on_a_gpu_is_told(
    find: Find, gpus: StandInGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the machine counts processes as the driver does, whatever this test runs in.
    monkeypatch.setattr(machine_module, "_counts_as_the_machine", lambda proc: True)
    monkeypatch.setattr(devices_module, "_ACTIVITY_HOLDS_S", 0.0)
    me = getpass.getuser()
    gpus.put(StandInGpu("GPU-a", processes=[(os.getpid(), 100.0)]), StandInGpu("GPU-b"))
    source = find()
    first, second = source.measure()
    assert (first.num_others, first.other_users) == (1, (me,))
    assert (second.num_others, second.other_users) == (0, ())
    ours = source.measure({os.getsid(0)})[0]
    assert (ours.num_others, ours.other_users) == (0, ())
    gpus.put(StandInGpu("GPU-a", processes=[(NO_SUCH_PROCESS, 100.0)]), StandInGpu("GPU-b"))
    assert source.measure()[0].other_users == (), "it is not to be seen from here"


def test_a_task_sees_its_own_gpu_and_does_not_take_all_of_it(
    find: Find, three: StandInGpus
) -> None:
    pinned = {"CUDA_VISIBLE_DEVICES": "GPU-aaaa2222-1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    growing = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    assert find().environment("GPU-aaaa2222-1") == {**pinned, **growing}
    source = find(TF_FORCE_GPU_ALLOW_GROWTH="false")
    assert source.environment("GPU-aaaa2222-1") == pinned


def test_eight_gpus(find: Find, gpus: StandInGpus) -> None:
    gpus.put_alike(8)
    source = find([7, 0, 3])
    assert [device.name[:5] for device in source.measure()] == ["GPU 7", "GPU 0", "GPU 3"]
    assert len(find().measure()) == 8


def test_what_the_driver_keeps_can_never_be_had(find: Find, gpus: StandInGpus) -> None:
    gpus.put(StandInGpu("GPU-0", total=80000, reserved=600, used=400))
    device = only(find())
    assert (device.memory_total_mb, device.memory_free_mb) == (79400, 79000)
    gpus.is_old = True
    gpus.write()
    assert only(find()).memory_free_mb == 79000


@pytest.mark.parametrize(
    ("wanted", "mask", "expected"),
    [
        (None, None, ["0", "1", "2"]),
        ([], None, ["0", "1", "2"]),
        ([2, 0], None, ["2", "0"]),
        (["1"], None, ["1"]),
        ([1, 1], None, ["1"]),
        (["GPU-bbbb"], None, ["2"]),
        (["GPU-aaaa"], None, ["0", "1"]),
        (["NVIDIA TITAN X"], None, ["2"]),
        (["NVIDIA A100"], None, ["0", "1"]),
        (None, "2,0", ["2", "0"]),
        (None, "GPU-aaaa2222-1", ["1"]),
        (None, "GPU-bbbb, 0", ["2", "0"]),
        (None, "1,7,0", ["1"]),
        (None, "1,-1,0", ["1"]),
        (None, "2,GPU-aaaa", ["2"]),  # as CUDA: a beginning that two have names none
        ([2], "2,0", ["2"]),
    ],
)
def test_mask_and_list_narrow_the_choice(
    find: Find, three: StandInGpus, wanted: Any, mask: str | None, expected: list[str]
) -> None:
    assert ids(find(wanted, mask)) == expected


@pytest.mark.parametrize("mask", ["", "-1", "NoDevFiles", "9", "GPU-", "GPU-cccc"])
def test_a_mask_may_hide_all(find: Find, three: StandInGpus, mask: str) -> None:
    source = find(mask=mask)
    assert ids(source) == [CPU]
    assert f"CUDA_VISIBLE_DEVICES={mask!r}" in source.reason
    assert num_open() == 0


@pytest.mark.parametrize(
    ("wanted", "mask", "words"),
    [
        ([3], None, "'3', which is not there"),
        (["GPU-cccc"], None, "which is not there"),
        (["NVIDIA H100"], None, "which is not there"),
        ([1], "0", "is hidden by CUDA_VISIBLE_DEVICES='0'"),
    ],
)
def test_a_gpu_that_is_not_there_is_told_with_those_that_are(
    find: Find, three: StandInGpus, wanted: Any, mask: str | None, words: str
) -> None:
    with pytest.raises(NoGpuError, match=words) as caught:
        find(wanted, mask)
    assert "GPU 0 (NVIDIA A100) GPU-aaaa1111-0" in str(caught.value)
    assert num_open() == 0


@pytest.mark.parametrize("wanted", ["0", 0, [True], [-1], [1.5], [""], [None]])
def test_a_gpu_list_that_is_none(find: Find, three: StandInGpus, wanted: Any) -> None:
    with pytest.raises(ConfigError, match="gpu_list"):
        find(wanted)
    assert num_open() == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("not loaded", "driver is not loaded"),
        ("mismatch", "updated while it was in use.*restart the machine"),
        ("no permission", "may not be used"),
        ("unknown", "does not work"),
    ],
)
def test_with_a_driver_that_does_not_start_tasks_run_on_the_processors(
    find: Find, gpus: StandInGpus, error: str, words: str
) -> None:
    gpus.put_alike(1)
    gpus.init_error = ERRORS[error]
    gpus.write()
    source = find()
    device = only(source)
    assert (device.device_id, device.max_tasks, device.is_gpu) == (CPU, 3, False)
    assert 0 < device.memory_free_mb <= device.memory_total_mb
    assert source.environment(CPU) == {"CUDA_VISIBLE_DEVICES": ""}
    assert source.num_missing == 0
    with pytest.raises(NoGpuError, match=f"asks for 0, but no GPU can be seen.*{words}") as caught:
        find([0])
    assert caught.value.problem.partition("but ")[2] in source.reason


def look_in_a_new_process(**environment: str) -> str:
    program = (
        "from lfadsq.queue.devices import find_devices\n"
        "source = find_devices(None, max_tasks_on_gpu=1, num_cpu_slots=1)\n"
        "print(*[d.name for d in source.measure()], source.reason, sep='|')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_bindings_find_the_driver_by_themselves(gpus: StandInGpus) -> None:
    gpus.put_alike(2)
    assert look_in_a_new_process() == "GPU 0 (NVIDIA A100)|GPU 1 (NVIDIA A100)|"


def test_a_driver_that_cannot_be_loaded_is_none(gpus: StandInGpus, tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"no library")
    said = look_in_a_new_process(LD_LIBRARY_PATH=str(tmp_path))
    assert said.startswith("cpu|no GPU can be seen: no NVIDIA driver is installed")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_gpu_that_falls_off_the_bus_gets_nothing_until_it_is_back(
    find: Find, three: StandInGpus, caplog: pytest.LogCaptureFixture
) -> None:
    source = find()
    three.gpus[1].error = ERRORS["lost"]
    three.write()
    assert ids(source) == ["0", "2"]
    assert ids(source) == ["0", "2"]
    assert source.num_missing == 1
    assert warnings(caplog) == [
        "GPU 1 (NVIDIA A100) does not answer: GPU is lost; it gets no tasks until it does"
    ]
    three.gpus[1].error = 0
    three.write()
    assert ids(source) == ["0", "1", "2"]
    assert source.num_missing == 0
    assert warnings(caplog)[1:] == ["GPU 1 (NVIDIA A100) answers again"]


def test_a_gpu_that_was_reset_is_found_by_its_new_handle(
    find: Find, three: StandInGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = find()
    three.gpus[1].error = ERRORS["lost"]
    three.write()
    assert ids(source) == ["0", "2"]
    three.gpus[1].error, three.gpus[1].era = 0, 1
    three.write()
    assert ids(source) == ["0", "2"]
    monkeypatch.setattr(devices_module, "_RETRY_S", 0.0)
    assert sorted(ids(source)) == ["0", "1", "2"]
    assert source.num_missing == 0


def test_if_no_gpu_answers_the_driver_is_started_afresh(
    find: Find, gpus: StandInGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices_module, "_RETRY_S", 0.0)
    gpus.put_alike(2)
    source = find()
    gpus.era = 1
    gpus.init_error = ERRORS["not loaded"]  # while it is mended
    gpus.write()
    assert (source.measure(), source.num_missing) == ([], 2)
    assert (source.measure(), source.num_missing) == ([], 2)
    gpus.init_error = 0
    gpus.gpus[1].error = ERRORS["lost"]
    gpus.write()
    assert [device.name for device in source.measure()] == ["GPU 0 (NVIDIA A100)"]
    gpus.gpus[1].error = 0
    gpus.write()
    assert len(source.measure()) == 2


def test_a_gpu_that_is_lost_from_the_start_joins_when_it_answers(
    find: Find,
    three: StandInGpus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(devices_module, "_RETRY_S", 0.0)
    three.gpus[0].error = ERRORS["lost"]
    three.write()
    sources = {name: find(mask=name) for name in ("0,1", "GPU-aaaa1111,GPU-bbbb3333", "1")}
    sources["all"] = find()
    before = {name: (ids(s), s.num_missing) for name, s in sources.items()}
    assert before == {
        "0,1": (["1"], 1),
        "GPU-aaaa1111,GPU-bbbb3333": (["2"], 0),
        "1": (["1"], 0),
        "all": (["1", "2"], 1),
    }
    assert "GPU 0 does not answer: GPU is lost; it gets no tasks until it does" in warnings(caplog)
    three.gpus[0].error = 0
    three.write()
    assert {name: sorted(ids(s)) for name, s in sources.items()} == {
        "0,1": ["0", "1"],
        "GPU-aaaa1111,GPU-bbbb3333": ["2"],  # nothing was known to be missing
        "1": ["1"],
        "all": ["0", "1", "2"],
    }


def test_a_wanted_gpu_that_does_not_answer_is_an_error_if_there_is_no_other(
    find: Find,
    three: StandInGpus,
) -> None:
    three.gpus[0].error = ERRORS["lost"]
    three.write()
    with pytest.raises(NoGpuError, match="GPU 0 does not answer: GPU is lost"):
        find([0])
    with pytest.raises(NoGpuError, match="GPU 0 does not answer: GPU is lost"):
        find(["GPU-aaaa1111"])
    assert ids(find([0, 1])) == ["1"]
    for gpu in three.gpus:
        gpu.error = ERRORS["lost"]
    three.write()
    source = find()
    assert ids(source) == [CPU]
    assert "GPU 2 does not answer: GPU is lost" in source.reason


@pytest.fixture
def cut(gpus: StandInGpus) -> StandInGpus:
    gpus.put(
        StandInGpu(
            "GPU-aaaa1111-0",
            parts=[
                StandInGpu("MIG-p-m0", total=5000, index=0, gi=1),
                StandInGpu("MIG-p-m2", total=9000, index=2, gi=5, ci=1, reserved=10),
            ],
        ),
        StandInGpu("GPU-bbbb3333-2", "NVIDIA TITAN X"),
    )
    return gpus


@pytest.mark.parametrize(
    ("wanted", "mask", "expected"),
    [
        (None, None, ["m0", "m2", "2"]),
        ([0], None, ["m0", "m2"]),
        (["0:2"], None, ["m2"]),
        (["MIG-p-m0"], None, ["m0"]),
        (None, "MIG-p-m2", ["m2"]),
        (None, "MIG-p-", [CPU]),
        (None, "GPU-aaaa1111-0", ["m0", "m2"]),
        (None, "MIG-GPU-aaaa1111-0/1/0", ["m0"]),
        (None, "MIG-GPU-aaaa1111-0/5/1,MIG-GPU-aaaa1111-0/1/0", ["m2", "m0"]),
        (None, "MIG-GPU-aaaa1111-0/5/0", [CPU]),
        (["MIG-GPU-aaaa1111-0/1/0"], None, ["m0"]),
        (["NVIDIA A100 MIG"], None, ["m0", "m2"]),
    ],
)
def test_the_parts_of_a_gpu_are_devices(
    find: Find, cut: StandInGpus, wanted: Any, mask: str | None, expected: list[str]
) -> None:
    assert ids(find(wanted, mask)) == expected


def test_a_part_is_measured_by_itself(find: Find, cut: StandInGpus) -> None:
    cut.gpus[0].parts[1].processes = [(os.getpid(), 700)]
    cut.gpus[0].parts[1].used = 700
    cut.write()
    first, second = find(["0:0", "0:2"]).measure({os.getsid(0)})
    assert (first.memory_total_mb, first.memory_free_mb) == (5000, 5000)
    assert (second.memory_total_mb, second.memory_free_mb) == (8990, 8290)
    assert (first.taken_mb_by_session, second.taken_mb_by_session) == ({}, {os.getsid(0): 700})
    assert second.name == "GPU 0:2 (NVIDIA A100 MIG)"


@pytest.mark.parametrize("is_old", [False, True])
def test_memory_is_known_by_our_sessions(find: Find, three: StandInGpus, is_old: bool) -> None:
    three.is_old = is_old
    three.gpus[0].processes = [(os.getpid(), 300), (os.getpid(), 50), (NO_SUCH_PROCESS, 7)]
    three.write()
    source = find([0])
    device = only(source, os.getsid(0))
    assert (device.taken_mb_by_session, device.num_others) == ({os.getsid(0): 350.0}, 1)
    device = only(source)
    assert (device.taken_mb_by_session, device.num_others) == ({}, 3)


def test_memory_that_the_driver_does_not_tell_is_not_zero(find: Find, three: StandInGpus) -> None:
    three.gpus[0].processes = [(os.getpid(), 300), (os.getpid(), -1)]
    three.write()
    device = only(find([0]), os.getsid(0))
    assert (device.taken_mb_by_session, device.num_others) == ({}, 0)


@pytest.mark.parametrize("pid", [0, 2**31, 2**32 - 1])
def test_a_number_that_is_no_pid_names_nobody(find: Find, three: StandInGpus, pid: int) -> None:
    three.gpus[0].processes = [(pid, 300)]
    three.write()
    device = only(find([0]), os.getsid(0))
    assert (device.taken_mb_by_session, device.num_others) == ({}, 1)


def test_a_gpu_in_exclusive_mode_takes_one(find: Find, three: StandInGpus) -> None:
    three.gpus[0].mode = EXCLUSIVE
    three.write()
    source = find([0], max_tasks=5)
    assert (only(source).max_tasks, only(source).closed_because) == (1, "")
    three.gpus[0].processes = [(os.getpid(), 300)]
    three.write()
    assert only(source, os.getsid(0)).closed_because == ""
    assert (
        only(source).closed_because == f"it is in exclusive mode, and process {os.getpid()} uses it"
    )
    three.gpus[0].mode = 0
    three.write()
    assert (only(source).max_tasks, only(source).closed_because) == (5, "")


def test_a_prohibited_gpu_is_closed(find: Find, three: StandInGpus) -> None:
    three.gpus[0].mode = PROHIBITED
    three.write()
    closed = [device.closed_because for device in find().measure()]
    assert "prohibited" in closed[0]
    assert closed[1:] == ["", ""]
    with pytest.raises(NoGpuError, match=r"GPU 0 .* is closed: its compute mode is prohibited"):
        find([0])
    source = find(mask="0")
    assert ids(source) == [CPU]
    assert "prohibited" in source.reason


def test_processes_come_and_go(find: Find, three: StandInGpus) -> None:
    source = find([2])
    command = three.training([100, 900], 60)
    environment = {**os.environ, **source.environment("GPU-bbbb3333-2")}
    task = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"], env=environment, start_new_session=True
    )
    try:
        wait_until(lambda: only(source).num_others, "the task is on the GPU")
        device = only(source, task.pid)
        assert device.taken_mb_by_session == {task.pid: 100}
        assert device.memory_free_mb == 11900
        too_much = subprocess.run(
            ["/bin/sh", "-c", three.training(11901, 0)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert too_much.returncode == 1
        assert "CUDA_ERROR_OUT_OF_MEMORY" in too_much.stderr
    finally:
        task.kill()
        task.wait()
    assert only(source).memory_free_mb == 12000


def test_a_queue_fills_the_gpus_by_memory(three: StandInGpus, start_queue: Any) -> None:
    """The whole path: a queue in a process of its own, the real bindings, GPUs that fill up."""
    from .conftest import attempts_of, spec_of

    root = Path(three.file).parent / "runs"
    specs = [spec_of(root, f"t{n}", three.training(5000, 0.3), 5000) for n in range(6)]
    queue = start_queue(
        specs, gpu_list=[2], one_task_per_gpu=False, max_tasks_simultaneously=6, cwd=root
    )
    assert sorted(queue.finished()) == [f"t{n}" for n in range(6)]
    assert {a["device"] for spec in specs for a in attempts_of(spec)} == {"GPU-bbbb3333-2"}
    # 12000 MB hold two of them at a time.
    times = [
        edge
        for spec in specs
        for a in attempts_of(spec)
        for edge in ((a["started_at"], 1), (a["ended_at"], -1))
    ]
    running = peak = 0
    for _, change in sorted(times):
        running += change
        peak = max(peak, running)
    assert peak == 2
