"""The lowest validation cost of a log, against the trainer's own rule and against `FitLog`."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.results.fit_log import FitLog
from lfadsq.training.schedule import is_lowest_validation
from lfadsq.watching.cost_logs import costs_of_log, read_costs


def line(epoch: int, valid: float, kl_weight: float = 1.0, l2: float = 0.5, l2_weight: float = 1.0):
    gap = " " * 6
    return (
        f"epoch,{epoch}, step,{8 * epoch + 8}, total,{valid - 5:.2f},{valid:.2f}, {gap}"
        f"recon,1.00,2.00, kl,3.00,4.00, l2,{l2:.5f}, {gap}"
        f"klweight,{kl_weight:.2f}, l2weight,{l2_weight:.2f}\n"
    )


def lowest(*lines: str) -> float | None:
    costs = costs_of_log("".join(lines).encode())
    assert costs is not None
    return costs.lowest_valid_cost


def test_only_epochs_with_full_weights_count() -> None:
    assert lowest(line(0, 9), line(1, 1, 0.99), line(2, 2, 1, l2_weight=0.5), line(3, 7)) == 7
    assert lowest(line(0, 9), line(1, 2, l2=0, l2_weight=0)) == 2
    assert lowest(line(0, 9), line(1, 1, 0.5)) is None


def test_the_first_epoch_of_a_process_does_not_count() -> None:
    assert lowest(line(0, 1), line(1, 5)) == 5
    # The original counts epochs anew when it resumes.
    assert lowest(line(0, 9), line(1, 5), line(0, 1), line(1, 6)) == 5


def test_what_is_not_a_number_is_told_as_none() -> None:
    costs = costs_of_log((line(0, 9) + line(1, 5) + line(2, math.nan)).encode())
    assert costs is not None
    assert (costs.valid_cost, costs.lowest_valid_cost, costs.num_epochs) == (None, 5, 3)


def test_a_line_that_is_being_written_is_left_out() -> None:
    whole, half = line(0, 9) + line(1, 5), line(2, 3)[:-4]
    costs = costs_of_log((whole + half).encode())
    assert costs is not None
    assert (costs.num_epochs, costs.valid_cost) == (2, 5)
    assert costs_of_log(half.encode()) is None


@pytest.mark.parametrize(
    "damage", ["\x00\x00\x00\n", "epoch,x\n", line(2, 1).replace("kl,", "no,")]
)
def test_lines_of_something_else_are_passed_over(damage: str) -> None:
    costs = costs_of_log((line(0, 9) + line(1, 5) + damage + line(3, 4)).encode())
    assert costs is not None
    assert (costs.num_epochs, costs.lowest_valid_cost, costs.train_cost) == (3, 4, -1)


EPOCHS = st.lists(
    st.tuples(
        st.booleans(),  # whether a process of the original begins here
        st.integers(1, 9).map(float) | st.sampled_from([math.nan, math.inf, -math.inf]),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([0.0, 0.25]),
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=20,
)


def replayed(rows: list[tuple[int, float, float, float, float]]) -> float:
    """Let the trainer's own rule decide after each epoch."""
    lowest = math.inf
    for epoch, valid, kl_weight, l2, l2_weight in rows:
        # The trainer stops at a cost that is not finite.
        if math.isfinite(valid) and is_lowest_validation(
            epoch, valid, lowest, kl_weight, l2_weight, has_l2=l2 > 0
        ):
            lowest = valid
    return lowest


@given(drawn=EPOCHS)
@settings(max_examples=200, deadline=None)
def test_status_results_and_trainer_have_one_rule(
    drawn: list[tuple[bool, float, float, float, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    epoch, rows = -1, []
    for begins, *values in drawn:
        epoch = 0 if begins else epoch + 1
        rows.append((epoch, *values))
    lines = [
        line(epoch, valid, kl_weight, l2, l2_weight)
        for epoch, valid, kl_weight, l2, l2_weight in rows
    ]
    path = tmp_path_factory.mktemp("logs") / "fitlog.csv"
    path.write_text("".join(lines))
    log, costs = FitLog.load(path), read_costs(str(path))
    expected = replayed(rows)
    assert costs is not None
    assert costs.lowest_valid_cost == (expected if math.isfinite(expected) else None)
    np.testing.assert_equal(log.lowest_total_valid, costs.lowest_valid_cost or math.nan)
    assert costs.num_epochs == log.num_epochs == len(rows)


def test_it_agrees_with_the_fit_log_of_results(tmp_path: Path) -> None:
    draw = random.Random(1)
    path = tmp_path / "fitlog.csv"
    rows = [line(n, draw.uniform(50, 90), min(1, n / 20), 0.1, min(1, n / 30)) for n in range(100)]
    path.write_text("".join(rows))
    log, costs = FitLog.load(path), read_costs(str(path))
    assert costs is not None
    assert costs.lowest_valid_cost == log.lowest_total_valid
    assert (costs.train_cost, costs.valid_cost) == (log.total_train[-1], log.total_valid[-1])
    assert costs.changed_s == path.stat().st_mtime


def test_no_log_is_none(tmp_path: Path) -> None:
    assert read_costs(str(tmp_path / "fitlog.csv")) is None
    assert read_costs(str(tmp_path)) is None
