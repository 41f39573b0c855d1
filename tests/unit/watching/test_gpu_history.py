"""GPU history read from files that were written by hand, against answers found second by second."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.errors import QueueError
from lfadsq.watching.gpu_history import GpuHistory

T0_S = 1_800_000_000


def write(folder: Path, name: str, interval_s: float, *records: Any) -> None:
    queue_id = name.partition(".")[0]
    head = {"schema_version": 1, "queue_id": queue_id, "host": "node7", "interval_s": interval_s}
    device = {"device": 0, "id": "GPU-1@worker-3", "name": "GPU 0 (A100)", "memory_mb": 40000}
    gpus = folder / ".lfadsqueue" / "gpus"
    gpus.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(record)}\n" for record in (head, device, *records))
    (gpus / name).write_text(text)


def events(spans: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    found = []
    for n, (began, ended) in enumerate(spans):
        run = {"run": f"r{n}", "id": "GPU-1@worker-3"}
        found += [{**run, "began": T0_S + began}, {**run, "ended": T0_S + ended}]
    return sorted(found, key=lambda one: one.get("began", one.get("ended")))


_SPANS = st.lists(st.tuples(st.integers(-50, 250), st.integers(0, 120)), max_size=6)


@settings(max_examples=30)
@given(spans=_SPANS, looks=st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_idle_share_is_that_of_the_seconds_somebody_looked(
    spans: list[tuple[int, int]], looks: list[bool]
) -> None:
    """A queue looks in each 25 s of 5 minutes, or does not."""
    runs = [(began, began + length) for began, length in spans]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds: list[int] = []
        for n, is_there in enumerate(looks):
            if is_there:
                at = range(n * 25, n * 25 + 25)
                seconds += at
                write(
                    folder, f"q{n}.0001.samples", 5, *([T0_S + t, [0, 50, 1, 2]] for t in at[::5])
                )
                write(
                    folder, f"q{n}.minutes", 60, [T0_S + at[0], [0, 50, 1, 2]], [T0_S + at[-1] + 1]
                )
        write(folder, "runs.minutes", 60, *events(runs))
        history = GpuHistory.load(folder)
    device = history.devices["GPU-1"]
    assert device.watched_s == len(seconds)
    if not seconds:
        assert math.isnan(device.idle_share)
        assert math.isnan(history.idle_share)
        return
    idle = [not any(began <= t < ended for began, ended in runs) for t in seconds]
    assert device.idle_share == pytest.approx(sum(idle) / len(idle))
    assert len(device.runs) == len(runs)


def test_a_queue_that_was_stopped_for_a_while_did_not_look(tmp_path: Path) -> None:
    at = [*range(0, 50, 5), *range(1000, 1050, 5)]
    write(tmp_path, "q.0001.samples", 5, *([T0_S + t, [0, 50, 1, 2]] for t in at))
    device = GpuHistory.load(tmp_path).devices["GPU-1"]
    assert device.watched_s == 100
    assert device.energy_kwh == pytest.approx(2 * 100 / 3.6e6)


def test_two_queues_that_look_at_once_count_once(tmp_path: Path) -> None:
    for n in range(2):
        samples = ([T0_S + t + 2 * n, [0, 100 * n, 1, 2]] for t in range(0, 100, 5))
        write(tmp_path, f"q{n}.0001.samples", 5, *samples)
    device = GpuHistory.load(tmp_path).devices["GPU-1"]
    assert len(device.times_s) == 40
    assert np.all(np.diff(device.times_s) > 0)
    assert device.watched_s == 102  # from 0 to 97, and the 5 s after
    assert device.mean_utilisation_percent == pytest.approx(100 * (19 * 3 + 5) / 102)


def test_minutes_tell_of_the_time_before_the_samples(tmp_path: Path) -> None:
    write(tmp_path, "q.minutes", 60, *([T0_S + t, [0, 10, 500, None]] for t in range(0, 600, 60)))
    write(tmp_path, "q.0007.samples", 5, *([T0_S + t, [0, 90, 900, 3]] for t in range(300, 600, 5)))
    device = GpuHistory.load(tmp_path).devices["GPU-1"]
    assert (device.times_s[:6] - T0_S).tolist() == [0, 60, 120, 180, 240, 300]
    assert device.utilisation_percent[4:6].tolist() == [10, 90]
    assert device.watched_s == 600
    assert np.isnan(device.power_w[:5]).all()
    assert device.used_mb[5] == 900
    assert (device.name, device.host, device.memory_mb) == ("GPU 0 (A100)", "node7", 40000)


def test_a_folder_without_history_is_empty_and_one_of_strangers_is_refused(tmp_path: Path) -> None:
    assert GpuHistory.load(tmp_path).devices == {}
    (tmp_path / ".lfadsqueue").mkdir()
    assert GpuHistory.load(tmp_path).devices == {}
    (tmp_path / ".lfadsqueue").chmod(0o777)
    with pytest.raises(QueueError, match="everybody may write"):
        GpuHistory.load(tmp_path)
