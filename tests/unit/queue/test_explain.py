from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.explain import Explanation, explain, explanation_text
from lfadsq.queue.obstacles import obstacles
from lfadsq.queue.overview import look
from lfadsq.queue.records import Cause, Outcome
from lfadsq.queue.status import DeviceStatus, TaskState

NOON_S = 1517400000.0  # 2018-01-31T12:00 UTC
GPU = DeviceStatus("GPU-1", "GPU 0", 40000.0, 30000.0, 20000.0, 2)


def explained(collection: Any, name: str) -> tuple[Explanation, str]:
    explanation = explain(name, look(collection.folder))
    return explanation, explanation_text(explanation, now_s=NOON_S)


def obstacle(collection: Any, need_mb: float, device: DeviceStatus, **changes: Any) -> Any:
    is_alone = changes.pop("is_alone", False)
    task = collection.status(collection.names[0], TaskState.WAITING, is_alone=is_alone)
    queue = collection.snapshot(devices=(device,), max_tasks=changes.pop("max_tasks", 8))
    (only,) = obstacles(replace(task, memory_mb=need_mb), queue)
    return only


def test_what_a_device_lacks_is_told_with_since_when(collection: Any) -> None:
    history = ((35000.0, "2018-01-31T10:30:00.000+00:00"), (20000.0, "2018-01-31T11:59:59+00:00"))
    device = replace(GPU, tasks=("other",), history=history)
    found = obstacle(collection, 25000.0, device)
    assert (found.lacks_mb, found.left_mb) == (5000.0, 20000.0)
    assert found.since == "2018-01-31T10:30:00.000+00:00"
    assert "other runs there" in found.reason
    # What is left, in use, and reserved is all there is.
    amounts = [float(number) for number in re.findall(r"(\d+)(?: of 40000)? MB are", found.reason)]
    assert amounts == [5000.0, 20000.0, 10000.0, 10000.0]
    waiting = replace(collection.status(collection.names[0], TaskState.WAITING), memory_mb=25000.0)
    with collection.live_queue(waiting, devices=(device,)):
        _, text = explained(collection, collection.names[0])
    assert "5000 MB are missing" in text
    assert "there was enough last 1 h 30 min ago (2018-01-31T10:30:00.000+00:00)" in text


@pytest.mark.parametrize(
    ("need_mb", "changes", "words"),
    [
        (41000.0, {}, "40000 MB in all"),
        (1.0, {"closed_because": "it fell off the bus"}, "fell off the bus"),
        (1.0, {"tasks": ("a", "b")}, "no more than 2 at a time: a, b run there"),
        (1.0, {}, "there is room"),
        (20000.0, {}, "there is room"),
        (20000.5, {}, "MB are missing"),
        (1.0, {"kept_for": "large"}, "it is kept for large"),
    ],
)
def test_each_reason_of_a_device(
    collection: Any, need_mb: float, changes: dict[str, Any], words: str
) -> None:
    assert words in obstacle(collection, need_mb, replace(GPU, **changes)).reason


def test_a_device_that_one_task_has_for_itself_or_that_is_freed_for_it(collection: Any) -> None:
    name, other = collection.names[:2]
    waiting = collection.status(name, TaskState.WAITING)
    lone = collection.status(other, TaskState.RUNNING, is_alone=True)
    queue = collection.snapshot(waiting, lone, devices=(replace(GPU, tasks=(other,)),))
    assert obstacles(waiting, queue)[0].reason == f"{other} runs there, and is to be alone"
    freed = collection.snapshot(waiting, devices=(replace(GPU, kept_for=name),))
    assert "there is room" in obstacles(waiting, freed)[0].reason


def test_alone_and_full_queues_are_reasons(collection: Any) -> None:
    busy = replace(GPU, tasks=("a",))
    assert "to be alone" in obstacle(collection, 1.0, busy, is_alone=True).reason
    assert "1 tasks run, the most" in obstacle(collection, 1.0, busy, max_tasks=1).reason
    assert "the most" not in obstacle(collection, 1.0, busy, max_tasks=2).reason


def test_a_failed_run_is_told_with_all_that_helps(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    task = collection.tasks[name]
    before = "other attempt's line\n"
    task.outfile.write_text(before + "epoch 3\nResourceExhaustedError: OOM\n")
    first = replace(
        collection.failed(name, 1, Cause.GPU_MEMORY), peak_memory_mb=39000.0, log_offset=0
    )
    second = replace(
        collection.failed(name, 2, Cause.GPU_MEMORY), is_alone=True, log_offset=len(before)
    )
    collection.record(name, first, second)
    explanation, text = explained(collection, name)
    assert explanation.status.state is TaskState.FAILED
    assert explanation.log_tail == "epoch 3\nResourceExhaustedError: OOM"
    for words in (
        "failed on GPU 0 (A100): out of GPU memory",
        f"1. 2018-01-31T00:00:00.000+00:00, 1 min 15 s on GPU 0 (A100) of {socket.gethostname()}",
        "failed, out of GPU memory (exit status 1)",
        "1000 MB reserved, 39000 MB taken at most",
        "alone on the device",
        "| ResourceExhaustedError: OOM",
        "CUDA_VISIBLE_DEVICES=GPU-1",
        # It ran alone, so that more memory on the same device is no remedy.
        "it had a GPU to itself: lower c_batch_size",
        f"to try it again: `python '{collection.folder / 'run_lfadsqueue.py'}'`",
    ):
        assert words in text
    assert "other attempt" not in text
    # A queue that has given up tries nothing more by itself.
    assert "may still try" not in text


def test_one_that_waits_for_another_try_says_how_many_are_left(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, collection.failed(name, 1, Cause.GPU_MEMORY))
    with collection.live_queue(collection.status(name, TaskState.WAITING)):
        _, text = explained(collection, name)
    assert "after 'out of GPU memory' 2 more of 3 tries" in text


def test_a_gpu_of_another_machine_is_not_named_by_hand(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, replace(collection.failed(name), host="far.example.org"))
    assert "CUDA_VISIBLE_DEVICES" not in explained(collection, name)[0].command_by_hand


def test_the_command_by_hand_runs_the_same(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    run = collection.run_of(name)
    (run / "lfads_train.sh").write_text('echo "by hand on $CUDA_VISIBLE_DEVICES"')
    collection.specs[0]["command"] = f"bash {shlex.quote(str(run / 'lfads_train.sh'))}"
    collection.write_script()
    collection.record(name, collection.failed(name))
    explanation, _ = explained(collection, name)
    ran = subprocess.run(
        explanation.command_by_hand, shell=True, check=True, capture_output=True, text=True
    )
    assert ran.stdout == "by hand on GPU-1\n"


def test_what_repeats_itself_is_not_tried_again(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, collection.failed(name, 1, Cause.NOT_A_NUMBER))
    _, text = explained(collection, name)
    assert "the same seed and settings will do it again" in text
    # A new queue refuses it, so that is not what to do; and the verb is said once.
    assert text.count("queue retry") == 1
    assert "run_lfadsqueue.py" not in text.partition("what to do")[2]


def test_forgiven_attempts_are_told_as_such(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, collection.failed(name, 1, Cause.NOT_A_NUMBER))
    collection.control.edit(lambda wishes: wishes.with_retried({name: 1}))
    explanation, text = explained(collection, name)
    assert explanation.status.state is TaskState.WAITING
    assert "no longer counted" in text
    assert explanation.allowed == ""
    assert "start a queue: `python " in text


def test_a_dead_queue_is_told_and_that_the_next_goes_on(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, collection.attempt(name))
    _, text = explained(collection, name)
    assert "nobody holds its lock, so its queue died; a new queue goes on" in text
    assert "nobody saw it end" in text


def test_a_done_run_tells_when_how_long_and_where(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(
        name,
        replace(collection.failed(name), outcome=Outcome.SUCCEEDED, cause=None, exit_status=0),
    )
    collection.tasks[name].donefile.touch()
    explanation, text = explained(collection, name)
    assert text.startswith(
        f"{name}: done since 2018-01-31T00:01:15.000+00:00 on GPU 0 (A100), 1 min 15 s"
    )
    assert explanation.remedy == ""


def test_a_running_one_shows_its_own_log_so_far(collection: Any) -> None:
    name = collection.names[0]
    collection.tasks[name].outfile.write_text("old\nnew\n")
    collection.record(name, collection.attempt(name, 2, log_offset=4))
    running = collection.status(name, TaskState.RUNNING, attempt=2, device_name="GPU 0")
    with collection.live_queue(running):
        explanation, text = explained(collection, name)
    assert explanation.log_tail == "new"
    assert "running on GPU 0, attempt 2 (queue demo on node1)" in text
    assert "for 12 h 00 min now" in text


def test_a_run_that_was_never_tried(collection: Any) -> None:
    collection.write_script()
    explanation, text = explained(collection, collection.names[0])
    assert explanation.attempts == ()
    assert "none yet" in text
    assert explanation.log_tail == ""


def test_a_record_nobody_can_read_is_said_and_the_rest_told(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.tasks[name].files.record.write_text('{"schema_version": 99}')
    explanation, text = explained(collection, name)
    assert "newer lfadsq" in explanation.problem
    assert "by hand" in text


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state_can_be_told_and_written(collection: Any, state: TaskState) -> None:
    name = collection.names[0]
    collection.record(name, collection.failed(name))
    with collection.live_queue(collection.status(name, state, cause="unknown")):
        explanation, text = explained(collection, name)
    assert state.value in text
    data = json.loads(json.dumps(explanation.to_dict()))
    assert data["task"]["state"] == state.value
    assert data["attempts"][0]["exit_status"] == 1


def test_a_paused_run_is_not_said_to_wait_for_a_device(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    paused = replace(collection.status(name, TaskState.PAUSED), reason="paused")
    collection.control.edit(lambda wishes: wishes.with_paused([name]))
    with collection.live_queue(paused, devices=(GPU,)):
        explanation, text = explained(collection, name)
    assert explanation.obstacles == ()
    assert f"{name}: paused (queue" in text
    assert f"lfadsq queue resume -C '{collection.folder}' {name}" in text
    collection.control.edit(lambda wishes: wishes.with_paused())
    assert f"resume -C '{collection.folder}'` lets all go on" in explained(collection, name)[1]


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.CANCELLED, TaskState.PAUSED])
def test_what_to_do_can_be_pasted_from_any_folder(
    collection: Any, state: TaskState, tmp_path_factory: pytest.TempPathFactory
) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.control.edit(lambda wishes: wishes.with_cancelled([name]).with_paused([name]))
    with collection.live_queue(collection.status(name, state)):
        explanation, _ = explained(collection, name)
    found = re.search(r"`(lfadsq queue [^`]*)`", explanation.remedy)
    assert found is not None
    done = subprocess.run(
        f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {found[1]}",
        shell=True,
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
    )
    assert name in done.stdout or "nothing to try again" in done.stdout
