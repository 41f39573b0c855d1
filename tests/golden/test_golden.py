"""The model gives the numbers of the original LFADS trainer.

Each case holds one batch that went through the original's graph with the noise given, and three
updates. See ``data/README.md``.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import gammaln

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.costs import batch_costs, trial_terms
from lfadsq.model.network import Noise, decode, encode, output_dist_params, sample_g0
from lfadsq.model.optimizer import AdamState, adam_step, clip_gradients
from lfadsq.model.parameters import describe_parameters, trained_names

DATA = Path(__file__).parent / "data"
TOLERANCE = 2e-5
"""Relative to the largest element of each array, in float32."""


def model_config(flags: dict[str, Any], **changes: Any) -> ModelConfig:
    datasets = tuple(DatasetConfig(n, flags["dataset_dims"][n]) for n in flags["dataset_names"])
    known = {field.name for field in fields(ModelConfig)} - {"datasets"}
    texts = {"true": True, "false": False}
    chosen = {k: texts.get(v, v) if isinstance(v, str) else v for k, v in flags.items()}
    settings = {name: chosen[name] for name in known if name in chosen}
    return ModelConfig(datasets=datasets, **{**settings, **changes})


def assert_close(actual: Any, expected: Any, name: str, tolerance: float = TOLERANCE) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, name
    scale = np.abs(expected).max()
    error = np.abs(actual - expected).max() / (scale if scale else 1.0)
    assert error < tolerance, f"{name}: {error:.2e}"


class Case:
    """One golden batch, run through our model."""

    def __init__(self, name: str) -> None:
        self.golden = dict(np.load(DATA / f"step_{name}.npz"))
        self.config = model_config(json.loads(str(self.golden["flags"])), keep_prob=1.0)
        counts = self.golden["data"].astype(np.float32)
        self.data = tf.constant(counts.transpose(1, 0, 2))
        poisson = self.config.is_poisson
        factorials = gammaln(counts.astype(float) + 1).sum((1, 2)) if poisson else np.zeros(24)
        self.log_factorials = tf.constant(factorials.astype(np.float32))
        co_noise = self.golden.get("noise_co_txbxu", np.zeros((15, 24, 0), np.float32))
        self.noise = Noise(tf.constant(self.golden["noise_g0"]), tf.constant(co_noise))
        names = [spec.name for spec in describe_parameters(self.config)]
        self.variables = {n: tf.Variable(self.golden[f"p0/{n}:0"]) for n in names}
        trained = trained_names(self.config)
        self.adam = AdamState(
            {n: tf.Variable(tf.zeros_like(self.variables[n])) for n in trained},
            {n: tf.Variable(tf.zeros_like(self.variables[n])) for n in trained},
            tf.Variable(self.golden["p0/LFADS/beta1_power:0"]),
            tf.Variable(self.golden["p0/LFADS/beta2_power:0"]),
        )
        self.trained = trained

    def forward(self) -> Any:
        config, dataset = self.config, self.config.datasets[0]
        ext_input = tf.zeros([15, 24, 0])
        encoding = encode(config, self.variables, dataset, self.data, ext_input)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, self.noise.g0)
        generation = decode(
            config, self.variables, dataset, g0, encoding.ci, ext_input, self.noise.co
        )
        return encoding, generation

    def step(self, step: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            encoding, generation = self.forward()
            terms = trial_terms(
                self.config,
                self.variables,
                self.data,
                self.log_factorials,
                encoding,
                generation,
                self.noise.co,
            )
            costs = batch_costs(self.config, self.variables, terms, step)
        gradients = tape.gradient(costs.total, {n: self.variables[n] for n in self.trained})
        clipped, norm = clip_gradients(gradients, self.config.max_grad_norm)
        adam_step(self.variables, clipped, self.adam, tf.constant(self.golden["lr"]))
        return costs, clipped, norm


@pytest.fixture(params=["co0", "co2", "gauss"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_the_same_variables_exist(case: Case) -> None:
    """Names and shapes are those of the original's graph."""
    theirs = {
        key[3:-2]: value.shape
        for key, value in case.golden.items()
        if key.startswith("p0/") and value.ndim == 2
    }
    ours = {spec.name: spec.shape for spec in describe_parameters(case.config)}
    assert ours == theirs


def test_the_same_variables_are_trained(case: Case) -> None:
    theirs = {key[13:-2] for key in case.golden if key.startswith("clipped_grad/")}
    assert set(case.trained) == theirs


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_forward_pass(case: Case, compiled: bool) -> None:
    forward = tf.function(case.forward) if compiled else case.forward
    encoding, generation = forward()
    actual = {
        **encoding._asdict(),
        **generation._asdict(),
        "output_dist_params": output_dist_params(case.config, generation.heads),
    }
    expected = {key[4:]: value for key, value in case.golden.items() if key.startswith("fwd/")}
    assert len(expected) >= 8
    for name, value in expected.items():
        assert_close(actual[name], value, name)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_costs_gradients_and_updates(case: Case, compiled: bool) -> None:
    step = tf.function(case.step) if compiled else case.step
    start = int(case.golden["start_step"])
    for update in (1, 2, 3):
        costs, clipped, norm = step(tf.constant(start + update - 1, tf.int64))
        theirs = {
            key.split("/")[1]: value
            for key, value in case.golden.items()
            if key.startswith(f"cost{update}/")
        }
        assert_close(costs.total, theirs["cost"], "cost")
        assert_close(costs.recon, theirs["recon_cost"], "recon")
        assert_close(costs.kl, theirs["kl_cost"], "kl")
        assert_close(costs.l2, theirs["l2_cost"], "l2")
        assert_close(costs.corr, theirs["corr_cost"], "corr")
        assert_close(costs.kl_weight, theirs["kl_weight"], "kl_weight")
        assert_close(costs.l2_weight, theirs["l2_weight"], "l2_weight")
        assert_close(costs.nll_bound_vae, theirs["nll_bound_vae"], "nll_bound_vae")
        assert_close(costs.nll_bound_iwae, theirs["nll_bound_iwae"], "nll_bound_iwae")
        assert_close(norm, theirs["grad_global_norm"], "norm", 5e-5)
        if update == 1:
            for name in case.trained:
                expected = case.golden[f"clipped_grad/{name}:0"]
                assert_close(clipped[name], expected, f"gradient of {name}", 5e-5)
        if update in (1, 3):
            for name in case.trained:
                expected = case.golden[f"p{update}/{name}:0"]
                assert_close(case.variables[name], expected, f"{name} after {update}", 5e-5)


def test_a_trained_model_gives_the_originals_posterior_means() -> None:
    with h5py.File(DATA / "legacy_push_mean.h5") as file:
        flags = json.loads(file.attrs["hyperparameters"])
        expected = {name: values[()] for name, values in file.items()}
    config = model_config(flags, keep_prob=1.0)
    with h5py.File(DATA / "legacy_model_params") as file:
        parameters = {
            spec.name: tf.constant(file[spec.name.replace("/", "_") + ":0"][()])
            for spec in describe_parameters(config)
        }
    counts = tf.constant(expected.pop("valid_data").transpose(1, 0, 2).astype(np.float32))
    ext_input = tf.zeros([50, 20, 0])
    dataset = config.datasets[0]
    encoding = encode(config, parameters, dataset, counts, ext_input)
    generation = decode(
        config, parameters, dataset, encoding.post_g0_mean, None, ext_input, ext_input
    )
    actual = {
        **encoding._asdict(),
        **generation._asdict(),
        "output_dist_params": output_dist_params(config, generation.heads),
    }
    for name, value in expected.items():
        ours = actual[name].numpy()
        assert_close(ours.transpose(1, 0, 2) if ours.ndim == 3 else ours, value, name)
