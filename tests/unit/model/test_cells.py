"""The cell against NumPy, and its own gradient against automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.model import recurrence
from lfadsq.model.cells import GruWeights, column_sums, gru_layer

BATCH, INPUTS, UNITS = 4, 3, 5


def make(num_steps: int, num_inputs: int, scale: float = 0.6) -> tuple[tf.Tensor, ...]:
    stream = np.random.default_rng(num_steps + num_inputs)
    shapes = [
        (num_steps, BATCH, num_inputs),
        (BATCH, UNITS),
        (num_inputs + UNITS, 2 * UNITS),
        (1, 2 * UNITS),
        (num_inputs + UNITS, UNITS),
        (1, UNITS),
    ]
    return tuple(
        tf.constant(stream.standard_normal(shape).astype(np.float32) * scale) for shape in shapes
    )


def numpy_layer(
    inputs: Any, initial: Any, weights: Any, clip_value: float, reverse: bool
) -> np.ndarray:
    w_ru, b_ru, w_c, b_c = (np.asarray(w, float) for w in weights)
    h = np.asarray(initial, float)
    states = np.zeros((len(inputs), *h.shape))
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        x = np.asarray(inputs[t], float)
        gates = np.concatenate([x, h], 1) @ w_ru + b_ru
        r = 1 / (1 + np.exp(-gates[:, :UNITS]))
        u = 1 / (1 + np.exp(-gates[:, UNITS:] - 1))
        c = np.tanh(np.concatenate([x, r * h], 1) @ w_c + b_c)
        h = states[t] = np.clip(u * h + (1 - u) * c, -clip_value, clip_value)
    return states


def autodiff_layer(
    inputs: Any, initial: Any, weights: Any, clip_value: float, reverse: bool
) -> tf.Tensor:
    w_ru, b_ru, w_c, b_c = weights
    h, states = initial, {}
    num_steps = int(inputs.shape[0])
    for t in reversed(range(num_steps)) if reverse else range(num_steps):
        r, u = tf.split(tf.concat([inputs[t], h], 1) @ w_ru + b_ru, 2, 1)
        r, u = tf.sigmoid(r), tf.sigmoid(u + 1)
        c = tf.tanh(tf.concat([inputs[t], r * h], 1) @ w_c + b_c)
        h = states[t] = tf.clip_by_value(u * h + (1 - u) * c, -clip_value, clip_value)
    return tf.stack([states[t] for t in range(num_steps)])


@pytest.fixture(params=["unrolled", "in chunks"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in chunks":
        monkeypatch.setattr(recurrence, "MAX_UNROLLED_STEPS", 4)
        monkeypatch.setattr(recurrence, "CHUNK_STEPS", 3)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("clip_value", [5.0, 0.4])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("num_inputs", [0, INPUTS])
@pytest.mark.parametrize("num_steps", [1, 8])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_states_and_gradients(
    num_steps: int, num_inputs: int, reverse: bool, clip_value: float, compiled: bool
) -> None:
    inputs, initial, *weights = make(num_steps, num_inputs)
    # Reaches beyond either range, so that clipping matters in the first step at least.
    initial = initial * 12.0
    target = tf.constant(
        np.random.default_rng(9).standard_normal((num_steps, BATCH, UNITS)), tf.float32
    )
    variables = [inputs, initial, *weights]

    def ours() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(variables)
            states = gru_layer(inputs, initial, GruWeights(*weights), clip_value, reverse=reverse)
            cost = tf.reduce_sum(states * target)
        return states, tape.gradient(cost, variables)

    states, gradients = tf.function(ours)() if compiled else ours()
    expected = numpy_layer(inputs, initial, weights, clip_value, reverse)
    np.testing.assert_allclose(states, expected, atol=2e-6)
    with tf.GradientTape() as tape:
        tape.watch(variables)
        cost = tf.reduce_sum(autodiff_layer(inputs, initial, weights, clip_value, reverse) * target)
    for gradient, theirs in zip(gradients, tape.gradient(cost, variables), strict=True):
        np.testing.assert_allclose(gradient, theirs, rtol=2e-5, atol=2e-5)


def test_gradient_agrees_with_finite_differences() -> None:
    inputs, initial, *weights = make(6, INPUTS)

    def cost(w_ru: np.ndarray) -> float:
        states = numpy_layer(inputs, initial, [w_ru, *weights[1:]], 5.0, False)
        return float((states**2).sum())

    with tf.GradientTape() as tape:
        tape.watch(weights[0])
        states = gru_layer(inputs, initial, GruWeights(*weights), 5.0)
        value = tf.reduce_sum(tf.square(states))
    gradient = tape.gradient(value, weights[0]).numpy()
    base = weights[0].numpy().astype(float)
    for index in [(0, 0), (4, 7), (7, 2)]:
        step = np.zeros_like(base)
        step[index] = 1e-5
        difference = (cost(base + step) - cost(base - step)) / 2e-5
        assert gradient[index] == pytest.approx(difference, rel=1e-3)


def test_long_sequences_are_run_in_chunks_with_the_same_result() -> None:
    """With the limits as they are: 130 bins take a loop, and agree with NumPy."""
    inputs, initial, *weights = make(130, INPUTS)
    run = tf.function(lambda: gru_layer(inputs, initial, GruWeights(*weights), 5.0, reverse=True))
    operations = {op.type for op in run.get_concrete_function().graph.get_operations()}
    assert operations & {"While", "StatelessWhile"}
    np.testing.assert_allclose(run(), numpy_layer(inputs, initial, weights, 5.0, True), atol=5e-6)


def test_inputs_that_are_data_get_no_gradient() -> None:
    inputs, initial, *weights = make(3, INPUTS)
    with tf.GradientTape() as tape:
        tape.watch([inputs, initial])
        states = gru_layer(inputs, initial, GruWeights(*weights), 5.0, inputs_need_gradient=False)
    by_inputs, by_initial = tape.gradient(states, [inputs, initial])
    assert by_inputs is None
    assert by_initial is not None


def test_column_sums() -> None:
    matrix = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(column_sums(tf.constant(matrix)), matrix.sum(0, keepdims=True))
