"""The doctor of clusters, on a PBS that really runs its jobs, and nodes that are ill."""

from __future__ import annotations

import json
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import StorageError
from lfadsq.queue.clusters import doctor_verdicts as verdicts
from lfadsq.queue.clusters.doctor import ClusterDoctor
from lfadsq.queue.clusters.doctor_here import locks_finding, mount_of, space_finding
from lfadsq.queue.clusters.doctor_options import sources_finding, tiny
from lfadsq.queue.clusters.doctor_report import Finding, Level
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.probe import tensorflow_here
from lfadsq.queue.clusters.systems import system_of

from ....nvml_standin.standin import StandInGpu, StandInGpus, build_driver
from .doctor_nodes import NO_FLOCK, NO_LOCK_SERVICE, NO_NETWORK, OTHER_DASK, Node, ahead
from .systems.pbs_standin import PbsStandIn, pbs_on_path


@pytest.fixture
def pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PbsStandIn]:
    with pbs_on_path(tmp_path / "pbs", monkeypatch.setenv) as standin:
        yield standin


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "collection"
    path.mkdir()
    return path


class Patient:
    """What a doctor found."""

    def __init__(self, folder: Path, options: ClusterOptions, **settings: Any) -> None:
        self.findings: list[Finding] = []
        self.said: list[str] = []
        self.doctor = ClusterDoctor(
            system_of("pbs"),
            options,
            folder,
            tell=self.findings.append,
            say=self.said.append,
            **{"start_s": 30.0, "connect_s": 20.0, **settings},
        )

    def of(self, topic: str) -> Finding:
        found = [finding for finding in self.findings if finding.topic == topic]
        assert len(found) == 1, self.findings
        return found[0]

    @property
    def problems(self) -> set[str]:
        return {f.topic for f in self.findings if f.level is Level.PROBLEM}

    @property
    def warnings(self) -> set[str]:
        return {f.topic for f in self.findings if f.level is Level.WARNING}


@pytest.fixture
def examine(pbs: PbsStandIn, node: Node, folder: Path) -> Any:
    def run(settings: dict[str, Any] | None = None, **changes: Any) -> Patient:
        options = ClusterOptions(
            "pbs", gpus_per_job=0, cores_per_job=1, memory_per_job_mb=500, setup=(node.setup,)
        )
        options = tiny(replace(options, interface="lo"), keeps_walltime=False)
        patient = Patient(folder, replace(options, **changes), **(settings or {}))
        patient.doctor.run()
        assert list(folder.iterdir()) == [], "nothing is left behind"
        if patient.doctor.job_id:
            assert pbs.job(patient.doctor.job_id)["job_state"] == "F"
        for finding in patient.findings:
            assert bool(finding.remedy) == (finding.level is not Level.OK), finding
        return patient

    return run


def test_all_is_well_where_all_is_well(examine: Any) -> None:
    patient = examine()
    assert patient.problems == set(), patient.findings
    assert patient.warnings == set()
    expected = (
        "commands,locks here,address,submission,start,node,versions,network,network back,cores"
    )
    expected += ",memory,walltime,trainer,space,gpus,tensorflow,folder,clocks,locks,rename,end"
    expected += ",locks of ended jobs"
    assert [finding.topic for finding in patient.findings] == expected.split(",")
    assert "(interface lo; any free port)" in patient.of("address").text
    assert "TensorFlow 2.99.0" in patient.of("tensorflow").text
    assert patient.of("start").text.startswith(f"job {patient.doctor.job_id} runs on ")
    times_s = patient.doctor.times_s
    assert 0 < times_s["started"] < times_s["first_worker"] < 30


def test_without_dask_no_port_is_opened_and_all_else_is_seen(examine: Any) -> None:
    patient = examine({"with_dask": False})
    assert patient.problems == set(), patient.findings
    topics = [finding.topic for finding in patient.findings]
    assert "network" not in topics
    assert {"locks", "folder", "rename", "tensorflow", "end"} < set(topics)
    assert "first_worker" not in patient.doctor.times_s


# --- jobs that do not begin ----------------------------------------------------------------------


def test_refusal_comes_in_the_words_of_the_batch_system(examine: Any) -> None:
    patient = examine(partition="nosuch")
    assert patient.problems == {"submission"}
    assert "Unknown queue" in patient.of("submission").text
    assert "qstat -q" in patient.of("submission").remedy
    assert patient.doctor.job_id == ""


def test_commands_that_are_not_here_end_it_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    patient = Patient(folder, ClusterOptions("pbs"))
    patient.doctor.run()
    assert [finding.topic for finding in patient.findings] == ["commands"]
    assert "qsub, qstat, qdel cannot be found" in patient.of("commands").text


def test_job_that_waits_too_long_is_told_why_and_cancelled(examine: Any, pbs: PbsStandIn) -> None:
    settings = {"num_gpus": 4, "num_cpus": 0, "kill_delay_s": 2.0}
    (pbs.folder / "settings.json").write_text(json.dumps(settings))
    patient = examine({"start_s": 1.0, "with_dask": False})
    assert patient.problems == {"start"}
    assert "Insufficient amount of resource: ncpus" in patient.of("start").text
    assert any("Insufficient amount of resource" in said for said in patient.said)
    assert patient.of("end").level is Level.OK


def test_python_that_is_missing_there_is_named(examine: Any) -> None:
    patient = examine(python="/no/such/python")
    assert patient.problems == {"python"}
    assert "/no/such/python cannot be run on the node" in patient.of("python").text
    assert "No such file or directory" in patient.of("python").text
    assert "--python" in patient.of("python").remedy


def test_python_without_lfadsq_is_named(examine: Any, node: Node) -> None:
    bare = node.program("bare", f'exec {shlex.quote(sys.executable)} -IS "$@"')
    patient = examine(python=str(bare))
    assert patient.problems == {"python"}
    assert f"{bare} on the node has no lfadsq" in patient.of("python").text


def test_setup_that_fails_is_shown_with_its_log(examine: Any) -> None:
    patient = examine(setup=("module load nosuch || { echo no such module >&2; exit 7; }",))
    assert patient.problems == {"job"}
    assert "| no such module" in patient.of("job").text


def test_folder_that_the_node_does_not_see(
    examine: Any, pbs: PbsStandIn, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    qsub = elsewhere / "qsub"
    words = shlex.quote(f"s#{folder}/#/no/such/folder/#g")
    qsub.write_text(f'#!/bin/sh\nsed {words} | {shlex.quote(str(pbs.programs / "qsub"))} "$@"\n')
    qsub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{elsewhere}:{pbs.programs}:/usr/bin:/bin")
    patient = examine()
    assert patient.problems == {"folder"}
    assert "left no log: the node does not see" in patient.of("folder").text


# --- nodes that are ill --------------------------------------------------------------------------


def test_node_that_cannot_connect_is_told_apart_and_all_else_is_seen(
    examine: Any, node: Node
) -> None:
    node.starts_with(NO_NETWORK)
    patient = examine({"connect_s": 3.0})
    assert patient.problems == {"network"}, patient.findings
    found = patient.of("network")
    assert "No route to host" in found.text
    assert "tls://127.0.0.1:" in found.text
    assert "lo 127.0.0.1" in found.text, "its interfaces are listed"
    assert "--interface" in found.remedy
    assert "--no-dask" in found.remedy
    assert patient.of("locks").level is Level.OK


def test_interface_that_is_not_here_is_told_and_all_else_is_seen(examine: Any) -> None:
    patient = examine(interface="nosuch0")
    assert patient.problems == {"address"}
    assert "lo 127.0.0.1" in patient.of("address").remedy
    assert patient.of("locks").level is Level.OK


@pytest.mark.parametrize("text", [NO_FLOCK, NO_LOCK_SERVICE], ids=["pretended", "refused"])
def test_locks_that_do_not_hold_are_a_problem(examine: Any, node: Node, text: str) -> None:
    node.starts_with(text)
    patient = examine({"with_dask": False})
    assert patient.problems == {"locks"}, patient.findings
    found = patient.of("locks")
    assert "local_lock=none" in found.remedy
    assert "one queue of this collection at a time" in found.remedy
    if text == NO_FLOCK:
        assert "a lock held here is not seen on the node" in found.text
        assert "a lock held on the node is not seen here" in found.text
    else:
        assert "No locks available" in found.text


def test_clock_packages_and_tensorflow_are_each_judged(examine: Any, node: Node) -> None:
    node.starts_with(ahead(30) + OTHER_DASK)
    node.has_module("tensorflow", "raise ImportError('libcudart.so.12: cannot open')")
    patient = examine({"with_dask": False})
    assert patient.problems == {"versions", "tensorflow"}
    assert patient.warnings == {"clocks"}
    words = patient.of("clocks").text.split()
    assert words[:2] == ["the", "node"]
    assert float(words[3]) == pytest.approx(30, abs=1)
    assert words[5] == "ahead"
    assert "and 1.2.3 there" in patient.of("versions").text
    assert "libcudart.so.12" in patient.of("tensorflow").text


def test_job_that_dies_in_the_midst_is_told_with_its_words(
    examine: Any, node: Node, pbs: PbsStandIn
) -> None:
    node.has_module("tensorflow", "import time; time.sleep(60)")

    def kill() -> None:
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            for path in (pbs.folder / "jobs").glob("*.json"):
                if pbs.job(path.stem)["job_state"] == "R":
                    time.sleep(2)
                    path.with_suffix(".kill").touch()
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    patient = examine({"with_dask": False})
    killer.join()
    assert patient.problems == {"job"}
    assert "ended too early" in patient.of("job").text


# --- GPUs ----------------------------------------------------------------------------------------


@pytest.fixture
def gpus(tmp_path: Path) -> StandInGpus:
    try:
        library = build_driver(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    machine = StandInGpus(tmp_path / "gpus.txt", library)
    machine.put(StandInGpu("GPU-aaaa"), StandInGpu("GPU-bbbb"))
    return machine


def exports(gpus: StandInGpus) -> list[str]:
    return [f"export {key}={shlex.quote(value)}" for key, value in gpus.environment().items()]


def test_no_gpu_in_the_job_is_a_problem(examine: Any) -> None:
    patient = examine({"with_dask": False}, gpus_per_job=1)
    assert patient.problems == {"gpus"}
    assert "0 GPUs" in patient.of("gpus").text


def test_gpus_of_the_job_are_compared_with_what_was_asked_for(
    examine: Any, node: Node, gpus: StandInGpus
) -> None:
    setup = (node.setup, *exports(gpus))
    patient = examine({"with_dask": False}, gpus_per_job=1, setup=setup)
    assert patient.problems == {"tensorflow"}, patient.findings
    assert "sees 0 of 1 GPU" in patient.of("tensorflow").text
    assert "CUDA_VISIBLE_DEVICES=0" in patient.of("gpus").text
    node.has_tensorflow(1)
    patient = examine({"with_dask": False}, gpus_per_job=1, setup=setup)
    assert patient.problems == patient.warnings == set(), patient.findings
    setup += ("unset CUDA_VISIBLE_DEVICES",)
    patient = examine({"with_dask": False}, gpus_per_job=1, setup=setup)
    assert patient.problems == set()
    assert patient.warnings == {"gpus"}
    assert "trainings would use those of others" in patient.of("gpus").text


# --- what is not the node's ----------------------------------------------------------------------


def test_folder_that_cannot_be_written_is_refused_before_any_job(
    pbs: PbsStandIn, tmp_path: Path
) -> None:
    patient = Patient(tmp_path / "nosuch", ClusterOptions("pbs"))
    with pytest.raises(StorageError):
        patient.doctor.run()
    assert list((pbs.folder / "jobs").iterdir()) == []


def test_tensorflow_that_hangs_is_given_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.has_module("tensorflow", "import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(node.folder))
    started_s = time.monotonic()
    assert "had not loaded after 0.5 s" in tensorflow_here(0.5)["problem"]
    assert time.monotonic() - started_s < 10


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 / {home} rw,nosuid shared:2 - nfs4 server:/home rw,vers=4.2,local_lock=none
41 22 0:41 / {home}/my\040data rw shared:3 - nfs server:/data rw,nolock,local_lock=all
42 22 0:42 / {home}/lustre rw - lustre 10.0.0.1@o2ib:/l rw,localflock
"""


@pytest.mark.parametrize(
    ("name", "kind", "local_lock"),
    [
        ("here", "nfs4", ""),
        ("my data/a", "nfs", "nolock"),
        ("my data2", "nfs4", ""),
        ("lustre/x", "lustre", "localflock"),
    ],
)
def test_mounts_are_found_with_how_they_lock(
    tmp_path: Path, name: str, kind: str, local_lock: str
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS.strip("\n").format(home=tmp_path))
    mount = mount_of(tmp_path / name, table)
    assert mount is not None
    assert (mount.kind, mount.local_lock) == (kind, local_lock)


def test_locks_here_are_tried(tmp_path: Path) -> None:
    assert locks_finding(tmp_path).level is Level.OK
    assert list(tmp_path.iterdir()) == []
    assert locks_finding(tmp_path / "nosuch").level is Level.PROBLEM


@given(st.floats(-100, 100), st.floats(0, 10))
def test_clocks_are_wrong_only_if_that_is_certain(offset_s: float, uncertain_s: float) -> None:
    finding = verdicts.clock_finding(offset_s, uncertain_s)
    least_s = max(0.0, abs(offset_s) - uncertain_s)
    is_fine = least_s <= 2 and uncertain_s <= 2
    assert (finding.level is Level.OK) == is_fine
    assert finding.level is not Level.PROBLEM


@given(st.tuples(*[st.booleans()] * 4))
def test_only_locks_that_hold_and_end_are_well(seen: tuple[bool, bool, bool, bool]) -> None:
    finding = verdicts.locks_findings(*seen)
    assert (finding.level is Level.OK) == all(seen)
    assert (finding.level is Level.PROBLEM) == (not all(seen))


def test_files_that_are_not_replaced_in_one_step_are_a_problem() -> None:
    well = {"num_reads": 9, "num_missing": 0, "num_torn": 0, "num_stale": 0, "is_last_seen": True}
    assert verdicts.replacing_finding(well).level is Level.OK
    assert verdicts.replacing_finding({**well, "num_stale": 1}).level is Level.WARNING
    for bad in ({"num_missing": 1}, {"num_torn": 1}, {"is_last_seen": False}):
        assert verdicts.replacing_finding({**well, **bad}).level is Level.PROBLEM


def test_less_than_was_asked_for_is_a_warning() -> None:
    options = ClusterOptions("slurm", cores_per_job=4, memory_per_job_mb=8000, walltime_s=600)
    about = {"num_cpus": 4, "memory_mb": 8000.0, "granted_s": 600.0, "trainer": "/bin/x"}
    levels = {f.topic: f.level for f in verdicts.machine_findings(options, about)}
    assert set(levels.values()) == {Level.OK}
    less = {"num_cpus": 2, "memory_mb": 4000.0, "granted_s": 60.0}
    for (key, value), topic in zip(less.items(), ("cores", "memory", "walltime"), strict=True):
        found = {
            f.topic: f.level for f in verdicts.machine_findings(options, {**about, key: value})
        }
        assert found == {**levels, topic: Level.WARNING}
    found = {f.topic: f.level for f in verdicts.machine_findings(options, {**about, "trainer": ""})}
    assert found["trainer"] is Level.PROBLEM


def test_interfaces_to_try_lie_in_one_network_on_both_sides() -> None:
    here = [["lo", "127.0.0.1", "255.0.0.0"], ["eth0", "10.0.0.1", "255.255.0.0"]]
    here.append(["ib0", "10.9.0.1", "255.255.0.0"])
    there = [["lo", "127.0.0.1", "255.0.0.0"], ["ib0", "10.9.0.7", "255.255.0.0"]]
    found = verdicts.unreached_finding("tls://10.0.0.1:1", "node7", "", "timed out", here, there)
    assert "try --interface ib0;" in found.remedy
    assert "timed out" in found.text


def test_space_that_is_used_up_is_told(tmp_path: Path) -> None:
    about = {"free_mb": 50_000.0, "temporary": "/tmp", "temporary_free_mb": 50_000.0}
    levels = [
        space_finding({**about, **change}, tmp_path, "").level
        for change in ({}, {"free_mb": 1000.0}, {"free_mb": 5.0}, {"temporary_free_mb": 5.0})
    ]
    assert levels == [Level.OK, Level.WARNING, Level.PROBLEM, Level.PROBLEM]


def test_options_are_those_of_a_queue_but_for_a_short_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    asked = ClusterOptions("slurm", partition="gpu", walltime_s=86400, requeue=True)
    options = tiny(asked, keeps_walltime=False)
    assert (options.partition, options.walltime_s, options.requeue) == ("gpu", 600, False)
    assert tiny(replace(asked, walltime_s=60), keeps_walltime=False).walltime_s == 60
    assert tiny(asked, keeps_walltime=True).walltime_s == 86400
    (tmp_path / "cluster.toml").write_text('partition = "gpu"\n[slurm]\naccount = "lab"\n')
    text = sources_finding(asked, tmp_path, {"walltime": None, "requeue": True}, 600).text
    assert f"{tmp_path / 'cluster.toml'} gives partition, account" in text
    assert f"{tmp_path / 'config' / 'lfadsq' / 'cluster.toml'} is not there" in text
    assert "the command line gives requeue" in text
