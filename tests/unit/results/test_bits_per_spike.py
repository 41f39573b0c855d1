"""Likelihood and bits per spike, against loops over SciPy's Poisson and numbers of nlb_tools."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import ResultShapeError
from lfadsq.results.bits_per_spike import SpikePrediction, bits_per_spike, poisson_nll


def benchmark_example():
    """Rates and counts of a fixed seed: a silent channel, and a rate of zero."""
    rng = np.random.default_rng(20210909)
    num_trials, num_bins, num_channels = 24, 15, 6
    condition = np.arange(num_trials) % 4
    wave = 0.5 * np.sin(np.arange(num_bins)[:, None] / 3 + np.arange(num_channels))
    base = np.exp(wave[None] + 0.4 * rng.standard_normal((4, 1, num_channels))) * 0.6
    noise = 0.1 * rng.standard_normal((num_trials, num_bins, num_channels))
    rates = base[condition] * np.exp(noise)
    counts = rng.poisson(base[condition]).astype(float)
    counts[:, :, 5] = 0
    rates[0, 0, 0] = 0.0
    return rates, counts, condition


def with_gaps(counts):
    gaps = counts.copy()
    gaps[3, 4:] = np.nan
    gaps[::5, :, 2] = np.nan
    return gaps


def nll_by_loops(rates, counts):
    total = 0.0
    for rate, count in zip(rates.ravel(), counts.ravel(), strict=True):
        if not math.isnan(count):
            total -= scipy.stats.poisson.logpmf(count, rate if rate > 0 else 1e-9)
    return total


def bits_by_loops(rates, counts):
    null = np.empty_like(rates)
    for channel in range(counts.shape[2]):
        known = [n for n in counts[:, :, channel].ravel() if not math.isnan(n)]
        null[:, :, channel] = sum(known) / len(known)
    gained = nll_by_loops(null, counts) - nll_by_loops(rates, counts)
    return gained / math.log(2) / np.nansum(counts)


# What nlb_tools 0.0.4 (neg_log_likelihood, bits_per_spike) gives for the example.
@pytest.mark.parametrize(
    ("change", "nll", "bits"),
    [
        (lambda counts: counts, 2124.061455447045, -0.19384716930807278),
        (with_gaps, 1970.1422366051047, -0.21045283615241042),
    ],
)
def test_agrees_with_the_benchmarks_own_code(change, nll, bits):
    rates, counts, _ = benchmark_example()
    assert poisson_nll(rates, change(counts)) == pytest.approx(nll, rel=1e-12)
    assert bits_per_spike(rates, change(counts)) == pytest.approx(bits, rel=1e-10)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3)),
    st.booleans(),
)
def test_agrees_with_loops(seed, shape, has_gaps):
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.0, 1.0, shape) * (rng.random(shape) > 0.1)
    counts = rng.poisson(rng.gamma(1.0, 0.5, shape)).astype(float)
    if has_gaps:
        counts[rng.random(shape) < 0.2] = np.nan
    counts[0, 0, :] = rng.integers(0, 2, shape[2])  # a channel that is known nowhere has no mean
    assert poisson_nll(rates, counts) == pytest.approx(nll_by_loops(rates, counts), abs=1e-9)
    if np.nansum(counts) > 0:
        expected = bits_by_loops(rates, counts)
        assert bits_per_spike(rates, counts) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_mean_rates_gain_nothing_and_better_ones_do():
    _, counts, condition = benchmark_example()
    mean = np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape)
    assert bits_per_spike(mean, counts) == pytest.approx(0, abs=1e-12)
    by_condition = np.stack([counts[condition == one].mean(axis=0) for one in range(4)])
    assert bits_per_spike(by_condition[condition], counts) > 0.3


def test_only_some_trials():
    rates, counts, _ = benchmark_example()
    trials = np.array([7, 2, 11])
    assert bits_per_spike(rates, counts, trials=trials) == pytest.approx(
        bits_by_loops(rates[trials], counts[trials])
    )


def test_pieces_make_the_whole():
    rates, counts, _ = benchmark_example()
    pieces = SpikePrediction(6)
    for start in range(0, 24, 5):
        pieces.add(rates[start : start + 5], counts[start : start + 5])
    assert pieces.bits_per_spike == pytest.approx(bits_per_spike(rates, counts), rel=1e-12)
    assert pieces.num_spikes == counts.sum()


def test_without_a_spike_there_is_no_score():
    assert math.isnan(bits_per_spike(np.ones((2, 3, 1)), np.zeros((2, 3, 1), int)))


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (np.full((2, 3, 1), np.nan), "not a number"),
        (np.full((2, 3, 1), -0.1), "negative"),
        (np.ones((2, 4, 1)), r"shape \(2, 4, 1\), counts \(2, 3, 1\)"),
    ],
)
def test_refuses_what_are_no_rates(rates, message):
    for score in (poisson_nll, bits_per_spike):
        with pytest.raises(ResultShapeError, match=message):
            score(rates, np.ones((2, 3, 1), int))


def test_rates_need_not_be_known_where_nobody_counted():
    rates, counts = np.full((2, 3, 1), 0.5), np.ones((2, 3, 1))
    rates[0, 0, 0] = counts[0, 0, 0] = np.nan
    assert math.isfinite(poisson_nll(rates, counts))


def test_nothing_as_large_as_the_data_is_copied():
    rates = np.full((400, 100, 200), 0.1, dtype=np.float32)
    counts = np.zeros(rates.shape, dtype=np.int8)
    counts[::3] = 1
    tracemalloc.start()
    bits_per_spike(rates, counts, trials=np.arange(0, 400, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * rates.size * 8  # of one copy in float64
