from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import QueueError, RunNotFoundError
from lfadsq.queue.locks import Journal, RunLock
from lfadsq.queue.overview import Overview, find_collection, look, task_of
from lfadsq.queue.records import AttemptState, Cause, Outcome
from lfadsq.queue.status import TaskState

ENDED = {"state": AttemptState.ENDED}


def states(overview: Overview) -> list[str]:
    return [task.state.value for task in overview.tasks]


def test_a_collection_is_found_from_its_folder_script_or_anything_inside(collection: Any) -> None:
    script = collection.write_script()
    folder = collection.folder
    run = collection.run_of(collection.names[0])
    (run / "lfads.out").touch()
    assert find_collection(folder) == (folder, None)
    assert find_collection(script) == (folder, script)
    assert find_collection(run) == (folder, None)
    assert find_collection(run / "lfads.out") == (folder, None)


def test_a_collection_whose_script_is_elsewhere_is_known_by_its_control_folder(
    collection: Any,
) -> None:
    collection.control.edit(lambda wishes: wishes.with_paused())
    assert find_collection(collection.folder / "param_ABC") == (collection.folder, None)


def test_no_collection_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="in no collection"):
        find_collection(tmp_path)
    with pytest.raises(RunNotFoundError, match="there is no"):
        find_collection(tmp_path / "none")


def test_without_a_queue_files_tell_the_state(collection: Any) -> None:
    collection.write_script()
    done, failed, died, waiting = collection.names
    collection.tasks[done].donefile.touch()
    collection.record(failed, collection.failed(failed, 2, Cause.NOT_A_NUMBER))
    collection.record(died, collection.attempt(died))
    overview = look(collection.folder)
    assert (overview.queues, overview.last, overview.problem) == ((), None, "")
    assert states(overview) == ["done", "failed", "interrupted", "waiting"]
    assert overview.tasks[1].cause == "not a number"
    assert overview.tasks[1].attempt == 2
    assert "its queue died" in overview.tasks[2].reason
    assert task_of(overview.tasks[3]) == collection.tasks[waiting]


@pytest.mark.parametrize(
    ("outcome", "cause", "state"),
    [
        (Outcome.INTERRUPTED, Cause.QUEUE_STOPPED, "interrupted"),
        (Outcome.LOST, Cause.LOST, "interrupted"),
        (Outcome.CANCELLED, Cause.CANCELLED, "interrupted"),
        (Outcome.FAILED, Cause.UNKNOWN, "failed"),
    ],
)
def test_how_the_last_attempt_ended_tells_the_state(
    collection: Any, outcome: Outcome, cause: Cause, state: str
) -> None:
    collection.write_script()
    name = collection.names[0]
    attempt = collection.attempt(name, **ENDED, outcome=outcome, cause=cause)
    collection.record(name, attempt)
    assert look(collection.folder).tasks[0].state.value == state


def test_wishes_tell_the_state_too(collection: Any) -> None:
    collection.write_script()
    a, b, c, d = collection.names
    collection.record(b, collection.failed(b, 3))
    collection.record(c, collection.failed(c, 3))
    collection.control.edit(
        lambda wishes: (
            wishes.with_cancelled([a])
            .with_retried({b: 3, c: 2})
            .with_paused([d])
            .with_priorities([b], 7)
        )
    )
    overview = look(collection.folder)
    assert states(overview) == ["cancelled", "waiting", "failed", "paused"]
    assert overview.tasks[1].priority == 7


def test_a_held_lock_means_that_it_goes_on_without_a_queue(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    attempt = collection.attempt(name)
    collection.record(name, attempt)
    lock = RunLock.try_acquire(collection.tasks[name].files.lock)
    assert lock is not None
    lock.begin(Journal(attempt.to_dict(), name, str(collection.tasks[name].donefile)))
    assert look(collection.folder).tasks[0].state is TaskState.LEFT
    lock.release()
    assert look(collection.folder).tasks[0].state is TaskState.INTERRUPTED


def test_a_lock_held_by_another_task_of_the_run_is_none_of_its_own(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    task = collection.tasks[name]
    lock = RunLock.try_acquire(task.files.lock)
    assert lock is not None
    other = task.donefile.with_name("lfads.done.posteriorMeanOnly")
    lock.begin(Journal({}, "other", str(other)))
    status = look(collection.folder).tasks[0]
    lock.release()
    assert status.state is TaskState.WAITING
    assert "another task of the same run" in status.reason


def test_a_live_queue_is_believed_and_no_script_is_run(collection: Any) -> None:
    collection.write_script().write_text("raise RuntimeError('run!')")
    a, b = collection.names[:2]
    running = collection.status(a, TaskState.RUNNING, device_name="GPU 0")
    with collection.live_queue(running, collection.status(b, TaskState.WAITING, reason="busy")):
        overview = look(collection.folder)
        assert overview.problem == ""
        assert [queue.queue_id for queue in overview.queues] == ["q1"]
        assert overview.tasks[0] == running
        assert [task.reason for task in overview.tasks] == ["", "busy"]
        beyond = look(collection.folder, beyond_queues=True)
        assert "RuntimeError" in beyond.problem
    after = look(collection.folder)
    assert after.queues == ()
    assert after.last is not None
    # What the dead queue had is known, but not believed.
    assert states(after) == ["waiting", "waiting"]


def test_of_two_queues_the_one_that_runs_a_task_is_believed(collection: Any) -> None:
    name = collection.names[0]
    for first, second in [(TaskState.RUNNING, TaskState.ELSEWHERE)] * 2:
        with (
            collection.live_queue(collection.status(name, first)),
            collection.live_queue(collection.status(name, second), queue_id="q2"),
        ):
            overview = look(collection.folder)
            assert states(overview) == ["running"]
            queue = overview.queue_of(name)
            assert queue is not None
            assert queue.queue_id == "q1"


def test_only_the_tasks_of_a_script_that_was_named(collection: Any) -> None:
    script = collection.write_script()
    name = collection.names[0]
    other = replace(collection.status(name, TaskState.RUNNING), donefile="/elsewhere/lfads.done")
    with collection.live_queue(other):
        assert states(look(collection.folder, script)) == ["waiting"] * 4
    with collection.live_queue(collection.status(name, TaskState.RUNNING)):
        assert states(look(collection.folder, script)) == ["running"] + ["waiting"] * 3


def test_added_tasks_are_known_before_a_queue_takes_them(collection: Any) -> None:
    collection.write_script()
    spec = collection.spec("lfads_param_ABC_run009_single")
    collection.control.edit(lambda wishes: wishes.with_added([spec]))
    assert look(collection.folder).tasks[-1].name == spec["name"]
    with collection.live_queue(collection.status(collection.names[0], TaskState.RUNNING)):
        added = look(collection.folder).tasks[-1]
        assert (added.name, added.reason) == (spec["name"], "the queue has yet to take it")


def test_a_script_that_does_not_work_leaves_the_rest(collection: Any) -> None:
    collection.write_script()
    (collection.folder / "run_lfadsqueue_other.py").write_text("import nonsense_of_ours")
    overview = look(collection.folder)
    assert len(overview.tasks) == 4
    assert "nonsense_of_ours" in overview.problem


def test_a_record_of_a_newer_lfadsq_is_told(collection: Any) -> None:
    collection.write_script()
    record = collection.tasks[collection.names[0]].files.record
    record.write_text('{"schema_version": 99}')
    overview = look(collection.folder)
    assert "newer lfadsq" in overview.tasks[0].reason
    assert len(overview.tasks) == 4


def test_a_control_folder_that_is_open_to_all_is_not_read(collection: Any) -> None:
    collection.control.edit(lambda wishes: wishes.with_paused())
    collection.control.paths.folder.chmod(0o777)
    with pytest.raises(QueueError, match="everybody"):
        look(collection.folder)


def test_what_failed_before_it_was_tried_is_still_known_when_its_queue_has_ended(
    collection: Any,
) -> None:
    collection.write_script()
    name, other = collection.names[:2]
    failed = replace(
        collection.status(name, TaskState.FAILED),
        cause=Cause.FITS_NOWHERE.value,
        reason="it needs more",
        memory_mb=collection.tasks[name].memory_mb,
        attempt=0,
    )
    with collection.live_queue(failed, collection.status(other, TaskState.WAITING)):
        pass
    tasks = look(collection.folder).tasks
    assert (tasks[0].state, tasks[0].cause) == (TaskState.FAILED, Cause.FITS_NOWHERE.value)
    assert tasks[0].reason == "it needs more"
    assert tasks[1].state is TaskState.WAITING
    # Whoever lowers what it needs has changed the question.
    collection.specs[0]["memory_req"] = 1
    collection.write_script()
    assert look(collection.folder).tasks[0].state is TaskState.WAITING


def test_who_paused_is_told(collection: Any) -> None:
    collection.write_script()
    collection.control.edit(lambda wishes: wishes.with_paused([collection.names[0]]))
    collection.control.edit(lambda wishes: wishes.with_paused())
    reasons = [task.reason for task in look(collection.folder).tasks[:2]]
    assert reasons == ["a person paused it", "the queue is paused"]


def test_what_is_wrong_in_added_tasks_is_told_with_the_file(collection: Any) -> None:
    collection.write_script()
    collection.control.edit(lambda wishes: wishes.with_added([{"name": "x"}]))
    overview = look(collection.folder)
    assert overview.problem.startswith(f"{collection.control.paths.wishes}: task 1 ('x')")
    assert len(overview.tasks) == len(collection.names)
