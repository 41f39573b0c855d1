"""How long training will still take, told from its history."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.training.pace import Outlook, Pace, drops_left, outlook, pace_line
from lfadsq.training.schedule import decide_learning_rate

FIT_LOGS = Path(__file__).parents[2] / "golden" / "fit_logs"
RATE, STOP, N = 0.01, 0.0001, 6


def replayed(costs: list[float], decay: float) -> list[Outlook]:
    """Give what would have been foretold after each epoch."""
    history: list[float] = []
    rate, told = RATE, []
    for cost in costs:
        decision = decide_learning_rate(history, cost, N)
        history.append(decision.stored_cost)
        rate *= decay if decision.decays else 1.0
        told.append(outlook(history, rate, n_to_compare=N, decay_factor=decay, stop=STOP))
    return told


@pytest.mark.parametrize("decay", [0.95, 0.98])
def test_estimates_hold_on_real_trainings(decay: float) -> None:
    """Costs of two whole trainings of small models, of some thousand epochs."""
    path = FIT_LOGS / f"train_totals_decay_{decay}.txt"
    told = replayed([float(line) for line in path.read_text().split()], decay)
    end = len(told) - 1
    # Costs are rounded in the log, so that a drop may be missing at the end.
    assert told[-1].drops <= 1
    ratios = [told[e].epochs / (end - e) for e in range(end) if not told[e].is_lower_bound]
    assert len(ratios) > 0.85 * len(told)
    tenth, half, nearly = (int(f * len(ratios)) for f in (0.1, 0.5, 0.97))
    assert all(1 / 2 < ratio < 2 for ratio in ratios[tenth:nearly])
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios[half:nearly])
    bounds = [e for e in range(end) if told[e].is_lower_bound]
    assert all(told[e].epochs <= end - e for e in bounds)


@given(st.lists(st.floats(-1e3, 1e3), max_size=80), st.integers(1, 8), st.floats(0.05, 0.99))
def test_a_lower_bound_is_never_too_much(costs: list[float], n: int, decay: float) -> None:
    """Against the fastest training there is: costs that always rise."""
    history: list[float] = []
    rate = 1.0
    for cost in costs:
        decision = decide_learning_rate(history, cost, n)
        history.append(decision.stored_cost)
        rate *= decay if decision.decays else 1.0
    told = outlook(history, rate, n_to_compare=n, decay_factor=decay, stop=0.1)
    epochs, level = 0, 1e4
    while rate >= 0.1:
        level += 1.0
        decision = decide_learning_rate(history, level, n)
        history.append(decision.stored_cost)
        rate *= decay if decision.decays else 1.0
        epochs += 1
    assert (told.drops == 0) == (epochs == 0)
    if told.is_lower_bound:
        assert told.epochs <= epochs


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.01, 135), (0.0071, 128), (1.01e-5, 1), (1e-5, 1), (0.99e-5, 0)]
)
def test_drops_left_are_those_of_the_rule(rate: float, expected: int) -> None:
    left, now = 0, rate
    while now >= 1e-5:
        left, now = left + 1, now * 0.95
    assert drops_left(rate, 1e-5, 0.95) == left == expected


def test_waits_that_grow_longer_are_heeded() -> None:
    """Three quick drops, and now a long time without."""
    quick = ([1.0] * 7 + [math.inf]) * 3
    settings = {"n_to_compare": 6, "decay_factor": 0.5, "stop": 0.001}
    soon = outlook(quick, 0.01, **settings)
    late = outlook([*quick, *[1.0] * 100], 0.01, **settings)
    assert late.epochs > 2 * soon.epochs


def test_a_training_that_ended_has_nothing_left() -> None:
    told = outlook([1.0, math.inf], 0.5, n_to_compare=1, decay_factor=0.5, stop=0.6)
    assert told == Outlook(0, 0.0, is_lower_bound=False)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_building_graphs_does_not_count() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert (pace.steps_per_s, pace.epoch_s) == (None, None)
    for _ in range(2):
        pace.begin_epoch()
        for number in range(10):
            is_first = number == 0 and pace.steps_per_s is None
            seconds = 20.0 if is_first else 0.5
            clock.now += seconds
            pace.time_batch("one", seconds, trains=True)
        pace.end_epoch(is_whole=True)
    assert pace.steps_per_s == pytest.approx(2.0)
    assert pace.epoch_s == pytest.approx(5.0)


def test_part_of_an_epoch_is_no_epoch() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin_epoch()
    for _ in range(3):
        clock.now += 1.0
        pace.time_batch("one", 1.0, trains=True)
    pace.end_epoch(is_whole=False)
    assert pace.epoch_s is None
    assert pace.steps_per_s == pytest.approx(1.0)


def test_an_unknown_speed_is_left_out() -> None:
    line = pace_line(1, 0.01, Outlook(3, 30.0, False), None, 10.0)
    assert line == "     1 epoch done, about 5 min left (rate 0.01, 3 drops to go)"
