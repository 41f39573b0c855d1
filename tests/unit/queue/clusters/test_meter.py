"""What a machine finds of devices."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from lfadsq.queue.clusters import meter as meters
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.clusters.meter import Meter
from lfadsq.queue.devices import Device


class Source:
    """GPUs of given ids."""

    num_missing = 0
    reason = ""

    def __init__(self, device_ids: Sequence[str]) -> None:
        self._devices = [Device(one, one, 100.0, 100.0, 1, {}) for one in device_ids]
        self.is_closed = False

    def measure(self, our_sessions: Collection[int] = ()) -> list[Device]:
        return self._devices

    def environment(self, device_id: str) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": device_id}

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("device_ids", "num_gpus", "is_used"),
    [
        (["GPU-1"], 1, True),
        (["GPU-1", "GPU-2"], 2, True),
        (["GPU-1", "GPU-2"], None, True),
        (["GPU-1", "GPU-2"], 1, False),
        (["MIG-1", "MIG-2", "MIG-3"], 1, True),
        (["cpu"], 0, True),
    ],
)
def test_a_job_that_sees_gpus_of_others_is_not_used(
    monkeypatch: pytest.MonkeyPatch, device_ids: list[str], num_gpus: int | None, is_used: bool
) -> None:
    source = Source(device_ids)
    monkeypatch.setattr(meters, "find_devices", lambda *_, **__: source)
    meter = Meter(Terms("q", num_gpus=num_gpus), 1, 1)
    meter.find()
    assert (meter.problem == "") == is_used
    assert len(meter.devices) == (len(device_ids) if is_used else 0)
    assert source.is_closed != is_used
    if not is_used:
        assert "shows 2 GPUs to a job that was given 1" in meter.problem
        assert "CUDA_VISIBLE_DEVICES" in meter.problem
