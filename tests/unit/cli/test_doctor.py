"""``lfadsq doctor``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq
from lfadsq.errors import ConfigError

from ..queue.clusters.doctor_nodes import Node
from ..queue.clusters.systems.pbs_standin import PbsStandIn, pbs_on_path
from .verbs import call, said

SMALL = ["--gpus-per-job=0", "--cores-per-job=1", "--memory-per-job=500MB", "--interface=lo"]


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PbsStandIn]:
    with pbs_on_path(tmp_path / "pbs", monkeypatch.setenv) as standin:
        yield standin


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """Make this machine, and what its jobs run on, a node whose TensorFlow loads at once."""
    found = Node(tmp_path / "node")
    monkeypatch.setenv("PYTHONPATH", f"{found.folder}:{os.environ.get('PYTHONPATH', '')}")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "a_folder"
    path.mkdir()
    return path


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "lfadsq", "doctor", "-C", str(folder), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def wait_until(condition: Callable[[], Any], deadline_s: float = 30.0) -> Any:
    end_s = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    return value


# --- this machine --------------------------------------------------------------------------------


def test_this_machine_is_looked_at(folder: Path, node: Node) -> None:
    told = json.loads(CliRunner().invoke(lfadsq, ["doctor", "-C", str(folder), "--json"]).stdout)
    assert told["ok"] is True
    assert told["cluster"] is None
    assert told["folder"] == str(folder)
    found = {finding["topic"]: finding for finding in told["findings"]}
    expected = "python,versions,gpus,tensorflow,trainer,machine,batch systems,locks here,space"
    assert list(found) == expected.split(",")
    assert sys.executable in found["python"]["text"]
    assert "TensorFlow 2.99.0" in found["tensorflow"]["text"]
    assert {finding["level"] for finding in found.values()} <= {"ok", "warning"}
    assert list(folder.iterdir()) == []


def test_batch_systems_of_which_the_commands_are_here_are_named(
    folder: Path, node: Node, pbs: PbsStandIn
) -> None:
    told = json.loads(CliRunner().invoke(lfadsq, ["doctor", "-C", str(folder), "--json"]).stdout)
    found = {finding["topic"]: finding["text"] for finding in told["findings"]}
    assert "pbs" in found["batch systems"].split(", ")


def test_problem_has_its_remedy_and_an_exit_status(folder: Path, node: Node) -> None:
    node.has_module("tensorflow", "raise ImportError('no such library')")
    ended = started(folder)
    out, err = ended.communicate(timeout=60)
    assert ended.returncode == 1, err
    assert "PROBLEM tensorflow: TensorFlow does not load" in out
    assert "no such library" in out
    assert "what to do: pip install 'lfadsq[cpu]'" in out
    assert out.rstrip().endswith("1 problem, 0 warnings")


# --- a cluster -----------------------------------------------------------------------------------


def test_cluster_that_is_well(folder: Path, node: Node, pbs: PbsStandIn) -> None:
    (folder / "cluster.toml").write_text(f'setup = ["{node.setup}"]\nwalltime = "12h"\n')
    words = ["--cluster", "PBS", *SMALL, "--no-dask", "--json"]
    result = CliRunner().invoke(lfadsq, ["doctor", "-C", str(folder), *words])
    told = json.loads(result.stdout)
    assert told["ok"] is True, told
    assert told["cluster"] == "pbs"
    job = pbs.job(told["job_id"])
    assert job["job_state"] == "F"
    assert job["walltime_s"] == 600
    found = {finding["topic"]: finding["text"] for finding in told["findings"]}
    assert f"{folder / 'cluster.toml'} gives setup, walltime" in found["options"]
    assert told["times_s"]["started"] > 0
    assert [path.name for path in folder.iterdir()] == ["cluster.toml"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_cancels_the_job_and_leaves_nothing(
    folder: Path, node: Node, pbs: PbsStandIn, number: signal.Signals
) -> None:
    node.has_module("tensorflow", "import time; time.sleep(60)")
    (folder / "cluster.toml").write_text(f'setup = ["{node.setup}"]\n')
    process = started(folder, "--cluster", "pbs", *SMALL, "--no-dask")
    jobs = pbs.folder / "jobs"
    wait_until(lambda: (jobs / "1.json").exists() and pbs.job("1")["job_state"] == "R")
    wait_until(lambda: list(folder.glob(".lfadsq-doctor-*/answer-0000.json")))
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert pbs.job("1")["job_state"] == "F"
    assert [path.name for path in folder.iterdir()] == ["cluster.toml"]


def test_interrupt_while_the_job_is_submitted_does_not_lose_it(
    folder: Path, node: Node, pbs: PbsStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "qsub").write_text(
        f'#!/bin/sh\ntouch "{tmp_path}/begun"\nsleep 1\nexec "{pbs.programs}/qsub" "$@"\n'
    )
    (slow / "qsub").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    process = started(folder, "--cluster", "pbs", *SMALL, "--no-dask")
    wait_until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert pbs.job("1")["job_state"] == "F"
    assert list(folder.iterdir()) == []


def test_pending_job_is_told_live_line_by_line_where_there_is_no_terminal(
    folder: Path, pbs: PbsStandIn, node: Node
) -> None:
    settings = {"num_gpus": 0, "num_cpus": 0, "kill_delay_s": 2.0}
    (pbs.folder / "settings.json").write_text(json.dumps(settings))
    process = started(folder, "--cluster=pbs", *SMALL, "--no-dask", "--timeout=2s")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Insufficient amount of resource: ncpus" in err
    assert "PROBLEM start: the job still waits after 2." in out
    assert "--timeout" in out
    assert "\x1b" not in out + err


def test_dry_run_shows_the_script_and_does_nothing(folder: Path, pbs: PbsStandIn) -> None:
    text = said("doctor", "-C", folder, "--cluster=pbs", *SMALL, "--dry-run", "--walltime=2m")
    assert text.startswith("#!")
    assert "walltime=00:02:00" in text
    assert "lfadsq.queue.clusters.probe" in text
    assert "lfadsq.queue.clusters.worker tls://ADDRESS:PORT" in text
    assert "lfadsq.queue.clusters.worker" not in said(
        "doctor", "-C", folder, "--cluster=pbs", *SMALL, "--dry-run", "--no-dask"
    )
    assert list(folder.iterdir()) == []
    assert list((pbs.folder / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--cluster", "tls://10.0.0.1:8786"], "no job is submitted to it"),
        (["--cluster", "slrum"], "did you mean 'slurm'"),
        (["--cluster", "pbs", "--timeout", "soon"], "--timeout is 'soon'"),
        (["--cluster", "pbs", "--walltime", "soon"], "walltime"),
        (["--cluster", "pbs", "--exclude-nodes", "node1"], "cannot leave out nodes"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    folder: Path, pbs: PbsStandIn, words: list[str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        call("doctor", "-C", folder, *words)
    assert list(folder.iterdir()) == []
    assert list((pbs.folder / "jobs").iterdir()) == []


def test_wrong_file_is_named_with_its_line(folder: Path, pbs: PbsStandIn) -> None:
    (folder / "cluster.toml").write_text('partition = "gpu"\nwaltime = "1h"\n')
    with pytest.raises(ConfigError, match=r"cluster.toml, line 2: no option is called 'waltime'"):
        call("doctor", "-C", folder, "--cluster", "pbs")


def test_options_of_jobs_need_a_cluster(folder: Path) -> None:
    result = CliRunner().invoke(lfadsq, ["doctor", "-C", str(folder), "--partition", "gpu"])
    assert result.exit_code == 2
    assert "--partition is for jobs of a cluster" in click.unstyle(result.output)


def test_folder_of_a_collection_is_found_from_within(
    collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = collection.write_script()
    monkeypatch.chdir(collection.run_of(collection.names[0]))
    text = said("doctor", "--cluster=slurm", *SMALL, "--dry-run", "--no-dask")
    assert str(collection.folder / ".lfadsq-doctor-") in text
    assert text == said("doctor", "--cluster=slurm", *SMALL, "--dry-run", "--no-dask", "-C", script)


def test_help_has_examples_and_exit_statuses() -> None:
    text = said("doctor", "--help")
    assert "lfadsq doctor --cluster slurm --partition gpu --account my_lab" in text
    assert "Exit status: 0 without problems" in text
