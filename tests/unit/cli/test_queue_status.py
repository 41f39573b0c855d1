"""``lfadsq queue status`` and ``lfadsq explain``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lfadsq.cli import queue_status
from lfadsq.errors import RunNotFoundError
from lfadsq.queue.clusters.jobs import JobState, JobStatus
from lfadsq.queue.overview import look
from lfadsq.queue.records import Cause
from lfadsq.queue.status import DeviceStatus, TaskState

from .verbs import call, said, statuses


def test_status_of_a_live_queue(collection: Any) -> None:
    a, b, c, d = collection.names
    collection.tasks[a].outfile.write_text("of the attempt before\nepoch 7 [cost] 12.5\n")
    collection.record(a, collection.attempt(a, 2, log_offset=22))
    with collection.live_queue(
        collection.status(a, TaskState.RUNNING, device_name="GPU 0 (A100)"),
        collection.status(b, TaskState.WAITING, reason="GPU 0 lacks 300 MB"),
        collection.status(c, TaskState.WAITING, reason="GPU 0 lacks 300 MB"),
        collection.status(d, TaskState.FAILED, cause="not a number"),
        tensorboard="http://localhost:6006",
    ):
        output = said("queue", "status", collection.folder)
    for words in (
        "queue demo on node1 (process 4321) is running",
        "TensorBoard: http://localhost:6006",
        "0 of 4 done, 2 waiting, 1 running, 1 failed",
        "GPU 0 (A100)",
        "38000",
        "epoch 7 [cost] 12.5",
        "2 waiting: GPU 0 lacks 300 MB",
        f"{d}: not a number",
        str(collection.tasks[d].outfile),
    ):
        assert words in output, output
    assert "attempt before" not in output


def test_status_says_what_keeps_runs_from_starting_if_the_queue_does_not(collection: Any) -> None:
    a, b, c, d = collection.names
    waiting = [
        replace(collection.status(name, TaskState.WAITING), memory_mb=need_mb)
        for name, need_mb in [(b, 39000.0), (c, 39000.0), (d, 10.0)]
    ]
    (device,) = collection.snapshot().devices
    device = replace(device, tasks=(a,), max_tasks=2)
    running = collection.status(a, TaskState.RUNNING)
    with collection.live_queue(running, *waiting, devices=(device,), max_tasks=1):
        output = said("queue", "status", collection.folder)
    assert "2 waiting: 1 device is short of memory (1000 MB at least)" in output
    assert "1 waiting: 1 device is not to be used by more tasks" in output


def test_status_without_a_queue_says_so(collection: Any) -> None:
    collection.write_script()
    assert "no queue runs here, and none is known" in said("queue", "status", collection.folder)
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        pass
    assert "the last one, demo on node1, ended" in said("queue", "status", collection.folder)
    snapshot = collection.control.paths.snapshot("q1")
    snapshot.write_text(snapshot.read_text().replace('"ended"', '"running"'))
    assert "died without a word" in said("queue", "status", collection.folder)


def test_status_cuts_long_lists_short_unless_told_otherwise(collection: Any) -> None:
    waiting = [
        replace(collection.status(collection.names[0], TaskState.WAITING), name=f"task{n:02d}")
        for n in range(30)
    ]
    with collection.live_queue(*waiting):
        short = said("queue", "status", collection.folder)
        whole = said("queue", "status", collection.folder, "--all")
    assert "and 27 more" in short
    assert "task29" not in short
    assert "task29" in whole


def test_status_as_json(collection: Any) -> None:
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        data = json.loads(said("queue", "status", collection.folder, "--json"))
    assert data["queues"][0]["queue_id"] == "q1"
    assert data["tasks"][0] == {
        **collection.status(collection.names[0], TaskState.RUNNING).to_dict(),
        "state": "running",
    }


def test_watch_ends_with_the_queue(collection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection.write_script()
    with contextlib.ExitStack() as stack:
        presence = stack.enter_context(
            collection.live_queue(*statuses(collection, TaskState.RUNNING))
        )
        news = iter(
            [
                lambda: presence.publish(
                    collection.snapshot(*statuses(collection, TaskState.DONE)), at_once=True
                ),
                stack.close,
            ]
        )
        clock = SimpleNamespace(time=time.time, sleep=lambda _seconds: next(news)())
        monkeypatch.setattr(queue_status, "time", clock)
        output = said("queue", "status", collection.folder, "--watch")
    assert "0 of 1 done, 1 running\n1 of 1 done\n" in output
    assert "no queue runs here" in output


def test_explain_from_the_run_directory(collection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection.write_script()
    name = collection.names[1]
    collection.record(name, collection.failed(name, 1, Cause.STORAGE))
    assert f"{name}: failed" in said("explain", collection.run_of(name))
    monkeypatch.chdir(collection.run_of(name))
    assert f"{name}: failed" in said("explain", ".")
    data = json.loads(said("explain", "run002", "--json"))
    assert data["attempts"][0]["cause"] == "storage"
    assert data["command_by_hand"]


def test_explain_of_several_or_none_is_an_error(collection: Any) -> None:
    collection.write_script()
    with pytest.raises(RunNotFoundError, match="fits 4 runs"):
        call("explain", "*run*", "-C", collection.folder)
    with pytest.raises(RunNotFoundError, match="no task"):
        call("explain", "run999", "-C", collection.folder)


def test_a_run_that_the_live_queue_does_not_know_is_found_in_the_scripts(collection: Any) -> None:
    collection.write_script()
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        assert f"{collection.names[3]}: waiting" in said(
            "explain", "run004", "-C", collection.folder
        )


def test_a_script_that_fails_is_the_reason_why_no_run_is_known(collection: Any) -> None:
    collection.write_script().write_text("import nonsense_of_ours")
    with pytest.raises(RunNotFoundError, match="nonsense_of_ours"):
        call("explain", "run001", "-C", collection.folder)


@pytest.mark.parametrize("run", ["x" * 5000, "a\0b", "~nobody-of-that-name/run", "/", "[", ""])
def test_a_word_that_is_no_run_is_an_error_and_no_bug(
    collection: Any, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    collection.write_script()
    monkeypatch.chdir(collection.folder)
    for verb in (["queue", "pause"], ["explain"]):
        with pytest.raises(RunNotFoundError):
            call(*verb, run)


def test_a_run_directory_tells_its_collection(
    collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.write_script()
    monkeypatch.chdir(collection.folder.parent)
    run = collection.run_of(collection.names[2])
    said("queue", "pause", run)
    said("queue", "pause", os.path.relpath(collection.run_of(collection.names[0])))
    assert collection.control.read().paused == {collection.names[2], collection.names[0]}


def test_status_on_a_narrow_terminal_cuts_no_name(collection: Any) -> None:
    device = DeviceStatus("GPU-1", "GPU 0 (A100)", 40000.0, 30000.0, 20000.0, 2)
    tasks = statuses(collection, TaskState.RUNNING, TaskState.WAITING)
    for task in tasks:
        Path(task.outfile).write_text("a long line " * 20 + "\n")
    with collection.live_queue(*tasks, devices=(device,)):
        overview = look(collection.folder)
        for width in (40, 80, 200):
            console = Console(file=io.StringIO(), width=width)
            console.print(queue_status._render(overview, None, width))
            lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
            assert max(map(len, lines)) <= width
            joined = "".join(line.strip() for line in lines)
            assert all(task.name in joined for task in tasks)
            assert "30000" in joined
            assert "GPU 0 (A100)" in " ".join(line.strip() for line in lines)
            assert sum(line.strip().startswith("a long line") for line in lines) <= 1


def test_jobs_of_a_batch_system_are_shown_with_its_words(collection: Any) -> None:
    def job(number: int, state: JobState, words: str) -> JobStatus:
        return JobStatus(str(number), f"lfadsq-{number}", state, words, "", "", 0, 1517400000.0)

    jobs = (
        job(11, JobState.RUNNING, "RUNNING"),
        *(job(20 + number, JobState.PENDING, "PENDING (Priority)") for number in range(5)),
        job(9, JobState.ENDED, "TIMEOUT"),
    )
    (task,) = statuses(collection, TaskState.WAITING)
    with collection.live_queue(task, devices=(), jobs=jobs):
        shown = said("queue", "status", collection.folder)
        assert "  1 job RUNNING: 11\n" in shown
        assert "  5 jobs PENDING (Priority): 20, 21, 22 and 2 more\n" in shown
        assert "TIMEOUT" not in shown
        assert "5 devices are still to come" in shown
        explained = said("explain", collection.folder, task.name)
        assert "job 20: it is PENDING (Priority), since 2018-01-31T12:00:00" in explained
        data = json.loads(said("queue", "status", collection.folder, "--json"))
    assert data["queues"][0]["jobs"][0] == jobs[0].to_dict()
    assert tuple(map(JobStatus.from_dict, data["queues"][0]["jobs"])) == jobs


def test_explain_takes_the_collection_first(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    assert f"{name}: waiting" in said("explain", collection.folder, name)
    for words in ([collection.folder], [collection.folder, *collection.names[:2]], []):
        result = call("explain", *words)
        assert result.exit_code == 2, words
