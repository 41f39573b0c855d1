"""A fleet of jobs on a batch system in memory: what it asks for, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.fleet import Fleet
from lfadsq.queue.clusters.fleet_plan import Patience, WorkerView
from lfadsq.queue.clusters.fleet_words import job_log
from lfadsq.queue.clusters.job_files import JobsFile, cancel_leftovers
from lfadsq.queue.clusters.jobs import JobReport, JobState, JobStatus
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import BatchSystem, Launch, Program
from lfadsq.queue.events import Noted
from lfadsq.queue.records import Cause

from ..conftest import wait_until

PENDING, RUNNING, ENDED = JobState.PENDING, JobState.RUNNING, JobState.ENDED
QUICK = Patience(
    idle_s=0.1,
    gone_s=0.2,
    leave_s=0.2,
    failure_s=(0.01, 0.02),
    barren_s=(0.05,),
    silence_s=(0.02,),
)


class MemorySystem:
    """A batch system without nodes: tests say what becomes of its jobs."""

    name = "memory"
    title = "MEMORY"
    commands = ("msub",)

    def __init__(self) -> None:
        self.reports: dict[str, JobReport] = {}
        self.scripts: dict[str, str] = {}
        self.refusal: ClusterError | None = None
        self.silence: ClusterError | None = None
        self.may_submit = threading.Event()
        self.may_submit.set()
        self.num_submissions = self.num_asked = self.num_cancelled = 0
        self.num_inside = self.most_inside = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def command(self) -> Iterator[None]:
        with self._lock:
            self.num_inside += 1
            self.most_inside = max(self.most_inside, self.num_inside)
        try:
            time.sleep(0.001)
            if self.silence:
                raise self.silence
            yield
        finally:
            with self._lock:
                self.num_inside -= 1

    def problems(self, options: ClusterOptions) -> list[str]:
        return []

    def worker_script(self, options: ClusterOptions, launch: Launch) -> str:
        return launch.name

    def program_script(self, options: ClusterOptions, program: Program) -> str:
        return program.name

    def submit(self, script: str) -> str:
        self.num_submissions += 1
        with self.command():
            assert self.may_submit.wait(20)
            if self.refusal:
                raise self.refusal
            job_id = str(100 + self.num_submissions)
            self.reports[job_id] = JobReport(job_id, PENDING, "PENDING (Priority)")
            self.scripts[job_id] = script
            return job_id

    def cancel(self, job_ids: Collection[str]) -> None:
        with self.command():
            self.num_cancelled += 1
            for job_id in job_ids:
                self.set(job_id, ENDED, "CANCELLED", Cause.PREEMPTED)

    def ask(self, job_ids: Collection[str]) -> dict[str, JobReport]:
        with self.command():
            self.num_asked += 1
            return {i: self.reports[i] for i in job_ids if i in self.reports}

    def set(
        self, job_id: str, state: JobState, words: str = "", cause: Cause | None = None
    ) -> None:
        if self.reports[job_id].state is not ENDED:
            words = words or state.value.upper()
            self.reports[job_id] = JobReport(job_id, state, words, cause, "node7")

    def ids(self, *states: JobState) -> list[str]:
        return [i for i, r in list(self.reports.items()) if r.state in (states or tuple(JobState))]


class World:
    """A fleet, and the caller's side of it."""

    def __init__(self, folder: Path, **arguments: Any) -> None:
        self.folder = folder
        self.system = arguments.pop("system", None) or MemorySystem()
        self.views: dict[str, WorkerView] = {}
        self.closed: list[tuple[str, str]] = []
        self.notes: list[Noted] = []
        self.gave_up: list[ClusterError] = []
        self.names: list[str] = []
        checked: BatchSystem = self.system
        arguments.setdefault("patience", QUICK)
        options = arguments.pop("options", ClusterOptions("memory", max_jobs=4))
        self.fleet = Fleet(
            checked,
            options,
            self.launch,
            lambda: dict(self.views),
            self.close_worker,
            self.notes.append,
            self.gave_up.append,
            "login1-4711-0a1b2c3d",
            look_s=0.01,
            ask_s=(0.02, 0.1),
            **arguments,
        )

    def launch(self, name: str) -> Launch:
        self.names.append(name)
        return Launch(name, "tls://localhost:1", (), self.folder)

    def close_worker(self, name: str, why: str) -> None:
        self.closed.append((name, why))
        view = self.views.pop(name, None)
        if view and view.job_id in self.system.reports:
            self.system.set(view.job_id, ENDED, "COMPLETED")

    def connect(self, job_id: str, **changes: Any) -> str:
        name = self.system.scripts[job_id]
        self.system.set(job_id, RUNNING)
        view = WorkerView(name, job_id, "node7", 1, 1, None, None)
        self.views[name] = replace(view, **changes)
        return name

    @property
    def texts(self) -> list[str]:
        return [noted.text for noted in self.notes]

    def until_submitted(self, num_jobs: int) -> list[str]:
        wait_until(lambda: len(self.system.ids()) >= num_jobs, f"{num_jobs} jobs")
        return self.system.ids()

    def until_said(self, part: str) -> Noted:
        def find() -> Noted | None:
            return next((noted for noted in list(self.notes) if part in noted.text), None)

        found = wait_until(find, part)
        assert isinstance(found, Noted)
        return found

    def status(self, job_id: str) -> JobStatus:
        return next(job for job in self.fleet.jobs() if job.job_id == job_id)


Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[World] = []

    def make_one(**arguments: Any) -> World:
        made.append(World(tmp_path / "logs", **arguments))
        return made[-1]

    yield make_one
    for world in made:
        world.system.may_submit.set()
        world.fleet.close(0.0)
        assert world.system.most_inside <= 1, "two commands at once"


def test_jobs_are_asked_for_used_and_given_back(make: Make) -> None:
    world = make()
    world.fleet.want(3)
    ids = world.until_submitted(3)
    world.until_said("asked MEMORY for 3 jobs (1 GPU, 4 cores, 16 GB, 1 day)")
    assert world.names == [f"lfadsq-1b2c3d-{n}" for n in (1, 2, 3)]
    name = world.connect(ids[0])
    world.until_said("job 101 started on node7")
    wait_until(lambda: world.status("101").num_tasks == 1, "it is shown")
    assert world.status("101").host == "node7"
    assert abs(world.status("101").since_s - time.time()) < 10
    world.fleet.want(1)
    wait_until(lambda: world.system.ids(PENDING) == [], "pending jobs are given back")
    world.until_said("2 jobs given back: nothing waits")
    assert world.system.reports["101"].state is RUNNING
    world.views[name] = replace(world.views[name], num_tasks=0, idle_since_s=time.monotonic())
    world.fleet.want(0)
    wait_until(lambda: world.closed == [(name, "nothing waits for it")], "it is closed")
    world.until_said("1 job given back: nothing waits")
    assert not any(noted.is_warning for noted in world.notes)
    assert len(world.notes) == 4


def test_that_jobs_still_wait_is_told_ever_more_seldom(make: Make) -> None:
    world = make(patience=replace(QUICK, pending_s=(0.5, 0.8, 100.0)))
    world.fleet.want(2)
    world.until_said("jobs 101, 102 are still pending: Priority (since ")
    wait_until(lambda: sum("still pending" in text for text in world.texts) == 2, "told twice")
    num_asked = world.system.num_asked
    wait_until(lambda: world.system.num_asked > num_asked + 10, "it goes on asking")
    assert sum("still pending" in text for text in world.texts) == 2


def test_a_limit_of_the_system_is_told_and_kept_to(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    name = world.connect(world.until_submitted(1)[0])
    world.system.refusal = ClusterError("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    world.fleet.want(4)
    world.until_said("MEMORY allows no more than 1 job for now: sbatch: error: QOSMaxSubmit")
    world.system.refusal = None
    del world.views[name]
    world.system.set("101", ENDED, "TIMEOUT", Cause.WALLTIME)
    wait_until(lambda: world.system.ids(PENDING), "another is asked for in its place")
    assert not world.gave_up


def test_a_preempted_job_is_replaced_under_a_new_name_and_its_cause_told(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    name = world.connect(world.until_submitted(1)[0])
    wait_until(lambda: world.status("101").num_tasks, "it works")
    del world.views[name]
    world.system.set("101", ENDED, "PREEMPTED", Cause.PREEMPTED)
    assert world.fleet.cause_of(name) is Cause.PREEMPTED
    world.until_said("job 101 has ended: PREEMPTED, and is asked for again")
    world.until_submitted(2)
    assert world.system.scripts["102"] != name


def test_the_cause_is_asked_for_until_the_batch_system_knows_it(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    name = world.connect(world.until_submitted(1)[0])
    wait_until(lambda: world.status("101").num_tasks, "it works")
    del world.views[name]
    found: list[Cause | None] = []
    asking = threading.Thread(target=lambda: found.append(world.fleet.cause_of(name)))
    num_asked = world.system.num_asked
    asking.start()
    wait_until(lambda: world.system.num_asked > num_asked + 1, "it asks again")
    assert not found
    world.system.set("101", ENDED, "TIMEOUT", Cause.WALLTIME)
    asking.join(5)
    assert found == [Cause.WALLTIME]
    assert world.fleet.cause_of("nobody") is None


def test_a_worker_whose_job_waits_again_was_preempted(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    name = world.connect(world.until_submitted(1)[0])
    wait_until(lambda: world.status("101").num_tasks, "it works")
    world.system.set("101", PENDING, "PENDING (BeginTime)")
    del world.views[name]
    assert world.fleet.cause_of(name) is Cause.PREEMPTED
    world.until_said("job 101 waits again")
    assert len(world.system.ids()) == 1


def test_refusals_end_in_giving_up_with_the_words(make: Make) -> None:
    world = make()
    world.system.refusal = ClusterError("sbatch: error: invalid partition specified: gpus")
    world.fleet.want(9)
    wait_until(lambda: world.gave_up, "it gives up")
    assert "invalid partition specified: gpus" in str(world.gave_up[0])
    assert world.system.num_submissions == 3
    world.fleet.want(10)
    world.fleet.look_again()
    world.fleet.close(1.0)
    assert world.system.num_submissions == 3
    assert len(world.gave_up) == 1
    assert len(world.notes) == 1, "the same words once"


def test_giving_up_shows_the_log_of_a_job_without_control_characters(make: Make) -> None:
    world = make()
    world.folder.mkdir()
    world.fleet.want(1)
    for number in (101, 102, 103):
        world.until_submitted(number - 100)
        log = world.folder / f"lfadsq-{number}.out"
        log.write_text("old\n" * 40 + f"\x1b[31mpython: not found in {number}\x1b[0m\x07\n")
        world.system.set(str(number), ENDED, "FAILED (exit 127)", Cause.NODE_LOST)
    error = wait_until(lambda: world.gave_up, "it gives up")[0]
    assert "python: not found in 103" in str(error)
    assert "job 101, 102, 103: FAILED (exit 127)" in str(error)
    assert str(error).count("| old") == 14
    assert str(error).replace("\n", "").isprintable()


def test_a_system_that_does_not_answer_is_asked_again_with_one_warning(make: Make) -> None:
    world = make()
    world.system.silence = ClusterError("sbatch: error: Unable to contact slurm controller")
    world.fleet.want(1)
    wait_until(lambda: world.system.num_submissions > 4, "it tries again")
    world.system.silence = None
    world.until_submitted(1)
    world.until_said("MEMORY answers again")
    assert [noted.is_warning for noted in world.notes].count(True) == 1
    assert not world.gave_up


def test_a_job_whose_submission_seemed_to_fail_is_adopted(make: Make) -> None:
    world = make()
    world.system.silence = ClusterError("'msub' had not ended after 60 s")
    world.fleet.want(1)
    wait_until(lambda: world.system.num_submissions > 0, "it tries")
    name = world.names[0]
    world.system.reports["55"] = JobReport("55", RUNNING, "RUNNING")
    world.views[name] = WorkerView(name, "55", "node1", 1, 1, None, None)
    wait_until(lambda: [job.job_id for job in world.fleet.jobs()] == ["55"], "it is known")
    world.system.silence = None
    world.fleet.close(0.2)
    assert world.system.reports["55"].state is ENDED


def test_a_worker_that_can_be_used_for_nothing_is_closed_with_a_warning(make: Make) -> None:
    world = make(options=ClusterOptions("memory", max_jobs=1))
    world.fleet.want(1)
    name = world.connect(
        world.until_submitted(1)[0], num_places=0, num_tasks=0, problem="no GPU in the job"
    )
    said = world.until_said("can be used for nothing: no GPU in the job")
    assert said.is_warning
    wait_until(lambda: world.closed == [(name, "no GPU in the job")], "closed once")


def test_a_job_whose_worker_never_connects_is_a_warning_with_a_remedy(make: Make) -> None:
    world = make(
        patience=replace(QUICK, connect_s=0.05), options=ClusterOptions("memory", max_jobs=1)
    )
    world.fleet.want(1)
    world.system.set(world.until_submitted(1)[0], RUNNING)
    said = world.until_said("never connected")
    assert said.is_warning
    assert "--interface" in said.text
    assert "--no-dask" in said.text
    wait_until(lambda: world.system.reports["101"].state is ENDED, "it is cancelled")


def test_a_job_that_does_not_end_is_told_once_in_the_words_of_the_system(make: Make) -> None:
    class Deaf(MemorySystem):
        def cancel(self, job_ids: Collection[str]) -> None:
            with self.command():
                self.num_cancelled += 1
                for job_id in job_ids:
                    self.set(job_id, RUNNING, "dr (deletion)")

    world = make(
        system=Deaf(),
        patience=replace(QUICK, cancel_again_s=0.1),
        options=ClusterOptions("memory", max_jobs=1),
    )
    world.fleet.want(1)
    name = world.connect(world.until_submitted(1)[0])
    wait_until(lambda: world.status("101").num_tasks, "it works")
    del world.views[name]
    said = world.until_said("job 101 was cancelled and does not end: MEMORY says dr (deletion)")
    assert said.is_warning
    assert "node7" in said.text
    num_cancelled = world.system.num_cancelled
    wait_until(lambda: world.system.num_cancelled > num_cancelled + 2, "cancelled once more")
    assert world.texts.count(said.text) == 1
    # It may hold what the next one would need.
    assert world.system.ids() == ["101"]
    assert world.status("101").words == "dr (deletion)"


@pytest.mark.parametrize("in_flight", [False, True])
def test_closing_leaves_no_job_behind(make: Make, in_flight: bool) -> None:
    world = make()
    world.fleet.want(2)
    ids = world.until_submitted(2)
    world.connect(ids[0])
    if in_flight:
        world.system.may_submit.clear()
        num_before = world.system.num_submissions
        world.fleet.want(3)
        wait_until(lambda: world.system.num_submissions > num_before, "a job is submitted")
        threading.Timer(0.3, world.system.may_submit.set).start()
    world.fleet.close(0.2)
    assert len(world.system.ids()) == 2 + in_flight
    assert world.system.ids(PENDING, RUNNING) == []
    assert list(world.folder.iterdir()) == []


def test_jobs_that_end_by_themselves_are_not_cancelled(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    world.connect(world.until_submitted(1)[0])
    wait_until(lambda: world.status("101").num_tasks, "it works")
    threading.Timer(0.1, lambda: world.system.set("101", ENDED, "COMPLETED")).start()
    began_s = time.monotonic()
    world.fleet.close(20.0)
    assert time.monotonic() - began_s < 5
    assert world.system.reports["101"].words == "COMPLETED"
    assert world.system.num_cancelled == 0


def test_pending_jobs_are_cancelled_at_once_and_running_ones_have_a_moment(make: Make) -> None:
    world = make()
    world.fleet.want(2)
    world.connect(world.until_submitted(2)[0])
    wait_until(lambda: world.status("101").num_tasks, "it works")
    closing = threading.Thread(target=world.fleet.close, args=(20.0,))
    closing.start()
    wait_until(lambda: world.system.reports["102"].state is ENDED, "cancelled", 5.0)
    assert world.system.reports["101"].state is RUNNING
    world.system.set("101", ENDED, "COMPLETED")
    closing.join(5)
    assert not closing.is_alive()


def test_jobs_that_cannot_be_cancelled_are_named(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    world.until_submitted(1)
    wait_until(lambda: list(world.folder.glob("jobs_*.json")), "its id is on disk")
    world.system.silence = ClusterError("no route to host")
    world.fleet.close(0.1)
    said = world.until_said("jobs may be left in MEMORY: 101")
    assert said.is_warning
    world.system.silence = None
    assert cancel_leftovers(world.system, world.folder, world.notes.append) == ["101"]


def test_a_fault_of_ours_is_told_and_leaves_no_job(make: Make) -> None:
    world = make()
    world.fleet.want(1)
    world.until_submitted(1)

    def fail(_ids: Collection[str]) -> dict[str, JobReport]:
        raise KeyError("a fault")

    world.system.ask = fail
    error = wait_until(lambda: world.gave_up, "it is told")[0]
    assert "a fault" in str(error)
    del world.system.ask
    world.fleet.close(0.2)
    assert world.system.ids(PENDING, RUNNING) == []


# --- leftovers of dead queues -------------------------------------------------------------------

KILLED = """
import os, signal, sys, time
from pathlib import Path
from lfadsq.queue.clusters.job_files import JobsFile
file = JobsFile(Path(sys.argv[1]), "dead", "memory")
file.write({"7": time.time(), "8": time.time(), "9": time.time()})
os.kill(os.getpid(), signal.SIGKILL)
"""


def with_leftovers(folder: Path) -> MemorySystem:
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    system = MemorySystem()
    for number, state in (("7", PENDING), ("8", RUNNING), ("10", PENDING)):
        system.reports[number] = JobReport(number, state, state.value)
    return system


def test_pending_jobs_of_a_killed_queue_are_cancelled_and_no_others(tmp_path: Path) -> None:
    system = with_leftovers(tmp_path)
    notes: list[Noted] = []
    assert cancel_leftovers(system, tmp_path, notes.append) == ["7"]
    assert system.ids(PENDING) == ["10"]
    assert system.ids(RUNNING) == ["8"]
    assert len(notes) == 1
    assert list(tmp_path.glob("*.json")), "one that runs may be put back"
    system.set("8", ENDED)
    assert cancel_leftovers(system, tmp_path, notes.append) == []
    assert not list(tmp_path.iterdir())


def test_jobs_of_a_live_queue_are_never_touched(tmp_path: Path) -> None:
    system = MemorySystem()
    system.reports["7"] = JobReport("7", PENDING, "")
    file = JobsFile(tmp_path, "alive", "memory")
    file.write({"7": time.time()})
    path = next(tmp_path.glob("*.json"))
    data = json.loads(path.read_text())
    for machine in (data["machine"], "another"):
        path.write_text(json.dumps({**data, "machine": machine}))
        os.utime(path, (0, 0))
        assert cancel_leftovers(system, tmp_path, print) == []
    assert system.ids(PENDING) == ["7"]
    file.close()


@pytest.mark.parametrize(("age_s", "cancelled"), [(600, []), (1000, ["7"])])
def test_a_queue_of_another_machine_is_gone_when_its_file_is_old(
    tmp_path: Path, age_s: float, cancelled: list[str]
) -> None:
    """Locks of other machines may be invisible here."""
    system = with_leftovers(tmp_path)
    path = next(tmp_path.glob("*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another"}))
    os.utime(path, (time.time() - age_s,) * 2)
    assert cancel_leftovers(system, tmp_path, print) == cancelled


def test_ids_of_another_system_or_of_long_ago_are_left_alone(tmp_path: Path) -> None:
    system = with_leftovers(tmp_path)
    path = next(tmp_path.glob("*.json"))
    data = json.loads(path.read_text())
    for changed in ({"system": "slurm"}, {"schema_version": 99}, {"jobs": 5}, {"jobs": {"7": 0}}):
        path.write_text(json.dumps({**data, **changed}))
        assert cancel_leftovers(system, tmp_path, print) == []
    assert system.ids(PENDING) == ["7", "10"]


def test_leftovers_of_a_silent_system_are_tried_again(tmp_path: Path) -> None:
    system = with_leftovers(tmp_path)
    notes: list[Noted] = []
    system.silence = ClusterError("no route to host")
    assert cancel_leftovers(system, tmp_path, notes.append) == []
    assert notes[0].is_warning
    system.silence = None
    assert cancel_leftovers(system, tmp_path, notes.append) == ["7"]


def test_the_newest_log_with_the_whole_id_is_found(tmp_path: Path) -> None:
    names = ["w-12-9.log", "w-12-3.e12", "w-12-3.o12", "slurm-123.out", "12.server.OU", "x.12.json"]
    for age_s, name in enumerate(names):
        (tmp_path / name).write_text("" if name == "w-12-3.e12" else "words")
        os.utime(tmp_path / name, (1000 - age_s,) * 2)
    assert job_log(tmp_path, "12", "w-12") == tmp_path / "w-12-3.o12"
    assert job_log(tmp_path, "12.server", "w-12") == tmp_path / "w-12-3.o12"
    assert job_log(tmp_path, "4", "w-4") is None
    assert job_log(tmp_path / "missing", "12", "w-12") is None
