from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lfadsq.training.schedule import (
    decide_learning_rate,
    is_lowest_validation,
    should_save_rolling,
)

COSTS = st.lists(st.floats(-1e6, 1e6), max_size=60)


def drops(costs: list[float], n: int) -> list[int]:
    history: list[float] = []
    found = []
    for epoch, cost in enumerate(costs):
        decision = decide_learning_rate(history, cost, n)
        history.append(decision.stored_cost)
        if decision.decays:
            found.append(epoch)
    return found


def replayed(costs: list[float], n: int) -> list[int]:
    """The rule in other words: worse than each of the n epochs before, none of them a drop."""
    found: list[int] = []
    for epoch, cost in enumerate(costs):
        window = range(epoch - n, epoch)
        if (
            epoch > n
            and not any(e in found for e in window)
            and all(cost > costs[e] for e in window)
        ):
            found.append(epoch)
    return found


@given(COSTS, st.integers(1, 8))
def test_drops_are_those_of_a_replay(costs: list[float], n: int) -> None:
    assert drops(costs, n) == replayed(costs, n)


@given(COSTS, st.integers(1, 8))
def test_drops_are_more_than_n_epochs_apart(costs: list[float], n: int) -> None:
    found = [-1, *drops(costs, n)]
    assert all(later - earlier > n for earlier, later in pairwise(found))


def test_rising_costs_drop_every_seventh_epoch() -> None:
    """NUMERICS.md 9: at least 7 epochs between drops, and 7 earlier costs before the first."""
    assert drops([float(i) for i in range(30)], 6) == [7, 14, 21, 28]


@given(COSTS)
def test_falling_costs_never_drop(costs: list[float]) -> None:
    assert drops(sorted(costs, reverse=True), 6) == []


LOWEST = {"kl_weight": 1.0, "l2_weight": 1.0, "has_l2": True}


def test_lowest_validation_cost_is_saved() -> None:
    assert is_lowest_validation(3, 9.0, 10.0, **LOWEST)
    assert not is_lowest_validation(3, 10.0, 10.0, **LOWEST)
    assert is_lowest_validation(1, 9.0, math.inf, **LOWEST)


def test_first_epoch_and_warm_up_do_not_count() -> None:
    assert not is_lowest_validation(0, 9.0, 10.0, **LOWEST)
    assert not is_lowest_validation(3, 9.0, 10.0, **{**LOWEST, "kl_weight": 0.99})
    assert not is_lowest_validation(3, 9.0, 10.0, **{**LOWEST, "l2_weight": 0.99})
    assert is_lowest_validation(3, 9.0, 10.0, 1.0, 0.0, has_l2=False)


def test_no_validation_trials_are_never_the_lowest() -> None:
    assert not is_lowest_validation(3, math.nan, math.inf, **LOWEST)


def test_rolling_checkpoints_come_every_tenth_epoch() -> None:
    assert [e for e in range(31) if should_save_rolling(e)] == [0, 10, 20, 30]
