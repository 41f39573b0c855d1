"""Our commands on a real Grid Engine."""

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

from .batch_systems import GridEngine

pytestmark = pytest.mark.sge

SGE = system_of("sge")
_DEADLINE_S = 90.0


@pytest.fixture
def submit(
    sge: GridEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, Path]]:
    # Jobs are known for ours by the folder that they are submitted from.
    monkeypatch.chdir(tmp_path)

    def submit_command(
        command: str, num_in_array: int = 0, folder: str = "logs", **changes: object
    ) -> tuple[str, Path]:
        options = {
            "system": "sge",
            "partition": "all.q",
            "cores_per_job": 1,
            "memory_per_job_mb": 20,
            "gpus_per_job": 0,
            "walltime_s": 120,
            "end_margin_s": 60,
            **changes,
        }
        logs = tmp_path / folder
        if folder == "logs":
            logs.mkdir()
        program = Program("test", ("/bin/sh", "-c", command), logs, num_in_array)
        script = SGE.program_script(ClusterOptions(**options), program)  # type: ignore[arg-type]
        return SGE.submit(script), logs

    return submit_command


def _wait(job_id: str, is_so: Callable[[JobReport], bool]) -> JobReport:
    deadline_s = time.monotonic() + _DEADLINE_S
    report = None
    while time.monotonic() < deadline_s:
        # Between the end of a job and its account it is in neither.
        report = SGE.ask([job_id]).get(job_id)
        if report is not None and is_so(report):
            return report
        time.sleep(0.3)
    raise AssertionError(f"the job stays {report}")


def _end(job_id: str) -> JobReport:
    return _wait(job_id, lambda report: report.state is JobState.ENDED)


def _log(logs: Path, job_id: str) -> str:
    return "".join(path.read_text() for path in logs_of(logs, job_id))


def test_a_job_has_its_gpus_and_is_told_before_it_is_killed(
    submit: Callable[..., tuple[str, Path]],
) -> None:
    job_id, logs = submit(
        "trap 'echo told; exit 1' USR2; echo gpus=$CUDA_VISIBLE_DEVICES set=$SET; "
        "while :; do sleep 0.1; done",
        gpus_per_job=2,
        setup=("export SET=1",),
        exclude_nodes=("nowhere1", "nowhere2"),
    )
    deadline_s = time.monotonic() + _DEADLINE_S
    while "set=1" not in (_log(logs, job_id)):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    running = SGE.ask([job_id, "99999999"])
    assert set(running) == {job_id}
    assert running[job_id].state is JobState.RUNNING
    SGE.cancel([job_id, "99999999"])
    _end(job_id)
    text = _log(logs, job_id)
    (gpus,) = (line for line in text.splitlines() if line.startswith("gpus="))
    assert len(gpus.split()[0].split(",")) == 2
    assert "told" in text


def test_the_warning_comes_before_the_walltime(submit: Callable[..., tuple[str, Path]]) -> None:
    job_id, logs = submit(
        "trap 'echo warned; exit 0' USR1; while :; do sleep 0.1; done",
        walltime_s=62,
        end_margin_s=60,
    )
    assert _end(job_id).cause is None
    assert "warned" in _log(logs, job_id)


def test_a_walltime_is_told_for_what_it_is(submit: Callable[..., tuple[str, Path]]) -> None:
    job_id, _ = submit("exec sleep 300", walltime_s=3, end_margin_s=0)
    report = _end(job_id)
    assert report.cause is Cause.WALLTIME, report


def test_a_failure_and_an_array_are_told(submit: Callable[..., tuple[str, Path]]) -> None:
    job_id, logs = submit('echo "I am $SGE_TASK_ID"; exit 3', num_in_array=2)
    report = _end(job_id)
    assert (report.words, report.cause) == ("exit_status 3", Cause.NODE_LOST)
    said = [line for line in _log(logs, job_id).splitlines() if line.startswith("I am")]
    assert sorted(said) == ["I am 1", "I am 2"]


def test_a_job_in_error_is_stuck_and_says_why(submit: Callable[..., tuple[str, Path]]) -> None:
    job_id, _ = submit("true", folder="missing")
    report = _wait(job_id, lambda report: report.is_stuck)
    assert report.state is JobState.PENDING
    assert "can't open output file" in report.words
    SGE.cancel([job_id])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"partition": "nowhere"}, 'unknown queue "nowhere"'),
        ({"directives": ("-l nosuch=1",)}, 'unknown resource "nosuch"'),
        ({"directives": ("-pe nosuch 2",)}, '"nosuch" does not exist.*qconf -spl'),
    ],
)
def test_a_refusal_is_told_in_the_words_of_grid_engine(
    submit: Callable[..., tuple[str, Path]], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ClusterError, match=words):
        submit("true", **changes)
