"""Batch systems are asked for their partitions, and nothing they do can be in the way."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lfadsq.queue.clusters.partitions import find_partitions, find_system
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES


class Programs:
    """A folder that comes first on ``PATH``, and is all there is of batch systems."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, script: str = "") -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    for name in ("sh", "sleep", "cat", "printf"):
        place = next(p for p in (Path("/bin") / name, Path("/usr/bin") / name) if p.exists())
        (tmp_path / name).symlink_to(place)
    monkeypatch.setenv("PATH", str(tmp_path))
    return Programs(tmp_path)


@pytest.mark.parametrize(
    ("program", "system"),
    [
        ("sinfo", "slurm"),
        ("pbsnodes", "pbs"),
        ("qconf", "sge"),
        ("bhosts", "lsf"),
        ("condor_submit", "htcondor"),
        ("oarsub", "oar"),
        ("msub", "moab"),
    ],
)
def test_a_batch_system_is_known_by_its_own_program(
    programs: Programs, program: str, system: str
) -> None:
    assert find_system() == ""
    programs.add("qsub")
    programs.add("qstat")
    assert find_system() == ""
    programs.add(program)
    assert find_system() == system


def test_partitions_of_slurm(programs: Programs) -> None:
    programs.add(
        "sinfo",
        r"""[ "$*" = "--noheader --format=%P|%l|%G" ] || exit 2
cat <<'END'
gpu*|1-00:00:00|gpu:a100:4(S:0-1),craynetwork:4
gpu*|1-00:00:00|gpu:a100:4(S:0-1),craynetwork:4
cpu|infinite|(null)
a site's greeting
b$(false)|1:00|(null)
END""",
    )
    assert find_partitions("slurm") == ["gpu (default), at most 1-00:00:00, GPUs a100:4", "cpu"]


@pytest.mark.parametrize(
    ("system", "program", "answer", "found"),
    [
        (
            "pbs",
            "qstat",
            "Queue              Max   Tot Ena Str\n"
            "---------------- ----- ----- --- ---\n"
            "workq                0     3 yes yes\ngpuq@head  0 0 yes yes",
            ["workq", "gpuq@head"],
        ),
        ("sge", "qconf", "all.q\ngpu.q", ["all.q", "gpu.q"]),
        (
            "lsf",
            "bqueues",
            "QUEUE_NAME      PRIO STATUS\nnormal  30  Open:Active\nnight  40 Open:Inact",
            ["normal", "night"],
        ),
    ],
)
def test_queues_of_others(
    programs: Programs, system: str, program: str, answer: str, found: list[str]
) -> None:
    programs.add(program, f"cat <<'END'\n{answer}\nEND")
    assert find_partitions(system) == found


@pytest.mark.parametrize(
    "script",
    ["echo 'gpu|1:00|(null)'; exit 1", "exit 0", "kill -9 $$", "printf '\\377\\0|1|2'"],
)
def test_an_answer_that_is_none_is_nothing(programs: Programs, script: str) -> None:
    programs.add("sinfo", script)
    assert find_partitions("slurm") == []


@pytest.mark.parametrize("system", ["", *SYSTEM_NAMES])
def test_without_programs_there_is_nothing(programs: Programs, system: str) -> None:
    assert find_partitions(system) == []


def test_a_program_that_hangs_is_ended_with_all_it_started(
    programs: Programs, tmp_path: Path
) -> None:
    # The child keeps its output open, as a wrapper of a site does.
    programs.add("sinfo", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    began_s = time.monotonic()
    assert find_partitions("slurm", timeout_s=1) == []
    assert time.monotonic() - began_s < 20
    child = int((tmp_path / "child").read_text())
    deadline_s = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie that nobody has collected yet is dead all the same.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
