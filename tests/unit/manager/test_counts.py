"""Spike counts that LFADS cannot be given are refused, with where the fault is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from lfadsq import DatasetCounts
from lfadsq.errors import ConfigError, DatasetError
from lfadsq.manager.condition_averages import read_conditions
from lfadsq.manager.inputs import write_input_info

COUNTS = np.zeros((70, 3, 10))  # more trials than are checked at a time


def changed(value, at=(66, 1, 4), dtype=float):
    counts = COUNTS.astype(dtype)
    counts[at] = value
    return counts


TRUTH = {"condition_truth": np.ones((2, 3, 10))}
ONES = {"condition_id": np.ones(70)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"counts": changed(np.nan)}, "nan in trial 67, channel 2, bin 5"),
        ({"counts": changed(np.inf)}, "inf in trial 67"),
        ({"counts": changed(-1)}, "-1.0 in trial 67"),
        ({"counts": changed(-1, dtype=np.int16)}, "-1 in trial 67"),
        ({"counts": changed(0.5)}, "0.5 in trial 67"),
        ({"counts": changed(1e19)}, r"1e\+19 in trial 67.*from 0 to 2147483647"),
        ({"counts": changed(np.inf, dtype=np.float16)}, "inf in trial 67"),
        ({"counts": changed(2**31, dtype=np.int64)}, "2147483648 in trial 67"),
        ({"counts": changed(2**63, dtype=np.uint64)}, "9223372036854775808 in trial 67"),
        ({"counts": [[[1, 2], [3]]]}, "rows of one length"),
        ({"counts": np.ma.masked_equal(changed(7), 7)}, "masked"),
        ({"counts": COUNTS[0]}, r"2 dimensions.*\(trial, channel, time\)"),
        ({"counts": COUNTS[..., None]}, "4 dimensions"),
        ({"counts": COUNTS[:0]}, "nothing in them"),
        ({"counts": COUNTS.astype(str)}, "give numbers"),
        ({"counts": COUNTS.astype(complex)}, "give numbers"),
        ({"time_ms": np.arange(9)}, "9 values.*10 bins"),
        ({"time_ms": np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 19])}, "not evenly spaced"),
        ({"time_ms": np.arange(10)[::-1]}, "-1 ms wide"),
        ({"time_ms": np.full(10, np.nan)}, "nan ms wide"),
        ({"time_ms": None}, "give time_ms or bin_ms"),
        ({"time_ms": None, "bin_ms": 0}, "0 ms wide"),
        ({"time_ms": None, "bin_ms": "wide"}, "bin_ms.*give numbers"),
        ({"time_ms": None, "bin_ms": np.ones(2)}, "bin_ms.*2 values"),
        ({"time_ms": "now"}, "time_ms.*give numbers"),
        ({"time_ms": np.arange(10) * 1j}, "time_ms.*complex"),
        ({"bin_ms": 2.0}, "not evenly spaced by 2 ms"),
        ({"counts": COUNTS[..., :1], "time_ms": np.zeros(1)}, "single raw bin"),
        ({"condition_id": np.arange(3)}, r"condition_id.*\(3,\)"),
        ({"condition_id": [[1, 2], [3]]}, "condition_id.*rows of one length"),
        ({"truth": COUNTS[:3]}, r"truth.*\(3, 3, 10\)"),
        ({"truth": changed(np.nan)}, "truth.*NaN.*trials 65 to 70"),
        ({"truth": COUNTS[0]}, "2 dimensions"),
        (TRUTH | {"condition_id": np.arange(70)}, "2 conditions.*whole numbers from 1 to 2"),
        (TRUTH | {"condition_id": np.full(70, 1.5)}, "whole numbers from 1 to 2"),
        (TRUTH | {"condition_id": ["1"] * 70}, "whole numbers from 1 to 2"),
        (TRUTH, "number the conditions, or give truth for each trial"),
        (TRUTH | ONES | {"truth": COUNTS}, "both truth and condition_truth"),
        (ONES | {"condition_truth": COUNTS[:2, :2]}, r"condition_truth.*\(2, 2, 10\)"),
        (ONES | {"condition_truth": changed(np.nan)}, "condition_truth.*NaN"),
        ({"external_inputs": COUNTS[:, :1, :5]}, r"external_inputs.*\(70, 1, 5\)"),
        ({"external_inputs": changed(np.inf)}, "external_inputs.*infinite"),
    ],
)
def test_bad_counts_are_refused(fields, words):
    given = DatasetCounts(**({"counts": COUNTS, "time_ms": np.arange(10)} | fields))
    with pytest.raises(DatasetError, match=words) as caught:
        given.checked("dataset007")
    assert "dataset007" in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_whole_numbers_of_any_type_are_fine(dtype):
    checked = DatasetCounts(COUNTS.astype(dtype), time_ms=np.arange(10) * 0.1).checked("a")
    assert checked.bin_ms == pytest.approx(0.1)
    assert checked.counts.dtype == dtype


def test_the_largest_count_is_fine():
    DatasetCounts(changed(2**31 - 1, dtype=np.uint32), bin_ms=1).checked("a")


def test_times_follow_from_the_width():
    checked = DatasetCounts(COUNTS, bin_ms=5).checked("a")
    assert checked.time_ms.tolist() == list(range(0, 50, 5))


EMPTY = np.empty((0, 0))


@pytest.mark.parametrize(
    ("cell", "conditions"),
    [
        ([np.array([[2.0]]), EMPTY, np.array([[7.0]])], [2.0, None, 7.0]),
        (["left", "", "right"], ["left", None, "right"]),
        (["left", EMPTY, "right"], ["left", None, "right"]),
        ([np.array([[2.0]]), "left", EMPTY], [2.0, "left", None]),
        ([EMPTY, EMPTY, np.array([[1.0]])], [None, None, 1.0]),
        ([1, None, 2], [1.0, None, 2.0]),
        (np.array([1, None, 2], dtype=object), [1.0, None, 2.0]),
    ],
)
def test_a_cell_of_conditions_may_have_empty_elements(tmp_path, cell, conditions):
    """And MATLAB can read what is written of it."""
    checked = DatasetCounts(COUNTS[:3], bin_ms=1.0, condition_id=cell).checked("a")
    assert checked.condition_id.shape == (3,)
    assert read_conditions(checked.condition_id, 3, "a") == conditions
    write_input_info(tmp_path / "info.mat", checked, 1, "hash")
    stored = scipy.io.loadmat(tmp_path / "info.mat")["conditionId"].ravel()
    assert read_conditions(stored, 3, "a") == conditions


def test_a_run_may_return_a_dict():
    given = DatasetCounts.of({"counts": COUNTS, "bin_ms": 1.0})
    assert given.counts is COUNTS
    assert given.bin_ms == 1.0
    assert DatasetCounts.of(given) is given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType.*return a DatasetCounts or a dict"),
        (COUNTS, "ndarray"),
        ({"count": COUNTS}, "unknown keys count.*known are counts, time_ms"),
        ({"bin_ms": 1}, "no key 'counts'"),
    ],
)
def test_anything_else_is_refused_with_what_is_wanted(given, words):
    with pytest.raises(ConfigError, match=words):
        DatasetCounts.of(given)
