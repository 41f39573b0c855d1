"""Looking at a collection again and again: the same as looking at all of it anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest

from lfadsq.errors import LfadsqError
from lfadsq.queue.records import AttemptState, Outcome
from lfadsq.queue.status import TaskState
from lfadsq.watching.collection_status import read_collection_status
from lfadsq.watching.live.reading import CollectionReader
from lfadsq.watching.run_status import RunState


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(sweep: Any, clock: Clock) -> CollectionReader:
    return CollectionReader(sweep.folder, clock_s=clock)


def states(reader: CollectionReader) -> list[str]:
    return [run.state.value for run in reader.look().runs]


def test_a_live_queue_tells_of_every_change_without_another_look_at_all(
    sweep: Any, reader: CollectionReader, clock: Clock
) -> None:
    a, b, c, _ = sweep.names
    status = sweep.collection.status
    with sweep.collection.live_queue(
        *(status(name, TaskState.WAITING) for name in sweep.names)
    ) as presence:
        assert states(reader) == ["waiting"] * 4
        assert reader.look() is reader.look(), "nothing has changed"
        sweep.say(0, num_epochs=3)
        tasks = (
            status(a, TaskState.RUNNING, device_name="GPU 0"),
            status(b, TaskState.FAILED, cause="not a number"),
            status(c, TaskState.WAITING),
        )
        clock.now_s += 1
        presence.publish(sweep.collection.snapshot(*tasks), at_once=True)
        seen = reader.look()
        assert [run.state.value for run in seen.runs][:3] == ["training", "failed", "waiting"]
        assert (seen.runs[0].num_epochs, seen.runs[0].device) == (3, "GPU 0")
        assert seen.failures[0].cause == "not a number"
        sweep.say(0, num_epochs=4)
        assert reader.look().runs[0].num_epochs == 4, "at work, so it is looked at each time"
        assert reader.num_full == 1
        fresh = read_collection_status(sweep.folder)
        assert reader.look().runs == fresh.runs
        assert reader.look().counts == fresh.counts
    clock.now_s += 1
    assert reader.look().queues == ()
    assert reader.look().last is not None
    assert reader.num_full == 2, "without a queue all are in doubt"


def test_what_no_queue_tells_of_is_found_in_time(
    sweep: Any, reader: CollectionReader, clock: Clock
) -> None:
    sweep.collection.record(sweep.names[3], sweep.collection.failed(sweep.names[3]))
    assert states(reader) == ["waiting", "waiting", "waiting", "failed"]
    sweep.collection.tasks[sweep.names[0]].donefile.touch()
    assert states(reader)[0] == "waiting", "not looked at yet"
    clock.now_s += 60
    assert states(reader)[0] == "done"
    sweep.collection.tasks[sweep.names[1]].donefile.touch()
    reader.forget()
    assert states(reader)[1] == "done", "a person asked for it"


def test_a_queue_that_begins_later_is_seen_at_once(
    sweep: Any, reader: CollectionReader, clock: Clock
) -> None:
    assert reader.look().queues == ()
    clock.now_s += 1
    with sweep.collection.live_queue(sweep.collection.status(sweep.names[0], TaskState.RUNNING)):
        seen = reader.look()
        assert [queue.queue_id for queue in seen.queues] == ["q1"]
        assert seen.runs[0].state is RunState.TRAINING


def test_wishes_are_seen_at_once(sweep: Any, reader: CollectionReader, clock: Clock) -> None:
    name = sweep.names[0]
    attempt = sweep.collection.attempt(name, state=AttemptState.ENDED, outcome=Outcome.INTERRUPTED)
    sweep.collection.record(name, attempt)
    assert states(reader)[0] == "stopped"
    clock.now_s += 1
    sweep.collection.control.edit(lambda wishes: wishes.with_cancelled([name]))
    assert states(reader)[0] == "cancelled"
    clock.now_s += 1
    sweep.collection.control.edit(lambda wishes: replace(wishes, is_paused=True))
    assert reader.look().is_paused


def test_a_folder_that_vanishes_is_told_and_comes_back(
    sweep: Any, reader: CollectionReader, clock: Clock
) -> None:
    assert len(reader.look().runs) == 4
    aside = sweep.folder.with_name("aside")
    sweep.folder.rename(aside)
    for _ in range(2):
        clock.now_s += 1
        with pytest.raises(LfadsqError, match="my collection"):
            reader.look()
    aside.rename(sweep.folder)
    assert len(reader.look().runs) == 4
    shutil.rmtree(sweep.folder / "param_hash01")
    clock.now_s += 60
    assert len(reader.look().runs) == 3
