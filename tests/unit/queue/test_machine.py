from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lfadsq.queue.machine import num_usable_cpus, session_of_gpu_process, usable_memory_mb

MB = 1024 * 1024
ALL_CPUS = len(os.sched_getaffinity(0))
NO_LIMIT = 2**63 - 4096  # what version 1 writes


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A folder for what the kernel tells of this process, and for its control groups."""
    (tmp_path / "proc").mkdir()
    return tmp_path


def tell(kernel: Path, groups: str, *mounts: tuple[str, str, str]) -> Path:
    """Say which groups this process is in, and what is mounted: root, folder, kind and options."""
    proc = kernel / "proc"
    (proc / "cgroup").write_text(groups)
    lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    lines += [
        f"{n} 22 0:{n} {root} {kernel / folder} rw,nosuid shared:9 - {kind}"
        for n, (root, folder, kind) in enumerate(mounts, start=30)
    ]
    (proc / "mountinfo").write_text("\n".join(lines) + "\n")
    return proc


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


V2 = ("/", "cg", "cgroup2 cgroup2 rw,nsdelegate")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALL_CPUS),
        ("100000 100000", 1),
        ("10000 100000", 1),
        ("garbage", ALL_CPUS),
        ("", ALL_CPUS),
    ],
)
def test_a_container_may_have_fewer_processors(kernel: Path, quota: str, expected: int) -> None:
    group(kernel / "cg", cpu__max=quota)
    assert num_usable_cpus(tell(kernel, "0::/\n", V2)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL_CPUS), ("100000", 1)])
def test_so_it_is_with_the_first_version(kernel: Path, quota: str, expected: int) -> None:
    group(kernel / "cpu/job", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    mount = ("/", "cpu", "cgroup cgroup rw,cpu,cpuacct")
    proc = tell(kernel, "4:memory:/elsewhere\n1:cpu,cpuacct:/job\n0::/\n", mount)
    assert num_usable_cpus(proc) == expected


def test_a_group_above_ours_may_have_the_limit(kernel: Path) -> None:
    group(kernel / "cg/slurm", cpu__max="100000 100000")
    group(kernel / "cg/slurm/job", cpu__max="max 100000")
    assert num_usable_cpus(tell(kernel, "0::/slurm/job\n", V2)) == 1


def test_where_the_kernel_tells_nothing_all_is_ours(kernel: Path) -> None:
    assert num_usable_cpus(kernel / "proc") == ALL_CPUS
    total_mb, free_mb = usable_memory_mb(kernel / "proc")
    assert total_mb == psutil.virtual_memory().total / MB
    assert abs(free_mb - psutil.virtual_memory().available / MB) < 0.05 * total_mb


def memory_group(folder: Path, limit: str, used_mb: int = 40, cached_mb: int = 10) -> None:
    group(
        folder,
        memory__max=limit,
        memory__current=str(used_mb * MB),
        memory__stat=f"anon {20 * MB}\ninactive_file {cached_mb * MB}",
    )


def test_a_container_may_have_less_memory(kernel: Path) -> None:
    proc = tell(kernel, "0::/\n", V2)
    memory_group(kernel / "cg", str(64 * MB))
    assert usable_memory_mb(proc) == (64.0, 34.0)
    memory_group(kernel / "cg", str(64 * MB), used_mb=90)
    assert usable_memory_mb(proc) == (64.0, 0.0)
    memory_group(kernel / "cg", "max")
    assert usable_memory_mb(proc)[0] == psutil.virtual_memory().total / MB


def test_the_narrowest_of_all_groups_counts(kernel: Path) -> None:
    memory_group(kernel / "cg/a", str(200 * MB), used_mb=190)  # others of it are large
    memory_group(kernel / "cg/a/b", str(100 * MB))
    memory_group(kernel / "cg/other", str(1 * MB))
    proc = tell(kernel, "0::/a/b\n", V2)
    assert usable_memory_mb(proc) == (100.0, 20.0)
    memory_group(kernel / "cg/a", str(200 * MB), used_mb=50)
    assert usable_memory_mb(proc) == (100.0, 70.0)


def test_memory_with_the_first_version(kernel: Path) -> None:
    folder = kernel / "memory"
    group(
        folder,
        memory__limit_in_bytes=str(64 * MB),
        memory__usage_in_bytes=str(40 * MB),
        memory__stat=f"inactive_file 1\ntotal_inactive_file {10 * MB}",
    )
    # In a container the whole machine's path is told, and only what is beneath it is mounted.
    mount = ("/docker/abc", "memory", "cgroup cgroup rw,memory")
    proc = tell(kernel, "4:memory:/docker/abc\n", mount)
    assert usable_memory_mb(proc) == (64.0, 34.0)
    (folder / "memory.limit_in_bytes").write_text(str(NO_LIMIT))
    assert usable_memory_mb(proc)[0] == psutil.virtual_memory().total / MB


def test_a_group_that_is_not_shown_to_us_is_the_mounted_one(kernel: Path) -> None:
    memory_group(kernel / "cg", str(64 * MB))
    assert usable_memory_mb(tell(kernel, "0::/../../outside\n", V2)) == (64.0, 34.0)


def test_so_it_is_where_only_another_group_is_mounted(kernel: Path) -> None:
    memory_group(kernel / "mounted", str(64 * MB))
    memory_group(kernel / "ours", str(1 * MB))  # where the way up from there would lead
    proc = tell(kernel, "0::/job/ours\n", ("/job/mounted", "mounted", "cgroup2 cgroup2 rw"))
    assert usable_memory_mb(proc) == (64.0, 34.0)


def test_this_very_machine_tells_sensible_numbers() -> None:
    total_mb, free_mb = usable_memory_mb()
    assert 0 < free_mb <= total_mb <= psutil.virtual_memory().total / MB
    assert 1 <= num_usable_cpus() <= ALL_CPUS


def namespace(kernel: Path, name: str) -> Path:
    (kernel / "proc/self/ns").mkdir(parents=True)
    (kernel / "proc/self/ns/pid").symlink_to(name)
    return kernel / "proc"


def test_the_session_of_a_process(kernel: Path) -> None:
    proc = namespace(kernel, "pid:[4026531836]")
    assert session_of_gpu_process(os.getpid(), proc) == os.getsid(0)
    assert session_of_gpu_process(2**22 + 1, proc) is None


def test_in_a_container_a_number_may_name_a_process_without_any_gpu(kernel: Path) -> None:
    proc = namespace(kernel, "pid:[4026532177]")
    own = proc / str(os.getpid()) / "fd"
    assert session_of_gpu_process(os.getpid(), proc) is None
    own.mkdir(parents=True)
    (own / "0").symlink_to("/dev/null")
    assert session_of_gpu_process(os.getpid(), proc) is None
    (own / "7").symlink_to("/dev/nvidiactl")
    assert session_of_gpu_process(os.getpid(), proc) == os.getsid(0)


def test_of_another_namespace_than_the_first_we_are_aware() -> None:
    """The kernel's own number of the first namespace: whoever is in another does not see it."""
    program = (
        "import os; from lfadsq.queue.machine import session_of_gpu_process;"
        "print(session_of_gpu_process(os.getpid()))"
    )
    command = [
        "unshare",
        "--user",
        "--pid",
        "--fork",
        "--mount-proc",
        sys.executable,
        "-c",
        program,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode:
        pytest.skip(f"this machine lets nobody make a pid namespace: {done.stderr.strip()}")
    assert done.stdout.strip() == "None"
