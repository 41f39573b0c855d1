"""PBS, through commands that really run what they are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.jobs import JobReport, JobState
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems import system_of
from lfadsq.queue.clusters.systems.base import Program
from lfadsq.queue.clusters.systems.scripts import logs_of
from lfadsq.queue.records import Cause

from .pbs_standin import PbsStandIn

PBS = system_of("pbs")
_DEADLINE_S = 20.0


def _options(**changes: object) -> ClusterOptions:
    given = {"system": "pbs", "cores_per_job": 1, "memory_per_job_mb": 100, **changes}
    return ClusterOptions(**given)  # type: ignore[arg-type]


def _submit(folder: Path, command: str, num_in_array: int = 0, **changes: object) -> str:
    program = Program("test", ("/bin/sh", "-c", command), folder, num_in_array)
    return PBS.submit(PBS.program_script(_options(**changes), program))


def _wait(job_id: str, is_so: Callable[[JobReport], bool]) -> JobReport:
    deadline_s = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline_s:
        report = PBS.ask([job_id])[job_id]
        if is_so(report):
            return report
        time.sleep(0.05)
    raise AssertionError(f"the job stays {report}")


def _end(job_id: str) -> JobReport:
    return _wait(job_id, lambda report: report.state is JobState.ENDED)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def test_a_job_starts_where_it_was_submitted_without_its_environment(
    pbs: PbsStandIn, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_THE_LOGIN_NODE", "1")
    job_id = _submit(
        logs, 'pwd; echo "$OF_THE_LOGIN_NODE,$SET,$CUDA_VISIBLE_DEVICES"', setup=("export SET=2",)
    )
    report = _end(job_id)
    assert (report.cause, report.nodes) == (None, "node1")
    assert "Exit_status = 0" in report.words
    log = next(path for path in logs_of(logs, job_id) if path.suffix == ".log")
    assert log.read_text().splitlines() == [str(tmp_path), ",2,0"]


def test_a_walltime_ends_a_job_by_a_signal_it_can_answer(pbs: PbsStandIn, logs: Path) -> None:
    job_id = _submit(
        logs,
        "trap 'echo told; exit 143' TERM; while :; do sleep 0.05; done",
        walltime_s=1,
        end_margin_s=0,
    )
    assert _end(job_id).cause is Cause.WALLTIME
    texts = {path.suffix: path.read_text() for path in logs_of(logs, job_id)}
    assert "told" in texts[".log"]
    assert "walltime 2 exceeded limit 1" in texts[".OU"]


def test_a_cancelled_job_is_no_failure_of_its_tasks(pbs: PbsStandIn, logs: Path) -> None:
    job_id = _submit(logs, "exec sleep 60")
    _wait(job_id, lambda report: report.state is JobState.RUNNING)
    PBS.cancel([job_id])
    assert _end(job_id).cause is Cause.PREEMPTED
    PBS.cancel([job_id, "99999.standin"])


def test_a_job_that_fails_says_so(pbs: PbsStandIn, logs: Path) -> None:
    report = _end(_submit(logs, "exit 3"))
    assert report.cause is Cause.NODE_LOST
    assert "Exit_status = 3" in report.words


def test_jobs_wait_for_gpus_and_say_for_what(pbs: PbsStandIn, logs: Path) -> None:
    first = _submit(logs, "exec sleep 60", gpus_per_job=4)
    _wait(first, lambda report: report.state is JobState.RUNNING)
    second = _submit(logs, "true")
    report = _wait(second, lambda report: "ngpus" in report.words)
    assert report.state is JobState.PENDING
    PBS.cancel([first])
    assert _end(second).cause is None


def test_an_array_is_one_job(pbs: PbsStandIn, logs: Path) -> None:
    job_id = _submit(logs, "echo $PBS_ARRAY_INDEX", num_in_array=3, gpus_per_job=0)
    assert _end(job_id).cause is None
    said = [path.read_text().strip() for path in logs_of(logs, job_id) if path.suffix == ".log"]
    assert sorted(said) == ["1", "2", "3"]


def test_an_array_of_one_is_a_plain_job(pbs: PbsStandIn, logs: Path) -> None:
    job_id = _submit(logs, "true", num_in_array=1)
    assert "[" not in job_id
    assert _end(job_id).cause is None


def test_a_refusal_is_told_in_its_own_words(pbs: PbsStandIn, logs: Path) -> None:
    with pytest.raises(ClusterError, match=r"exit status 170: qsub: Unknown queue; .*qstat -q"):
        _submit(logs, "true", partition="nope")


def test_a_busy_server_is_never_taken_for_a_job_gone(pbs: PbsStandIn, logs: Path) -> None:
    job_id = _submit(logs, "true")
    pbs.be("busy")
    with pytest.raises(ClusterError, match="cannot connect to server"):
        PBS.ask([job_id])


@pytest.mark.parametrize("mood", ["", "no history", "first of json"])
def test_several_jobs_are_told_whatever_the_version(pbs: PbsStandIn, logs: Path, mood: str) -> None:
    jobs = [_submit(logs, "exec sleep 60") for _ in range(3)]
    pbs.be(mood)
    assert set(PBS.ask([*jobs, "99999.standin"])) == set(jobs)


def test_a_finished_job_without_history_is_forgotten(pbs: PbsStandIn, logs: Path) -> None:
    job_id = _submit(logs, "true")
    _end(job_id)
    pbs.be("no history")
    assert PBS.ask([job_id]) == {}
    pbs.be("")
    pbs.lose(job_id)
    assert PBS.ask([job_id]) == {}
