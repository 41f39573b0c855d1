"""What this machine can give to tasks that run on its processors."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["num_usable_cpus", "usable_memory_mb"]

_MB = 1024 * 1024
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def num_usable_cpus(cgroup: Path = _CGROUP) -> int:
    """Count the processors we may use: by affinity, and by the share a container is given.

    Parameters
    ----------
    cgroup : Path
        Where the kernel shows the limits of our control group (version 2).
    """
    num_cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        num_cpus = min(num_cpus, round(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no limit ("max"), or no control groups
    return max(1, num_cpus)


def usable_memory_mb(cgroup: Path = _CGROUP) -> tuple[float, float]:
    """Measure the memory we may use, within what a container is given.

    Returns
    -------
    total_mb, free_mb : float
        [MB]; free is what could be had now without swapping.
    """
    # Read at every decision, so by hand: psutil takes five times as long for all the rest.
    lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    total, free = (int(lines[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used -= int(stat.get("inactive_file", 0))  # cached files make way
        total, free = min(total, limit), min(free, max(0, limit - used))
    except (OSError, ValueError):
        pass  # no limit ("max"), or no control groups
    return total / _MB, free / _MB
