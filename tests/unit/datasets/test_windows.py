"""Cutting continuous recordings into windows, and merging results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.datasets.windows import merge_windows, window_starts, windows
from lfadsq.errors import ConfigError, DatasetError
from lfadsq.manager.inputs import rebin


@st.composite
def cuts(draw):
    window_bins = draw(st.integers(1, 20))
    overlap_bins = draw(st.integers(0, window_bins - 1))
    num_bins = draw(st.integers(window_bins, 100))
    return num_bins, window_bins, overlap_bins


@given(cuts(), st.sampled_from(["u1", "i8", "f4", "f8"]), st.integers(0, 2**32 - 1))
def test_cut_and_merged_a_recording_is_the_same_to_the_last_bit(cut, dtype, seed):
    num_bins, window_bins, overlap_bins = cut
    recording = (np.random.default_rng(seed).standard_normal((3, num_bins)) * 100).astype(dtype)
    pieces = windows(recording, window_bins, overlap_bins)
    assert pieces.dtype == recording.dtype
    assert pieces.shape[1:] == (3, window_bins)
    merged = merge_windows(pieces, num_bins, overlap_bins)
    assert merged.dtype == (recording.dtype if dtype[0] == "f" else np.float64)
    np.testing.assert_array_equal(merged, recording)


@given(cuts())
def test_windows_cover_every_bin_and_none_beyond(cut):
    num_bins, window_bins, overlap_bins = cut
    starts = window_starts(num_bins, window_bins, overlap_bins)
    covered = {bin for start in starts for bin in range(start, start + window_bins)}
    assert covered == set(range(num_bins))
    steps = np.diff(starts)
    assert np.all(steps[:-1] == window_bins - overlap_bins)
    assert np.all((steps > 0) & (steps <= window_bins - overlap_bins))


@given(cuts(), st.integers(0, 2**32 - 1))
def test_merged_windows_are_the_weighted_mean(cut, seed):
    num_bins, window_bins, overlap_bins = cut
    starts = window_starts(num_bins, window_bins, overlap_bins)
    values = np.random.default_rng(seed).standard_normal((len(starts), window_bins))
    expected = []
    for index in range(num_bins):
        held = [
            (values[number, index - start], min(index - start + 1, start + window_bins - index))
            for number, start in enumerate(starts)
            if start <= index < start + window_bins
        ]
        expected.append(np.average([v for v, _ in held], weights=[w for _, w in held]))
    merged = merge_windows(values, num_bins, overlap_bins)
    np.testing.assert_allclose(merged, expected, rtol=1e-12, atol=1e-12)


def test_an_overlap_passes_evenly_from_one_window_to_the_next():
    values = np.stack([np.zeros(8), np.ones(8)])
    merged = merge_windows(values, 13, 3)
    np.testing.assert_allclose(merged, [0] * 5 + [0.25, 0.5, 0.75] + [1] * 5)


def test_rates_in_wider_bins_are_merged_along_any_axis():
    recording = np.random.default_rng(1).poisson(0.5, (4, 103))
    pieces = windows(recording, 20, 5, bins_per_spike_bin=5)
    rates = rebin(pieces, 5, np.float64)  # (window, time, channel), as the posterior means
    assert rates.shape[1:] == (4, 4)
    expected = rebin(recording[None], 5, np.float64)[0]
    for time_axis in (1, -2):
        np.testing.assert_array_equal(
            merge_windows(rates, 103 // 5, 1, time_axis=time_axis), expected
        )


@pytest.mark.parametrize("overlap_bins", [-1, 4, 5])
def test_an_impossible_overlap_is_refused(overlap_bins):
    with pytest.raises(ConfigError, match=r"windows of 4 bins cannot overlap by"):
        windows(np.zeros((2, 20)), 4, overlap_bins)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DatasetError, match="has 3 bins, less than a window of 4"):
        windows(np.zeros((2, 3)), 4, 1)
    with pytest.raises(ConfigError, match="no multiples of 5"):
        windows(np.zeros((2, 30)), 10, 2, bins_per_spike_bin=5)
    with pytest.raises(ConfigError, match="has 3 windows of 4 bins that overlap by 1, not 2"):
        merge_windows(np.zeros((2, 4)), 10, 1)
    with pytest.raises(ConfigError, match="time_axis"):
        merge_windows(np.zeros((2, 4)), 10, 1, time_axis=0)
    with pytest.raises(DatasetError, match="single number"):
        windows(3.0, 1, 0)
