"""Reading fit logs, whole, growing and damaged."""

from __future__ import annotations

import numpy as np
import pytest

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.results.fit_log import FitLog, FitLogEpoch


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


def test_a_training_whose_weights_still_rise_has_no_lowest_cost_yet(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10, total=(5, 7), kl_weight=0.1) + line(1, 20, (4, 6), kl_weight=0.2))
    assert FitLog.load(path).lowest_valid is None
    assert np.isnan(FitLog.load(path).lowest_total_valid)


def test_the_lowest_epoch_is_told_with_all_its_costs(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10, (1, 1)) + line(1, 20, (8, 9)) + line(2, 30, (7, 9)) + line(3, 40))
    log = FitLog.load(path)
    assert log.lowest_valid == FitLogEpoch(1, 20, 8, 9, 800, 805, 50, 51, 1.5, 1, 1)
    assert log.lowest_valid == log[1]
    assert log[-1].step == 40
    assert [row.epoch for row in log] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        log[4]


def test_the_first_epoch_of_a_continued_training_does_not_count(tmp_path):
    """The original counts epochs from 0 again, and begins at its last checkpoint."""
    path = tmp_path / "fitlog.csv"
    rows = [(0, 8, 50), (1, 16, 20), (2, 24, 30), (0, 24, 10), (1, 32, 25)]
    path.write_text("".join(line(epoch, step, (cost, cost)) for epoch, step, cost in rows))
    log = FitLog.load(path)
    assert log.lowest_valid.step == 16
    assert log.process.tolist() == [0, 0, 0, 1, 1]
    assert log.is_redone.tolist() == [False, False, True, False, False]


def test_a_table_has_a_row_for_each_epoch(tmp_path):
    path = tmp_path / "fitlog.csv"
    path.write_text(line(0, 10) + line(1, 20, total=(890.25, 899.5), kl_weight=0.5))
    log = FitLog.load(path)
    table = log.to_dataframe()
    assert list(table.columns) == [*FitLogEpoch._fields, "process", "is_redone"]
    assert table.total_valid.tolist() == [910, 899.5]
    assert table.kl_weight.tolist() == [1, 0.5]
    assert (table.epoch.dtype, table.total_train.dtype) == (np.int64, np.float64)
    assert table.attrs["units"]["recon_valid"] == "nats/trial"
    for name in FitLogEpoch._fields:
        np.testing.assert_array_equal(table[name], getattr(log, name))


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
