"""Posterior means without a training, whose every part is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from lfadsq.results.posterior_means import PosteriorMeans

BIN_MS = 20.0


def make_means(
    num_trials: int = 24,
    num_bins: int = 15,
    num_channels: int = 5,
    num_factors: int = 4,
    *,
    conditions: Any = (1.0, 2.0, 3.0),
    co_dim: int = 2,
    gaussian: bool = False,
    with_truth: bool = True,
    **changes: Any,
) -> PosteriorMeans:
    """Random but repeatable arrays; the condition of trial n is number n of `conditions`, again
    and again."""
    rng = np.random.default_rng(3)
    shape = (num_trials, num_bins, num_channels)
    means = rng.gamma(2.0, 0.5, shape)
    arrays = {
        "output_means": means,
        "output_variances": rng.gamma(2.0, 0.1, shape) if gaussian else None,
        "factors": rng.normal(size=(num_trials, num_bins, num_factors)),
        "generator_states": rng.normal(size=(num_trials, num_bins, 6)),
        "generator_ics": rng.normal(size=(num_trials, 6)),
        "post_g0_mean": rng.normal(size=(num_trials, 3)),
        "controller_outputs": rng.normal(size=(num_trials, num_bins, co_dim)) if co_dim else None,
        "counts": rng.normal(size=shape) if gaussian else rng.poisson(means),
        "true_rates": means * 1.1 * 1000 / BIN_MS if with_truth and not gaussian else None,
    }
    ids = None
    if conditions is not None:
        ids = np.array([conditions[n % len(conditions)] for n in range(num_trials)])
    given = {
        "bin_ms": BIN_MS,
        "dataset_name": "dataset001",
        "valid_inds": np.arange(num_trials)[2::4],
        "condition_ids": ids,
        **arrays,
        **changes,
    }
    return PosteriorMeans.from_arrays(**given)
