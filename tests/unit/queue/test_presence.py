from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lfadsq.errors import QueueError
from lfadsq.queue import presence as presence_module
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.control_paths import is_locked
from lfadsq.queue.presence import Presence
from lfadsq.queue.status import DeviceStatus, QueueState, Snapshot, TaskState, TaskStatus

JOINER = """
import sys
from pathlib import Path
from lfadsq.queue.control import ControlFolder
with ControlFolder(Path(sys.argv[1])).join("other"):
    print("joined", flush=True)
    sys.stdin.readline()
"""

TASK = TaskStatus("a", TaskState.RUNNING, command="bash x", outfile="/o", donefile="/d", attempt=2)
DEVICE = DeviceStatus("GPU-1", "GPU 0", 100.0, 90.0, 80.0, 1, ("a",), "", "b", ((90.0, "12:00"),))


def snapshot_of(queue_id: str = "q", *tasks: TaskStatus) -> Snapshot:
    return Snapshot(
        queue_id, "name", "host", 1, "begun", "now", devices=(DEVICE,), tasks=tasks or (TASK,)
    )


@pytest.fixture
def folder(tmp_path: Path) -> ControlFolder:
    return ControlFolder.of(tmp_path)


def every_time(folder: ControlFolder) -> Presence:
    return Presence(folder.paths, "q", interval_s=0.0)


def test_what_is_published_is_seen_and_lives_until_the_end(folder: ControlFolder) -> None:
    with folder.join("q") as presence:
        assert presence.publish(snapshot_of())
        assert folder.queues() == [(snapshot_of(), True)]
    assert folder.queues() == [(replace(snapshot_of(), state=QueueState.ENDED), False)]
    assert not folder.paths.lock("q").exists()


def test_tasks_that_change_come_and_go_are_seen_as_they_are(folder: ControlFolder) -> None:
    other = TaskStatus("b", command="bash y", outfile="/p", donefile="/e", reason="waits")
    changed = replace(TASK, state=TaskState.DONE)
    elsewhere = replace(changed, command="bash z")
    with every_time(folder) as presence:
        for tasks in [(TASK,), (TASK, other), (changed, other), (elsewhere, other), (other,)]:
            presence.publish(snapshot_of("q", *tasks), at_once=True)
            assert folder.queues()[0][0].tasks == tasks


def test_what_does_not_change_is_not_written_again(folder: ControlFolder) -> None:
    with every_time(folder) as presence:
        presence.publish(snapshot_of())
        first = folder.paths.task_list("q").stat().st_ino
        presence.publish(snapshot_of("q", replace(TASK, attempt=3)), at_once=True)
        assert folder.paths.task_list("q").stat().st_ino == first
        assert "bash x" not in folder.paths.snapshot("q").read_text()


def test_it_is_written_once_in_the_interval_and_at_the_end_in_any_case(
    folder: ControlFolder,
) -> None:
    last = snapshot_of("q", replace(TASK, state=TaskState.DONE))
    with Presence(folder.paths, "q", interval_s=1000) as presence:
        assert presence.is_due
        assert presence.publish(snapshot_of())
        assert not presence.is_due
        assert not presence.publish(last)
        assert folder.queues()[0][0].tasks == (TASK,)
    assert folder.queues()[0][0] == replace(last, state=QueueState.ENDED)


def test_slow_writing_takes_a_twentieth_of_the_time_at_most(
    folder: ControlFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = [0.0]
    monkeypatch.setattr(presence_module.time, "monotonic", lambda: clock_s[0])

    def write_slowly(*_: object) -> None:
        clock_s[0] += 0.5

    with folder.join("q") as presence:
        monkeypatch.setattr(presence_module, "_write_private", write_slowly)
        presence.publish(snapshot_of())  # task list and snapshot
        for interval_s in (20.0, 10.0):
            clock_s[0] += interval_s - 0.1
            assert not presence.is_due
            clock_s[0] += 0.2
            assert presence.is_due
            presence.publish(snapshot_of())


def test_a_full_disk_is_one_warning(
    folder: ControlFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with every_time(folder) as presence, caplog.at_level(logging.WARNING):
        folder.paths.snapshot("q").mkdir()
        assert not presence.publish(snapshot_of(), at_once=True)
        assert not presence.publish(snapshot_of(), at_once=True)
    assert caplog.text.count("nobody can see") == 1


def test_a_queue_that_is_killed_lives_no_more(folder: ControlFolder) -> None:
    with folder.join("other") as presence:
        presence.publish(snapshot_of("other"))
    command = [sys.executable, "-c", JOINER, str(folder.paths.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as queue:
        assert queue.stdout is not None
        queue.stdout.readline()
        assert [lives for _, lives in folder.queues()] == [True]
        queue.send_signal(signal.SIGKILL)
        queue.wait()
    assert [lives for _, lives in folder.queues()] == [False]


def test_a_task_does_not_keep_its_queue_alive(folder: ControlFolder) -> None:
    with folder.join("q") as presence:
        presence.publish(snapshot_of())
        task = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert not is_locked(folder.paths.lock("q"))
        assert [lives for _, lives in folder.queues()] == [False]
    finally:
        task.kill()
        task.wait()


def test_no_two_queues_have_one_name(
    folder: ControlFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_module, "_LOCK_PATIENCE_S", 0.05)
    with folder.join("q"):
        with pytest.raises(QueueError, match="runs already"), folder.join("q"):
            pass
        assert is_locked(folder.paths.lock("q"))


@pytest.mark.parametrize("queue_id", ["", "../q", "a/b", ".hidden", "a b", "q\n", "x" * 101])
def test_a_hostile_name_is_refused(folder: ControlFolder, queue_id: str) -> None:
    with pytest.raises(QueueError, match="cannot name a queue"):
        folder.join(queue_id)


def test_the_oldest_dead_queues_are_forgotten_and_live_ones_never(folder: ControlFolder) -> None:
    with Presence(folder.paths, "live") as live:
        live.publish(snapshot_of("live"))
        os.utime(folder.paths.snapshot("live"), (0, 0))
        for n in range(25):
            with folder.join(f"q{n}") as presence:
                presence.publish(snapshot_of(f"q{n}"))
            os.utime(folder.paths.snapshot(f"q{n}"), (n + 1, n + 1))
        with folder.join("newest"):
            pass
        found = [(snapshot.queue_id, lives) for snapshot, lives in folder.queues()]
        assert dict(found)["live"]
        assert [queue_id for queue_id, lives in found if not lives] == [
            f"q{n}" for n in range(24, 4, -1)
        ]
        assert not folder.paths.task_list("q0").exists()
        assert folder.queues(max_dead=1)[-1][0].queue_id in ("q24", "live")
        assert len(folder.queues(max_dead=1)) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_a_damaged_snapshot_is_passed_over(folder: ControlFolder, text: str) -> None:
    with folder.join("q") as presence:
        presence.publish(snapshot_of())
        folder.paths.snapshot("q").write_text(text)
        assert folder.queues() == []


def test_a_lost_task_list_leaves_the_rest(folder: ControlFolder) -> None:
    with folder.join("q") as presence:
        presence.publish(snapshot_of())
        folder.paths.task_list("q").unlink()
        assert folder.queues()[0][0].tasks == (replace(TASK, command="", outfile="", donefile=""),)


def test_anybody_can_read_it(folder: ControlFolder) -> None:
    with folder.join("q") as presence:
        presence.publish(snapshot_of())
        data = json.loads(folder.paths.snapshot("q").read_text())
    assert data["schema_version"] == 1
    assert data["tasks"][0]["state"] == "running"
