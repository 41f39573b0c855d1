from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from lfadsq.queue.machine import num_usable_cpus, usable_memory_mb


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", None), ("100000 100000", 1), ("10000 100000", 1), ("garbage", None)],
)
def test_a_container_may_have_fewer_processors(
    tmp_path: Path, quota: str, expected: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert num_usable_cpus(tmp_path) == (expected or len(os.sched_getaffinity(0)))


def test_a_container_may_have_less_memory(tmp_path: Path) -> None:
    mb = 1024 * 1024
    total_mb, free_mb = usable_memory_mb(tmp_path)
    assert total_mb == psutil.virtual_memory().total / mb
    assert abs(free_mb - psutil.virtual_memory().available / mb) < 0.05 * total_mb
    (tmp_path / "memory.max").write_text(f"{64 * mb}\n")
    (tmp_path / "memory.current").write_text(f"{40 * mb}\n")
    (tmp_path / "memory.stat").write_text(f"anon {20 * mb}\ninactive_file {10 * mb}\n")
    assert usable_memory_mb(tmp_path) == (64.0, 34.0)
    (tmp_path / "memory.max").write_text("max\n")
    assert usable_memory_mb(tmp_path)[0] == total_mb
