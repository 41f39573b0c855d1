"""One step of the cell and its derivative, for one model or for several at once.

For one model TensorFlow has each as a single operation. Those of several runs, whose weights have a
leading ``run`` axis, are built of products of stacks of matrices, which a GPU computes together.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

__all__ = ["BlockGradients", "BlockWeights", "block", "block_gradients"]


class BlockWeights(NamedTuple):
    """Weights of a step with I inputs and H units; all may have a leading ``run`` axis.

    Attributes
    ----------
    w_ru, w_c : tf.Tensor, shape (I + H, 2 H) and (I + H, H)
    b_ru, b_c : tf.Tensor, shape (1, 2 H) and (1, H)
        With the 1 added to u's part.
    """

    w_ru: tf.Tensor
    w_c: tf.Tensor
    b_ru: tf.Tensor
    b_c: tf.Tensor

    @property
    def is_stacked(self) -> bool:
        """Whether they are of several runs."""
        return len(self.w_c.shape) == 3

    def fused(self) -> dict[str, tf.Tensor]:
        """Give them as TensorFlow's single operations take them."""
        flat = {"b_ru": tf.reshape(self.b_ru, [-1]), "b_c": tf.reshape(self.b_c, [-1])}
        return {"w_ru": self.w_ru, "w_c": self.w_c, **flat}


class BlockGradients(NamedTuple):
    """Derivatives of the cost by what entered a step, and by its pre-activations."""

    x: tf.Tensor
    h: tf.Tensor
    pre_c: tf.Tensor
    pre_ru: tf.Tensor


def block(
    x: tf.Tensor, h: tf.Tensor, weights: BlockWeights
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Take a step, without clipping.

    Parameters
    ----------
    x, h : tf.Tensor, shape (..., batch, I) and (..., batch, H)
    weights : BlockWeights

    Returns
    -------
    r, u, c, h : tf.Tensor, shape (..., batch, H)
    """
    if not weights.is_stacked:
        step = tf.raw_ops.GRUBlockCell(x=x, h_prev=h, **weights.fused())
        return step.r, step.u, step.c, step.h
    gates = tf.sigmoid(tf.matmul(tf.concat([x, h], -1), weights.w_ru) + weights.b_ru)
    r, u = tf.split(gates, 2, -1)
    c = tf.tanh(tf.matmul(tf.concat([x, r * h], -1), weights.w_c) + weights.b_c)
    return r, u, c, c + u * (h - c)


def block_gradients(
    x: tf.Tensor,
    h: tf.Tensor,
    r: tf.Tensor,
    u: tf.Tensor,
    c: tf.Tensor,
    d_h: tf.Tensor,
    weights: BlockWeights,
) -> BlockGradients:
    """Take the derivative of a step.

    Parameters
    ----------
    x, h
        As for `block`, with the inputs that `weights` has.
    r, u, c
        What it returned.
    d_h : tf.Tensor, shape (..., batch, H)
        Derivative of the cost by the new state.
    weights : BlockWeights
    """
    if not weights.is_stacked:
        d = tf.raw_ops.GRUBlockCellGrad(x=x, h_prev=h, r=r, u=u, c=c, d_h=d_h, **weights.fused())
        return BlockGradients(d.d_x, d.d_h_prev, d.d_c_bar, d.d_r_bar_u_bar)
    num_inputs = int(x.shape[-1])
    pre_c = d_h * (1.0 - u) * (1.0 - tf.square(c))
    by_c = tf.matmul(pre_c, weights.w_c, transpose_b=True)
    d_rh = by_c[..., num_inputs:]
    pre_r = d_rh * h * r * (1.0 - r)
    pre_u = d_h * (h - c) * u * (1.0 - u)
    pre_ru = tf.concat([pre_r, pre_u], -1)
    by_ru = tf.matmul(pre_ru, weights.w_ru, transpose_b=True)
    d_x = by_c[..., :num_inputs] + by_ru[..., :num_inputs]
    return BlockGradients(d_x, d_h * u + d_rh * r + by_ru[..., num_inputs:], pre_c, pre_ru)
