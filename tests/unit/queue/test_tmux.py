from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lfadsq.errors import ConfigError
from lfadsq.queue.events import (
    Failure,
    Noted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskRetried,
    TaskStarted,
)
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.tasks import Task
from lfadsq.queue.tmux import TmuxReporter

from .conftest import wait_until

OLD_NAME = "lfads_param_YOs74u_run001_single_dataset001"
HOSTILE = "it's 1.2:3 #(touch $PWNED) $(touch $PWNED); {x} ü ;"
ATTEMPT = Attempt(1, "true", "h", "GPU-x", "GPU 0", "2018", 0)

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Use a tmux server of our own, which ends with the test."""
    # A socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="tmux") as folder:
        monkeypatch.setenv("TMUX_TMPDIR", folder)
        monkeypatch.setenv("PWNED", str(tmp_path / "pwned"))
        monkeypatch.setenv("HOME", folder)
        monkeypatch.delenv("TMUX", raising=False)
        yield
        tmux("kill-server")


@pytest.fixture
def reporter(server: None) -> Iterator[TmuxReporter]:
    reporter = TmuxReporter()
    yield reporter
    reporter.close()


def tmux(*arguments: str) -> str:
    return subprocess.run(["tmux", "-u", *arguments], capture_output=True, text=True).stdout


def sessions() -> list[str]:
    return tmux("list-sessions", "-F", "#{session_name}").splitlines()


def screen(name: str) -> str:
    return tmux("capture-pane", "-p", "-t", f"={name}:")


def task_in(folder: Path, name: str = OLD_NAME) -> Task:
    folder.mkdir(parents=True, exist_ok=True)
    return Task(name, "true", 1.0, folder / "lfads.out", folder / "lfads.done")


def failure_of(task: Task) -> Failure:
    cause = Cause.GPU_MEMORY
    return Failure(task.name, cause, "exit status 1", "", "GPU 0", task.outfile, "", "")


@needs_tmux
def test_a_task_has_a_session_of_the_old_name_with_its_log_live(
    reporter: TmuxReporter, tmp_path: Path
) -> None:
    task = task_in(tmp_path)
    task.outfile.write_text("Epoch:1\n")
    reporter.report(TaskStarted(task, ATTEMPT))
    wait_until(lambda: "Epoch:1" in screen(OLD_NAME), "the log")
    with task.outfile.open("a") as log:
        log.write("Epoch:2\n")
    wait_until(lambda: "Epoch:2" in screen(OLD_NAME), "what was added to it")
    reporter.report(TaskFinished(task, ATTEMPT))
    wait_until(lambda: f"=== {OLD_NAME} finished" in screen(OLD_NAME), "its end")
    assert "Epoch:1" in screen(OLD_NAME)
    wait_until(lambda: not sessions(), "the end of the session")


@needs_tmux
def test_a_failure_stays_until_a_new_attempt_and_the_queue_closes_all(
    reporter: TmuxReporter, tmp_path: Path
) -> None:
    task, other = task_in(tmp_path), task_in(tmp_path / "b", "other")
    reporter.report(TaskStarted(task, ATTEMPT))
    reporter.report(TaskRetried(task, failure_of(task), "alone on its GPU"))
    ending = "failed: out of GPU memory (exit status 1); next: alone on its GPU"
    wait_until(lambda: ending in screen(OLD_NAME), "how it ended")
    reporter.report(TaskStarted(task, ATTEMPT))
    wait_until(lambda: sessions() == [OLD_NAME] and ending not in screen(OLD_NAME), "a new one")
    reporter.report(TaskFailed(task, failure_of(task)))
    reporter.report(TaskStarted(other, ATTEMPT))
    reporter.report(TaskCancelled(other))
    wait_until(lambda: "=== other cancelled" in screen("other"), "how the other ended")
    tmux("new-session", "-d", "-s", "mine", "sleep 1000")
    assert sorted(sessions()) == [OLD_NAME, "mine", "other"]
    reporter.close()
    assert sessions() == ["mine"]


@needs_tmux
def test_q_closes_a_session_and_harms_nothing(reporter: TmuxReporter, tmp_path: Path) -> None:
    task = task_in(tmp_path)
    task.outfile.write_text("Epoch:1\n")
    reporter.report(TaskStarted(task, ATTEMPT))
    wait_until(lambda: "Epoch:1" in screen(OLD_NAME), "the log")
    tmux("send-keys", "-t", f"={OLD_NAME}:", "x", "q")
    wait_until(lambda: not sessions(), "its end")
    reporter.report(TaskFinished(task, ATTEMPT))
    reporter.close()
    assert sessions() == []


@needs_tmux
def test_hostile_names_are_only_names(reporter: TmuxReporter, tmp_path: Path) -> None:
    task = replace(task_in(tmp_path / HOSTILE, HOSTILE), outfile=tmp_path / HOSTILE / "out;")
    task.outfile.write_text("Epoch:1\n")
    reporter.report(TaskStarted(task, ATTEMPT))
    (name,) = wait_until(sessions, "a session")
    assert not set(name) & set(".:;#$(){}' ")
    wait_until(lambda: "Epoch:1" in screen(name), "the log")
    reporter.report(TaskFinished(task, ATTEMPT))
    wait_until(lambda: f"=== {HOSTILE} finished" in screen(name), "its end")
    reporter.close()
    assert sessions() == []
    assert not (tmp_path / "pwned").exists()


@needs_tmux
def test_a_session_of_somebody_else_is_left_alone(reporter: TmuxReporter, tmp_path: Path) -> None:
    tmux("new-session", "-d", "-s", OLD_NAME, "sleep 1000")
    task, namesake = task_in(tmp_path), task_in(tmp_path / "b")
    reporter.report(TaskStarted(task, ATTEMPT))
    wait_until(lambda: f"{OLD_NAME}-2" in sessions(), "a session beside it")
    another_queue = TmuxReporter()
    another_queue.report(TaskStarted(namesake, ATTEMPT))
    wait_until(lambda: f"{OLD_NAME}-3" in sessions(), "that of a task of the same name")
    reporter.close()
    assert sorted(sessions()) == [OLD_NAME, f"{OLD_NAME}-3"]
    another_queue.close()
    assert sessions() == [OLD_NAME]


@needs_tmux
def test_a_session_that_a_killed_queue_left_is_replaced(server: None, tmp_path: Path) -> None:
    task = task_in(tmp_path)
    task.outfile.write_text("Epoch:1\n")
    program = (
        "import os, sys; from pathlib import Path\n"
        "from tests.unit.queue.test_tmux import *\n"
        "reporter = TmuxReporter()\n"
        f"reporter.report(TaskStarted(task_in(Path({str(tmp_path)!r})), ATTEMPT))\n"
        "wait_until(lambda: 'Epoch:1' in screen(OLD_NAME), 'the log')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(["python", "-c", program], cwd=root, env=environment)
    assert ended.returncode == -9
    assert sessions() == [OLD_NAME]
    reporter = TmuxReporter()
    reporter.report(TaskStarted(task, ATTEMPT))
    reporter.report(TaskFailed(task, failure_of(task)))
    wait_until(lambda: "failed" in screen(OLD_NAME), "the new one in its place")
    assert sessions() == [OLD_NAME]
    reporter.close()
    assert sessions() == []


def test_a_tmux_that_fails_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "tmux"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'no space left' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    notes: list[Noted] = []
    reporter = TmuxReporter(notes.append)
    for name in ("a", "b"):
        reporter.report(TaskStarted(task_in(tmp_path, name), ATTEMPT))
    reporter.close()
    assert notes == [Noted("tmux cannot show a task: no space left (told once)", True)]


def test_a_missing_tmux_is_an_error_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="without --tmux"):
        TmuxReporter()
