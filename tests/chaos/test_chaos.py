"""Nothing lost, nothing twice: scenes that chaos found, chaos itself, and proof that it tells."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .collection import make_runs
from .monkey import Chaos, Plan, play
from .processes import Found, find_processes, send, wait_for
from .verdict import History, attempts_of, problems_of

TRAINER = Path(__file__).with_name("trainer.py")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[str], Chaos]]:
    """One run of a kind, and a queue that has started to work on it."""
    opened: list[Chaos] = []

    def open_scene(kind: str) -> Chaos:
        plan = Plan(seed=1, num_runs=1, kinds=(kind,), last_queue_within_s=30.0)
        chaos = Chaos(tmp_path / kind, plan)
        opened.append(chaos)
        chaos.start_queue()
        wait_for(lambda: chaos.runs[0].lines("steps"), "the first step")
        return chaos

    yield open_scene
    for chaos in opened:
        chaos.close()


def processes(chaos: Chaos, role: str) -> list[Found]:
    return [found for found in find_processes(chaos.chaos_id) if found.role == role]


def kill(chaos: Chaos, role: str) -> None:
    for found in processes(chaos, role):
        send(found.pid, signal.SIGKILL)


def outcome(chaos: Chaos) -> list[str]:
    return [attempt["outcome"] for attempt in attempts_of(chaos.runs[0])]


@pytest.mark.parametrize("kind", ["family", pytest.param("orphans", marks=pytest.mark.slow)])
def test_what_a_task_of_a_dead_queue_leaves_behind_is_ended(
    scene: Callable[[str], Chaos], kind: str
) -> None:
    """Of one kind it keeps the lock, of the other it is just there."""
    chaos = scene(kind)
    kill(chaos, "queue")
    wait_for(lambda: chaos.runs[0].lines("finishes"), "its end")
    assert chaos.calm() == []
    assert chaos.judge() == []
    assert outcome(chaos) == ["succeeded"]


def test_a_task_that_was_told_to_end_is_not_done_if_its_queue_dies_before_it(
    scene: Callable[[str], Chaos],
) -> None:
    """A machine that shuts down asks politely, and soon no more."""
    chaos = scene("polite")
    (queue,) = processes(chaos, "queue")
    # Stopped, the queue has no time for its books.
    for supervisor in processes(chaos, "supervisor"):
        send(queue.pid, signal.SIGSTOP)
        send(supervisor.pid, signal.SIGTERM, group=True)
    wait_for(lambda: not processes(chaos, "trainer"), "the end of the task")
    send(queue.pid, signal.SIGKILL)
    assert chaos.calm() == []
    assert chaos.judge() == []


def test_a_trainer_that_outlives_all_who_hold_its_lock_is_not_joined_by_another(
    scene: Callable[[str], Chaos],
) -> None:
    chaos = scene("wrapped")
    (launcher,) = [
        found for found in processes(chaos, "trainer") if " train wrapped " in found.command
    ]
    kill(chaos, "queue")
    kill(chaos, "supervisor")
    send(launcher.pid, signal.SIGKILL)
    assert [found.pid for found in processes(chaos, "trainer")], "the trainer itself goes on"
    assert chaos.calm() == []
    assert chaos.judge() == []


def test_a_trainer_tells_when_it_is_not_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-IS", str(TRAINER), str(tmp_path), "train", "plain", "20", "30"]
    with subprocess.Popen(command) as first:
        wait_for((tmp_path / "train.steps").exists, "the first step")
        assert subprocess.run(command).returncode == 9
        assert "locked" in (tmp_path / "train.overlaps").read_text()
        assert first.wait() == 0


def test_a_trainer_notices_one_whose_lock_is_gone(tmp_path: Path) -> None:
    born = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    (tmp_path / "busy").write_text(f"{os.getpid()} {born}")
    command = [sys.executable, "-IS", str(TRAINER), str(tmp_path), "train", "plain", "2", "1"]
    assert subprocess.run(command).returncode == 9
    (tmp_path / "busy").write_text(f"{os.getpid()} {int(born) + 1}")
    assert subprocess.run(command).returncode == 0


ENDED = {
    "number": 1,
    "host": "h",
    "command": "c",
    "log_offset": 0,
    "state": "ended",
    "outcome": "succeeded",
    "cause": None,
    "started_at": "2018-01-31T00:00:00.000+00:00",
    "ended_at": "2018-01-31T00:00:01.000+00:00",
}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (None, None, None),
        ("train.overlaps", "locked\n", "two at once"),
        ("train.starts", "1 a\n2 b\n", "2 starts, but only 1 attempts"),
        ("train.finishes", "1\n2\n", "finished 2 times"),
        ("train.steps", "1 1\n1 3\n", "these were done: [1, 3]"),
        ("train.steps", "1 2\n1 1\n1 2\n1 3\n", "began with step 2 when 0 were done"),
        (".lfads.done.abcdefgh.tmp", "", "left behind"),
        ("lfads.record.json", json.dumps({"attempts": []}), "ended []"),
        (
            "lfads.record.json",
            json.dumps({"attempts": [ENDED, {**ENDED, "number": 3}]}),
            "numbered [1, 3]",
        ),
    ],
)
def test_the_judge_sees_what_is_wrong(
    tmp_path: Path, name: str | None, text: str | None, problem: str | None
) -> None:
    (run,) = make_runs(tmp_path, 1, ("plain",), random.Random(1))
    run.donefile.touch()
    run.record.write_text(json.dumps({"attempts": [ENDED]}))
    steps = "".join(f"1 {step}\n" for step in range(1, run.num_steps + 1))
    for part, written in (("starts", "1 a\n"), ("finishes", "1\n"), ("steps", steps)):
        (run.folder / f"train.{part}").write_text(written)
    if name is not None and text is not None:
        (run.folder / name).write_text(text)
    found = problems_of([run], tmp_path)
    assert (not found) if problem is None else any(problem in one for one in found), found


def test_a_history_that_is_rewritten_is_seen(tmp_path: Path) -> None:
    (run,) = make_runs(tmp_path, 1, ("plain",), random.Random(1))
    history = History()
    run.record.write_text(json.dumps({"attempts": [ENDED]}))
    history.look([run])
    assert not history.problems
    run.record.write_text(json.dumps({"attempts": [{**ENDED, "outcome": "lost"}]}))
    history.look([run])
    assert len(history.problems) == 1


@pytest.mark.slow
def test_chaos_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Half a minute, different each time; the seed is in the message."""
    problems, happened = play(tmp_path, Plan(seed=int(time.time()), duration_s=25.0))
    assert not problems, "\n".join([happened, *problems])
