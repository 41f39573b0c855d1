"""Our commands on a real Grid Engine."""

from __future__ import annotations

import re
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

from .batch_systems import GridEngine, wait_until

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


def _say_on(signal_name: str, text: str) -> str:
    """Give a command that ends with a text when a signal comes."""
    program = (
        "import signal, sys, time; "
        f"signal.signal(signal.{signal_name}, lambda *_: sys.exit(print({text!r}))); "
        "print('set', flush=True); time.sleep(300)"
    )
    # Not a shell: it could not take a signal that is ignored when it starts.
    return f"exec {shlex.quote(sys.executable)} -IS -c {shlex.quote(program)}"


def _wait_for(logs: Path, job_id: str, text: str) -> None:
    """Wait until a job has written a text, and Grid Engine has noticed that it runs."""
    wait_until(lambda: text in _log(logs, job_id), f"{text!r} in the log", _DEADLINE_S)
    _wait(job_id, lambda report: report.words == "r")


def _end(job_id: str) -> JobReport:
    return _wait(job_id, lambda report: report.state is JobState.ENDED)


def _log(logs: Path, job_id: str) -> str:
    return "".join(path.read_text() for path in logs_of(logs, job_id))


def test_a_job_has_its_gpus_and_is_told_before_it_is_killed(
    submit: Callable[..., tuple[str, Path]],
) -> None:
    job_id, logs = submit(
        f"echo gpus=$CUDA_VISIBLE_DEVICES set=$SET.; {_say_on('SIGUSR2', 'told')}",
        gpus_per_job=2,
        setup=("export SET='a b'",),
        exclude_nodes=("nowhere1", "nowhere2"),
    )
    _wait_for(logs, job_id, "\nset\n")
    running = SGE.ask([job_id, "99999999"])
    assert set(running) == {job_id}
    assert running[job_id].state is JobState.RUNNING
    SGE.cancel([job_id, "99999999"])
    _end(job_id)
    first, *others = _log(logs, job_id).splitlines()
    gpus, setting = first.removeprefix("gpus=").split(" ", 1)
    assert len(set(gpus.split(",")) & set("0123")) == 2
    assert setting == "set=a b."
    assert others == ["set", "told"]


def test_a_job_that_is_deleted_before_it_begins_ends_at_once(
    submit: Callable[..., tuple[str, Path]],
) -> None:
    # As a program that has not come to take signals yet; it must not stay until it is killed.
    job_id, logs = submit("echo begun; exec sleep 300")
    _wait_for(logs, job_id, "begun")
    SGE.cancel([job_id])
    report = _end(job_id)
    assert "User defined signal 2" in report.words
    assert report.cause is Cause.PREEMPTED


def test_a_job_that_is_being_deleted_is_told_and_can_be_cancelled_again(
    submit: Callable[..., tuple[str, Path]], tmp_path: Path
) -> None:
    job_id, logs = submit(
        f"trap '' USR2; echo begun; until [ -e {tmp_path}/enough ]; do sleep 0.1; done"
    )
    _wait_for(logs, job_id, "begun")
    SGE.cancel([job_id])
    report = _wait(job_id, lambda report: "d" in report.words)
    assert (report.state, report.words) == (JobState.RUNNING, "dr (deletion)")
    SGE.cancel([job_id, "99999999"])
    (tmp_path / "enough").touch()
    _end(job_id)
    SGE.cancel([job_id])


def test_the_warning_comes_before_the_walltime(submit: Callable[..., tuple[str, Path]]) -> None:
    job_id, logs = submit(_say_on("SIGUSR1", "warned"), walltime_s=80, end_margin_s=65)
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


@pytest.mark.parametrize(
    ("changes", "words", "is_stuck"),
    [
        ({"folder": "missing"}, r"Eqw \(error: can't open output file .*\)", True),
        ({"directives": ("-h",)}, r"hqw \(Job is in hold state\)", True),
        ({"gpus_per_job": 9}, r"qw \(.*it offers only hc:gpu=4.*\)", False),
    ],
)
def test_why_a_job_waits_is_told_in_the_words_of_grid_engine(
    submit: Callable[..., tuple[str, Path]], changes: dict[str, object], words: str, is_stuck: bool
) -> None:
    job_id, _ = submit("true", **changes)
    report = _wait(job_id, lambda report: re.fullmatch(words, report.words) is not None)
    assert (report.state, report.is_stuck) == (JobState.PENDING, is_stuck)
    SGE.cancel([job_id])


def test_a_job_that_waits_for_another_is_not_stuck(submit: Callable[..., tuple[str, Path]]) -> None:
    held, _ = submit("true", directives=("-h",))
    job_id, _ = submit("true", folder="missing", directives=(f"-hold_jid {held}",))
    report = _wait(job_id, lambda report: "job dependencies" in report.words)
    assert report.state is JobState.PENDING
    assert not report.is_stuck
    SGE.cancel([job_id, held])


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
