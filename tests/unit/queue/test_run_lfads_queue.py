"""Queues in this process, on real commands."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from lfadsq.errors import ConfigError, NoGpuError, QueueError
from lfadsq.queue import QueueSummary
from lfadsq.queue.events import (
    Event,
    QueueEnded,
    QueueStarted,
    TaskFailed,
    TaskFinished,
    TaskHeld,
    TaskStarted,
)
from lfadsq.queue.records import Cause

from .conftest import attempts_of, is_alive, is_done, spec_of, wait_until
from .running import Listener, log_of, run

pytestmark = pytest.mark.usefixtures("no_delay")


def test_tasks_run_and_are_marked_and_recorded(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, f"t{n}", f"echo out{n}; echo err{n} >&2") for n in range(3)]
    listener = Listener()
    summary = run(specs, listener)
    assert sorted(summary.finished) == ["t0", "t1", "t2"]
    assert summary.exit_status == 0
    assert summary.wall_s > 0
    for number, spec in enumerate(specs):
        assert is_done(spec)
        assert Path(spec["donefile"]).read_bytes() == b""
        assert f"out{number}\nerr{number}\n" in log_of(spec)
        (attempt,) = attempts_of(spec)
        ended = (attempt["state"], attempt["outcome"], attempt["cause"])
        assert ended == ("ended", "succeeded", None)
        assert (attempt["exit_status"], attempt["device"]) == (0, "cpu")
        assert attempt["command"] == spec["command"]
        assert attempt["started_at"] < attempt["ended_at"]
        assert not is_alive(attempt["pid"])
        names = sorted(path.name for path in Path(spec["donefile"]).parent.iterdir())
        assert names == ["lfads.done", "lfads.lock", "lfads.out", "lfads.record.json"]
    assert isinstance(listener.events[0], QueueStarted)
    assert "no GPU" in listener.events[0].reason
    assert isinstance(listener.events[-1], QueueEnded)
    assert len(listener.all_of(TaskStarted)) == len(listener.all_of(TaskFinished)) == 3
    assert listener.num_closed == 1


def test_no_more_run_at_once_than_allowed_and_so_many_do(tmp_path: Path) -> None:
    """Each task notes how many are at work; a barrier of files shows that two really overlap."""
    work = tmp_path / "work"
    work.mkdir()
    command = f"touch {work}/$$; ls {work} | wc -l >> {tmp_path}/counts; sleep 0.15; rm {work}/$$"
    specs = [spec_of(tmp_path, f"t{n}", command) for n in range(8)]
    summary = run(specs, max_tasks_simultaneously=3)
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(summary.finished) == len(counts) == 8
    assert max(counts) == 3


def test_done_tasks_are_skipped(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, f"t{n}", f"echo ran >> {tmp_path}/ran") for n in range(3)]
    Path(specs[1]["donefile"]).touch()
    summary = run(specs)
    assert summary.skipped == ("t1",)
    assert sorted(summary.finished) == ["t0", "t2"]
    again = run(specs)
    assert again.skipped == ("t0", "t1", "t2")
    assert again.finished == ()
    assert again.exit_status == 0
    assert (tmp_path / "ran").read_text() == "ran\n" * 2


def test_done_tasks_run_again_if_asked_for(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", f"test -e {tmp_path}/t/lfads.done && echo yes || echo no")
    run([spec])
    summary = run([spec], ignore_donefile=True)
    assert summary.finished == ("t",)
    assert log_of(spec).count("\nno\n") == 2
    assert [a["number"] for a in attempts_of(spec)] == [1, 2]


def test_the_marker_of_a_task_that_fails_when_run_again_is_gone(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", "false")
    Path(spec["donefile"]).touch()
    run([spec], ignore_donefile=True)
    assert not is_done(spec)


def test_a_failure_explains_itself_and_stops_nobody(tmp_path: Path) -> None:
    lines = "; ".join(f"echo line{n}" for n in range(30))
    bad = spec_of(tmp_path, "bad", f"{lines}; exit 3")
    good = spec_of(tmp_path, "good", "true")
    listener = Listener()
    summary = run([bad, good], listener)
    assert summary.finished == ("good",)
    assert summary.exit_status == 1
    (failure,) = summary.failed
    assert (failure.name, failure.cause, failure.ending) == ("bad", Cause.UNKNOWN, "exit status 3")
    assert failure.log_tail.splitlines() == [f"line{n}" for n in range(15, 30)]
    assert failure.log == Path(bad["outfile"])
    assert failure.command_by_hand.endswith(f"bash -c {shlex.quote(bad['command'])}")
    assert failure.remedy
    assert not is_done(bad)
    (attempt,) = attempts_of(bad)
    ended = (attempt["outcome"], attempt["cause"], attempt["exit_status"])
    assert ended == ("failed", "unknown", 3)
    assert len(listener.all_of(TaskFailed)) == 1


@pytest.mark.parametrize(
    ("command", "cause", "ending"),
    [
        ("/nowhere/run_lfads.py --kind=train", Cause.MISSING_PROGRAM, "exit status 127"),
        ("nonesuch --x || exit $?", Cause.MISSING_PROGRAM, "exit status 127"),
        ("kill -KILL $$", Cause.KILLED_BY_SIGNAL, "signal SIGKILL"),
        ("kill -TERM $$", Cause.KILLED_BY_USER, "signal SIGTERM"),
        (f"{sys.executable} -c 'import no_such_module'", Cause.IMPORT_ERROR, "exit status 1"),
    ],
)
def test_causes(tmp_path: Path, command: str, cause: Cause, ending: str) -> None:
    spec = spec_of(tmp_path, "t", command)
    (failure,) = run([spec]).failed
    assert (failure.cause, failure.ending) == (cause, ending)
    assert attempts_of(spec)[0]["cause"] == cause.value


def test_the_log_of_an_earlier_attempt_is_kept(tmp_path: Path) -> None:
    command = f"echo hello; test -e {tmp_path}/ready"
    spec = spec_of(tmp_path, "t", command)
    (failure,) = run([spec]).failed
    (tmp_path / "ready").touch()
    run([spec])
    log = log_of(spec)
    assert log.count("\nhello\n") == 2
    assert log.startswith("=== attempt 1 of t: 2")
    assert "=== attempt 2 of t: 2" in log
    assert command in log.splitlines()[0]
    assert [a["outcome"] for a in attempts_of(spec)] == ["failed", "succeeded"]
    assert failure.log_tail == "hello"


def test_bad_specs_start_nothing(tmp_path: Path) -> None:
    good = spec_of(tmp_path, "good", f"touch {tmp_path}/ran")
    with pytest.raises(ConfigError, match="task 2"):
        run([good, {**good, "name": "b", "memory_req": "much"}])
    assert not (tmp_path / "ran").exists()
    assert list((tmp_path / "good").iterdir()) == []


@pytest.mark.parametrize("option", ["one_task_per_gpu", "ignore_donefile"])
def test_an_option_that_is_neither_true_nor_false(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is 'no'; give True or False"):
        run([spec_of(tmp_path, "t", f"touch {tmp_path}/ran")], **{option: "no"})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_limit_that_is_none(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="max_tasks_simultaneously"):
        run([spec_of(tmp_path, "t", "true")], max_tasks_simultaneously=wrong)


def test_a_wanted_gpu_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoGpuError, match="99"):
        run([spec_of(tmp_path, "t", f"touch {tmp_path}/ran")], gpu_list=[99])
    assert not (tmp_path / "ran").exists()


def test_no_tasks_are_no_error() -> None:
    assert run([]).exit_status == 0


def test_a_folder_that_cannot_be_written_fails_its_task_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = {**spec_of(tmp_path, "bad", "true"), "donefile": str(tmp_path / "file/lfads.done")}
    good = spec_of(tmp_path, "good", "true")
    summary = run([bad, good])
    assert summary.finished == ("good",)
    (failure,) = summary.failed
    assert failure.cause is Cause.STORAGE
    assert str(tmp_path / "file") in failure.problem


def test_a_log_that_cannot_be_written_fails_its_task_only(tmp_path: Path) -> None:
    bad = spec_of(tmp_path, "bad", "true")
    Path(bad["outfile"]).mkdir()
    (failure,) = run([bad]).failed
    assert failure.cause is Cause.STORAGE
    assert not is_done(bad)


def test_a_full_disk_is_no_success() -> None:
    """/dev/full takes nothing: the log's header already fails."""
    name = f"lfadsq-test-{os.getpid()}"
    spec = {
        "name": name,
        "command": "true",
        "memory_req": 1,
        "outfile": "/dev/full",
        "donefile": f"/dev/shm/{name}/lfads.done",
    }
    try:
        (failure,) = run([spec]).failed
        assert failure.cause is Cause.STORAGE
        assert "No space left" in failure.problem
        assert not is_done(spec)
    finally:
        for path in Path(f"/dev/shm/{name}").glob("*"):
            path.unlink()
        Path(f"/dev/shm/{name}").rmdir()


@pytest.mark.parametrize(
    "name",
    ["with space", "it's", 'a "b"', "$(touch pwned)", "`touch pwned`", "a;b", "ünï", "-n", "[b]"],
)
def test_hostile_names_are_only_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_of(tmp_path, name, "")
    script = tmp_path / name / "lfads_train.sh"
    script.write_text("echo trained\n")
    spec["command"] = f"bash {shlex.quote(str(script))}"
    assert run([spec]).finished == (name,)
    assert "trained\n" in log_of(spec)
    assert not list(tmp_path.rglob("pwned"))


# --- what a task sees ----------------------------------------------------------------------------


def environment_of(spec: dict[str, Any]) -> dict[str, str]:
    text = log_of(spec).rpartition("\nENV")[2].splitlines()[0]
    return dict(json.loads(text))


def env_spec(root: Path, name: str = "t") -> dict[str, Any]:
    code = "import json, os; print('ENV' + json.dumps(dict(os.environ)))"
    return spec_of(root, name, f"python -c {shlex.quote(code)}")


def test_environment_of_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    spec = env_spec(tmp_path)
    run([spec])
    environment = environment_of(spec)
    # `python` is the one that runs the queue, though nothing was activated.
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["TF_NUM_INTRAOP_THREADS"] == "7"
    assert int(environment["OMP_NUM_THREADS"]) == len(os.sched_getaffinity(0))


def test_tasks_that_run_at_once_share_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    num_cpus = len(os.sched_getaffinity(0))
    specs = [env_spec(tmp_path, f"t{n}") for n in range(3)]
    run(specs, max_tasks_simultaneously=3)
    assert {environment_of(s)["OMP_NUM_THREADS"] for s in specs} == {str(max(1, num_cpus // 3))}


def test_a_task_reads_nothing_and_leads_a_session(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", "cat; ps -o sid= -p $$")
    assert run([spec]).finished == ("t",)
    assert str(attempts_of(spec)[0]["pid"]) in log_of(spec)


def test_what_a_command_left_behind_is_ended(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", f"sleep 1000 & echo $! > {tmp_path}/pid")
    assert run([spec]).finished == ("t",)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_alive(pid), "the end of what was left behind")


def test_what_a_command_left_behind_may_print_its_last_words(tmp_path: Path) -> None:
    """As a `tee` does that is still emptying its pipe."""
    spec = spec_of(tmp_path, "t", "(sleep 0.3; echo last words) &")
    assert run([spec]).finished == ("t",)
    assert "last words\n" in log_of(spec)


def test_a_task_larger_than_the_machine_is_told_so(tmp_path: Path) -> None:
    memory_mb = psutil.virtual_memory().total / 2**20 * 2
    huge = spec_of(tmp_path, "huge", "true", memory_req=memory_mb)
    small = spec_of(tmp_path, "small", "true")
    summary = run([huge, small])
    assert summary.finished == ("small",)
    (failure,) = summary.failed
    assert failure.cause is Cause.FITS_NOWHERE
    assert "MB" in failure.problem


def test_two_tasks_of_one_run_take_turns(tmp_path: Path) -> None:
    train = spec_of(tmp_path, "run", f"mkdir {tmp_path}/busy && sleep 0.7 && rmdir {tmp_path}/busy")
    sample = {
        **train,
        "name": "sample",
        "outfile": f"{train['outfile']}.posteriorMeanOnly",
        "donefile": f"{train['donefile']}.posteriorMeanOnly",
    }
    listener = Listener()
    assert sorted(run([train, sample], listener).finished) == ["run", "sample"]
    assert listener.all_of(TaskHeld) == []


def test_a_queue_may_run_outside_of_the_main_thread(tmp_path: Path) -> None:
    summaries: list[QueueSummary] = []
    thread = threading.Thread(
        target=lambda: summaries.append(run([spec_of(tmp_path, "t", "true")]))
    )
    thread.start()
    thread.join(30)
    assert summaries[0].finished == ("t",)


def test_a_fault_of_the_reporter_does_not_end_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(Listener):
        def report(self, event: Event) -> None:
            super().report(event)
            raise ZeroDivisionError

    listener = Faulty()
    assert run([spec_of(tmp_path, "t", "true")], listener).finished == ("t",)
    assert len(listener.events) > 1
    assert listener.num_closed == 1
    assert [r.message for r in caplog.records] == ["Faulty failed; the queue goes on"]


def test_an_attempt_nobody_saw_end_is_lost_and_repeated(tmp_path: Path) -> None:
    """As after a loss of power: the record says running, and nobody holds the lock."""
    spec = spec_of(tmp_path, "t", "true")
    run([spec])
    path = Path(spec["donefile"]).with_name("lfads.record.json")
    data = json.loads(path.read_text())
    data["attempts"][0] |= {"state": "running", "outcome": None, "exit_status": None}
    path.write_text(json.dumps(data))
    Path(spec["donefile"]).unlink()
    assert run([spec]).finished == ("t",)
    assert [a["outcome"] for a in attempts_of(spec)] == ["lost", "succeeded"]


def test_a_run_that_succeeded_unseen_and_fails_when_run_again_is_not_done(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", f"test -e {tmp_path}/good")
    (tmp_path / "good").touch()
    run([spec])
    # As a queue leaves it that was killed while the task ran to its end.
    lock = Path(spec["donefile"]).with_name("lfads.lock")
    attempt = attempts_of(spec)[0] | {"state": "running", "outcome": None, "number": 2}
    journal = {"version": 1, "donefile": spec["donefile"], "attempt": attempt}
    lock.write_text(json.dumps(journal) + "\npid 1\nexit 0\n")
    Path(spec["donefile"]).unlink()
    (tmp_path / "good").unlink()
    assert len(run([spec], ignore_donefile=True).failed) == 1
    assert not is_done(spec)
    assert [a["outcome"] for a in attempts_of(spec)] == ["succeeded", "succeeded", "failed"]


# --- Dask ----------------------------------------------------------------------------------------


def test_dask_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    def slow(*_arguments: object, **_options: object) -> None:
        raise TimeoutError("scheduler did not answer")

    monkeypatch.setattr(distributed, "SpecCluster", slow)
    spec = spec_of(tmp_path, "t", f"touch {tmp_path}/ran")
    with pytest.raises(QueueError, match="Dask did not start: TimeoutError: scheduler did not"):
        run([spec])
    assert not (tmp_path / "ran").exists()


def test_dask_that_is_lost_ends_the_queue_and_leaves_nothing_running(tmp_path: Path) -> None:
    from distributed import Client, Future

    class Saboteur(Listener):
        def report(self, event: Event) -> None:
            if isinstance(event, TaskStarted):
                for client in [c for c in Client._instances if c.status == "running"]:
                    client.cancel([Future(key, client) for key in list(client.futures)])

    spec = spec_of(tmp_path, "t", "sleep 1000")
    with pytest.raises(QueueError, match="Dask lost"):
        run([spec], Saboteur())
    (attempt,) = attempts_of(spec)
    assert attempt["outcome"] == "interrupted"
    assert not is_alive(attempt["pid"])


def test_dask_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run([spec_of(tmp_path, "t", "true")])
    assert [r for r in caplog.records if r.name.startswith(("distributed", "dask"))] == []


def test_tasks_start_by_priority_and_then_the_longest_first(tmp_path: Path) -> None:
    def spec(name: str, **more: Any) -> dict[str, Any]:
        return spec_of(tmp_path, name, f"echo {name} >> {tmp_path}/order") | more

    run(
        [
            spec("short", expected_s=5),
            spec("long", expected_s=50),
            spec("unknown"),
            spec("urgent", priority=2),
        ],
        max_tasks_simultaneously=1,
    )
    assert (tmp_path / "order").read_text().split() == ["urgent", "long", "short", "unknown"]


def test_the_summary_counts_time_on_devices(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, f"t{n}", "sleep 0.3") for n in range(4)]
    usage = run(specs, max_tasks_simultaneously=2).usage
    assert usage.gpu_s == 0
    # An attempt is seen to begin a little later than it does.
    assert 1.1 <= usage.cpu_s <= 3
    assert min(usage.task_s.values()) >= 0.25
    assert usage.idle_fraction is not None
    assert 0 <= usage.idle_fraction < 0.5
