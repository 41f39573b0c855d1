"""Several runs computed at once give what each gives alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.model import recurrence
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.costs import trial_terms
from lfadsq.model.network import Masks, Noise, decode, draw_masks, draw_noise, encode, sample_g0
from lfadsq.model.parameters import initial_parameters

NUM_RUNS, BATCH, CHANNELS = 3, 4, 5
ONE = (DatasetConfig("a.h5", CHANNELS),)
TWO = (*ONE, DatasetConfig("b.h5", 4))


def outputs_and_gradients(
    config: ModelConfig,
    values: dict[str, Any],
    data: Any,
    ext_input: Any,
    noise: Noise,
    masks: Masks | None,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    parameters = {name: tf.convert_to_tensor(value) for name, value in values.items()}
    dataset = config.datasets[0]
    with tf.GradientTape() as tape:
        tape.watch(list(parameters.values()))
        encoding = encode(config, parameters, dataset, data, ext_input, masks)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
        generation = decode(
            config, parameters, dataset, g0, encoding.ci, ext_input, noise.co, masks
        )
        no_factorials = tf.zeros(tf.shape(data)[1:-1])
        terms = trial_terms(config, parameters, data, no_factorials, encoding, generation, noise.co)
        total = tf.reduce_sum(-terms.log_density + terms.kl + terms.corr)
    gradients = tape.gradient(total, parameters, unconnected_gradients="zero")
    return {**terms._asdict(), "gen_ics": generation.gen_ics}, gradients


def stacked(pieces: Sequence[Any], axes: dict[str, int]) -> Any:
    kind = type(pieces[0])
    fields = {f: tf.stack([getattr(p, f) for p in pieces], axes[f]) for f in kind._fields}
    return kind(**fields)


def slow(options: dict[str, Any]) -> Any:
    return pytest.param(options, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "options",
    [
        {"co_dim": 0},
        {"co_dim": 2, "datasets": TWO},
        slow({"co_dim": 2, "feedback_factors_or_rates": "rates", "ext_input_dim": 2}),
        {
            "co_dim": 2,
            "output_dist": "gaussian",
            "feedback_factors_or_rates": "rates",
            "ext_input_dim": 2,
            "inject_ext_input_to_gen": True,
            "ic_dim": 3,
        },
        slow(
            {
                "co_dim": 1,
                "do_feed_factors_to_controller": False,
                "do_causal_controller": True,
                "keep_prob": 1.0,
                "cell_clip_value": 0.3,
            }
        ),
        slow({"co_dim": 2, "feedback_factors_or_rates": "rates", "factors_dim": CHANNELS}),
    ],
    ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items() if k != "datasets"),
)
def test_each_run_is_as_alone(options: dict[str, Any]) -> None:
    check_that_each_is_as_alone(options)


@pytest.mark.slow
def test_long_trials_are_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too long to be unrolled into one graph, so that they are computed in a loop."""
    monkeypatch.setattr(recurrence, "MAX_UNROLLED_STEPS", 3)
    monkeypatch.setattr(recurrence, "CHUNK_STEPS", 3)
    check_that_each_is_as_alone({"co_dim": 2, "num_steps": 8})


def check_that_each_is_as_alone(options: dict[str, Any]) -> None:
    small = {"gen_dim": 6, "ic_dim": 6, "ic_enc_dim": 4, "ci_enc_dim": 3, "con_dim": 5}
    settings = {"datasets": ONE, "num_steps": 4, "factors_dim": 3, **small, **options}
    config = ModelConfig(**settings)
    stream = np.random.default_rng(0)
    data = stream.poisson(0.5, (config.num_steps, NUM_RUNS, BATCH, CHANNELS)).astype(np.float32)
    ext_input = stream.standard_normal((*data.shape[:3], config.ext_input_dim)).astype(np.float32)
    values = [initial_parameters(config, seed) for seed in range(NUM_RUNS)]
    seeds = [tf.constant([seed, 1]) for seed in range(NUM_RUNS)]
    noises = [draw_noise(config, BATCH, seed) for seed in seeds]
    masks = [draw_masks(config, config.datasets[0], BATCH, seed) for seed in seeds]
    per_trial, over_time = {"g0": 0, "co": 1}, dict.fromkeys(Masks._fields, 1) | {"ic_code": 0}
    compute = tf.function(outputs_and_gradients)
    together, gradients = compute(
        config,
        {name: np.stack([run[name] for run in values]) for name in values[0]},
        data,
        ext_input,
        stacked(noises, per_trial),
        stacked(masks, over_time) if config.keep_prob < 1 else None,
    )
    for run in range(NUM_RUNS):
        alone, expected = compute(
            config, values[run], data[:, run], ext_input[:, run], noises[run], masks[run]
        )
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][run], value, 1e-4, 1e-4, err_msg=name)
        for name, value in expected.items():
            scale = float(tf.reduce_max(tf.abs(value)))
            np.testing.assert_allclose(
                gradients[name][run], value, 1e-4, 1e-5 * scale + 1e-6, err_msg=name
            )
