from __future__ import annotations

from pathlib import Path
from typing import Any

from lfadsq.queue.control_paths import is_locked
from lfadsq.queue.leftovers import end_left, find_left
from lfadsq.queue.records import Cause, Outcome, Record

from .conftest import is_alive, wait_until

# Ends well, as a trainer does that wrote its checkpoint: it must not be taken for done.
SAVES = "trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; while :; do sleep 0.05; done"


def last_of(collection: Any, name: str) -> Any:
    return Record.read(collection.tasks[name].files.record, name).last


def test_a_left_task_ends_with_its_checkpoint_and_is_not_taken_for_done(collection: Any) -> None:
    name = collection.names[0]
    task = collection.tasks[name]
    with collection.left_task(name, SAVES):
        left = find_left([task])
        assert end_left(left, Cause.CANCELLED, grace_s=20) == [task]
        assert "saved" in task.outfile.read_text()
        assert not task.donefile.exists()
        assert not is_locked(task.files.lock)
        last = last_of(collection, name)
        assert (last.outcome, last.cause) == (Outcome.CANCELLED, Cause.CANCELLED)


def test_all_it_started_ends_too_and_what_is_stubborn_is_killed(
    collection: Any, tmp_path: Path
) -> None:
    name = collection.names[0]
    pid_file = tmp_path / "pid"
    helper = f"setsid sleep 60 & echo $! > {pid_file}; {STUBBORN}"
    with collection.left_task(name, helper):
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the helper")
        ended = end_left(find_left([collection.tasks[name]]), Cause.PAUSED, grace_s=0.2)
        assert [task.name for task in ended] == [name]
        assert not is_alive(int(pid_file.read_text()))
        last = last_of(collection, name)
        assert (last.outcome, last.cause) == (Outcome.INTERRUPTED, Cause.PAUSED)


def test_a_task_on_another_machine_is_not_touched(collection: Any) -> None:
    name = collection.names[0]
    with collection.left_task(name, SAVES, host="node77") as pid:
        left = find_left([collection.tasks[name]])
        assert [(one.host, one.group) for one in left] == [("node77", None)]
        assert end_left(left, Cause.CANCELLED, grace_s=1) == []
        assert is_alive(pid)


def test_a_pid_that_was_given_again_is_not_touched(collection: Any) -> None:
    name = collection.names[0]
    task = collection.tasks[name]
    with collection.left_task(name, SAVES) as pid:
        # The lock of another run, whose journal names the same process.
        other = collection.tasks[collection.names[1]]
        other.files.lock.write_text(task.files.lock.read_text())
        assert find_left([other])[0].group is None
        assert is_alive(pid)
