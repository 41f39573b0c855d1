"""Our commands on a real SLURM."""

from __future__ import annotations

import shlex
import sys
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

from .batch_systems import Slurm

pytestmark = pytest.mark.slurm

SLURM = system_of("slurm")
_DEADLINE_S = 60.0


@pytest.fixture
def submit(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, Path]]:
    # Jobs are known for ours by the folder that they are submitted from.
    monkeypatch.chdir(tmp_path)

    def submit_command(
        command: str, folder: str = "logs", num_in_array: int = 0, **changes: object
    ) -> tuple[str, Path]:
        options = {
            "system": "slurm",
            "partition": "gpu",
            "cores_per_job": 1,
            "memory_per_job_mb": 20,
            "gpus_per_job": 0,
            "walltime_s": 120,
            "end_margin_s": 60,
            **changes,
        }
        logs = tmp_path / folder
        logs.mkdir(parents=True, exist_ok=True)
        program = Program("test", ("/bin/sh", "-c", command), logs, num_in_array)
        script = SLURM.program_script(ClusterOptions(**options), program)  # type: ignore[arg-type]
        return SLURM.submit(script), logs

    return submit_command


def _wait(job_id: str, is_so: Callable[[JobReport], bool]) -> JobReport:
    deadline_s = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline_s:
        report = SLURM.ask([job_id])[job_id]
        if is_so(report):
            return report
        time.sleep(0.3)
    raise AssertionError(f"the job stays {report}")


def _end(job_id: str) -> JobReport:
    return _wait(job_id, lambda report: report.state is JobState.ENDED)


def _log(logs: Path, job_id: str) -> str:
    return "".join(path.read_text() for path in logs_of(logs, job_id))


@pytest.mark.parametrize(
    "folder", ["plain", "a b", "c%j", "e'f", 'g"h', "k$(touch pwned)#l", "m,n;o", "r #s", "ä\tb"]
)
def test_logs_are_written_whatever_the_folder_is_called(
    submit: Callable[..., tuple[str, Path]], folder: str
) -> None:
    job_id, logs = submit("echo said", folder)
    assert _end(job_id).cause is None
    assert [path.name for path in logs.iterdir()] == [f"test-{job_id}.log"]
    assert "said" in _log(logs, job_id)


def test_a_job_has_its_gpus_and_setup_and_can_be_cancelled(
    submit: Callable[..., tuple[str, Path]],
) -> None:
    job_id, logs = submit(
        "trap 'echo told; exit 1' TERM; echo \"gpus=$CUDA_VISIBLE_DEVICES set=$SET.\"; "
        "while :; do sleep 0.1; done",
        gpus_per_job=2,
        setup=("export SET='a b'",),
    )
    deadline_s = time.monotonic() + _DEADLINE_S
    while "set=a b." not in _log(logs, job_id):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    running = SLURM.ask([job_id, "99999999"])
    assert set(running) == {job_id}
    assert running[job_id].state is JobState.RUNNING
    assert running[job_id].nodes
    SLURM.cancel([job_id, "99999999"])
    report = _end(job_id)
    assert (report.words, report.cause) == ("CANCELLED", Cause.PREEMPTED)
    text = _log(logs, job_id)
    (gpus,) = (line for line in text.splitlines() if line.startswith("gpus="))
    assert len(gpus.split()[0].split(",")) == 2
    # The signal reaches the program itself, for the shell of the script is gone.
    assert "told" in text
    SLURM.cancel([job_id])


def test_the_warning_comes_before_the_end(submit: Callable[..., tuple[str, Path]]) -> None:
    # SLURM may warn up to a minute earlier than asked: here as soon as the job runs.
    job_id, logs = submit(
        # Not a shell: it could not take a signal that is ignored when it starts.
        f"exec {shlex.quote(sys.executable)} -c 'import signal, sys, time;"
        ' signal.signal(signal.SIGUSR1, lambda *_: sys.exit(print("warned")));'
        " time.sleep(200)'",
        walltime_s=120,
        end_margin_s=110,
    )
    assert _end(job_id).cause is None
    assert "warned" in _log(logs, job_id)


def test_a_failure_and_an_array_are_told(submit: Callable[..., tuple[str, Path]]) -> None:
    failed, _ = submit("exit 3")
    array, logs = submit('echo "I am $SLURM_ARRAY_TASK_ID"', num_in_array=3)
    report = _end(failed)
    assert report.words == "FAILED (NonZeroExitCode, exit code 3:0)"
    assert report.cause is Cause.NODE_LOST
    assert _end(array).cause is None
    assert sorted(_log(logs, array).splitlines()) == ["I am 1", "I am 2", "I am 3"]


def test_a_held_job_is_stuck_and_says_why(submit: Callable[..., tuple[str, Path]]) -> None:
    job_id, _ = submit("true", directives=("--hold",))
    report = _wait(job_id, lambda report: "JobHeldUser" in report.words)
    assert (report.state, report.is_stuck) == (JobState.PENDING, True)
    SLURM.cancel([job_id])
    assert _end(job_id).cause is Cause.PREEMPTED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"partition": "nowhere"}, "invalid partition specified: nowhere"),
        ({"gpus_per_job": 400}, "Requested node configuration is not available"),
        ({"directives": ("--no-such-option",)}, "no-such-option"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_slurm(
    submit: Callable[..., tuple[str, Path]], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ClusterError, match=words):
        submit("true", **changes)
