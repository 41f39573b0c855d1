"""What stands above the list, and the line of keys below it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lfadsq.queue.records import Cause
from lfadsq.queue.status import TaskState
from lfadsq.watching.collection_status import read_collection_status
from lfadsq.watching.live.head_lines import best_lines, head_lines
from lfadsq.watching.live.keys import BOARD_KEYS, HELP, key_line
from lfadsq.watching.live.lines import plain, width_of


def text_of(status: Any, width: int = 80, **options: Any) -> str:
    return "\n".join(plain(line) for line in head_lines(status, width, **options))


def test_pages_are_shown_with_the_lines_that_lead_there(sweep: Any) -> None:
    status = sweep.collection.status
    with sweep.collection.live_queue(
        status(sweep.names[0], TaskState.WAITING),
        tensorboard="http://localhost:41001",
        tensorboard_tunnel="ssh -N -L 6006:localhost:41001 ada@node1",
        dashboard="http://node3:8787/status",
        dashboard_tunnel="ssh -N -L 8787:node3:8787 ada@node1",
    ):
        told = text_of(read_collection_status(sweep.folder))
    assert told.splitlines()[2:] == [
        "TensorBoard: http://localhost:41001",
        "  from your own computer: ssh -N -L 6006:localhost:41001 ada@node1",
        "Dask dashboard: http://node3:8787/status",
        "  from your own computer: ssh -N -L 8787:node3:8787 ada@node1",
    ]


def test_failures_are_told_by_cause_and_what_is_left_has_room(sweep: Any) -> None:
    for name, cause in zip(
        sweep.names, (Cause.NOT_A_NUMBER, Cause.GPU_MEMORY, Cause.GPU_MEMORY), strict=False
    ):
        sweep.collection.record(name, sweep.collection.failed(name, cause=cause))
    status = sweep.collection.status
    sweep.say(3, remaining_s=7380.0, is_lower_bound=True)
    with sweep.collection.live_queue(
        *(status(name, TaskState.FAILED, cause="out of GPU memory") for name in sweep.names[:2]),
        status(sweep.names[2], TaskState.FAILED, cause="not a number"),
        status(sweep.names[3], TaskState.RUNNING),
    ):
        seen = read_collection_status(sweep.folder)
    wide = text_of(seen)
    assert "4 runs: 1 training, 3 failed; those at work need >2h03m more" in wide
    assert "3 failed: 2 out of GPU memory, 1 not a number" in wide
    narrow = text_of(seen, 45).splitlines()
    assert narrow[1:3] == ["4 runs: 1 training, 3 failed", "those at work need >2h03m more"]
    told = text_of(replace(seen, is_paused=True), problem="it is\x1b[2J gone")
    assert "what follows is old: it is gone" in told
    assert "all is paused (`lfadsq queue resume`)" in told


def test_the_best_of_one_kind_of_data_or_of_each(sweep: Any) -> None:
    sweep.write_summary("c_gen_dim=64", "c_gen_dim=128", "c_gen_dim=200", "c_gen_dim=10")
    for number, cost in enumerate((5.0, 2.0, 9.0)):
        sweep.say(number, "finished", lowest_valid_total=cost)
    status = read_collection_status(sweep.folder)
    assert [plain(line) for line in best_lines(status, 2, 80)] == [
        "best 1:       2.00 hash02/single.a gen_dim=128",
        "best 2:       5.00 hash01/single.a gen_dim=64",
    ]
    assert best_lines(status, 0, 80) == []
    other = sweep.folder / "param_hash01" / "single.b" / "lfadsOutput"
    other.mkdir(parents=True)
    (other / "progress.json").write_bytes(
        (sweep.folder / sweep.runs[2] / "lfadsOutput" / "progress.json").read_bytes()
    )
    (other.parent / "lfads_train.sh").touch()
    lines = [plain(line) for line in best_lines(read_collection_status(sweep.folder), 2, 80)]
    assert lines == [
        "best:       2.00 hash02/single.a gen_dim=128",
        "best:       9.00 hash01/single.b gen_dim=64",
    ]


def test_keys_fit_and_the_way_out_is_always_told() -> None:
    assert plain(key_line(BOARD_KEYS, 80)).endswith("?:help q:quit")
    for width in range(14, 100):
        told = plain(key_line(BOARD_KEYS, width, "3-7 of 10"))
        assert width_of(told) <= width
        assert "?:help q:quit" in told
    assert plain(key_line(BOARD_KEYS, 100, "3-7 of 10")).endswith("  3-7 of 10")
    assert max(map(len, HELP.splitlines())) <= 80
    for key, _ in BOARD_KEYS:
        assert f"  {key} " in HELP or f"  {key}," in HELP
