"""The model that is trained, with any mixture of options, against plain NumPy (`reference`).

Through what the trainer calls: one compiled update (`ModelSteps.train`) with the noise and the
dropout given. What Adam remembers after its first update is a tenth of the clipped gradient, so
gradients are seen without asking how they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.network import Masks, Noise, decode, encode, output_dist_params, sample_g0
from lfadsq.model.parameters import describe_parameters, trained_names
from lfadsq.training import evaluation, steps
from lfadsq.training.data import Batch
from lfadsq.training.evaluation import Evaluator
from lfadsq.training.steps import ModelSteps
from lfadsq.training.variables import ModelVariables

from . import reference
from .reference import Trials

BATCH, TIME, CHANNELS, EXT = 3, 5, 5, 2
LEARNING_RATE = 0.03
TOLERANCE = 3e-5
"""Of outputs and costs in float32, relative to the largest element of each array."""
GRADIENT_TOLERANCE = 1e-4
"""Of the derivative in a direction, relative to the length of the variable's gradient."""

COMMON: dict[str, list[dict[str, Any]]] = {
    "external": [
        {},
        {"ext_input_dim": EXT},
        {"ext_input_dim": EXT, "inject_ext_input_to_gen": True},
    ],
    "output": [{}, {"output_dist": "gaussian"}],
    "datasets": [{}, {"aligned": True}, {"num_datasets": 2}, {"num_datasets": 2, "aligned": True}],
    "read-in": [{}, {"do_train_readin": False}],
    "window": [{}, {"num_steps_for_gen_ic": 2}, {"num_steps_for_gen_ic": 1}],
    "g0": [{}, {"ic_dim": 4}],
    "factors": [{}, {"factors_dim": CHANNELS}],
    "prior": [
        {},
        {"ic_prior_var_min": 0.05, "ic_prior_var_scale": 0.1, "ic_prior_var_max": 0.4},
        {"ic_prior_var_scale": 0.7},
    ],
    "posterior": [{}, {"ic_post_var_min": 0.2}, {"ic_post_var_min": 0.0}],
    "l2": [
        {"l2_gen_scale": gen, "l2_con_scale": con}
        for gen, con in ((20.0, 30.0), (0.0, 30.0), (20.0, 0.0), (0.0, 0.0))
    ],
    "kl": [{}, {"kl_ic_weight": 0.3, "kl_co_weight": 2.5}, {"kl_co_weight": 0.0}],
    "warm-up": [
        {"step": 1000},
        {"step": 40, "kl_start_step": 10, "l2_start_step": 30},
        {"step": 2, "kl_start_step": 5, "kl_increase_steps": 0, "l2_increase_steps": 0},
    ],
    "cells": [{}, {"cell_clip_value": 0.9}, {"cell_clip_value": 0.25}],
    "dropout": [{"keep_prob": 1.0}, {"keep_prob": 0.7}],
    "norm": [{}, {"max_grad_norm": 0.5}],
}
"""Choices by what they are about, the usual one first."""

WITH_CONTROLLER: dict[str, list[dict[str, Any]]] = COMMON | {
    "inputs": [{"co_dim": 2}, {"co_dim": 1}, {"co_dim": 3}],
    "causal": [{}, {"do_causal_controller": True}],
    "lag": [{"controller_input_lag": lag} for lag in (1, 0, 3, 99)],
    "feedback": [
        {},
        {"do_feed_factors_to_controller": False},
        {"feedback_factors_or_rates": "rates"},
    ],
    "ar1": [
        {},
        {"do_train_prior_ar_atau": False, "prior_ar_atau": 2.0},
        {"do_train_prior_ar_nvar": False, "prior_ar_nvar": 0.5},
    ],
    "correlation": [{}, {"co_mean_corr_scale": 4.0}],
}


def pairwise(options: Mapping[str, list[Any]], seed: int = 0) -> list[dict[str, int]]:
    """Choose few cases in which every two choices occur together, and one of all usual ones."""
    stream = np.random.default_rng(seed)
    sizes = {name: len(choices) for name, choices in options.items()}
    usual = dict.fromkeys(sizes, 0)
    missing = {
        frozenset({(a, i), (b, j)})
        for a, b in combinations(sizes, 2)
        for i, j in product(range(sizes[a]), range(sizes[b]))
    }
    chosen: list[dict[str, int]] = []

    def covered(case: dict[str, int]) -> set[frozenset[tuple[str, int]]]:
        return {frozenset(pair) for pair in combinations(case.items(), 2)}

    case = usual
    while True:
        chosen.append(case)
        missing -= covered(case)
        if not missing:
            return chosen
        candidates = []
        for _ in range(60):
            start = dict(sorted(missing, key=sorted)[stream.integers(len(missing))])
            drawn = {n: int(stream.integers(size)) for n, size in sizes.items()}
            candidates.append({**drawn, **start})
        case = max(candidates, key=lambda c: len(covered(c) & missing))


class Case:
    """A model, values of its variables, a batch and every draw."""

    def __init__(
        self,
        seed: int = 0,
        num_steps: int = TIME,
        *,
        num_datasets: int = 1,
        aligned: bool = False,
        step: int = 7,
        weight_scale: float = 0.6,
        **settings: Any,
    ) -> None:
        self.step = step
        same_channels = settings.get("feedback_factors_or_rates") == "rates"
        datasets = tuple(
            DatasetConfig(f"d{i}.h5", CHANNELS + (0 if same_channels else i), aligned)
            for i in range(num_datasets)
        )
        small = {"gen_dim": 4, "ic_dim": 3, "ic_enc_dim": 3, "ci_enc_dim": 3, "con_dim": 2}
        small |= {"factors_dim": 2, "kl_increase_steps": 50, "l2_increase_steps": 70}
        self.config = ModelConfig(
            datasets=datasets, num_steps=num_steps, **{"co_dim": 0, **small, **settings}
        )
        self.dataset = num_datasets - 1
        self.stream = np.random.default_rng(seed)
        self.values = {
            spec.name: self.draw(*spec.shape) * np.float32(weight_scale) + spec.constant / 4
            for spec in describe_parameters(self.config)
        }
        self.trials = self.draw_trials(BATCH, self.config.keep_prob)

    def draw(self, *shape: int) -> np.ndarray:
        """Draw what a float32 holds exactly."""
        return self.stream.standard_normal(shape).astype(np.float32).astype(np.float64)

    def draw_trials(self, num_trials: int, keep_prob: float) -> Trials:
        config, time = self.config, self.config.num_steps
        shape = (num_trials, time, config.datasets[self.dataset].num_channels)
        data = self.stream.poisson(1.2, shape).astype(float)
        if config.output_dist == "gaussian":
            data = self.draw(*shape)
        con_input = 0
        if config.co_dim:
            con_input = config.ci_enc_dim * (1 if config.do_causal_controller else 2)
            if config.do_feed_factors_to_controller:
                feeds_rates = config.feedback_factors_or_rates == "rates"
                con_input += shape[2] if feeds_rates else config.factors_dim
        shapes = {
            "data": (time, num_trials, shape[2]),
            "ext_input": (time, num_trials, config.ext_input_dim),
            "ic_code": (num_trials, 2 * config.ic_enc_dim),
            "con_input": (time, num_trials, con_input),
            "gen_output": (time, num_trials, config.gen_dim),
        }
        kept = {name: self.stream.random(s) < keep_prob for name, s in shapes.items()}
        return Trials(
            data,
            self.draw(num_trials, time, config.ext_input_dim),
            self.draw(num_trials, config.ic_dim),
            self.draw(time, num_trials, config.co_dim),
            {n: mask / np.float32(keep_prob) for n, mask in kept.items()} if keep_prob < 1 else {},
        )

    @property
    def noise(self) -> Noise:
        return Noise(float32(self.trials.g0_noise), float32(self.trials.co_noise))

    @property
    def masks(self) -> Masks | None:
        masks = self.trials.masks
        return Masks(**{n: float32(mask) for n, mask in masks.items()}) if masks else None

    @property
    def batch(self) -> Batch:
        factorials = np.zeros(len(self.trials.data))
        if self.config.output_dist == "poisson":
            factorials = gammaln(self.trials.data + 1).sum((1, 2))
        arrays = (self.trials.data, self.trials.ext_input, factorials)
        return Batch(*(array.astype(np.float32) for array in arrays))

    @property
    def parameters(self) -> dict[str, tf.Tensor]:
        return {name: float32(value) for name, value in self.values.items()}

    def variables(self) -> ModelVariables:
        values = {name: value.astype(np.float32) for name, value in self.values.items()}
        variables = ModelVariables.create(self.config, values, LEARNING_RATE)
        variables.global_step.assign(self.step)
        return variables


def float32(array: np.ndarray) -> tf.Tensor:
    return tf.constant(array.astype(np.float32))


def mixtures(options: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Give the settings of cases in which every two choices occur together."""
    mixed = []
    for choices in pairwise(options):
        settings: dict[str, Any] = {}
        for name, index in choices.items():
            settings |= options[name][index]
        mixed.append(settings)
    return mixed


def assert_close(actual: Any, expected: Any, name: str, tolerance: float = TOLERANCE) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, name
    if expected.size:
        scale = max(np.abs(expected).max(), 1e-3)
        error = np.abs(actual - expected).max() / scale
        assert error < tolerance, f"{name}: {error:.2e}"


def give_draws(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setattr(steps, "draw_noise", lambda *_: case.noise)
    monkeypatch.setattr(steps, "draw_masks", lambda *_: case.masks)


def check_outputs(case: Case) -> None:
    """Compare everything that comes out of the forward pass, with dropout if the case has it."""
    config, described = case.config, case.config.datasets[case.dataset]
    parameters = case.parameters

    @tf.function(autograph=False)
    def run() -> Any:
        data, ext_input = (
            float32(a.transpose(1, 0, 2)) for a in (case.trials.data, case.trials.ext_input)
        )
        encoding = encode(config, parameters, described, data, ext_input, case.masks)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, case.noise.g0)
        generation = decode(
            config, parameters, described, g0, encoding.ci, ext_input, case.noise.co, case.masks
        )
        return encoding, generation, output_dist_params(config, generation.heads)

    encoding, generation, rates = run()
    actual = {**encoding._asdict(), **generation._asdict(), "output_dist_params": rates}
    expected = reference.forward(config, case.values, case.dataset, case.trials)
    heads = expected.pop("heads")
    assert len(actual["heads"]) == len(heads)
    for head, theirs in zip(actual["heads"], heads, strict=True):
        assert_close(head, theirs, "heads")
    for name, value in expected.items():
        assert_close(actual[name], value, name)


def check_costs(case: Case, ours: Any, values: Mapping[str, np.ndarray], step: int) -> None:
    theirs = reference.costs(case.config, values, case.dataset, case.trials, step)
    for name in ("total", "recon", "kl", "l2", "corr", "kl_weight", "l2_weight"):
        assert_close(getattr(ours, name), theirs[name], f"{name} at step {step}")


def check_gradients(case: Case, gradients: Mapping[str, np.ndarray], num_directions: int) -> None:
    """Compare the derivative in random directions of each variable by itself."""
    longest = max((np.linalg.norm(g) for g in gradients.values()), default=0.0)
    for name, gradient in gradients.items():
        for _ in range(num_directions):
            direction = case.draw(*gradient.shape)
            direction /= np.linalg.norm(direction)
            expected = reference.derivative(
                case.config, case.values, case.dataset, case.trials, case.step, {name: direction}
            )
            ours = (gradient * direction).sum()
            scale = max(np.linalg.norm(gradient), abs(expected), 1e-3 * longest)
            error = float(abs(ours - expected) / scale)
            assert error < GRADIENT_TOLERANCE, f"gradient of {name}: {error:.2e}"


def check_updates(
    case: Case, monkeypatch: pytest.MonkeyPatch, num_updates: int = 3, num_directions: int = 2
) -> None:
    """Compare costs, gradients, and what Adam makes of them, over some updates."""
    give_draws(monkeypatch, case)
    variables = case.variables()
    model = ModelSteps(case.config, variables, seed=0)
    trained = trained_names(case.config)
    values = dict(case.values)
    first = {name: np.zeros(values[name].shape) for name in trained}
    second = dict(first)
    for update in range(1, num_updates + 1):
        costs = model.train(case.dataset, case.batch)
        check_costs(case, costs, values, case.step + update - 1)
        moments = {name: variables.adam.first[name].numpy().astype(float) for name in trained}
        clipped = {name: (moments[name] - 0.9 * first[name]) / 0.1 for name in trained}
        norm = np.sqrt(sum((g**2).sum() for g in clipped.values()))
        factor = max(costs.grad_norm / case.config.max_grad_norm, 1.0)
        assert_close(norm * factor, costs.grad_norm, "grad_norm", 2e-5)
        if update == 1:
            check_gradients(case, {name: g * factor for name, g in clipped.items()}, num_directions)
        rate = LEARNING_RATE * np.sqrt(1 - 0.999**update) / (1 - 0.9**update)
        for name in values:
            if name in trained:
                first[name] = moments[name]
                second[name] = 0.999 * second[name] + 0.001 * clipped[name] ** 2
                expected = values[name] - rate * first[name] / (np.sqrt(second[name]) + 0.1)
            else:
                expected = values[name]
            actual = variables.parameters[name].numpy().astype(float)
            assert_close(actual, expected, f"{name} after update {update}")
            values[name] = actual
    assert int(variables.global_step.numpy()) == case.step + num_updates
    assert float(variables.learning_rate.numpy()) == np.float32(LEARNING_RATE)


MIXTURES = [*mixtures(COMMON), *mixtures(WITH_CONTROLLER)]


@pytest.fixture
def _uncompiled() -> Iterator[None]:
    """Run the same functions step by step, as compiling takes far longer than running."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("number", range(len(MIXTURES)))
def test_every_pair_of_options(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(seed=number, **MIXTURES[number])
    check_outputs(case)
    check_updates(case, monkeypatch, num_updates=1, num_directions=1)


@pytest.mark.parametrize(
    "options",
    [
        {"aligned": True, "keep_prob": 0.7, "cell_clip_value": 0.25, "max_grad_norm": 0.5},
        {
            "co_dim": 2,
            "feedback_factors_or_rates": "rates",
            "ext_input_dim": EXT,
            "inject_ext_input_to_gen": True,
            "num_datasets": 2,
            "keep_prob": 0.7,
        },
        {"co_dim": 2, "output_dist": "gaussian", "num_steps": 1},
        {"co_dim": 0, "num_steps": 2, "num_steps_for_gen_ic": 1},
    ],
    ids=str,
)
@pytest.mark.slow
def test_compiled_as_the_trainer_does(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(**options)
    check_outputs(case)
    check_updates(case, monkeypatch)


@pytest.mark.parametrize(
    "options",
    [
        {"num_steps": 131, "aligned": True, "num_steps_for_gen_ic": 80, "keep_prob": 0.8},
        {"num_steps": 70, "co_dim": 2, "keep_prob": 0.8},
        pytest.param(
            {
                "num_steps": 131,
                "co_dim": 1,
                "feedback_factors_or_rates": "rates",
                "cell_clip_value": 0.4,
                "controller_input_lag": 67,
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
@pytest.mark.slow
def test_long_trials(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Too long to be unrolled into one graph; the backward encoders meet every bin as well."""
    case = Case(weight_scale=0.4, **options)
    check_updates(case, monkeypatch, num_updates=1, num_directions=1)


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize(
    "which",
    [{"do_train_io_only": True}, {"do_train_encoder_only": True}, {"do_train_readin": False}],
    ids=str,
)
@pytest.mark.parametrize("co_dim", [0, 2])
def test_what_is_trained(
    which: dict[str, Any], co_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The norm is that of the gradient of what is trained, and nothing else moves."""
    case = Case(num_datasets=2, aligned=True, co_dim=co_dim, max_grad_norm=2.0, **which)
    assert len(trained_names(case.config)) < len(case.values)
    check_updates(case, monkeypatch)


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("co_dim", [0, 2])
def test_validation_costs_are_without_dropout(co_dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(co_dim=co_dim, keep_prob=0.6, co_mean_corr_scale=2.0, step=20)
    case.trials = case.draw_trials(BATCH, keep_prob=1.0)
    give_draws(monkeypatch, case)
    model = ModelSteps(case.config, case.variables(), seed=0)
    check_costs(case, model.validate(case.dataset, 0, case.batch), case.values, case.step)


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("output_dist", ["poisson", "gaussian"])
@pytest.mark.parametrize("co_dim", [0, 2])
@pytest.mark.parametrize("pushes_mean", [False, True], ids=["samples", "means"])
def test_posterior_averages(
    pushes_mean: bool, co_dim: int, output_dist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Averages are of outputs over samples; costs and bounds are those of each trial."""
    num_trials, num_samples = 2, 1 if pushes_mean else 5
    case = Case(co_dim=co_dim, output_dist=output_dist, step=20)
    once = case.trials = case.draw_trials(num_trials, keep_prob=1.0)
    g0_noise = case.draw(num_trials, num_samples, case.config.ic_dim)
    co_noise = case.draw(TIME, num_trials, num_samples, co_dim)

    def given_noise(_: Any, __: Any, numbers: Any, first: Any, count: int) -> Noise:
        assert list(np.asarray(numbers)) == [4, 9]
        rows, num_rows = slice(int(first), int(first) + count), num_trials * count
        g0 = g0_noise[:, rows].reshape(num_rows, case.config.ic_dim)
        return Noise(float32(g0), float32(co_noise[:, :, rows].reshape(TIME, num_rows, co_dim)))

    monkeypatch.setattr(evaluation, "posterior_noise", given_noise)
    evaluator = Evaluator(case.config, case.parameters, case.step, seed=0)
    encoding = evaluator.encode(case.dataset, case.batch)
    given = (case.dataset, encoding, case.batch, np.array([4, 9]))
    if pushes_mean:
        ours = evaluator.push_mean(*given)
    else:
        ours = evaluator.sample_and_average(*given, num_samples, at_once=2)
    for trial in range(num_trials):
        samples = Trials(
            np.repeat(once.data[[trial]], num_samples, 0),
            np.repeat(once.ext_input[[trial]], num_samples, 0),
            g0_noise[trial] * (not pushes_mean),
            co_noise[:, trial] * (not pushes_mean),
            masks={},
        )
        outputs = reference.forward(case.config, case.values, case.dataset, samples)
        for name in ("gen_states", "factors", "output_dist_params", "controller_outputs"):
            if name in outputs:
                assert_close(getattr(ours, name)[trial], outputs[name].mean(1), name)
        for name in ("post_g0_mean", "post_g0_logvar", "prior_g0_mean", "prior_g0_logvar"):
            assert_close(getattr(ours, name)[trial], outputs[name][0], name)
        assert_close(ours.gen_ics[trial], outputs["gen_ics"].mean(0), "gen_ics")
        if co_dim:
            # Of means that are pushed through, the divergence is still that of a sample.
            deviation = np.exp(outputs["post_co_logvar"] / 2)
            sampled = outputs["post_co_mean"] + deviation * co_noise[:, trial]
            outputs["controller_outputs"] = sampled
        samples = replace(samples, co_noise=co_noise[:, trial])
        terms = reference.trial_terms(case.config, case.values, outputs, samples)
        costs = reference.costs_of(case.config, case.values, terms, case.step)
        assert_close(ours.costs[trial], costs["total"], "costs")
        assert_close(ours.nll_bound_vaes[trial], costs["nll_bound_vae"], "nll_bound_vaes")
        assert_close(ours.nll_bound_iwaes[trial], costs["nll_bound_iwae"], "nll_bound_iwaes")


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"co_dim": 2, "ic_prior_var_min": 0.05, "ic_prior_var_max": 0.4},
        {"co_dim": 1, "ext_input_dim": EXT, "inject_ext_input_to_gen": True, "ic_dim": 4},
    ],
    ids=str,
)
def test_prior_samples(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(**options)
    case.trials = case.draw_trials(BATCH, keep_prob=1.0)
    monkeypatch.setattr(evaluation, "draw_noise", lambda *_: case.noise)
    evaluator = Evaluator(case.config, case.parameters, case.step, seed=0)
    ext_input = float32(case.trials.ext_input.transpose(1, 0, 2))
    ours = evaluator.sample_prior(case.dataset, BATCH, ext_input)
    outputs = reference.forward(
        case.config, case.values, case.dataset, case.trials, from_prior=True
    )
    for name in ("prior_g0_mean", "prior_g0_logvar", "gen_ics"):
        assert_close(getattr(ours, name), outputs[name], name)
    for name in ("gen_states", "factors", "output_dist_params"):
        assert_close(getattr(ours, name), outputs[name].swapaxes(0, 1), name)
    if case.config.co_dim:
        u = reference.prior_inputs(case.values, case.trials.co_noise)
        assert_close(ours.prior_zs_ar_con, u.swapaxes(0, 1), "prior_zs_ar_con")


@pytest.mark.slow
@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=st.data(), num_steps=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_any_mixture_compiled(data: st.DataObject, num_steps: int, seed: int) -> None:
    options = WITH_CONTROLLER | {
        "inputs": [{"co_dim": number} for number in (2, 0, 1, 3)],
        "trained": [{}, {"do_train_io_only": True}, {"do_train_encoder_only": True}],
    }
    mixture: dict[str, Any] = {}
    for name, choices in options.items():
        mixture |= data.draw(st.sampled_from(choices), label=name)
    case = Case(seed, num_steps, **mixture)
    check_outputs(case)
    with pytest.MonkeyPatch.context() as monkeypatch:
        check_updates(case, monkeypatch)
