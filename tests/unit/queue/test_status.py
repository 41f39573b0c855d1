from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.status import (
    DeviceStatus,
    QueueState,
    Snapshot,
    TaskState,
    TaskStatus,
    Watermarks,
)

amounts = st.floats(0, 1e6)
tasks = st.builds(
    TaskStatus,
    name=st.text(),
    state=st.sampled_from(TaskState),
    since=st.text(),
    device=st.text(),
    attempt=st.integers(0),
    cause=st.text(),
    priority=st.integers(),
    memory_mb=amounts,
    is_alone=st.booleans(),
    command=st.text(),
)
devices = st.builds(
    DeviceStatus,
    device_id=st.text(),
    name=st.text(),
    memory_total_mb=amounts,
    memory_free_mb=amounts,
    left_mb=st.floats(-1e6, 1e6),
    max_tasks=st.integers(0),
    tasks=st.lists(st.text()).map(tuple),
    history=st.lists(st.tuples(amounts, st.text()), max_size=3).map(tuple),
    utilisation_percent=st.none() | amounts,
    power_w=st.none() | amounts,
    power_limit_w=st.none() | amounts,
    temperature_c=st.none() | amounts,
    num_others=st.integers(0),
    other_users=st.lists(st.text()).map(tuple),
    host=st.text(),
)
snapshots = st.builds(
    Snapshot,
    queue_id=st.text(),
    queue_name=st.text(),
    host=st.text(),
    pid=st.integers(1),
    started_at=st.text(),
    updated_at=st.text(),
    state=st.sampled_from(QueueState),
    tensorboard_tunnel=st.text(),
    dashboard=st.text(),
    dashboard_tunnel=st.text(),
    devices=st.lists(devices, max_size=2).map(tuple),
    tasks=st.lists(tasks, max_size=3).map(tuple),
)


@given(snapshots)
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    assert Snapshot.from_dict(json.loads(json.dumps(snapshot.to_dict()))) == snapshot


def test_what_an_earlier_version_wrote_is_read() -> None:
    device = {
        "device_id": "GPU-1", "name": "GPU 0", "memory_total_mb": 8.0, "memory_free_mb": 4.0,
        "left_mb": 2.0, "max_tasks": 1,
    }  # fmt: skip
    told = {
        "schema_version": 1, "queue_id": "q", "queue_name": "n", "host": "h", "pid": 1,
        "started_at": "", "updated_at": "", "state": "running", "devices": [device], "tasks": [],
    }  # fmt: skip
    snapshot = Snapshot.from_dict(told)
    assert (snapshot.dashboard, snapshot.tensorboard_tunnel) == ("", "")
    (read,) = snapshot.devices
    assert (read.utilisation_percent, read.other_users, read.host) == (None, (), "")


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(0, 13))
def test_watermarks_know_when_so_much_was_last_left(history: list[int], need: int) -> None:
    seen = Watermarks()
    for time, left_mb in enumerate(history):
        seen.note(left_mb, f"{time:02d}")
    enough = [f"{time:02d}" for time, left_mb in enumerate(history) if left_mb >= need]
    assert seen.since_when_below(need) == (enough[-1] if enough else None)
    amounts_mb = [left_mb for left_mb, _ in seen.entries]
    assert amounts_mb == sorted(set(amounts_mb), reverse=True)
    assert Watermarks(seen.entries).since_when_below(need) == seen.since_when_below(need)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(0, 1000))
def test_watermarks_stay_few_and_are_never_too_late(history: list[int], need: int) -> None:
    seen = Watermarks(max_entries=4)
    for time, left_mb in enumerate(history):
        seen.note(left_mb, f"{time:02d}")
    assert len(seen.entries) <= 4
    enough = [f"{time:02d}" for time, left_mb in enumerate(history) if left_mb >= need]
    said = seen.since_when_below(need)
    assert (said is None) == (not enough)
    assert said is None or said <= enough[-1]
    # How things are now, and the most there ever was since, are exact.
    assert seen.entries[-1][0] == history[-1]
    assert seen.entries[0][0] == max(history)


def test_only_what_needs_a_person_to_go_on_is_finished() -> None:
    finished = {state.value for state in TaskState if state.is_finished}
    assert finished == {"done", "failed", "cancelled"}
