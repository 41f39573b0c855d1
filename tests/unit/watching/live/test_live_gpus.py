"""Devices of all machines, whoever measured them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from lfadsq.queue.nvml import Activity
from lfadsq.queue.records import iso_time
from lfadsq.queue.status import DeviceStatus
from lfadsq.watching.gpu_processes import GpuUser
from lfadsq.watching.live.glyphs import ASCII
from lfadsq.watching.live.gpu_lines import all_device_lines, device_lines
from lfadsq.watching.live.gpus import live_devices
from lfadsq.watching.live.lines import plain, width_of
from lfadsq.watching.machine_gpus import GpuState, MachineGpus

NOW_S = 1.7e9
A100 = "NVIDIA A100"
HERE = MachineGpus(
    "node1",
    iso_time(NOW_S),
    gpus=(
        GpuState(
            0, None, A100, "GPU-a", True, 1024.0, 40960.0, Activity(87.0, 250.4, 400.0, 61.0),
            (GpuUser(7, 900.0, "ada", ("/usr/bin/python", "x.py")),
             GpuUser(8, 100.0, "me", (), True, "/runs/param_Yw/one")),
        ),
        GpuState(1, None, A100, "", True, problem="it fell off the bus"),
    ),
)  # fmt: skip


def told(device_id: str, **changes: Any) -> DeviceStatus:
    status = DeviceStatus(device_id, f"GPU 3 ({A100})", 40960.0, 30720.0, 1000.0, 2)
    return replace(status, **changes)


def test_this_machine_is_measured_and_the_queue_adds_what_it_knows(collection: Any) -> None:
    queue = collection.snapshot(
        host="node1",
        updated_at=iso_time(NOW_S),
        devices=(
            told("GPU-a", tasks=("task1", "task2"), kept_for="task3", utilisation_percent=3.0),
        ),
    )
    names = {"task1": "param_Yw/one", "task2": "param_Yw/two", "task3": "param_Yw/three"}
    first, second = live_devices([queue], HERE, names, NOW_S)
    assert (first.utilisation_percent, first.power_w, first.temperature_c) == (87, 250.4, 61)
    assert [(one.text, one.is_ours) for one in first.occupants] == [
        ("Yw/one", True), ("Yw/two", True), ("ada: python", False)
    ]  # fmt: skip
    assert (first.max_tasks, first.note) == (2, "kept for Yw/three")
    assert (second.label, second.note) == ("GPU 1", "does not answer: it fell off the bus")


def test_of_other_machines_the_queue_tells(collection: Any) -> None:
    cluster = collection.snapshot(
        updated_at=iso_time(NOW_S - 90),
        devices=(
            told(
                "GPU-x@worker-1", name=f"GPU 0 ({A100}) of node9", host="node9",
                utilisation_percent=44.0, power_w=123.0, power_limit_w=400.0, temperature_c=50.0,
                num_others=2, other_users=("ada", "bob"), tasks=("task1",),
            ),
            told("cpu@worker-2", name="cpu of node8", host="node8", tasks=("a", "b")),
        ),
    )  # fmt: skip
    here, _, processors, gpu = live_devices([cluster], HERE, {}, NOW_S)
    assert here.host == "node1"
    assert (gpu.host, gpu.device_id, gpu.label, gpu.model) == ("node9", "GPU-x", "GPU 0", A100)
    assert (gpu.utilisation_percent, gpu.power_limit_w, gpu.temperature_c) == (44, 400, 50)
    assert [one.text for one in gpu.occupants] == ["task1", "2 other processes (ada, bob)"]
    assert gpu.note.startswith("as its queue said 1 min 30 s ago")
    assert (processors.label, processors.is_gpu, processors.used_mb) == ("cpu", False, 10240)


def test_a_gpu_of_two_queues_is_one(collection: Any) -> None:
    first, second = (
        collection.snapshot(queue_id=name, devices=(told("GPU-1", tasks=(name,)),))
        for name in ("q1", "q2")
    )
    (gpu,) = live_devices([first, second], None, {}, time.time())
    assert [one.text for one in gpu.occupants] == ["q1", "q2"]


def test_devices_in_80_columns(collection: Any) -> None:
    queue = collection.snapshot(
        host="node1",
        updated_at=iso_time(NOW_S),
        devices=(told("GPU-a"), told("cpu", name="cpu", tasks=("t1",), max_tasks=4)),
    )
    devices = live_devices([queue], HERE, {}, NOW_S)
    heading, first, second, third = map(plain, device_lines(devices, "node1", 5, 80, ASCII))
    assert heading == "device    use               GB        W   C  on it"
    assert first == "GPU 0    87 % #####-  1.0/40.0  250/400  61  Yw/one, ada: python"
    assert second.startswith("GPU 1       -        ")
    assert "does not answer: it fell off the b" in second
    assert third.startswith("cpu       1/4 ##---- 10.0/40.0")
    few = [plain(line) for line in device_lines(devices, "node1", 3, 80, ASCII)]
    assert few[1] == first
    assert few[2] == "and 2 more devices (g shows all)"
    assert device_lines(devices, "node1", 1, 80) == []
    elsewhere = plain(device_lines(devices, "node2", 5, 80, ASCII)[1])
    assert elsewhere.startswith("node1 GPU 0 ")
    for width in (20, 40, 80, 200):
        for line in [*device_lines(devices, "x", 9, width), *all_device_lines(devices, width)]:
            assert width_of(plain(line)) <= width
    everything = "\n".join(map(plain, all_device_lines(devices, 100)))
    for words in (A100, "GPU-a", "    ada: python", "    does not answer", "    t1"):
        assert words in everything
