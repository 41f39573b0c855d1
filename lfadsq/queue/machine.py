"""What this machine can give to tasks, within what a container or a batch job is given of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["num_usable_cpus", "owner_of_gpu_process", "session_of_gpu_process", "usable_memory_mb"]

_MB = 1024 * 1024
_PROC = Path("/proc/self")
_MEMINFO = Path("/proc/meminfo")
# The number the kernel gives to the first of all pid namespaces (PROC_PID_INIT_INO), unchanged
# since there are such numbers (3.8).
_WHOLE_MACHINE = "pid:[4026531836]"
_GPU_FILES = ("/dev/nvidia", "/dev/dxg")


def num_usable_cpus(proc: Path = _PROC) -> int:
    """Count the processors we may use: by affinity, and by the share our control groups are given.

    Parameters
    ----------
    proc : Path
        Where the kernel tells about this process.
    """
    num_cpus = float(len(os.sched_getaffinity(0)))
    for folder in _control_groups("cpu", proc):
        for quota_file, period_file in (
            ("cpu.max", "cpu.max"),  # version 2: both in one file, "max" for no limit
            ("cpu.cfs_quota_us", "cpu.cfs_period_us"),  # version 1: -1 for no limit
        ):
            with contextlib.suppress(OSError, ValueError, IndexError):
                quota = int((folder / quota_file).read_text().split()[0])
                period = int((folder / period_file).read_text().split()[-1])
                if quota > 0 and period > 0:
                    num_cpus = min(num_cpus, quota / period)
    return max(1, round(num_cpus))


def usable_memory_mb(proc: Path = _PROC) -> tuple[float, float]:
    """Measure the memory we may use.

    Parameters
    ----------
    proc : Path
        Where the kernel tells about this process.

    Returns
    -------
    total_mb, free_mb : float
        [MB]; free is what could be had now without swapping.
    """
    # Read at every decision, so by hand: psutil takes five times as long for all the rest.
    lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    installed, free = (int(lines[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    total = installed
    for folder in _control_groups("memory", proc):
        for limit_file, used_file, cached_key in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with contextlib.suppress(OSError, ValueError):
                limit = int((folder / limit_file).read_text())
                if limit >= installed:
                    continue  # version 1 writes a huge number for no limit
                used = int((folder / used_file).read_text())
                stat = dict(li.split() for li in (folder / "memory.stat").read_text().splitlines())
                used -= int(stat.get(cached_key, 0))  # cached files make way
                total, free = min(total, limit), min(free, max(0, limit - used))
    return total / _MB, free / _MB


@cache
def _control_groups(controller: str, proc: Path) -> tuple[Path, ...]:
    """List the folders of our control group and of all that it is in, version 2 and version 1.

    Each may have a limit of its own. In a container only the innermost may be visible.
    """
    try:
        groups = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:
        return ()
    paths = {}
    for line in groups:
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            paths[name] = path  # version 2 has one group for all, with no name
    folders: list[Path] = []
    for line in mounts:
        left, _, right = line.partition(" - ")
        root, mount = left.split()[3:5]
        kind, _, options = right.split(maxsplit=2)
        if kind == "cgroup2" and "" in paths:
            folders += _folders_up(Path(mount), root, paths[""])
        elif kind == "cgroup" and controller in options.split(",") and controller in paths:
            folders += _folders_up(Path(mount), root, paths[controller])
    return tuple(folders)


def _folders_up(mount: Path, root: str, path: str) -> Iterator[Path]:
    """Give the folder that shows a group where only what is under `root` is mounted, and above."""
    inside = os.path.relpath(path, root)
    folder = mount if inside.startswith("..") else mount / inside
    while folder != mount and folder.is_relative_to(mount):
        if folder.is_dir():
            yield folder
        folder = folder.parent
    yield mount


def session_of_gpu_process(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Find the session of a process that the driver says uses a GPU.

    Some drivers count processes as the whole machine does. In a container such a number names no
    process or a wrong one: there it counts only if that process has a GPU open.

    Parameters
    ----------
    pid : int
        As the driver counts.
    proc : Path
        Where the kernel tells about processes.

    Returns
    -------
    int or None
        None if it cannot be told.
    """
    if pid <= 0:
        return None
    try:
        session = os.getsid(pid)
        if _counts_as_the_machine(proc) or _has_gpu_open(proc / str(pid) / "fd"):
            return session
    except (OSError, OverflowError):
        pass
    return None


def owner_of_gpu_process(pid: int, proc: Path = Path("/proc")) -> str:
    """Tell whose a process is that the driver says uses a GPU.

    Parameters
    ----------
    pid : int
        As the driver counts.
    proc : Path
        Where the kernel tells about processes.

    Returns
    -------
    str
        The name of its user, or the number where that has none; empty if it cannot be told
        (`session_of_gpu_process`).
    """
    if session_of_gpu_process(pid, proc) is None:
        return ""
    try:
        user_id = (proc / str(pid)).stat().st_uid
    except OSError:
        return ""
    return _user_name(user_id)


@cache
def _user_name(user_id: int) -> str:
    # A directory service that does not answer is asked once only.
    import pwd

    try:
        return pwd.getpwuid(user_id).pw_name
    except (KeyError, OSError):
        return str(user_id)


@cache
def _counts_as_the_machine(proc: Path) -> bool:
    try:
        return str((proc / "self/ns/pid").readlink()) == _WHOLE_MACHINE
    except OSError:
        return False


def _has_gpu_open(descriptors: Path) -> bool:
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):
            opened = str(descriptor.readlink())
            if any(file in opened for file in _GPU_FILES):
                return True
    return False
