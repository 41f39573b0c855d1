"""Whole queues as processes of their own: signals, sudden death, rivals, ports, imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import (
    QUEUE_PROGRAM,
    QueueProcess,
    attempts_of,
    is_alive,
    is_done,
    spec_of,
    wait_until,
)

StartQueue = Callable[..., QueueProcess]


def pids_in(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


# A family: child, grandchild, and a grandchild that left for a session of its own.
FAMILY = (
    "echo $$ >> {pids}; (sleep 1000 & echo $! >> {pids}; wait) & "
    "setsid sh -c 'echo $$ >> {pids}; exec sleep 1000' & wait"
)
STUBBORN = "trap '' TERM INT; echo $$ >> {pids}; while :; do sleep 0.1; done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_running(
    tmp_path: Path, start_queue: StartQueue, number: signal.Signals
) -> None:
    pids = tmp_path / "pids"
    specs = [spec_of(tmp_path, f"t{n}", FAMILY.format(pids=pids)) for n in range(3)]
    queue = start_queue(specs, max_tasks_simultaneously=2, grace_s=60)
    wait_until(lambda: len(pids_in(pids)) == 6, "two families")
    queue.send_signal(number)
    returncode = queue.wait(40)
    out, err = queue.out.read_text(), queue.err.read_text()
    # Python ends by SIGINT itself on an uncaught KeyboardInterrupt: a shell says 130.
    assert returncode == -signal.SIGINT
    assert [pid for pid in pids_in(pids) if is_alive(pid)] == []
    for spec in specs[:2]:
        (attempt,) = attempts_of(spec)
        assert (attempt["state"], attempt["outcome"]) == ("ended", "interrupted")
        assert not is_done(spec)
    assert not Path(specs[2]["outfile"]).exists()
    assert "2 interrupted" in out
    assert "1 not started" in out
    assert "KeyboardInterrupt" in err


def test_a_stubborn_task_is_killed_after_its_grace(tmp_path: Path, start_queue: StartQueue) -> None:
    pids = tmp_path / "pids"
    spec = spec_of(tmp_path, "t", STUBBORN.format(pids=pids))
    queue = start_queue([spec], grace_s=0.5)
    wait_until(lambda: pids_in(pids), "the task")
    queue.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    queue.wait(30)
    assert 0.5 <= time.monotonic() - began_s < 10
    assert not is_alive(pids_in(pids)[0])
    (attempt,) = attempts_of(spec)
    assert (attempt["outcome"], attempt["signal"]) == ("interrupted", "SIGKILL")


def test_a_stubborn_runaway_is_killed_too(tmp_path: Path, start_queue: StartQueue) -> None:
    """It has left its task's group, and takes no notice of SIGTERM."""
    pids = tmp_path / "pids"
    (tmp_path / "stubborn.sh").write_text(STUBBORN.format(pids=pids))
    spec = spec_of(tmp_path, "t", f"setsid bash {tmp_path}/stubborn.sh & sleep 1000")
    queue = start_queue([spec], grace_s=0.5)
    wait_until(lambda: pids_in(pids), "the runaway")
    queue.send_signal(signal.SIGTERM)
    queue.wait(30)
    assert not is_alive(pids_in(pids)[0])


def test_a_second_signal_kills_at_once(tmp_path: Path, start_queue: StartQueue) -> None:
    pids = tmp_path / "pids"
    queue = start_queue([spec_of(tmp_path, "t", STUBBORN.format(pids=pids))], grace_s=1000)
    wait_until(lambda: pids_in(pids), "the task")
    queue.send_signal(signal.SIGINT)
    queue.wait_for("SIGINT: ending 1 running task,")
    assert is_alive(pids_in(pids)[0])
    time.sleep(0.2)  # an echo of the first would come at once
    queue.send_signal(signal.SIGINT)
    queue.wait(30)
    assert not is_alive(pids_in(pids)[0])


def test_one_ctrl_c_that_comes_twice_is_one(tmp_path: Path, start_queue: StartQueue) -> None:
    command = f"trap 'sleep 0.5; touch {tmp_path}/saved; exit 0' TERM; touch {tmp_path}/up; "
    queue = start_queue([spec_of(tmp_path, "t", command + "sleep 1000 & wait")])
    wait_until((tmp_path / "up").exists, "the task")
    queue.send_signal(signal.SIGINT)
    time.sleep(0.01)
    queue.send_signal(signal.SIGINT)
    queue.wait(30)
    assert (tmp_path / "saved").exists()


def test_a_task_may_save_its_work_when_asked_to_end(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    command = (
        f"trap 'sleep 0.3; touch {tmp_path}/saved; exit 0' TERM; touch {tmp_path}/up;"
        " sleep 1000 & wait"
    )
    spec = spec_of(tmp_path, "t", command)
    queue = start_queue([spec])
    wait_until((tmp_path / "up").exists, "the task")
    queue.send_signal(signal.SIGINT)
    queue.wait(30)
    assert (tmp_path / "saved").exists()
    # It ended with status 0, and is not finished for that.
    assert not is_done(spec)
    assert attempts_of(spec)[0]["outcome"] == "interrupted"


def test_an_interrupted_queue_goes_on_when_started_again(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    command = f"touch {tmp_path}/up; test -e {tmp_path}/quick || sleep 1000"
    spec = spec_of(tmp_path, "t", command)
    queue = start_queue([spec])
    wait_until((tmp_path / "up").exists, "the task")
    queue.send_signal(signal.SIGINT)
    queue.wait(30)
    (tmp_path / "quick").touch()
    assert start_queue([spec]).finished() == ["t"]
    assert [a["outcome"] for a in attempts_of(spec)] == ["interrupted", "succeeded"]


# Fails if it is not alone in its run directory; notes each time it starts.
EXCLUSIVE = (
    "echo start >> {folder}/starts; mkdir {folder}/busy || exit 9; {work}; rmdir {folder}/busy"
)


def exclusive_specs(tmp_path: Path, num_tasks: int, work: str) -> list[dict[str, Any]]:
    return [
        spec_of(tmp_path, f"t{n}", EXCLUSIVE.format(folder=tmp_path / f"t{n}", work=work))
        for n in range(num_tasks)
    ]


def leader_of(spec: dict[str, Any]) -> int:
    journal = Path(spec["donefile"]).with_name("lfads.lock").read_text()
    return int(journal.split("\npid ")[1].split()[0])


def starts_of(spec: dict[str, Any]) -> int:
    path = Path(spec["donefile"]).with_name("starts")
    return path.read_text().count("start") if path.exists() else 0


def test_tasks_of_a_killed_queue_are_waited_for_and_judged(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    go = f"while ! test -e {tmp_path}/go; do sleep 0.02; done"
    specs = exclusive_specs(tmp_path, 4, go)
    specs[1]["command"] += "; exit 3"
    first = start_queue(specs, max_tasks_simultaneously=2)
    wait_until(lambda: starts_of(specs[0]) and starts_of(specs[1]), "two tasks")
    first.kill()
    second = start_queue(specs, max_tasks_simultaneously=4)
    second.wait_for(
        *(
            f"{spec['name']} is being run by process {leader_of(spec)}"
            f" on {os.uname().nodename} already"
            for spec in specs[:2]
        )
    )
    wait_until(lambda: starts_of(specs[2]) and starts_of(specs[3]), "the other tasks")
    (tmp_path / "go").touch()
    assert sorted(second.finished()) == ["t0", "t2", "t3"]
    assert second.wait() == 1
    assert [starts_of(spec) for spec in specs] == [1, 1, 1, 1]
    assert attempts_of(specs[0])[0]["outcome"] == "succeeded"
    assert attempts_of(specs[1])[0]["exit_status"] == 3
    assert [is_done(spec) for spec in specs] == [True, False, True, True]


def test_a_task_that_ended_after_its_queue_was_killed_is_not_repeated(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    (spec,) = exclusive_specs(tmp_path, 1, "sleep 0.3")
    first = start_queue([spec])
    wait_until(lambda: starts_of(spec), "the task")
    first.kill()
    lock = Path(spec["donefile"]).with_name("lfads.lock")
    wait_until(lambda: "exit 0" in lock.read_text(), "its end")
    assert not is_done(spec)
    assert start_queue([spec]).finished() == ["t0"]
    assert starts_of(spec) == 1
    assert is_done(spec)


def test_tasks_that_died_with_their_queue_are_repeated(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    command = f"echo $$ >> {tmp_path}/pids; test -e {tmp_path}/quick || sleep 1000"
    spec = spec_of(tmp_path, "t", command)
    first = start_queue([spec])
    wait_until(lambda: pids_in(tmp_path / "pids"), "the task")
    first.kill()
    os.killpg(leader_of(spec), signal.SIGKILL)
    (tmp_path / "quick").touch()
    assert start_queue([spec]).finished() == ["t"]
    assert [a["outcome"] for a in attempts_of(spec)] == ["lost", "succeeded"]


def test_rivals_share_the_work_and_do_nothing_twice(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    specs = exclusive_specs(tmp_path, 24, "sleep 0.05")
    rivals = [start_queue(specs, max_tasks_simultaneously=3) for _ in range(2)]
    for rival in rivals:
        assert rival.wait() == 0
    assert [starts_of(spec) for spec in specs] == [1] * len(specs)
    assert all(is_done(spec) for spec in specs)
    assert all(len(attempts_of(spec)) == 1 for spec in specs)


def test_queues_killed_at_any_moment_lose_nothing(tmp_path: Path, start_queue: StartQueue) -> None:
    specs = exclusive_specs(tmp_path, 40, "sleep 0.05")
    for num_started in (3, 14, 25):
        queue = start_queue(specs, max_tasks_simultaneously=4)
        wait_until(lambda n=num_started: sum(map(starts_of, specs)) >= n, "some tasks")
        queue.kill()
        assert not all(is_done(spec) for spec in specs)
    last = start_queue(specs, max_tasks_simultaneously=4)
    assert last.wait() == 0
    assert all(is_done(spec) for spec in specs)
    assert [starts_of(spec) for spec in specs] == [1] * len(specs)


def test_no_port_is_open(tmp_path: Path, start_queue: StartQueue) -> None:
    spec = spec_of(tmp_path, "t", f"touch {tmp_path}/up; sleep 1000")
    queue = start_queue([spec])
    wait_until((tmp_path / "up").exists, "the task")
    processes = [psutil.Process(queue.pid), *psutil.Process(queue.pid).children(recursive=True)]
    assert len(processes) >= 2
    assert [c for process in processes for c in process.net_connections(kind="inet")] == []
    queue.send_signal(signal.SIGINT)
    queue.wait(30)


def test_the_current_folder_stays_clean_and_need_not_be_writable(
    tmp_path: Path, start_queue: StartQueue
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    spec = spec_of(tmp_path, "t", "true")
    assert start_queue([spec], cwd=here).finished() == ["t"]
    assert list(here.iterdir()) == []
    again = spec_of(tmp_path, "u", "true")
    assert start_queue([again], cwd="/proc").finished() == ["u"]


def test_a_queue_says_what_it_does(tmp_path: Path, start_queue: StartQueue) -> None:
    specs = [spec_of(tmp_path, "good", "true"), spec_of(tmp_path, "bad", "echo sorry; exit 3")]
    queue = start_queue(specs)
    assert queue.wait() == 1
    assert queue.err.read_text() == ""
    out = queue.out.read_text()
    assert "queue test: 2 tasks" in out
    assert out.count("no GPU") == 1
    assert "started      good on cpu" in out
    assert "FAILED       bad on cpu" in out
    assert "exit status 3" in out
    assert "| sorry" in out
    assert str(specs[1]["outfile"]) in out
    assert "1 finished, 1 failed" in out


def test_a_console_that_goes_away_does_not_end_the_training(tmp_path: Path) -> None:
    """As with `python run_lfadsqueue.py | head -1`."""
    specs = [spec_of(tmp_path, f"t{n}", "sleep 0.2") for n in range(3)]
    arguments = json.dumps({"specs": specs, "max_tasks_simultaneously": 1})
    command = [sys.executable, "-c", QUEUE_PROGRAM, arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as queue:
        assert queue.stdout is not None
        queue.stdout.readline()
        queue.stdout.close()
        wait_until(lambda: all(is_done(spec) for spec in specs), "all tasks")


def test_importing_the_queue_is_quick_and_light() -> None:
    code = (
        "import time, sys; began = time.perf_counter(); import lfadsq.queue, lfadsqueue;"
        "took = time.perf_counter() - began;"
        "heavy = {'tensorflow', 'distributed', 'dask', 'rich', 'pynvml', 'numpy', 'psutil'};"
        "print(took, *(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    took, *heavy = out.stdout.split()
    assert heavy == []
    assert float(took) < 0.5
