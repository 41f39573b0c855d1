"""Poisson read-outs against another optimiser, and what co-smoothing tells models apart by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from lfadsq.errors import ResultShapeError
from lfadsq.results.co_smoothing import co_smoothing
from lfadsq.results.poisson_readout import fit_poisson_readout


def make_spikes(seed=0, num_trials=30, num_bins=20, num_factors=3, num_channels=4):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((num_trials, num_bins, num_factors)) * [1.0, 5.0, 0.1] + 2.0
    weights = rng.standard_normal((num_factors, num_channels)) * [[0.5], [0.1], [3.0]]
    rates = np.exp((factors - 2.0) @ weights - 1.0)
    return factors, rng.poisson(rates), rates


def minimum_by_scipy(factors, counts, l2):
    """Fit each channel by BFGS on the cost as written in the docstring, in plain terms."""
    flat = factors.reshape(-1, factors.shape[2])
    z = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    expected = np.empty(counts.shape)
    for channel in range(counts.shape[2]):
        seen = counts[:, :, channel].ravel()
        known = ~np.isnan(seen)

        def cost(w, seen=seen, known=known):
            nll = -scipy.stats.poisson.logpmf(seen[known], np.exp(z[known] @ w[:-1] + w[-1])).sum()
            return nll + l2 / 2 * (w[:-1] ** 2).sum()

        start = np.append(np.zeros(z.shape[1]), math.log(np.nanmean(seen)))
        found = scipy.optimize.minimize(cost, start, method="BFGS", options={"gtol": 1e-6})
        expected[:, :, channel] = np.exp(z @ found.x[:-1] + found.x[-1]).reshape(counts.shape[:2])
    return expected


@pytest.mark.parametrize("l2", [1.0, 50.0])
@pytest.mark.parametrize("has_gaps", [False, True])
def test_finds_the_minimum_that_another_optimiser_finds(l2, has_gaps):
    factors, counts, _ = make_spikes()
    counts = counts.astype(float)
    if has_gaps:
        counts[::4, 3:9, 1] = np.nan
    readout = fit_poisson_readout(factors, counts, l2=l2)
    expected = minimum_by_scipy(factors, counts, l2)
    np.testing.assert_allclose(readout.expected(factors), expected, rtol=1e-4)


# scikit-learn 1.9.1, PoissonRegressor(alpha=l2 / bins), on factors standardised.
def test_agrees_with_scikit_learn():
    factors, counts, _ = make_spikes(seed=5, num_factors=3)
    readout = fit_poisson_readout(factors, counts, l2=6.0)
    np.testing.assert_allclose(
        readout.expected(factors)[0, 0],
        [0.2295625149699567, 0.1750658939276231, 1.2948730911331177, 0.29119804131342425],
        rtol=1e-5,
    )


def test_only_the_trials_named_are_fitted():
    factors, counts, _ = make_spikes()
    trials = np.arange(0, 30, 2)
    chosen = fit_poisson_readout(factors, counts, trials=trials)
    alone = fit_poisson_readout(factors[trials], counts[trials])
    np.testing.assert_allclose(chosen.weights, alone.weights, rtol=1e-6)
    np.testing.assert_allclose(chosen.bias, alone.bias, rtol=1e-6)


def test_a_silent_channel_and_a_dead_factor_have_finite_read_outs():
    factors, counts, _ = make_spikes()
    factors[..., 1] = 7.0
    counts[..., 2] = 0
    readout = fit_poisson_readout(factors, counts)
    assert np.isfinite(readout.weights).all()
    np.testing.assert_allclose(readout.expected(factors)[..., 2], 0.5 / 600)
    np.testing.assert_array_equal(readout.weights[1], 0)


def test_separable_spikes_have_finite_read_outs():
    factors = np.concatenate([np.zeros((10, 5, 1)), np.ones((10, 5, 1))])
    counts = (factors > 0.5).astype(int)
    readout = fit_poisson_readout(factors, counts)
    expected = readout.expected(factors)[:, 0, 0]
    assert expected[0] < 0.1
    assert expected[-1] == pytest.approx(1, abs=0.1)


def test_factors_that_hold_the_rates_predict_channels_held_out():
    factors, counts, rates = make_spikes(num_trials=100)
    train, valid = np.arange(20, 100), np.arange(20)
    split = {"train_inds": train, "valid_inds": valid}
    score = co_smoothing(factors, counts, **split).bits_per_spike
    # The score that truth itself comes to, by loops.
    seen, true = counts[valid], rates[valid]
    null = np.broadcast_to(seen.mean(axis=(0, 1)), seen.shape)
    nll = [-scipy.stats.poisson.logpmf(seen, one).sum() for one in (null, true)]
    of_truth = (nll[0] - nll[1]) / math.log(2) / seen.sum()
    assert score == pytest.approx(of_truth, abs=0.03)
    assert of_truth > 0.3
    shuffled = np.random.default_rng(1).permutation(factors)
    assert co_smoothing(shuffled, counts, **split).bits_per_spike < 0.02


def test_scored_trials_do_not_teach():
    factors, counts, _ = make_spikes()
    split = {"train_inds": np.arange(10, 30), "valid_inds": np.arange(10)}
    noise = np.random.default_rng(2).standard_normal(factors.shape)
    copied = np.concatenate([noise, counts[..., :1]], axis=2)
    copied[10:, :, -1] = 0.0  # copies spikes, but not where read-outs are fitted
    score = co_smoothing(copied, counts[..., :1], **split).bits_per_spike
    assert score < 0.02


def test_refuses_what_does_not_fit():
    factors, counts, _ = make_spikes()
    split = {"train_inds": np.arange(10, 30), "valid_inds": np.arange(10)}
    with pytest.raises(ResultShapeError, match=r"shape \(30, 19, 4\), factors \(30, 20, 3\)"):
        co_smoothing(factors, counts[:, 1:], **split)
    with pytest.raises(ResultShapeError, match="no trial to fit"):
        co_smoothing(factors, counts, train_inds=np.arange(0), valid_inds=np.arange(10))
    with pytest.raises(ResultShapeError, match="l2 is 0"):
        co_smoothing(factors, counts, **split, l2=0)
    factors[13, 2, 1] = np.nan
    with pytest.raises(ResultShapeError, match="factor is not a finite number"):
        co_smoothing(factors, counts, **split)
