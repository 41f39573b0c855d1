"""The program of a batch job: what it does when all goes wrong, and what its log then says."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lfadsq.queue.clusters.certificates import certificate_in
from lfadsq.queue.clusters.own_job import job_id_in

from ..conftest import is_alive, wait_until
from .conftest import Cluster, WorkerProcess, free_port, pids_of, stepper, steps_of


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers of queues that are not there."""
    started: list[WorkerProcess] = []

    def start(address: str, *options: str) -> WorkerProcess:
        started.append(WorkerProcess(address, "w1", tmp_path / "log", *options))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.wait()


def test_a_worker_whose_queue_is_not_there_ends_and_says_so(
    alone: Callable[..., WorkerProcess],
) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    worker = alone(address, "--death-timeout", "2")
    assert worker.wait(30) == 3
    (line,) = [line for line in worker.said.splitlines() if "cannot work" in line]
    assert f"for the queue at {address}" in line
    assert "Traceback" not in worker.said


def test_a_worker_leaves_early_where_nobody_listens_any_more(
    alone: Callable[..., WorkerProcess],
) -> None:
    """Its queue was killed while the job started: the GPUs of the job are for others."""
    with socket.socket() as queue:
        queue.bind(("127.0.0.1", 0))
        queue.listen(50)
        address = f"tcp://127.0.0.1:{queue.getsockname()[1]}"
        worker = alone(address, "--death-timeout", "90", "--refused-s", "1")
        queue.settimeout(30)
        connection, _ = queue.accept()  # it tries to connect
    connection.close()
    assert worker.wait(20) == 3
    (line,) = [line for line in worker.said.splitlines() if "cannot work" in line]
    assert f"for the queue at {address}" in line
    assert "nobody listens there" in line
    assert worker.said.endswith(" ended\n"), "and nothing of Dask"


def test_a_worker_with_another_key_is_not_let_in(
    cluster: Callable[..., Cluster], alone: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    here = cluster()
    other = certificate_in(tmp_path / "of somebody else")
    worker = alone(here.transport.address, f"--tls-ca-file={other}", "--death-timeout", "3")
    assert worker.wait(30) == 3
    assert "cannot work for the queue at" in worker.said
    assert here.machines.all() == []


def test_a_signal_before_the_queue_is_reached_ends_it_at_once(
    alone: Callable[..., WorkerProcess],
) -> None:
    worker = alone(f"tcp://127.0.0.1:{free_port()}", "--death-timeout", "60")
    wait_until(lambda: "w1 on " in worker.said, "it begins")
    time.sleep(1)  # it tries to connect
    worker.process.send_signal(signal.SIGTERM)
    worker.wait(20)


def test_its_log_is_for_people(cluster: Callable[..., Cluster]) -> None:
    here = cluster()
    worker = here.start_worker()
    here.order("good", "true")
    here.order("bad", "exit 3")
    here.heard.wait_ended("good")
    here.heard.wait_ended("bad")
    here.close()
    worker.wait(20)
    lines = [line.split(" ", 2)[2] for line in worker.said.splitlines()]
    assert lines[0].startswith("w1 on ")
    assert lines[1] == f"connected to the queue at {here.transport.address}"
    assert {"good started on cpu", "good ended: succeeded", "bad ended: failed (unknown)"} <= {
        *lines
    }
    assert lines[-2:] == ["leaves: the queue needs it no longer", "ended"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_ends_tasks_before_the_worker(
    cluster: Callable[..., Cluster], number: signal.Signals
) -> None:
    here = cluster()
    worker = here.start_worker()
    folder = here.folder / "t"
    here.order("t", stepper(folder, 2000))
    wait_until(lambda: steps_of(folder), "it trains")
    worker.process.send_signal(number)
    attempt = here.heard.wait_ended("t").attempt
    assert (attempt.outcome.value, attempt.cause.value) == ("interrupted", "preempted")
    assert worker.wait(20) == 0
    assert int((folder / "checkpoint").read_text()) == steps_of(folder)[-1]
    assert f"leaves: {number.name} of the batch system (preempted)" in worker.said


def test_what_ends_by_itself_when_its_job_ends_is_done(cluster: Callable[..., Cluster]) -> None:
    """Told to end, it finishes all the same: that is no interruption."""
    here = cluster()
    worker = here.start_worker()
    mark = here.folder / "up"
    here.order("t", f"trap 'exit 0' TERM; touch {mark}; sleep 0.5; sleep 0.5; sleep 0.5; true")
    order = here.order("u", f"trap '' TERM; touch {mark}u; sleep 1; true")
    wait_until(lambda: mark.with_name("upu").exists(), "it runs")
    worker.process.send_signal(signal.SIGTERM)
    attempt = here.heard.wait_ended("u").attempt
    assert order.task.name == "u"
    assert not is_alive(attempt.pid)
    assert attempt.exit_status == 0
    assert here.heard.wait_ended("t") is not None


def test_nothing_of_a_task_outlives_a_job(cluster: Callable[..., Cluster]) -> None:
    here = cluster(grace_s=1.0)
    worker = here.start_worker()
    pids = here.folder / "t" / "pids"
    here.order("t", f"trap '' TERM; echo $$ >>{pids}; while :; do sleep 0.1; done")
    (pid,) = wait_until(lambda: pids_of(pids.parent), "it runs")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert not is_alive(pid)
    assert "does not end by itself, and is killed: t" in worker.said


@pytest.mark.parametrize(
    ("environment", "job_id"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"PBS_JOBID": "12.server"}, "12.server"),
        ({"JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "12", "MOAB_JOBID": "Moab.7"}, "Moab.7"),
        ({"_CONDOR_JOB_AD": "/nosuch"}, ""),
    ],
)
def test_it_knows_its_job(environment: dict[str, str], job_id: str) -> None:
    assert job_id_in(environment) == job_id


def test_it_knows_its_job_of_htcondor(tmp_path: Path) -> None:
    ad = tmp_path / ".job.ad"
    ad.write_text('MyType = "Job"\nProcId = 3\nOtherClusterId = 5\nClusterId = 41\n')
    assert job_id_in({"_CONDOR_JOB_AD": str(ad)}) == "41.3"
