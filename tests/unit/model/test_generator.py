"""Controller and generator against their equations, differentiated by TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.model import recurrence
from lfadsq.model.cells import GruWeights
from lfadsq.model.generator import ControllerInputs, ControllerWeights, run_with_controller

TIME, BATCH, CI, CO, CON, GEN, FACTORS, CHANNELS = 7, 3, 4, 2, 3, 5, 2, 6


def cell(x: Any, h: Any, weights: GruWeights) -> Any:
    r, u = tf.split(tf.concat([x, h], 1) @ weights.w_ru + weights.b_ru, 2, 1)
    r, u = tf.sigmoid(r), tf.sigmoid(u + 1)
    c = tf.tanh(tf.concat([x, r * h], 1) @ weights.w_c + weights.b_c)
    return u * h + (1 - u) * c


def plain(
    inputs: ControllerInputs,
    con: Any,
    gen: Any,
    feedback: Any,
    weights: ControllerWeights,
    feeds: str,
    is_poisson: bool,
) -> tuple[Any, ...]:
    outputs: list[tuple[Any, ...]] = []
    for t in range(TIME):
        x = tf.concat([inputs.ci[t], feedback], 1) * inputs.input_mask[t]
        con = cell(x, con, weights.con)
        mean, logvar = tf.split(con @ weights.w_post + weights.b_post, 2, 1)
        u = mean + tf.exp(logvar / 2) * inputs.noise[t]
        gen = cell(tf.concat([u, inputs.ext[t]], 1), gen, weights.gen)
        factors = (gen * inputs.output_mask[t]) @ weights.w_fac
        if feeds == "factors":
            feedback = factors
        elif feeds == "rates":
            feedback = factors @ weights.w_out + weights.b_out
            feedback = tf.exp(feedback) if is_poisson else feedback
        outputs.append((u, mean, logvar, gen, factors))
    return tuple(tf.stack(part) for part in zip(*outputs, strict=True))


@pytest.mark.parametrize("chunked", [False, True], ids=["unrolled", "in chunks"])
@pytest.mark.parametrize(("ext_dim", "mask_batch"), [(0, BATCH), (2, 1)])
@pytest.mark.parametrize(
    ("feeds", "is_poisson"),
    [("nothing", True), ("factors", True), ("rates", True), ("rates", False)],
)
def test_outputs_and_gradients(
    feeds: str,
    is_poisson: bool,
    ext_dim: int,
    mask_batch: int,
    chunked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if chunked:
        monkeypatch.setattr(recurrence, "MAX_UNROLLED_STEPS", 3)
        monkeypatch.setattr(recurrence, "CHUNK_STEPS", 2)
    stream = np.random.default_rng(3)

    def draw(*shape: int) -> tf.Tensor:
        return tf.constant(stream.standard_normal(shape).astype(np.float32) * 0.5)

    feedback_dim = {"nothing": 0, "factors": FACTORS, "rates": CHANNELS}[feeds]

    def gru(num_in: int, size: int) -> GruWeights:
        total = num_in + size
        return GruWeights(
            draw(total, 2 * size), draw(1, 2 * size), draw(total, size), draw(1, size)
        )

    feeds_rates = feeds == "rates"
    weights = ControllerWeights(
        gru(CI + feedback_dim, CON),
        gru(CO + ext_dim, GEN),
        draw(CON, 2 * CO),
        draw(1, 2 * CO),
        draw(GEN, FACTORS),
        draw(FACTORS, CHANNELS) if feeds_rates else None,
        draw(1, CHANNELS) if feeds_rates else None,
    )
    inputs = ControllerInputs(
        draw(TIME, BATCH, CI),
        draw(TIME, mask_batch, CI + feedback_dim),
        draw(TIME, BATCH, CO),
        draw(TIME, BATCH, ext_dim),
        draw(TIME, mask_batch, GEN),
    )
    initial = (draw(BATCH, CON), draw(BATCH, GEN), draw(BATCH, feedback_dim))
    targets = [draw(TIME, BATCH, dim) for dim in (CO, CO, CO, GEN, FACTORS)]
    watched = [t for t in tf.nest.flatten((inputs.ci, initial, weights)) if t is not None]

    def gradients_of(run: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(watched)
            outputs = run()
            cost = tf.add_n([tf.reduce_sum(o * t) for o, t in zip(outputs, targets, strict=True)])
        zero = tf.UnconnectedGradients.ZERO
        return outputs, tape.gradient(cost, watched, unconnected_gradients=zero)

    ours, our_gradients = tf.function(
        lambda: gradients_of(
            lambda: run_with_controller(inputs, *initial, weights, 5.0, rates_are_exp=is_poisson)
        )
    )()
    theirs, their_gradients = gradients_of(
        lambda: plain(inputs, *initial, weights, feeds, is_poisson)
    )
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, atol=2e-5)
    for our, their in zip(our_gradients, their_gradients, strict=True):
        scale = max(float(tf.reduce_max(tf.abs(their))), 1.0) if their.shape.num_elements() else 1
        np.testing.assert_allclose(our, their, atol=3e-5 * scale)
