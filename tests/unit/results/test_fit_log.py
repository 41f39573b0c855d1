"""Reading fit logs, whole, growing and damaged."""

from __future__ import annotations

import numpy as np
import pytest

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.results.fit_log import FitLog


def line(epoch, step, total=(900.0, 910.0), kl_weight=1.0, l2_weight=1.0):
    """One line as FORMATS 6 spells it out."""
    blanks = " " * 6
    return (
        f"epoch,{epoch}, step,{step}, total,{total[0]:.2f},{total[1]:.2f}, {blanks}"
        f"recon,800.00,805.00, kl,50.00,51.00, l2,1.50000, {blanks}"
        f"klweight,{kl_weight:.2f}, l2weight,{l2_weight:.2f}\n"
    )


def test_reads_what_the_trainer_writes(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10) + line(1, 20, total=(890.25, 899.5)))
    log = FitLog.load(path)
    assert log.num_epochs == 2
    np.testing.assert_array_equal(log.epoch, [0, 1])
    np.testing.assert_array_equal(log.step, [10, 20])
    np.testing.assert_array_equal(log.total_train, [900.0, 890.25])
    np.testing.assert_array_equal(log.total_valid, [910.0, 899.5])
    np.testing.assert_array_equal(log.kl_valid, [51.0, 51.0])
    np.testing.assert_array_equal(log.l2, [1.5, 1.5])


def test_lowest_cost_leaves_out_epochs_whose_weights_still_rise(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(
        line(0, 10, total=(1, 1), kl_weight=0.5)
        + line(1, 20, total=(1, 2), l2_weight=0.5)
        + line(2, 30, total=(900, 901))
        + line(3, 40, total=(890, 905))
    )
    assert FitLog.load(path).lowest_total_valid == 901


def test_lowest_cost_of_a_training_that_has_only_begun(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10, total=(5, 7), kl_weight=0.1) + line(1, 20, (4, 6), kl_weight=0.2))
    assert FitLog.load(path).lowest_total_valid == 6


def test_lowest_cost_without_validation_is_nan(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10, total=(5, float("nan"))))
    assert np.isnan(FitLog.load(path).lowest_total_valid)


def test_a_line_still_being_written_is_left_out(tmp_path):
    path = tmp_path / "fitlog.csv"
    whole = line(0, 10)
    for cut in range(len(whole)):
        path.write_text(whole + whole[:cut])
        assert FitLog.load(path).num_epochs == 1


def test_says_when_there_is_nothing_yet(tmp_path):
    with pytest.raises(ResultNotReadyError, match="no fit log"):
        FitLog.load(tmp_path / "fitlog.csv")
    (tmp_path / "fitlog.csv").write_text("epoch,0, st")
    with pytest.raises(ResultNotReadyError, match="no epoch yet"):
        FitLog.load(tmp_path / "fitlog.csv")


@pytest.mark.parametrize("damage", ["loss", "epoch,0, step,ten", "a,b,c,d\x00"])
def test_names_the_damaged_line(tmp_path, damage):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10) + damage + "\n")
    with pytest.raises(ResultShapeError, match="line 2 of"):
        FitLog.load(path)


def test_refuses_a_line_with_cells_too_many(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10).rstrip() + ",1\n")
    with pytest.raises(ResultShapeError, match="1 cells too many"):
        FitLog.load(path)
