from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.costs import TrialTerms, batch_costs, correlation, l2_cost, warmup_weight
from lfadsq.model.optimizer import AdamState, adam_step, clip_gradients
from lfadsq.model.parameters import initial_parameters


def config(**settings: object) -> ModelConfig:
    small = {"gen_dim": 4, "ic_dim": 3, "ic_enc_dim": 3, "ci_enc_dim": 3, "con_dim": 2}
    small |= {"factors_dim": 2}
    return ModelConfig((DatasetConfig("d.h5", 5),), num_steps=6, **{**small, **settings})


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (100, 0.0), (101, 0.01), (150, 0.5), (200, 1.0), (900, 1.0)]
)
def test_weight_rises_linearly(step: int, expected: float) -> None:
    weight = warmup_weight(tf.constant(step, tf.int64), 100, 100)
    assert float(weight) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "expected"), [(4, 0.0), (5, 1.0), (6, 1.0)])
def test_weight_without_increase_is_a_step_rather_than_not_a_number(
    step: int, expected: float
) -> None:
    assert float(warmup_weight(tf.constant(step, tf.int64), 5, 0)) == expected


@pytest.mark.parametrize("l2_con_scale", [0.0, 30.0])
def test_l2_is_over_recurrent_weights_of_both_cells(l2_con_scale: float) -> None:
    """The controller's elements count in the denominator even where its scale is 0."""
    settings = config(co_dim=1, l2_gen_scale=20.0, l2_con_scale=l2_con_scale)
    values = {k: v + 0.1 for k, v in initial_parameters(settings, 0).items()}
    parts = ("Gates/h_2_ru/W", "Gates/h_2_ru/b", "Candidate/rh_2_c/W", "Candidate/rh_2_c/b")
    total, elements = 0.0, 0
    for cell, scale in (("gen", 20.0), ("con", l2_con_scale)):
        for part in parts:
            value = values[f"LFADS/{cell}/GenGRU/{part}"]
            total += 0.5 * scale * (value.astype(float) ** 2).sum()
            elements += value.size
    assert float(l2_cost(settings, values)) == pytest.approx(total / elements, rel=1e-5)


def test_no_l2_without_scales() -> None:
    settings = config(co_dim=1, l2_gen_scale=0.0, l2_con_scale=0.0)
    assert float(l2_cost(settings, initial_parameters(settings, 0))) == 0.0


def test_correlation_is_the_mean_over_pairs() -> None:
    means = np.random.default_rng(1).standard_normal((6, 3, 4)).astype(np.float32)
    pairs = list(combinations(range(4), 2))
    expected = [
        np.mean([0.5 * (means[:, b, i] @ means[:, b, j]) ** 2 for i, j in pairs]) for b in range(3)
    ]
    np.testing.assert_allclose(correlation(tf.constant(means)), expected, rtol=1e-4)


def test_one_inferred_input_correlates_with_nothing() -> None:
    np.testing.assert_array_equal(correlation(tf.ones([5, 3, 1])), np.zeros(3))


def test_batch_costs_from_the_terms() -> None:
    settings = config(co_dim=2, co_mean_corr_scale=3.0, kl_increase_steps=100, l2_increase_steps=50)
    parameters = initial_parameters(settings, 0)
    density, kl, corr = np.random.default_rng(2).standard_normal((3, 8))
    terms = TrialTerms(*(tf.constant(x, tf.float32) for x in (density, kl, corr)))
    costs = batch_costs(settings, parameters, terms, tf.constant(25, tf.int64))
    l2 = float(l2_cost(settings, parameters))
    expected = -density.mean() + 0.25 * kl.mean() + 0.5 * l2 + 3.0 * corr.mean()
    assert float(costs.total) == pytest.approx(expected, rel=1e-5)
    assert float(costs.nll_bound_vae) == pytest.approx((kl - density).mean(), rel=1e-5)
    iwae = -np.log(np.exp(density - kl).mean())
    assert float(costs.nll_bound_iwae) == pytest.approx(iwae, rel=1e-4)


def test_costs_of_samples_are_those_of_each_trial() -> None:
    settings = config()
    parameters = initial_parameters(settings, 0)
    values = np.random.default_rng(2).standard_normal((3, 4, 8)).astype(np.float32)
    step = tf.constant(9, tf.int64)
    together = batch_costs(settings, parameters, TrialTerms(*map(tf.constant, values)), step)
    for trial in range(4):
        terms = TrialTerms(*(tf.constant(x[trial]) for x in values))
        alone = batch_costs(settings, parameters, terms, step)
        assert float(together.total[trial]) == pytest.approx(float(alone.total), rel=1e-5)


def test_gradients_are_scaled_together() -> None:
    gradients = {"a": tf.constant([3.0, 0.0]), "b": tf.constant([[4.0]])}
    clipped, norm = clip_gradients(gradients, 1.0)
    assert float(norm) == pytest.approx(5.0)
    np.testing.assert_allclose(clipped["a"], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"], [[0.8]], rtol=1e-6)
    unclipped, _ = clip_gradients(gradients, 10.0)
    np.testing.assert_allclose(unclipped["b"], [[4.0]])


def test_adam_is_that_of_its_equations() -> None:
    stream = np.random.default_rng(5)
    value = stream.standard_normal((3, 2))
    variables = {"w": tf.Variable(value.astype(np.float32)), "frozen": tf.Variable([1.0])}
    zeros = np.zeros((3, 2), np.float32)
    state = AdamState(
        {"w": tf.Variable(zeros)}, {"w": tf.Variable(zeros)}, tf.Variable(0.9), tf.Variable(0.999)
    )
    m = v = np.zeros((3, 2))
    for t in range(1, 6):
        gradient = stream.standard_normal((3, 2))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.02 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        value = value - rate * m / (np.sqrt(v) + 0.1)
        adam_step(variables, {"w": tf.constant(gradient, tf.float32)}, state, tf.constant(0.02))
        np.testing.assert_allclose(variables["w"], value, rtol=2e-5, atol=1e-6)
    assert float(variables["frozen"][0]) == 1.0
