"""The whole of a collection: counts, best runs, warnings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import RunNotFoundError
from lfadsq.queue.records import Cause, iso_time
from lfadsq.queue.status import TaskState
from lfadsq.watching.collection_status import find_runs_above, read_collection_status
from lfadsq.watching.run_status import RunState
from lfadsq.watching.signs import Disk


def best_of(sweep: Any, num_best: int = 10) -> list[tuple[int, str, str]]:
    best = read_collection_status(sweep.folder).best(num_best)
    return [(one.rank, one.data, one.run.name) for one in best]


def test_the_best_are_those_of_lowest_validation_cost(sweep: Any) -> None:
    sweep.write_summary(*[f"c_gen_dim={dim} c_co_dim=0" for dim in (1, 2, 3, 4)])
    for number, cost in enumerate([7.0, 5.0, None, 6.0]):
        sweep.say(number, "finished", lowest_valid_total=cost)
    status = read_collection_status(sweep.folder)
    best = status.best(2)
    assert [one.run.name for one in best] == [sweep.runs[1], sweep.runs[3]]
    # Only what differs between runs is told.
    assert [one.settings for one in best] == [{"c_gen_dim": "2"}, {"c_gen_dim": "4"}]
    assert len(status.best(10)) == 3
    assert status.best(0) == ()


def test_costs_on_other_data_are_not_compared(sweep: Any) -> None:
    sweep.write_summary(
        "spikeBinMs=5", "spikeBinMs=5 c_gen_dim=9", "c_gen_dim=9", "c_gen_dim=7",
        defaults="spikeBinMs: 2\nc_gen_dim: 64",
    )  # fmt: skip
    for number, cost in enumerate([40.0, 30.0, 20.0, 10.0]):
        sweep.say(number, "finished", lowest_valid_total=cost)
    assert best_of(sweep, 1) == [
        (1, "single.a, spikeBinMs=2", sweep.runs[3]),
        (1, "single.a, spikeBinMs=5", sweep.runs[1]),
    ]


def test_failures_are_told_by_cause_the_most_frequent_first(sweep: Any) -> None:
    collection = sweep.collection
    causes = [Cause.NOT_A_NUMBER, Cause.GPU_MEMORY, Cause.GPU_MEMORY]
    for name, cause in zip(sweep.names, causes, strict=False):
        collection.record(name, collection.failed(name, cause=cause))
    groups = read_collection_status(sweep.folder).failures
    assert [(group.cause, len(group.runs)) for group in groups] == [
        ("out of GPU memory", 2),
        ("not a number", 1),
    ]


def test_a_training_that_falls_silent_is_warned_of(sweep: Any) -> None:
    collection = sweep.collection
    long_ago = iso_time(time.time() - 7200)
    sweep.say(0, updated=long_ago)
    sweep.say(1, updated=long_ago, epoch_s=3600.0)  # two of its epochs
    sweep.say(2, "finished", updated=long_ago)  # samples posterior means
    sweep.say(3)
    running = [collection.status(name, TaskState.RUNNING) for name in sweep.names]
    with collection.live_queue(*running):
        warnings = read_collection_status(sweep.folder).warnings
    assert [(one.kind, one.run) for one in warnings if one.kind == "stale"] == [
        ("stale", sweep.runs[0])
    ]
    assert "on node7: no progress for 2 h 00 min" in warnings[0].text


@pytest.mark.parametrize(
    ("free_mb", "total_mb", "free_files", "is_nearly_full"),
    [
        (1999.0, 3000.0, None, True),
        (20_000.0, 1e6, None, False),
        (9000.0, 1e6, None, True),
        (60_000.0, 1e8, None, False),
        (20_000.0, 1e6, 999, True),
        (20_000.0, 1e6, 10**6, False),
    ],
)
def test_when_a_disk_is_nearly_full(
    free_mb: float, total_mb: float, free_files: int | None, is_nearly_full: bool
) -> None:
    assert Disk(free_mb, total_mb, free_files).is_nearly_full is is_nearly_full


def test_a_collection_is_found_from_within_and_needs_no_script(sweep: Any, tmp_path: Path) -> None:
    for place in (sweep.folder, sweep.folder / sweep.runs[0] / "lfadsInput"):
        assert find_runs_above(place) == sweep.folder
    with pytest.raises(RunNotFoundError, match="in no collection"):
        find_runs_above(tmp_path)
    with pytest.raises(RunNotFoundError, match="there is no"):
        find_runs_above(tmp_path / "nothing")


def test_nothing_is_written(sweep: Any) -> None:
    sweep.say(0)
    before = sorted((path, path.stat().st_mtime_ns) for path in sweep.folder.rglob("*"))
    read_collection_status(sweep.folder).to_dict(3)
    assert sorted((path, path.stat().st_mtime_ns) for path in sweep.folder.rglob("*")) == before


def test_an_empty_collection_has_no_runs(tmp_path: Path) -> None:
    (tmp_path / "param_hash01").mkdir()
    status = read_collection_status(tmp_path)
    assert status.runs == ()
    assert status.to_dict(3)["counts"][RunState.DONE.value] == 0
