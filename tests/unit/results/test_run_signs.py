"""What looks broken, on made-up costs and on numbers of models that were really trained."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lfadsq.results.fit_log import FitLog
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.run_scores import RunScores, Score, score_posterior_means
from lfadsq.results.run_signs import signs_in_fit_log, signs_in_scores

FIT_LOGS = Path(__file__).parents[2] / "golden" / "fit_logs"


def make_log(num_epochs=60, warm_up=20, seed=0, **changed):
    """Costs that fall and level off, with noise."""
    rng = np.random.default_rng(seed)
    epochs = np.arange(num_epochs)
    recon = 100 + 30 * np.exp(-epochs / 8)
    weight = np.minimum(1, epochs / warm_up)
    columns = {
        "epoch": epochs,
        "step": epochs * 8 + 8,
        "recon_train": recon + 0.3 * rng.standard_normal(num_epochs),
        "recon_valid": recon + 2 + 0.5 * rng.standard_normal(num_epochs),
        "kl_train": np.full(num_epochs, 8.0),
        "kl_valid": np.full(num_epochs, 8.0),
        "l2": np.full(num_epochs, 0.5),
        "kl_weight": weight,
        "l2_weight": weight,
        **changed,
    }
    for split in ("train", "valid"):
        total = columns[f"recon_{split}"] + weight * columns[f"kl_{split}"]
        columns.setdefault(f"total_{split}", total)
    return FitLog(**columns)


def kinds(signs):
    assert all(sign.reason and sign.remedy for sign in signs)
    return [sign.kind for sign in signs]


@pytest.mark.parametrize("seed", range(20))
def test_healthy_costs_have_no_sign(seed):
    assert not signs_in_fit_log(make_log(seed=seed), is_over=True)


def test_costs_that_are_no_numbers():
    log = make_log()
    log.total_train[30] = np.nan
    (sign,) = signs_in_fit_log(log, is_over=False)
    assert (sign.kind, sign.reason) == ("not a number", "the cost of epoch 30 is no finite number")
    without = make_log(total_valid=np.full(60, np.nan), recon_valid=np.full(60, np.nan))
    assert not signs_in_fit_log(without, is_over=True)


def test_a_kl_that_is_or_falls_to_nothing():
    log = make_log(kl_valid=np.full(60, 0.2))
    (sign,) = signs_in_fit_log(log, is_over=True)
    assert sign.kind == "KL collapsed"
    assert "KL cost is 0.2 nats/trial" in sign.reason
    falling = make_log(kl_valid=8.0 * np.exp(-np.arange(60) / 10))
    (sign,) = signs_in_fit_log(falling, is_over=True)
    assert "fell from 8 to 0.033 nats/trial" in sign.reason
    assert not signs_in_fit_log(make_log(kl_valid=np.full(60, 0.7)), is_over=True)


def test_logs_hold_the_kl_times_its_weights():
    log = make_log(kl_valid=np.full(60, 0.2))
    assert not signs_in_fit_log(log, is_over=True, kl_weights=(0.1,))
    assert kinds(signs_in_fit_log(make_log(), is_over=True, kl_weights=(100.0,))) == [
        "KL collapsed"
    ]
    # With different weights, only what is sure is said.
    assert not signs_in_fit_log(make_log(), is_over=True, kl_weights=(100.0, 1.0))
    nothing = make_log(kl_valid=np.zeros(60))
    assert not signs_in_fit_log(nothing, is_over=True, kl_weights=(0.0,))


def test_while_the_weight_of_kl_rises_a_small_kl_is_none():
    log = make_log(num_epochs=15, kl_valid=np.full(15, 0.1))
    assert not signs_in_fit_log(log, is_over=False)


@pytest.mark.parametrize("seed", range(5))
def test_validation_that_gets_worse_while_training_gets_better(seed):
    rng = np.random.default_rng(seed)
    epochs = np.arange(100)
    train = 100 + 30 * np.exp(-epochs / 25) + 0.3 * rng.standard_normal(100)
    valid = train + 0.1 * np.maximum(0, epochs - 30) + 0.5 * rng.standard_normal(100)
    log = make_log(100, recon_train=train, recon_valid=valid + 0.3 * np.maximum(0, epochs - 40))
    (sign,) = signs_in_fit_log(log, is_over=False)
    assert sign.kind == "over-fitted"
    # Both getting worse is something else.
    both = make_log(100, recon_train=train + 0.5 * epochs, recon_valid=valid + 0.5 * epochs)
    assert not signs_in_fit_log(both, is_over=False)


@pytest.mark.parametrize(("name", "expected"), [("healthy", []), ("overfitted", ["over-fitted"])])
def test_logs_of_models_that_were_trained(name, expected):
    """The second saw 80 trials, with 100 units, and without L2 and dropout."""
    log = FitLog.load(FIT_LOGS / f"{name}_fitlog.csv")
    signs = signs_in_fit_log(log, is_over=True)
    assert kinds(signs) == expected
    if signs:
        assert "validation trials got worse by 22.9" in signs[0].reason


def test_trainings_that_ended_before_they_were_over():
    log = make_log(num_epochs=10)
    (sign,) = signs_in_fit_log(log, is_over=True)
    assert sign.kind == "stopped early"
    assert "after 10 epochs, while KL or L2 had a weight of 0.45" in sign.reason
    assert not signs_in_fit_log(log, is_over=False)
    rates = {"learning_rate_init": 0.01}
    assert kinds(signs_in_fit_log(make_log(), is_over=True, learning_rate=0.01, **rates)) == [
        "learning rate never decayed"
    ]
    assert not signs_in_fit_log(make_log(), is_over=False, learning_rate=0.01, **rates)
    assert not signs_in_fit_log(make_log(), is_over=True, learning_rate=0.0095, **rates)


def scored(**changed):
    """Scores of a healthy run of the demonstration."""
    values = {
        "bits_per_spike": Score(0.437, 1000),
        "train_bits_per_spike": Score(0.450, 4000),
        "spike_following": Score(0.021, 1000),
        "rate_variation": 1.033,
        "num_factors": 8,
        "num_ic_dims": 64,
        "num_active_ic_dims": 41,
        **changed,
    }
    return RunScores(**values)


def bits(train, valid, followed, **others):
    return {
        "train_bits_per_spike": Score(train, 4000),
        "bits_per_spike": Score(valid, 1000),
        "spike_following": Score(followed, 1000),
        **others,
    }


# Models of the demonstration and the stitching example as they come, and models of the same data
# that were broken on purpose: what was measured of them, and what is to be said.
TRAINED = [
    ("the least healthy of the sweep", bits(0.4501, 0.4372, 0.0211), []),
    ("with inferred inputs", bits(0.4716, 0.4661, 0.0327, has_inputs=True), []),
    ("stitched; truth itself follows spikes by 0.057", bits(0.5449, 0.5124, 0.0461), []),
    ("one of those stitched, alone", bits(0.5184, 0.4765, 0.0298), []),
    ("c_kl_ic_weight 10", bits(0.3965, 0.3827, 0.0112, rate_variation=0.857), []),
    ("c_factors_dim 40", bits(0.4473, 0.4315, 0.0185, num_factors=40), []),
    (
        "c_kl_ic_weight 100",
        bits(0.0163, 0.0102, 0.0002, rate_variation=0.278, num_active_ic_dims=0),
        ["posterior equals prior"],
    ),
    (
        "no KL, L2 or dropout, and 4 inferred inputs: R2 of log rates is -6.3",
        bits(0.7699, 0.7621, 0.2828, rate_variation=1.538, has_inputs=True),
        ["rates follow single spikes"],
    ),
    (
        "80 trials, no L2 or dropout, c_kl_ic_weight 0.05",
        bits(0.4553, 0.3274, 0.007),
        ["over-fitted"],
    ),
    (
        "c_learning_rate_init 1e-6",
        bits(-0.484, -0.482, 0.0, rate_variation=0.149),
        ["rates tell nothing"],
    ),
]


@pytest.mark.parametrize(("what", "measured", "expected"), TRAINED)
def test_models_that_were_trained(what, measured, expected):
    assert kinds(signs_in_scores(scored(**measured))) == expected


@pytest.mark.parametrize(
    ("measured", "kind", "words"),
    [
        ({"num_active_ic_dims": 0}, "posterior equals prior", "none of the 64 dimensions"),
        (
            {"num_active_ic_dims": 0, "has_inputs": True},
            "posterior equals prior",
            "only inferred inputs tell trials apart",
        ),
        ({"rate_variation": 0.004}, "rates constant", "by more than 0.4 % of its mean"),
        ({"bits_per_spike": Score(-0.01, 9)}, "rates tell nothing", "no better than mean rates"),
        ({"spike_following": Score(0.4, 9)}, "rates follow single spikes", "by 0.4 of it"),
        ({"bits_per_spike": Score(0.1, 9)}, "over-fitted", "0.45 bits/spike of training trials"),
        ({"num_dead_factors": 3}, "dead factors", "3 of 8 factors"),
    ],
)
def test_what_is_said_of_scores(measured, kind, words):
    (sign,) = signs_in_scores(scored(**measured))
    assert sign.kind == kind
    assert words in sign.reason


def test_what_is_not_known_is_no_sign():
    assert not signs_in_scores(RunScores())
    assert not signs_in_scores(scored())
    assert math.isnan(RunScores().bits_per_spike.value)


def test_signs_from_posterior_means_themselves():
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((20, 15, 4)) * [1.0, 0.5, 0.005, 0.0]
    counts = rng.poisson(0.5, (20, 15, 6))
    arrays = {
        "factors": factors,
        "counts": counts,
        "output_means": np.full(counts.shape, 0.5),
        "post_g0_mean": 0.001 * rng.standard_normal((20, 3)),
        "post_g0_logvar": np.full((20, 3), -2.3),
        "prior_g0_mean": np.zeros((20, 3)),
        "prior_g0_logvar": np.full((20, 3), math.log(0.1)),
    }
    flat = PosteriorMeans.from_arrays(bin_ms=10, valid_inds=range(5), **arrays)
    expected = ["posterior equals prior", "rates constant", "dead factors"]
    signs = signs_in_scores(score_posterior_means(flat))
    assert kinds(signs) == expected
    assert "2 of 4 factors" in signs[-1].reason
    arrays["output_means"] = 0.05 + 0.9 * counts
    copied = PosteriorMeans.from_arrays(bin_ms=10, valid_inds=range(5), **arrays)
    scores = score_posterior_means(copied)
    assert scores.spike_following.value == pytest.approx(0.9)
    assert "rates follow single spikes" in kinds(signs_in_scores(scores))
