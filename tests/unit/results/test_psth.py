"""PSTHs and how rates match them, against loops and numbers of nlb_tools."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal.windows

from lfadsq.errors import ResultShapeError
from lfadsq.results.psth import psth_r2, r2_by_channel, smooth_in_time

from .test_bits_per_spike import benchmark_example


# nlb_tools 0.0.4 (eval_psth) of the same example, PSTHs without smoothing.
def test_agrees_with_the_benchmarks_own_code():
    rates, counts, condition = benchmark_example()
    trials = np.unique(np.arange(0, 24, 2) + np.arange(12) % 2)
    score = psth_r2(rates, counts, condition, bin_ms=5, trials=trials, smoothing_ms=0)
    assert score == pytest.approx(0.28688633473720204, rel=1e-10)


def r2_by_loops(rates, counts, condition, scored, deviation):
    num_bins, num_channels = counts.shape[1:]
    smoothed = np.zeros(counts.shape)
    for trial, bin_, channel in np.ndindex(counts.shape):
        weights = values = 0.0
        for other in range(num_bins):
            if abs(other - bin_) <= int(3 * deviation):
                weight = math.exp(-((other - bin_) ** 2) / (2 * deviation**2))
                weights += weight
                values += weight * counts[trial, other, channel]
        smoothed[trial, bin_, channel] = values / weights
    scores = []
    for channel in range(num_channels):
        true, inferred = [], []
        for one in sorted({condition[trial] for trial in scored}):
            everyone = [t for t in range(len(counts)) if condition[t] == one]
            chosen = [t for t in scored if condition[t] == one]
            true += list(smoothed[everyone, :, channel].mean(axis=0))
            inferred += list(rates[chosen, :, channel].mean(axis=0))
        mean = sum(true) / len(true)
        total = sum((value - mean) ** 2 for value in true)
        rest = sum((a - b) ** 2 for a, b in zip(true, inferred, strict=True))
        scores.append(1 - rest / total if total else float(rest == 0))
    return sum(scores) / num_channels


@pytest.mark.parametrize("smoothing_ms", [8.0, 25.0])
def test_agrees_with_loops(smoothing_ms):
    rates, counts, condition = benchmark_example()
    scored = np.array([0, 1, 5, 6, 10, 12, 19])
    score = psth_r2(rates, counts, condition, bin_ms=10, trials=scored, smoothing_ms=smoothing_ms)
    assert score == pytest.approx(
        r2_by_loops(rates, counts, condition, scored, smoothing_ms / 10), rel=1e-9
    )


def test_smoothing_is_that_of_the_benchmark_away_from_the_ends():
    values = np.random.default_rng(0).poisson(0.3, (200, 3)).astype(float)
    smoothed = smooth_in_time(values, 5.0, 20.0)
    window = scipy.signal.windows.gaussian(2 * 12 + 1, 4.0)
    for channel in range(3):
        full = np.convolve(values[:, channel], window / window.sum(), mode="same")
        np.testing.assert_allclose(smoothed[12:-12, channel], full[12:-12])
    np.testing.assert_allclose(smooth_in_time(np.full((30, 1), 2.5), 5.0, 20.0), 2.5)


def test_conditions_may_be_texts_or_missing():
    rates, counts, condition = benchmark_example()
    names = np.array(["left", "right", "up", ""])[condition]
    kept = condition < 3
    alone = psth_r2(rates[kept], counts[kept], condition[kept], bin_ms=5)
    assert psth_r2(rates, counts, names, bin_ms=5) == pytest.approx(alone)
    numbers = np.where(kept, condition, np.nan)
    assert psth_r2(rates, counts, numbers, bin_ms=5) == pytest.approx(alone)
    assert psth_r2(rates, counts, names.astype(object), bin_ms=5) == pytest.approx(alone)
    assert math.isnan(psth_r2(rates, counts, np.full(24, np.nan), bin_ms=5))


def test_constant_channels_count_as_in_scikit_learn():
    true = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    inferred = np.array([[1.0, 0.0, 0.1], [2.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    # sklearn.metrics.r2_score(true, inferred, multioutput="raw_values")
    np.testing.assert_allclose(r2_by_channel(true, inferred), [0.5, 1.0, 0.0])


def test_refuses_what_does_not_fit():
    rates, counts, condition = benchmark_example()
    with pytest.raises(ResultShapeError, match=r"\(23,\) condition ids for 24 trials"):
        psth_r2(rates, counts, condition[1:], bin_ms=5)
    with pytest.raises(ResultShapeError, match="same trials and bins"):
        psth_r2(rates[1:], counts, condition, bin_ms=5)
    with pytest.raises(ResultShapeError, match="smoothing of -1 ms"):
        psth_r2(rates, counts, condition, bin_ms=5, smoothing_ms=-1)
    counts[0, 0, 0] = np.nan
    with pytest.raises(ResultShapeError, match="not a finite number"):
        psth_r2(rates, counts, condition, bin_ms=5)


def test_true_rates_come_before_blurred_ones_however_fast_they_are():
    """By default; not so if spikes are smoothed more than rates change."""
    generator = np.random.default_rng(3)
    condition = np.repeat(np.arange(6), 20)
    bumps = generator.uniform(20, 80, (6, 1, 10)) - np.arange(100)[:, np.newaxis]
    true = (0.05 + 2 * np.exp(-((bumps / 2) ** 2)))[condition]
    counts = generator.poisson(true)
    blurred = np.stack([smooth_in_time(rates, 10, 30) for rates in true])
    assert psth_r2(true, counts, condition, bin_ms=10) > 0.8
    assert psth_r2(blurred, counts, condition, bin_ms=10) < 0.7
    by_kernel = [
        psth_r2(rates, counts, condition, bin_ms=10, smoothing_ms=50) for rates in (true, blurred)
    ]
    assert by_kernel[0] < by_kernel[1]
