"""Splitting, re-binning, and both files of the trainer's input, against plain loops and readers."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lfadsq import DatasetCounts, matfile
from lfadsq.errors import DatasetError, StorageError
from lfadsq.manager.inputs import (
    InputShape,
    bins_per_spike_bin,
    rebin,
    split_trials,
    write_input_h5,
    write_input_info,
)


@given(num_trials=st.integers(0, 200), ratio=st.integers(1, 20))
def test_every_trial_is_in_one_split_and_every_r_plus_first_validates(num_trials, ratio):
    train, valid = split_trials(num_trials, ratio)
    assert sorted([*train, *valid]) == list(range(num_trials))
    one_based = []
    trial = 1
    while trial <= num_trials:
        one_based.append(trial)
        trial += ratio + 1
    assert [index + 1 for index in valid] == one_based


@given(
    counts=arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 12))),
    factor=st.integers(1, 12),
    fortran=st.booleans(),
)
def test_rebinning_sums_and_cuts_what_is_left_over(counts, factor, fortran):
    given_counts = np.asfortranarray(counts) if fortran else counts
    num_trials, num_channels, num_raw_bins = counts.shape
    if factor > num_raw_bins:
        with pytest.raises(DatasetError, match="less than one bin"):
            bins_per_spike_bin(factor * 1.0, 1.0, num_raw_bins, "a")
        return
    binned = rebin(given_counts, factor, np.int64)
    assert binned.dtype == np.int64
    assert binned.shape == (num_trials, num_raw_bins // factor, num_channels)
    for trial, time, channel in np.ndindex(*binned.shape):
        window = counts[trial, channel, time * factor : (time + 1) * factor]
        assert binned[trial, time, channel] == sum(int(count) for count in window)


@pytest.mark.parametrize(
    ("spike_bin_ms", "raw_bin_ms", "factor"),
    [(2, 1, 2), (1, 1, 1), (10, 0.1, 100), (0.3, 0.1, 3), (1 / 3, 1 / 30, 10)],
)
def test_whole_multiples_of_the_raw_bin_are_fine(spike_bin_ms, raw_bin_ms, factor):
    assert bins_per_spike_bin(spike_bin_ms, raw_bin_ms, 1000, "a") == factor


@pytest.mark.parametrize(("spike_bin_ms", "raw_bin_ms"), [(3, 2), (1, 2), (2.001, 1), (0.4, 1)])
def test_other_widths_are_refused(spike_bin_ms, raw_bin_ms):
    with pytest.raises(DatasetError, match=r"no whole multiple.*dataset007.*give a multiple of"):
        bins_per_spike_bin(spike_bin_ms, raw_bin_ms, 1000, "dataset007")


def full_counts(num_trials=70):
    """More trials than are written at a time, with everything that can be given."""
    rng = np.random.default_rng(7)
    shape = (num_trials, 3, 11)
    return DatasetCounts(
        counts=np.asfortranarray(rng.poisson(0.5, shape).astype(np.uint8)),
        time_ms=np.arange(11) * 2.0 - 4,
        condition_id=rng.integers(1, 5, num_trials),
        truth=rng.random(shape),
        external_inputs=rng.normal(size=(num_trials, 2, 11)),
    ).checked("a")


def read_h5(path):
    with h5py.File(path) as stored:
        return {name: stored[name][()] for name in stored}


def test_the_trainers_file_holds_binned_counts_truth_and_inputs(tmp_path):
    counts = full_counts()
    path = tmp_path / "lfads_a.h5"
    write_input_h5(path, counts, 6.0, 4, "a")
    stored = read_h5(path)
    valid = np.arange(0, 70, 5)
    train = np.setdiff1d(np.arange(70), valid)

    def expected(values):
        return np.stack([values[:, :, 3 * i : 3 * i + 3].sum(axis=2) for i in range(3)], axis=1)

    assert stored["train_data"].dtype == stored["valid_data"].dtype == np.int64
    for key, values in (
        ("data", counts.counts.astype(int)),
        ("truth", counts.truth),
        ("ext_input", counts.external_inputs),
    ):
        np.testing.assert_allclose(stored[f"train_{key}"], expected(values)[train], rtol=1e-14)
        np.testing.assert_allclose(stored[f"valid_{key}"], expected(values)[valid], rtol=1e-14)
    for key in ("truth", "ext_input"):
        assert stored[f"train_{key}"].dtype == np.float64
    np.testing.assert_array_equal(stored["train_inds"], train + 1.0)
    np.testing.assert_array_equal(stored["valid_inds"], valid + 1.0)
    assert stored["train_inds"].dtype == np.float64
    assert stored["conversion_factor"] == pytest.approx([1 / 3])
    assert InputShape.of_file(path) == InputShape(56, 14, 3, 3, 2)
    assert InputShape.of_counts(counts, 6.0, 4, "a") == InputShape(56, 14, 3, 3, 2)


def test_what_was_not_given_is_not_in_the_file(tmp_path):
    write_input_h5(tmp_path / "a.h5", DatasetCounts(np.zeros((9, 1, 4)), bin_ms=1.0), 2, 4, "a")
    assert set(read_h5(tmp_path / "a.h5")) == {
        "train_data",
        "valid_data",
        "train_inds",
        "valid_inds",
    }


def test_without_training_trials_the_file_still_has_its_shape(tmp_path):
    write_input_h5(tmp_path / "a.h5", DatasetCounts(np.zeros((1, 2, 4)), bin_ms=1.0), 1, 4, "a")
    assert InputShape.of_file(tmp_path / "a.h5") == InputShape(0, 1, 4, 2, 0)


def test_matlab_reads_the_same_in_raw_bins(tmp_path):
    counts = full_counts()
    path = tmp_path / "inputInfo_a.mat"
    write_input_info(path, counts, 4, "4MaTKO")
    info = scipy.io.loadmat(path)
    np.testing.assert_array_equal(info["counts"], counts.counts.transpose(1, 2, 0))
    np.testing.assert_array_equal(info["truth"], counts.truth.transpose(1, 2, 0))
    np.testing.assert_array_equal(info["externalInputs"], counts.external_inputs.transpose(1, 2, 0))
    np.testing.assert_array_equal(info["conditionId"].ravel(), counts.condition_id)
    np.testing.assert_array_equal(info["validInds"].ravel(), np.arange(1, 71, 5))
    assert info["trainInds"].size == 56
    assert info["paramInputDataHash"].item() == "4MaTKO"
    np.testing.assert_array_equal(info["seq_timeVector"].ravel(), counts.time_ms)
    assert info["seq_binSizeMs"].item() == 2
    # The class MATLAB sees, whatever the numbers are stored as.
    assert {name: kind for name, _, kind in scipy.io.whosmat(path)} == {
        "trainInds": "double",
        "validInds": "double",
        "paramInputDataHash": "char",
        "seq_timeVector": "double",
        "seq_binSizeMs": "double",
        "conditionId": "double",
        "counts": "double",
        "truth": "double",
        "externalInputs": "double",
    }


def test_conditions_may_be_text_or_unknown(tmp_path):
    for given_ids, read in ((np.array(["left", "right"]), ["left", "right"]), (None, [])):
        counts = DatasetCounts(np.ones((2, 1, 3)), bin_ms=1.0, condition_id=given_ids).checked("a")
        write_input_info(tmp_path / "a.mat", counts, 4, "x")
        ids = scipy.io.loadmat(tmp_path / "a.mat", chars_as_strings=True)["conditionId"]
        assert [str(one.item()) for one in ids.ravel()] == read


@settings(max_examples=25)
@given(
    values=arrays(
        st.sampled_from(["u1", "<u2", "<i4", "<f8"]),
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    ),
    name=st.text("abcdefgh", min_size=1, max_size=20),
    compressed=st.booleans(),
)
def test_streamed_arrays_are_read_back_by_scipy(tmp_path_factory, values, name, compressed):
    """Names and arrays of any size, so that every padding occurs."""
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    pieces = [values[:2], values[2:]]
    streamed = matfile.StreamedArray(values.shape[::-1], values.dtype, pieces, compressed)
    smaller = matfile.StreamedArray(values.shape[::-1], values.dtype, pieces)
    matfile.write_mat(
        path, {"small": 1.0, "text": "odd"}, {"first": smaller, name: streamed, "last": streamed}
    )
    loaded = scipy.io.loadmat(path)
    for key in ("first", name, "last"):
        np.testing.assert_array_equal(loaded[key], values.T)
    assert loaded["small"] == 1


@pytest.mark.parametrize(
    ("largest", "dtype"), [(255, "u1"), (256, "<u2"), (65536, "<i4"), (2**31, "<f8")]
)
def test_counts_are_stored_in_the_smallest_type(largest, dtype):
    assert matfile.smallest_dtype(largest) == np.dtype(dtype)


def test_an_array_too_large_for_the_format_is_refused(tmp_path):
    huge = matfile.StreamedArray((1000, 1000, 1000), "<f8", [])
    with pytest.raises(DatasetError, match="8000000000 bytes"):
        matfile.write_mat(tmp_path / "a.mat", {}, {"truth": huge})


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_input_is_found(tmp_path, kept):
    path = tmp_path / "lfads_a.h5"
    write_input_h5(path, full_counts(), 2.0, 4, "a")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(StorageError, match=r"damaged or truncated.*regenerate=True"):
        InputShape.of_file(path)


def test_an_input_of_something_else_is_found(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as stored:
        stored["train_data"] = np.zeros(3)
    with pytest.raises(StorageError, match="damaged"):
        InputShape.of_file(tmp_path / "a.h5")
