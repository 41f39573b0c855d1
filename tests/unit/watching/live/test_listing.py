"""Which runs are listed, in which order, and how each is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.watching.live.glyphs import ASCII
from lfadsq.watching.live.lines import plain, width_of
from lfadsq.watching.live.listing import Listing, Order, fraction_done
from lfadsq.watching.live.run_lines import RunColumns, detail_lines
from lfadsq.watching.run_status import Phase, RunState, RunStatus


def run(name: str, state: RunState = RunState.WAITING, **changes: object) -> RunStatus:
    return RunStatus(f"param_{name}/one", name, "one", state, **changes)  # type: ignore[arg-type]


RUNS = (
    run("a", RunState.DONE, lowest_valid_cost=5.0, num_epochs=90),
    run("b", RunState.TRAINING, phase=Phase.TRAINING, remaining_s=60.0, epoch_s=1.0, num_epochs=30,
        host="node7", device="GPU 0 (NVIDIA A100)", valid_cost=7.5),
    run("c", RunState.FAILED, cause="out of GPU memory", remedy="ask for more"),
    run("d", RunState.TRAINING, phase=Phase.TRAINING, remaining_s=600.0, epoch_s=1.0, num_epochs=10,
        is_lower_bound=True, lowest_valid_cost=4.0),
    run("e", reason="no queue runs"),
)  # fmt: skip


def names(listing: Listing, runs: tuple[RunStatus, ...] = RUNS) -> str:
    settings = {"a": {"c_gen_dim": "64"}, "b": {"c_gen_dim": "128"}}
    chosen = listing.choose(runs, lambda run: settings.get(run.param_hash, {}))
    return "".join(run.param_hash for run in chosen)


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        (Listing(), "bdcea"),
        (Listing(Order.NAME), "abcde"),
        (Listing(Order.NAME, is_reversed=True), "edcba"),
        (Listing(Order.COST), "dabce"),
        (Listing(Order.COST, is_reversed=True), "badce"),
        (Listing(Order.LEFT), "dbace"),
        (Listing(Order.EPOCH), "abdce"),
        (Listing(state=RunState.TRAINING), "bd"),
        (Listing(words="NODE7"), "b"),
        (Listing(words="gen_dim=64"), "a"),
        (Listing(words="memory gpu"), "c"),
        (Listing(words="waiting"), "e"),
        (Listing(words="  "), "bdcea"),
        (Listing(state=RunState.DONE, words="memory"), ""),
    ],
)
def test_the_runs_that_are_wanted_in_their_order(listing: Listing, expected: str) -> None:
    assert names(listing) == expected
    assert names(listing, RUNS[::-1]) == expected


def test_states_are_gone_through_one_by_one_and_then_all_again() -> None:
    counts = {state: sum(run.state is state for run in RUNS) for state in RunState}
    listing, seen = Listing(), []
    for _ in range(5):
        listing = listing.with_next_state(counts)
        seen.append(listing.state)
    assert seen == [RunState.TRAINING, RunState.FAILED, RunState.WAITING, RunState.DONE, None]
    gone = Listing(state=RunState.PAUSED).with_next_state(counts)
    assert gone.state is RunState.TRAINING, "nothing is paused any more"


def test_orders_are_gone_through_one_by_one() -> None:
    listing = Listing(is_reversed=True)
    assert listing.with_next_order() == Listing(Order.NAME)
    for _ in Order:
        listing = listing.with_next_order()
    assert listing == Listing()


def test_how_far_a_training_is() -> None:
    assert [fraction_done(run) for run in RUNS] == [
        1.0, pytest.approx(30 / 90), None, pytest.approx(10 / 610), None
    ]  # fmt: skip
    assert fraction_done(run("x", RunState.TRAINING, num_epochs=5, epoch_s=0.0)) is None


def test_a_run_on_80_columns() -> None:
    columns = RunColumns.for_runs(RUNS, 80)
    costs = [9.0, 8.0, 7.5]
    done, training, failed, bound, waiting = (
        plain(columns.line(run, costs, glyphs=ASCII)) for run in RUNS
    )
    assert training.startswith(" training  b/one")
    assert "   30 ##---  33%      7.50 @-_" in training
    assert training.rstrip().endswith("1m00s 0@node7")
    assert "<1%" in bound
    assert ">10m00s" in bound
    assert failed.rstrip().endswith("- out of GPU memory")
    assert waiting.rstrip().endswith("- no queue runs")
    assert "@-_" in done
    picked = columns.line(RUNS[1], costs, is_picked=True, glyphs=ASCII)
    assert plain(picked) == f">{training[1:]}", "told by a sign, not by its look alone"
    assert {span.style for span in picked} == {"picked"}
    detail = [plain(line) for line in detail_lines(RUNS[2], {"c_gen_dim": "64"}, 2, 80)]
    assert detail == ["param_c/one  gen_dim=64", "out of GPU memory. What to do: ask for more"]


texts = st.text(max_size=80)
numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
runs = st.builds(
    RunStatus,
    name=texts,
    param_hash=texts,
    run_name=texts,
    state=st.sampled_from(RunState),
    phase=st.none() | st.sampled_from(Phase),
    reason=texts,
    cause=texts,
    remedy=texts,
    host=texts,
    device=texts,
    num_epochs=st.integers(0, 10**7),
    valid_cost=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lowest_valid_cost=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    learning_rate=numbers,
    steps_per_s=st.none() | st.floats(0, 1e9),
    epoch_s=st.none() | st.floats(0, 1e9),
    remaining_s=st.none() | st.floats(0, 1e12),
    is_lower_bound=st.booleans(),
)


@given(st.lists(runs, min_size=1, max_size=4), st.integers(20, 250), st.lists(numbers, max_size=5))
def test_whatever_a_run_is_its_line_fits_and_is_harmless(
    some: list[RunStatus], width: int, costs: list[float | None]
) -> None:
    columns = RunColumns.for_runs(some, width)
    known = [cost for cost in costs if cost is not None]
    lines = [columns.heading(), *(columns.line(run, known, is_picked=True) for run in some)]
    lines += detail_lines(some[0], {"c_x": "\x1b[2J"}, 3, width)
    for line in lines:
        assert width_of(plain(line)) <= width
        assert plain(line).isprintable() or not set(plain(line)) & set(map(chr, range(32)))
    for order in Order:
        listed = Listing(order, words="").choose(some, lambda run: {})
        assert len(listed) == len(some)
