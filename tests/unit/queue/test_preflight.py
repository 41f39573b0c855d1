"""The look at a collection beside a queue's start."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from lfadsq.queue.events import Noted
from lfadsq.queue.preflight import Preflight

from .conftest import is_alive, spec_of, wait_until
from .running import Listener, run


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A collection of which one run has a link to nothing."""
    folder = tmp_path / "it's [mine]"
    links = folder / "param_ABCDEF" / "run [1]" / "lfadsInput"
    links.mkdir(parents=True)
    name = "lfads_day\x1b[31m1.h5"
    (links / name).symlink_to(f"../../../data_ABCDEF/run [1]/{name}")
    return folder


def waiting_spec(collection: Path, go: Path) -> dict:
    """A task that ends once the file is there."""
    run_folder = collection / "param_ABCDEF" / "run [1]"
    command = f"for i in $(seq 1200); do [ -e {go} ] && exit 0; sleep 0.05; done; exit 1"
    return spec_of(run_folder.parent, run_folder.name, command)


class Waiting(Listener):
    """Lets the task end when something was noted."""

    def __init__(self, go: Path) -> None:
        super().__init__()
        self.go = go

    def report(self, event) -> None:
        super().report(event)
        if isinstance(event, Noted):
            self.go.touch()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a program stand where the queue expects Python."""

    def make(text: str) -> Path:
        fake = tmp_path / "bin" / "python"
        fake.parent.mkdir()
        fake.write_text(f'#!/bin/sh\necho "$$ $@" > {tmp_path}/called\n{text}\n')
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))
        return tmp_path / "called"

    return make


def test_findings_are_told_while_tasks_run(tmp_path: Path, collection: Path) -> None:
    listener = Waiting(tmp_path / "go")
    summary = run([waiting_spec(collection, listener.go)], listener, collection=collection)
    assert summary.exit_status == 0
    (noted,) = listener.all_of(Noted)
    assert noted.is_warning
    assert "ERROR link_dangling" in noted.text
    assert "param_ABCDEF/run [1], day\\x1b[31m1" in noted.text
    assert "what to do: " in noted.text
    assert "\x1b" not in noted.text
    assert "link_dangling" in (collection / ".lfadsqueue" / "queue.log").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exit 3", "could not be checked"),
        ("echo '{\"findings\": 3}'", "could not be checked"),
        ("echo no JSON; kill -9 $$", "could not be checked"),
    ],
)
def test_a_check_that_fails_is_but_noted(
    tmp_path: Path, collection: Path, program, text: str, words: str
) -> None:
    program(text)
    listener = Waiting(tmp_path / "go")
    summary = run([waiting_spec(collection, listener.go)], listener, collection=collection)
    assert summary.exit_status == 0
    (noted,) = listener.all_of(Noted)
    assert words in noted.text
    assert not noted.is_warning


def test_the_queue_waits_for_no_check(tmp_path: Path, collection: Path, program) -> None:
    called = program("exec sleep 1000")
    spec = spec_of(
        collection / "param_ABCDEF",
        "run [1]",
        f"for i in $(seq 1200); do [ -s {called} ] && exit 0; sleep 0.05; done",
    )
    listener = Listener()
    assert run([spec], listener, collection=collection).exit_status == 0
    pid = int(called.read_text().split()[0])
    assert not is_alive(pid)
    assert listener.all_of(Noted) == []
    assert called.read_text().split(maxsplit=1)[1] == (
        f"-m lfadsq check --quick --json {collection}\n"
    )


def test_a_check_that_hangs_is_given_up(collection: Path, program) -> None:
    called = program("exec sleep 1000")
    told: list[Noted] = []
    with Preflight(collection, told.append, timeout_s=1.0):
        wait_until(lambda: told, "it was given up")
        pid = wait_until(lambda: called.exists() and called.read_text().split(), "start")[0]
        wait_until(lambda: not is_alive(int(pid)), "it was killed")
    assert "not checked within 1 s" in told[0].text
    assert len(told) == 1


def test_all_is_well_says_nothing(collection: Path, program) -> None:
    program('echo \'{"findings": [], "collection": "x"}\'')
    told: list[Noted] = []
    with Preflight(collection, told.append):
        wait_until(lambda: "preflight" not in _threads(), "it has ended")
    assert told == []


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("why", ["asked", "option", "not_prepared", "no_collection", "done"])
def test_nothing_is_started_in_vain(tmp_path: Path, collection: Path, program, why: str) -> None:
    called = program("")
    spec = spec_of(collection / "param_ABCDEF", "run [1]", "sleep 0.2")
    arguments: dict = {"collection": collection}
    if why == "asked":
        arguments["check"] = False
    elif why == "option":
        arguments["argv"] = ["--no-check", "--quiet"]
    elif why == "not_prepared":
        (collection / "param_ABCDEF" / "run [1]" / "lfadsInput").rename(tmp_path / "away")
        (collection / "summary.txt").touch()
    elif why == "no_collection":
        arguments["collection"] = tmp_path
    else:
        Path(spec["donefile"]).touch()
    assert run([spec], **arguments).exit_status == 0
    assert not called.exists()


def test_ctrl_c_is_the_queues_own(collection: Path, program) -> None:
    called = program("exec sleep 1000")
    with Preflight(collection, lambda noted: None):
        pid = int(wait_until(lambda: called.exists() and called.read_text().split(), "start")[0])
        assert os.getpgid(pid) != os.getpgid(0)
