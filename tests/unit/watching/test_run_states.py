"""Where runs stand: told by their files, and never against `lfadsq queue status`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.overview import look
from lfadsq.queue.records import AttemptState, Cause, Outcome, iso_time
from lfadsq.queue.status import TaskState
from lfadsq.watching.collection_status import read_collection_status
from lfadsq.watching.run_status import Phase, RunState, RunStatus

# What a state of a queue's task may be called here.
AGREEING = {
    TaskState.WAITING: {RunState.WAITING, RunState.TRAINED, RunState.STOPPED},
    TaskState.PAUSED: {RunState.PAUSED},
    TaskState.RUNNING: {RunState.TRAINING},
    TaskState.LEFT: {RunState.TRAINING},
    TaskState.ELSEWHERE: {RunState.TRAINING},
    TaskState.DONE: {RunState.DONE},
    TaskState.FAILED: {RunState.FAILED},
    TaskState.CANCELLED: {RunState.CANCELLED},
    TaskState.INTERRUPTED: {RunState.STOPPED},
}
INTERRUPTED = {
    "state": AttemptState.ENDED,
    "outcome": Outcome.INTERRUPTED,
    "ended_at": "2018-01-31T00:01:00.000+00:00",
}


def runs_of(sweep: Any) -> list[RunStatus]:
    """Give the runs, after seeing that queues say the same of them."""
    runs = read_collection_status(sweep.folder).runs
    places = {str(Path(run.name)): run for run in runs}
    for task in look(sweep.folder).tasks:
        place = str(Path(task.donefile).parent.relative_to(sweep.folder))
        if place in places:
            assert places[place].state in AGREEING[task.state], (task, places[place])
    return list(runs)


def states(sweep: Any) -> list[str]:
    return [run.state.value for run in runs_of(sweep)]


def test_of_runs_without_a_queue(sweep: Any) -> None:
    collection = sweep.collection
    collection.write_script()
    a, b, c, _ = sweep.names
    collection.tasks[a].donefile.touch()
    collection.record(b, collection.failed(b, cause=Cause.GPU_MEMORY))
    collection.record(c, collection.attempt(c, **INTERRUPTED))
    runs = runs_of(sweep)
    assert [run.state.value for run in runs] == ["done", "failed", "stopped", "waiting"]
    assert (runs[1].cause, runs[1].device) == ("out of GPU memory", "GPU 0 (A100)")
    assert "gpu_memory_required" in runs[1].remedy
    assert runs[3].reason == "no queue runs"


def test_wishes_count_also_for_runs_that_nobody_began(sweep: Any) -> None:
    collection = sweep.collection
    collection.write_script()
    a, b, c, d = sweep.names
    collection.record(c, collection.failed(c))
    collection.record(d, collection.failed(d, 2))
    control = collection.control
    control.edit(lambda wishes: wishes.with_cancelled([a]).with_paused([b]))
    control.edit(lambda wishes: wishes.with_retried({c: 1, d: 1}))
    assert states(sweep) == ["cancelled", "paused", "waiting", "failed"]
    control.edit(lambda wishes: wishes.with_paused())
    assert states(sweep) == ["cancelled", "paused", "paused", "failed"]


def test_a_live_queue_is_believed(sweep: Any) -> None:
    collection = sweep.collection
    a, b, c, d = sweep.names
    sweep.say(0)
    sweep.say(2, "finished")
    collection.record(b, collection.failed(b))
    with collection.live_queue(
        collection.status(a, TaskState.RUNNING, device="GPU-1", device_name="GPU 0 (A100)"),
        collection.status(b, TaskState.WAITING, reason="again after a while"),
        collection.status(c, TaskState.RUNNING, device="cpu@node9", device_name="CPU"),
        collection.status(d, TaskState.FAILED, cause="fits no device", reason="too large"),
    ):
        runs = runs_of(sweep)
    assert [run.state.value for run in runs] == ["training", "waiting", "training", "failed"]
    first, _, third, last = runs
    assert (first.phase, first.host, first.device) == (Phase.TRAINING, "node7", "GPU 0 (A100)")
    assert (first.num_epochs, first.valid_cost, first.learning_rate) == (12, 310.5, 0.0041)
    assert (first.steps_per_s, first.remaining_s, first.lowest_valid_cost) == (35.2, 75.0, 309.25)
    assert third.phase is Phase.SAMPLING
    assert (last.cause, last.reason) == ("fits no device", "too large")
    assert "device with more memory" in last.remedy


def test_what_the_last_queue_said_of_a_run_that_never_started_is_kept(sweep: Any) -> None:
    collection = sweep.collection
    collection.write_script()
    said = collection.status(sweep.names[1], TaskState.FAILED, cause="fits no device", reason="x")
    with collection.live_queue(said):
        pass
    runs = runs_of(sweep)
    assert [run.state.value for run in runs] == ["waiting", "failed", "waiting", "waiting"]
    assert runs[1].cause == "fits no device"


def test_a_task_that_outlived_its_queue_trains(sweep: Any) -> None:
    collection = sweep.collection
    collection.write_script()
    sweep.say(0, updated="2018-01-31T00:00:00+00:00")
    with collection.left_task(sweep.names[0], "sleep 600", host="node7"):
        runs = runs_of(sweep)
        assert runs[0].state is RunState.TRAINING
        assert (runs[0].host, runs[0].device) == ("node7", "GPU 0 (A100)")
    # Killed: its lock is free, and its record says that it runs.
    assert runs_of(sweep)[0].state is RunState.STOPPED


def test_words_of_the_process_before_do_not_count_as_silence(sweep: Any) -> None:
    collection = sweep.collection
    sweep.say(0, updated="2018-01-31T00:00:00+00:00")
    began = iso_time(time.time() - 60)
    running = collection.status(sweep.names[0], TaskState.RUNNING, since=began)
    with collection.live_queue(running):
        status = read_collection_status(sweep.folder)
    assert status.runs[0].phase is Phase.STARTING
    assert status.warnings == ()


def test_of_runs_trained_by_hand(sweep: Any) -> None:
    here = socket.gethostname()
    sweep.say(0, "finished")
    sweep.say(1, "failed")
    log = sweep.folder / sweep.runs[1] / "lfads.out"
    log.write_text("error: the cost is not finite (nan) in epoch 3\nNonFiniteCostError\n")
    sweep.say(2, host=here, pid=os.getpid())
    sweep.say(3, "stopped")
    runs = runs_of(sweep)
    assert [run.state.value for run in runs] == ["trained", "failed", "training", "stopped"]
    assert (runs[1].cause, runs[2].host) == ("not a number", here)
    assert f"process {os.getpid()} on {here}" in runs[2].reason


def test_a_process_that_is_gone_does_not_train(sweep: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    sweep.say(0, host=socket.gethostname(), pid=process.pid)
    sweep.say(1, updated="2018-01-31T00:00:00+00:00")
    assert states(sweep)[:2] == ["stopped", "stopped"]


def test_a_person_may_train_what_a_queue_gave_up(sweep: Any) -> None:
    collection = sweep.collection
    ended = iso_time(time.time() - 60)
    for name in sweep.names[:2]:
        collection.record(name, collection.attempt(name, **{**INTERRUPTED, "ended_at": ended}))
    sweep.say(0)
    # The last word of the queue's own process, seen from another machine.
    sweep.say(1, updated=iso_time(time.time() - 90))
    assert states(sweep)[:2] == ["training", "stopped"]


def test_of_runs_of_the_original_trainer(sweep: Any) -> None:
    gap = " " * 6
    text = "".join(
        f"epoch,{n}, step,{n}, total,1.00,{valid}, {gap}recon,1.00,2.00, kl,3.00,4.00,"
        f" l2,0.00000, {gap}klweight,1.00, l2weight,1.00\n"
        for n, valid in enumerate(["1.00", "8.00", "9.50"])
    )
    for number in (0, 1):
        output = sweep.folder / sweep.runs[number] / "lfadsOutput"
        output.mkdir()
        (output / "fitlog.csv").write_text(text)
    os.utime(output / "fitlog.csv", (time.time() - 7200,) * 2)
    (sweep.folder / sweep.runs[2] / "lfads.out").write_text("x\nCUDA_ERROR_OUT_OF_MEMORY\n")
    first, second, third, _ = runs_of(sweep)
    assert (first.state, second.state) == (RunState.TRAINING, RunState.STOPPED)
    assert (first.num_epochs, first.valid_cost, first.lowest_valid_cost) == (3, 9.5, 8.0)
    assert (third.state, third.cause) == (RunState.FAILED, "out of GPU memory")


def test_folders_of_something_else_are_no_runs(sweep: Any) -> None:
    (sweep.folder / "param_notes" / "empty").mkdir(parents=True)
    (sweep.folder / "param_file").touch()
    (sweep.folder / "data_4MaTKO" / "single.a").mkdir(parents=True)
    assert len(runs_of(sweep)) == len(sweep.runs)


def test_runs_that_only_the_summary_names_are_not_prepared(sweep: Any) -> None:
    sweep.write_summary(*[f"c_gen_dim={dim}" for dim in (1, 2, 3, 4, 5)])
    runs = read_collection_status(sweep.folder).runs
    assert [run.name for run in runs if run.state is RunState.NOT_PREPARED] == [
        "param_absent/single.a"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_said_to_be(sweep: Any) -> None:
    folder = sweep.folder / sweep.runs[0]
    folder.chmod(0)
    try:
        first = read_collection_status(sweep.folder).runs[0]
    finally:
        folder.chmod(0o755)
    assert (first.state, first.reason) == (RunState.UNKNOWN, "cannot be read: Permission denied")


def test_a_record_of_a_newer_lfadsq_is_no_guess(sweep: Any) -> None:
    record = sweep.collection.tasks[sweep.names[0]].files.record
    record.write_text('{"schema_version": 99, "name": "x", "attempts": []}')
    first = read_collection_status(sweep.folder).runs[0]
    assert first.state is RunState.UNKNOWN
    assert "newer lfadsq" in first.reason


def test_a_collection_behind_a_link_is_the_same(sweep: Any, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sweep.folder)
    collection = sweep.collection
    with collection.live_queue(collection.status(sweep.names[0], TaskState.RUNNING)):
        assert read_collection_status(link).runs[0].state is RunState.TRAINING
