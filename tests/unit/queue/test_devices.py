from __future__ import annotations

import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ConfigError, NoGpuError
from lfadsq.queue.devices import CPU, DeviceSource, find_devices

_spec = importlib.util.spec_from_file_location(
    "fake_nvml", Path(__file__).with_name("fake_nvml.py")
)
assert _spec is not None
assert _spec.loader is not None
fake_nvml = importlib.util.module_from_spec(_spec)
sys.modules["fake_nvml"] = fake_nvml
_spec.loader.exec_module(fake_nvml)
FakeGpu = fake_nvml.FakeGpu


def install(monkeypatch: pytest.MonkeyPatch, gpus: list[Any], **options: Any) -> Any:
    nvml = fake_nvml.FakeNvml(gpus, **options)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


def three() -> list[Any]:
    return [
        FakeGpu("GPU-aaaa1111-0", "NVIDIA A100"),
        FakeGpu("GPU-aaaa2222-1", "NVIDIA A100", used_mb=1000),
        FakeGpu("GPU-bbbb3333-2", "NVIDIA TITAN X", 12000),
    ]


def find(wanted: Any = None, mask: str | None = None, max_tasks: int = 1) -> DeviceSource:
    environment = {} if mask is None else {"CUDA_VISIBLE_DEVICES": mask}
    return find_devices(
        wanted, max_tasks_on_gpu=max_tasks, num_cpu_slots=3, environment=environment
    )


def ids(source: DeviceSource) -> list[str]:
    return [device.device_id.rpartition("-")[2] for device in source.measure()]


def test_gpus_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = install(monkeypatch, three())
    source = find(max_tasks=5)
    second = source.measure()[1]
    assert (second.device_id, second.name) == ("GPU-aaaa2222-1", "GPU 1 (NVIDIA A100)")
    assert (second.memory_total_mb, second.memory_free_mb, second.max_tasks) == (40000, 39000, 5)
    assert second.is_gpu
    nvml.gpus[1].used_mb = 3000
    assert source.measure()[1].memory_free_mb == 37000
    assert source.environment(second.device_id) == {
        "CUDA_VISIBLE_DEVICES": "GPU-aaaa2222-1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    source.close()
    assert nvml.num_open == 0


def test_drivers_without_the_second_version_of_the_memory_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, three(), has_v2=False)
    assert [d.memory_free_mb for d in find().measure()] == [40000, 39000, 12000]


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
        ([2], "2,0", ["2"]),
    ],
)
def test_mask_and_list_narrow_the_choice(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, mask: str | None, expected: list[str]
) -> None:
    install(monkeypatch, three())
    assert ids(find(wanted, mask)) == expected


@pytest.mark.parametrize("mask", ["", "-1", "NoDevFiles", "9"])
def test_a_mask_may_hide_all(monkeypatch: pytest.MonkeyPatch, mask: str) -> None:
    nvml = install(monkeypatch, three())
    source = find(mask=mask)
    assert ids(source) == [CPU]
    assert "CUDA_VISIBLE_DEVICES" in source.reason
    assert nvml.num_open == 0


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
    monkeypatch: pytest.MonkeyPatch, wanted: Any, mask: str | None, words: str
) -> None:
    nvml = install(monkeypatch, three())
    with pytest.raises(NoGpuError, match=words) as caught:
        find(wanted, mask)
    assert "GPU 0 (NVIDIA A100) GPU-aaaa1111-0" in str(caught.value)
    assert nvml.num_open == 0


@pytest.mark.parametrize("wanted", ["0", 0, [True], [-1], [1.5], [""], [None]])
def test_a_gpu_list_that_is_none(monkeypatch: pytest.MonkeyPatch, wanted: Any) -> None:
    install(monkeypatch, three())
    with pytest.raises(ConfigError, match="gpu_list"):
        find(wanted)


def test_without_a_driver_tasks_run_on_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [], init_error="Driver Not Loaded")
    source = find()
    (device,) = source.measure()
    assert (device.device_id, device.max_tasks, device.is_gpu) == (CPU, 3, False)
    assert 0 < device.memory_free_mb <= device.memory_total_mb
    assert "Driver Not Loaded" in source.reason
    assert source.environment(CPU) == {"CUDA_VISIBLE_DEVICES": ""}


def test_without_a_driver_a_wanted_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [], init_error="Driver Not Loaded")
    with pytest.raises(NoGpuError, match="Driver Not Loaded"):
        find([0])


def test_the_real_bindings_are_asked_by_default() -> None:
    """Whatever this machine has, the answer is GPUs or a reason for none."""
    source = find(mask="")
    assert ids(source) == [CPU]
    assert source.reason


def test_a_gpu_that_falls_off_the_bus_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nvml = install(monkeypatch, three())
    source = find()
    nvml.gpus[1].is_lost = True
    with caplog.at_level(logging.WARNING):
        assert ids(source) == ["0", "2"]
        assert ids(source) == ["0", "2"]
    assert [r.getMessage() for r in caplog.records if "GPU is lost" in r.getMessage()] == [
        "GPU 1 (NVIDIA A100) does not answer: GPU is lost; it gets no tasks"
    ]
    nvml.gpus[1].is_lost = False
    assert ids(source) == ["0", "1", "2"]


def test_a_gpu_that_is_lost_from_the_start_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = three()
    gpus[0].is_lost = True
    install(monkeypatch, gpus)
    assert ids(find()) == ["1", "2"]


@pytest.mark.parametrize(
    ("wanted", "mask", "expected"),
    [
        (None, None, ["m0", "m2", "2"]),
        ([0], None, ["m0", "m2"]),
        (["0:2"], None, ["m2"]),
        (["MIG-p-m0"], None, ["m0"]),
        (None, "MIG-p-m2", ["m2"]),
        (None, "GPU-aaaa1111-0", ["m0", "m2"]),
    ],
)
def test_the_parts_of_a_gpu_are_devices(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, mask: str | None, expected: list[str]
) -> None:
    whole = FakeGpu(
        "GPU-aaaa1111-0", parts=[FakeGpu("MIG-p-m0", total_mb=5000), None, FakeGpu("MIG-p-m2")]
    )
    install(monkeypatch, [whole, FakeGpu("GPU-bbbb3333-2", "NVIDIA TITAN X")])
    source = find(wanted, mask)
    assert ids(source) == expected


def test_memory_is_known_by_session(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = three()
    no_such_process = 2**22 + 1
    gpus[0].processes = [(os.getpid(), 300), (os.getpid(), 50), (no_such_process, 7)]
    install(monkeypatch, gpus)
    assert find().measure()[0].taken_mb_by_session == {os.getsid(0): 350.0}
