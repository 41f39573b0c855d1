"""Adam with gradients clipped by their global norm (NUMERICS.md 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

__all__ = ["ADAM_BETA1", "ADAM_BETA2", "ADAM_EPSILON", "AdamState", "adam_step", "clip_gradients"]

ADAM_BETA1 = 0.9
ADAM_BETA2 = 0.999
ADAM_EPSILON = 0.1
"""As in the original LFADS; much larger than usual."""


class AdamState(NamedTuple):
    """What Adam remembers.

    Attributes
    ----------
    first, second : mapping of str to tf.Variable
        Running means of gradient and squared gradient, of each trained variable.
    beta1_power, beta2_power : tf.Variable, scalar
        β₁ and β₂ to the power of the updates done plus one.
    """

    first: Mapping[str, tf.Variable]
    second: Mapping[str, tf.Variable]
    beta1_power: tf.Variable
    beta2_power: tf.Variable


def clip_gradients(
    gradients: Mapping[str, tf.Tensor], max_grad_norm: float
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Scale gradients so that their global norm is at most `max_grad_norm`.

    Returns
    -------
    clipped : dict of str to tf.Tensor
    norm : tf.Tensor, scalar
        Before clipping.
    """
    clipped, norm = tf.clip_by_global_norm(list(gradients.values()), max_grad_norm)
    return dict(zip(gradients, clipped, strict=True)), norm


def adam_step(
    variables: Mapping[str, tf.Variable],
    gradients: Mapping[str, tf.Tensor],
    state: AdamState,
    learning_rate: tf.Tensor,
) -> None:
    """Update variables and state in place.

    TensorFlow's form, in which ε is added after the correction of bias::

        m = β₁ m + (1 - β₁) g          v = β₂ v + (1 - β₂) g²
        w = w - lr sqrt(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (sqrt(v) + ε)

    Parameters
    ----------
    variables : mapping of str to tf.Variable
        Those without a gradient stay as they are.
    gradients : mapping of str to tf.Tensor
    state : AdamState
    learning_rate : tf.Tensor, scalar
    """
    for name, gradient in gradients.items():
        tf.raw_ops.ResourceApplyAdam(
            var=variables[name].handle,
            m=state.first[name].handle,
            v=state.second[name].handle,
            beta1_power=state.beta1_power,
            beta2_power=state.beta2_power,
            lr=learning_rate,
            beta1=ADAM_BETA1,
            beta2=ADAM_BETA2,
            epsilon=ADAM_EPSILON,
            grad=gradient,
        )
    state.beta1_power.assign(state.beta1_power * ADAM_BETA1)
    state.beta2_power.assign(state.beta2_power * ADAM_BETA2)
