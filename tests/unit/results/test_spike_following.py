"""Rates that jump with single spikes are told from rates that do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lfadsq.errors import ResultShapeError
from lfadsq.results.spike_following import spike_following


def make(seed=0, shape=(40, 100, 10)):
    rng = np.random.default_rng(seed)
    slow = np.sin(np.arange(shape[1]) / 8)[:, None] + rng.standard_normal((shape[0], 1, shape[2]))
    rates = 0.3 * np.exp(0.7 * slow)
    return rates, rng.poisson(rates)


def by_loops(rates, counts):
    above = below = 0.0
    for trial, bin_, channel in np.ndindex(rates.shape):
        if 0 < bin_ < rates.shape[1] - 1:
            jump = [
                x[trial, bin_, channel]
                - (x[trial, bin_ - 1, channel] + x[trial, bin_ + 1, channel]) / 2
                for x in (rates, counts)
            ]
            above += jump[0] * jump[1]
            below += jump[1] ** 2
    return above / below


def test_agrees_with_loops():
    rates, counts = make(shape=(5, 12, 3))
    assert spike_following(rates, counts) == pytest.approx(by_loops(rates, counts))
    trials = np.array([3, 0])
    assert spike_following(rates, counts, trials=trials) == pytest.approx(
        by_loops(rates[trials], counts[trials])
    )


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_tells_the_share_of_spikes_in_rates(share):
    rates, counts = make()
    mixed = (1 - share) * rates + share * counts
    assert spike_following(mixed, counts) == pytest.approx(share, abs=0.01)


def test_without_spikes_or_bins_it_tells_nothing():
    assert math.isnan(spike_following(np.ones((2, 9, 1)), np.zeros((2, 9, 1), int)))
    assert math.isnan(spike_following(np.ones((2, 2, 1)), np.ones((2, 2, 1), int)))
    with pytest.raises(ResultShapeError, match="same trials and bins"):
        spike_following(np.ones((2, 4, 1)), np.ones((2, 5, 1)))
