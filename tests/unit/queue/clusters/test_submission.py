"""Queues as jobs of their own: their scripts, their seats, and who goes on when one ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import ClusterError, QueueError
from lfadsq.queue.clusters.job_end import JobEnd, end_of_job_s
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.seats import Seat, holders
from lfadsq.queue.clusters.submission import prepare, queue_job_options, submit, write_job_script
from lfadsq.queue.clusters.successors import MAX_FRUITLESS, Ending, judge, submit_again
from lfadsq.queue.clusters.systems import system_of
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.control_paths import ControlPaths
from lfadsq.queue.events import QueueSummary

from .standin_sbatch import StandInSbatch, write_collection

OPTIONS = ClusterOptions(
    "slurm",
    walltime_s=8,
    end_margin_s=4,
    min_time_left_s=4,
    gpus_per_job=0,
    cores_per_job=1,
    # What the tests run with is what the jobs run with, wherever it lies.
    setup=(f"export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}",),
)
STEPS = (
    "cd {run}; trap 'exit 12' TERM; for i in $(seq 1000); do"
    " [ $(wc -l < steps) -ge {num} ] && exit 0; sleep 0.1; echo step >> steps; done"
)


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInSbatch]:
    standin = StandInSbatch(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{standin.bin}:{os.environ['PATH']}")
    yield standin
    standin.kill()


def steps(run: Path, num: int) -> str:
    return f"touch {run}/steps; " + STEPS.format(run=shlex.quote(str(run)), num=num)


def start(script: Path, options: ClusterOptions = OPTIONS, *queue_argv: str) -> None:
    system = system_of("slurm")
    job = prepare(script, options, system, queue_argv)
    write_job_script(job)
    submit(job, system)


# --- scripts ------------------------------------------------------------------------------------


def test_script_lies_beside_the_queue_says_what_it_is_and_is_for_its_owner_alone(
    tmp_path: Path,
) -> None:
    script = write_collection(tmp_path / 'it\'s "mine" $(touch hacked); &', "true")
    options = queue_job_options(ClusterOptions("slurm", account="lab"), walltime_s=86400)
    job = prepare(script, options, system_of("slurm"), ["--cluster=slurm", "--setup=a 'b' $c"])
    write_job_script(job)
    written = script.with_name("submit_lfadsqueue.sh")
    assert job.job_script == written
    assert stat.S_IMODE(written.stat().st_mode) == 0o700
    text = written.read_text()
    first, second, *_ = text.splitlines()
    assert first.startswith("#!")
    assert "queue of this collection" in second
    assert "sbatch <this file>" in text
    last = text.splitlines()[-1]
    assert last.startswith("exec ")
    # What a shell makes of the line is what was meant: nothing was expanded.
    words = shlex.split(last)
    assert words[-1] == str(script)
    assert f"--job-successor={written}" in words
    assert "--setup=a 'b' $c" in words
    for line in ("-A lab", "--cpus-per-task=1", "--mem=2000M", "-t 24:00:00"):
        assert f"#SBATCH {line}" in text
    assert "gres" not in text
    assert subprocess.run(["bash", "-n", written], check=False).returncode == 0
    assert stat.S_IMODE(job.log_folder.stat().st_mode) == 0o700


def test_queue_script_of_another_name_has_a_job_script_and_a_seat_of_its_own(
    tmp_path: Path,
) -> None:
    script = write_collection(tmp_path, "true")
    other = script.rename(script.with_name("run_lfadsqueue_two.py"))
    system = system_of("slurm")
    jobs = [prepare(path, OPTIONS, system, []) for path in (script, other)]
    assert jobs[1].job_script.name == "submit_lfadsqueue_two.sh"
    assert jobs[0].seat != jobs[1].seat


def test_refused_submission_comes_in_the_words_of_the_batch_system(
    tmp_path: Path, sbatch: StandInSbatch
) -> None:
    script = write_collection(tmp_path / "c", "true")
    sbatch.refuse("Invalid partition name specified")
    with pytest.raises(ClusterError, match="Invalid partition name specified"):
        start(script)
    assert script.with_name("submit_lfadsqueue.sh").exists()
    assert not sbatch.pids


# --- seats --------------------------------------------------------------------------------------

_SIT = """
import sys
from pathlib import Path
from lfadsq.queue.clusters.seats import Seat
from lfadsq.queue.control_paths import ControlPaths
seat = Seat.take(ControlPaths(Path(sys.argv[1])), "kind", 2)
print("sits" if seat else "stands", flush=True)
sys.stdin.read()
"""


def sit(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SIT, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_no_more_sit_than_there_are_seats_and_the_dead_leave_theirs(tmp_path: Path) -> None:
    folder = tmp_path / ".lfadsqueue"
    people = [sit(folder) for _ in range(3)]
    try:
        assert [how for _, how in people] == ["sits", "sits", "stands"]
        paths = ControlPaths(folder)
        told = holders(paths, "kind", 2)
        assert [str(people[number][0].pid) in told[number] for number in (0, 1)] == [True, True]
        assert Seat.take(paths, "kind", 2) is None
        people[0][0].kill()
        people[0][0].wait()
        seat = Seat.take(paths, "kind", 2)
        assert seat is not None
        seat.leave()
    finally:
        for process, _ in people:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema_version": 9}', "\0" * 50])
def test_seat_tells_the_next_what_it_must_know_and_damage_is_nothing(
    tmp_path: Path, damage: str
) -> None:
    paths = ControlPaths(tmp_path / ".lfadsqueue")
    seat = Seat.take(paths, "kind")
    assert seat is not None
    assert seat.num_fruitless == 0
    seat.note(2)
    seat.leave()
    seat = Seat.take(paths, "kind")
    assert seat is not None
    assert seat.num_fruitless == 2
    seat.leave()
    (file,) = paths.folder.glob("*.seat")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text(damage)
    seat = Seat.take(paths, "kind")
    assert seat is not None
    assert seat.num_fruitless == 0
    seat.leave()


# --- who goes on --------------------------------------------------------------------------------


def summary(interrupted: bool, waiting: bool, left: bool, failed: bool = False) -> QueueSummary:
    return QueueSummary(
        queue_name="q",
        finished=(),
        skipped=(),
        failed=("failure",) if failed else (),  # type: ignore[arg-type]
        interrupted=("a",) if interrupted else (),
        not_started=("b",) if waiting else (),
        left=("c",) if left else (),
        wall_s=1.0,
    )


@given(
    interrupted=st.booleans(),
    waiting=st.booleans(),
    left=st.booleans(),
    failed=st.booleans(),
    clock=st.booleans(),
    person=st.booleans(),
    progress=st.booleans(),
    fruitless=st.integers(0, 5),
    waits=st.booleans(),
)
def test_another_goes_on_if_and_only_if_the_clock_ended_what_is_not_done(
    interrupted: bool,
    waiting: bool,
    left: bool,
    failed: bool,
    clock: bool,
    person: bool,
    progress: bool,
    fruitless: int,
    waits: bool,
) -> None:
    told = summary(interrupted, waiting, left, failed)
    verdict = judge(Ending(told, clock, person, progress, fruitless, waits))
    has_work = interrupted or waiting or (left and waits)
    is_hopeless = not progress and fruitless >= MAX_FRUITLESS
    assert verdict.goes_on == (clock and not person and has_work and not is_hopeless)
    assert verdict.num_fruitless == (fruitless + 1 if verdict.goes_on and not progress else 0)
    if verdict.goes_on:
        assert verdict.exit_status == 0
    elif not person:
        assert (verdict.exit_status == 0) == (not has_work and not failed)


def test_none_goes_on_for_a_queue_that_failed() -> None:
    verdict = judge(Ending(None, True, False, True, 0, True))
    assert (verdict.goes_on, verdict.exit_status) == (False, 1)


class BusySystem:
    """Refuses some times."""

    def __init__(self, num_refusals: int) -> None:
        self.num_left = num_refusals
        self.scripts: list[str] = []

    def submit(self, script: str) -> str:
        if self.num_left:
            self.num_left -= 1
            raise ClusterError("sbatch: Socket timed out", "try later")
        self.scripts.append(script)
        return "7"


def test_batch_system_that_is_busy_is_asked_again_until_the_job_ends(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("exec true\n")
    slept: list[float] = []
    busy = BusySystem(3)
    assert submit_again(busy, script, time.time() + 60, slept.append) == "7"  # type: ignore[arg-type]
    assert (busy.scripts, len(slept)) == (["exec true\n"], 3)
    with pytest.raises(ClusterError, match="Socket timed out"):
        submit_again(BusySystem(1), script, time.time() + 1, slept.append)  # type: ignore[arg-type]
    assert len(slept) == 3


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
@pytest.mark.parametrize(("left_s", "is_end"), [(60.0, True), (3600.0, False)])
def test_warnings_end_the_queue_and_mean_the_end_of_the_job_only_near_it(
    number: signal.Signals, left_s: float, is_end: bool
) -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGTERM, lambda n, _: seen.append(n))
    try:
        with JobEnd(time.time() + left_s, margin_s=30) as end:
            os.kill(os.getpid(), number)
            deadline_s = time.monotonic() + 10
            while not seen and time.monotonic() < deadline_s:
                time.sleep(0.01)
        assert seen == [signal.SIGTERM]
        assert end.was_announced == is_end
    finally:
        signal.signal(signal.SIGTERM, old)


def test_job_ends_a_walltime_after_its_process_began_or_when_slurm_says() -> None:
    program = (
        "import time; b = time.time(); time.sleep(0.5)\n"
        "from lfadsq.queue.clusters.job_end import end_of_job_s\n"
        "print(end_of_job_s(100, {}) - b)"
    )
    # The shell's sleep counts: what execs us has been in the job before us.
    began_s = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", 'sleep 1; exec "$0" -c "$1"', sys.executable, program],
        capture_output=True,
        text=True,
        check=True,
    )
    # The system tells in whole seconds when it was started, and by that when a process began.
    assert 99 - (time.monotonic() - began_s) < float(done.stdout) < 99.3
    assert end_of_job_s(1e6, {"SLURM_JOB_END_TIME": "1234"}) == 1234
    assert end_of_job_s(100, {"SLURM_JOB_END_TIME": "what"}) < time.time() + 100


# --- whole jobs ---------------------------------------------------------------------------------


def test_queue_longer_than_its_walltime_finishes_through_jobs_that_submit_each_other(
    tmp_path: Path, sbatch: StandInSbatch
) -> None:
    folder = tmp_path / "a collection"
    script = write_collection(folder, steps(folder / "run0", 45), "true")
    start(script)
    sbatch.wait_for(lambda: (folder / "run0/lfads.done").exists())
    sbatch.wait(2)
    assert 2 <= len(sbatch.scripts) <= 5
    # A step is done once: each job went on where the last one left.
    assert (folder / "run0/steps").read_text().count("step") == 45
    assert sbatch.said.count("and work is left: job") == len(sbatch.scripts) - 1
    assert len(set(sbatch.scripts)) == 1


def test_chain_in_which_nothing_gets_anywhere_ends(tmp_path: Path, sbatch: StandInSbatch) -> None:
    folder = tmp_path / "c"
    script = write_collection(folder, "trap 'exit 12' TERM; while true; do sleep 0.1; done")
    options = ClusterOptions(**{**vars(OPTIONS), "walltime_s": 5, "end_margin_s": 2})
    start(script, options)
    sbatch.wait(1 + MAX_FRUITLESS)
    assert len(sbatch.scripts) == 1 + MAX_FRUITLESS
    assert "no task got any further in 4 jobs" in sbatch.said


@pytest.mark.parametrize("how", ["stop", "cancel"])
def test_queue_that_a_person_ends_stays_ended(
    tmp_path: Path, sbatch: StandInSbatch, how: str
) -> None:
    folder = tmp_path / "c"
    script = write_collection(folder, steps(folder / "run0", 10**6))
    options = ClusterOptions(**{**vars(OPTIONS), "walltime_s": 3600})
    start(script, options)
    sbatch.wait_for(lambda: (folder / "run0/steps").exists())
    if how == "stop":
        control = ControlFolder.of(folder)
        queue = sbatch.wait_for(lambda: [q for q, lives in control.queues() if lives])[0]
        control.edit(lambda wishes: wishes.with_stops([queue.queue_id], "end"))
    else:
        os.kill(sbatch.live[0], signal.SIGTERM)
    sbatch.wait(1)
    assert len(sbatch.scripts) == 1
    assert "no other job goes on: it was told to end" in sbatch.said


@pytest.mark.parametrize(
    ("walltime_s", "cause", "num_jobs"), [(100, "walltime", 2), (3600, "preempted", 1)]
)
def test_warning_of_the_batch_system_is_put_down_to_the_job_and_not_to_the_queue(
    tmp_path: Path, sbatch: StandInSbatch, walltime_s: int, cause: str, num_jobs: int
) -> None:
    folder = tmp_path / "c"
    script = write_collection(folder, steps(folder / "run0", 40))
    limits = {"walltime_s": walltime_s, "end_margin_s": 20}
    start(script, ClusterOptions(**{**vars(OPTIONS), **limits}))
    sbatch.wait_for(lambda: (folder / "run0/steps").exists())
    os.kill(sbatch.live[0], signal.SIGUSR1)
    sbatch.wait(num_jobs)
    assert len(sbatch.scripts) == num_jobs
    record = json.loads((folder / "run0/lfads.record.json").read_text())
    assert [(one["outcome"], one["cause"]) for one in record["attempts"]][:2] == [
        ("interrupted", cause),
        ("succeeded", None),
    ][:num_jobs]
    assert ("the end of its job: ending 1 running task" in sbatch.said) == (num_jobs == 2)


def test_second_queue_of_a_collection_is_refused_and_one_that_starts_all_the_same_ends_quietly(
    tmp_path: Path, sbatch: StandInSbatch
) -> None:
    folder = tmp_path / "c"
    script = write_collection(folder, steps(folder / "run0", 10**6))
    options = ClusterOptions(**{**vars(OPTIONS), "walltime_s": 3600})
    start(script, options)
    sbatch.wait_for(lambda: (folder / "run0/steps").exists())
    with pytest.raises(QueueError, match="lives already"):
        start(script, options)
    text = script.with_name("submit_lfadsqueue.sh").read_text()
    system_of("slurm").submit(text)
    sbatch.wait_for(lambda: len(sbatch.pids) == 2 and len(sbatch.live) == 1)
    assert "another submitted queue" in sbatch.said
    os.kill(sbatch.live[0], signal.SIGTERM)
    sbatch.wait(2)


def test_queue_in_a_job_that_finishes_leaves_none(tmp_path: Path, sbatch: StandInSbatch) -> None:
    folder = tmp_path / "c"
    script = write_collection(folder, "true", "false")
    start(script, ClusterOptions(**{**vars(OPTIONS), "walltime_s": 3600}))
    sbatch.wait(1)
    assert len(sbatch.scripts) == 1
    assert (folder / "run0/lfads.done").exists()
    assert not (folder / "run1/lfads.done").exists()
