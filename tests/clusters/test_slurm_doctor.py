"""``lfadsq doctor --cluster slurm`` on a real SLURM."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..unit.queue.clusters.doctor_nodes import NO_FLOCK, Node, ahead
from .batch_systems import wait_until

pytestmark = pytest.mark.slurm

SMALL = ["--gpus-per-job=0", "--cores-per-job=1", "--memory-per-job=300MB", "--interface=lo"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


@pytest.fixture
def folder(tmp_path: Path, node: Node) -> Path:
    path = tmp_path / "collection"
    path.mkdir()
    (path / "cluster.toml").write_text(f"setup = [{json.dumps(node.setup)}]\n")
    return path


class Told:
    """What a doctor printed."""

    def __init__(self, ended: subprocess.CompletedProcess[str]) -> None:
        self.status = ended.returncode
        self.said = ended.stderr
        self.result: dict[str, Any] = json.loads(ended.stdout)
        self.findings = {one["topic"]: one for one in self.result["findings"]}

    def topics(self, level: str) -> set[str]:
        return {topic for topic, one in self.findings.items() if one["level"] == level}


@pytest.fixture
def doctor(slurm: Any, folder: Path, tmp_path: Path) -> Any:
    def run(*words: str, path: str = "") -> Told:
        environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
        environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
        argv = [sys.executable, "-m", "lfadsq", "doctor", "--cluster=slurm", "--json"]
        ended = subprocess.run(
            [*argv, "-C", folder, *SMALL, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        told = Told(ended)
        assert [one.name for one in folder.iterdir()] == ["cluster.toml"], "nothing is left behind"
        wait_until(lambda: not slurm.jobs(), "its job is gone", 20)
        assert told.status == (0 if told.result["ok"] else 1)
        return told

    return run


def test_cluster_that_is_well(doctor: Any) -> None:
    told = doctor("--partition=gpu")
    assert told.topics("problem") == set(), told.findings
    expected = {"submission", "start", "network", "network back", "locks", "rename", "clocks"}
    assert expected | {"locks of ended jobs", "end", "folder"} <= told.topics("ok")
    assert "slurm" in told.findings["commands"]["text"]
    assert 0 < told.result["times_s"]["started"] < told.result["times_s"]["first_worker"]


def test_partition_that_does_not_exist_is_told_in_the_words_of_slurm(doctor: Any) -> None:
    told = doctor("--partition=nosuch")
    assert told.topics("problem") == {"submission"}
    assert "nvalid partition" in told.findings["submission"]["text"]
    assert told.result["job_id"] is None


def test_python_that_is_missing_on_the_node_is_named(doctor: Any) -> None:
    told = doctor("--python=/no/such/python")
    assert told.topics("problem") == {"python"}
    assert "/no/such/python cannot be run on the node" in told.findings["python"]["text"]


def test_job_that_is_held_is_cancelled_with_the_reason(doctor: Any) -> None:
    told = doctor("--directive=--hold")
    assert told.topics("problem") == {"start"}
    assert "will not start by itself" in told.findings["start"]["text"]
    assert "JobHeldUser" in told.findings["start"]["text"]


def test_job_that_waits_is_told_with_its_reason_and_cancelled_in_time(doctor: Any) -> None:
    told = doctor("--directive=--begin=now+1hour", "--timeout=4s")
    assert told.topics("problem") == {"start"}
    assert "BeginTime" in told.findings["start"]["text"]
    assert "PENDING (BeginTime)" in told.said


def test_node_that_cannot_reach_the_queue_is_told_and_all_else_is_seen(
    doctor: Any, node: Node
) -> None:
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here (unshare -n)")
    apart = node.program("apart", f'exec unshare -n {shlex.quote(sys.executable)} "$@"')
    told = doctor(f"--python={apart}")
    assert told.topics("problem") == {"network"}, told.findings
    assert "cannot connect to tls://127.0.0.1:" in told.findings["network"]["text"]
    assert "--no-dask" in told.findings["network"]["remedy"]
    assert told.findings["locks"]["level"] == "ok"


def test_folder_that_the_node_does_not_see(doctor: Any, folder: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    words = shlex.quote(f"s#{folder}/#/no/such/folder/#g")
    (programs / "sbatch").write_text(
        f'#!/bin/sh\nsed {words} | {shlex.quote(str(shutil.which("sbatch")))} "$@"\n'
    )
    (programs / "sbatch").chmod(0o755)
    told = doctor(path=str(programs))
    assert told.topics("problem") == {"folder"}, told.findings
    assert "the node does not see" in told.findings["folder"]["text"]


def test_locks_and_clock_of_the_node_are_judged(doctor: Any, node: Node) -> None:
    node.starts_with(NO_FLOCK + ahead(30))
    told = doctor("--no-dask")
    assert told.topics("problem") == {"locks"}, told.findings
    assert told.topics("warning") == {"clocks"}
    assert "a lock held on the node is not seen here" in told.findings["locks"]["text"]


def test_gpu_of_the_job_is_seen(doctor: Any, node: Node, node_gpus: Any) -> None:
    node.has_tensorflow(1)
    setup = [
        f"--setup=export {name}={shlex.quote(value)}"
        for name, value in node_gpus.environment().items()
    ]
    told = doctor("--no-dask", "--gpus-per-job=1", f"--setup={node.setup}", *setup)
    assert told.topics("problem") == told.topics("warning") == set(), told.findings
    assert "1 GPU (CUDA_VISIBLE_DEVICES=" in told.findings["gpus"]["text"]
