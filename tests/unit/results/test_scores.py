"""The score that tells how well rates were inferred."""

from __future__ import annotations

import numpy as np
import pytest

from lfadsq.errors import ResultShapeError
from lfadsq.results.scores import r2_of_log_rates

TRUE = np.exp(np.random.default_rng(0).normal(size=(5, 7, 3)) + [0, 2, 4])


def test_perfect_rates_score_one():
    assert r2_of_log_rates(TRUE, TRUE) == 1


def test_the_mean_of_each_channel_scores_nothing():
    geometric_mean = np.exp(np.log(TRUE).mean(axis=(0, 1)))
    score = r2_of_log_rates(TRUE, np.broadcast_to(geometric_mean, TRUE.shape))
    assert score == pytest.approx(0)


def test_agrees_with_a_sum_over_every_element():
    inferred = TRUE * 1.3
    unexplained = total = 0.0
    for channel in range(3):
        logs = np.log(TRUE[:, :, channel]).ravel()
        unexplained += logs.size * np.log(1.3) ** 2
        total += logs.size * logs.var()
    assert r2_of_log_rates(TRUE, inferred) == pytest.approx(1 - unexplained / total)


@pytest.mark.parametrize("bad", [TRUE[:, :3], TRUE * 0, np.full_like(TRUE, np.nan)])
def test_refuses_what_has_no_score(bad):
    with pytest.raises(ResultShapeError):
        r2_of_log_rates(TRUE, bad)
