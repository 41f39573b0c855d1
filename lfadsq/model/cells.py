"""The recurrent cell of LFADS, and a layer of it with its own gradient.

Encoders, controller and generator share one cell (NUMERICS.md 2)::

    [r, u] = sigmoid([x, h] W_ru + b_ru),  with 1 added to u's part of the bias
    c = tanh([x, r h] W_c + b_c)
    h' = clip(u h + (1 - u) c, -cell_clip_value, cell_clip_value)

`blocks` has it as one operation with its derivative. The gradients of the weights are left out of
the steps and taken once for all bins, as a few large matrix products.

Several runs are computed at once where every weight has a leading ``run`` axis; what has shape
(time, batch, ...) then has shape (time, run, batch, ...).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from lfadsq.model.blocks import BlockGradients, BlockWeights, block, block_gradients
from lfadsq.model.recurrence import Finish, Tensors, is_unrolled, scan, states_before

__all__ = [
    "CellStep",
    "Gates",
    "GruWeights",
    "cell_backward",
    "cell_forward",
    "gates_again",
    "gru_layer",
    "weight_gradients",
]


class GruWeights(NamedTuple):
    """Weights of a cell with I inputs and H units.

    Attributes
    ----------
    w_ru : tf.Tensor, shape (I + H, 2 H), float32
        To the gates; the rows of the inputs come first.
    b_ru : tf.Tensor, shape (1, 2 H), float32
    w_c : tf.Tensor, shape (I + H, H), float32
        To the candidate.
    b_c : tf.Tensor, shape (1, H), float32
    """

    w_ru: tf.Tensor
    b_ru: tf.Tensor
    w_c: tf.Tensor
    b_c: tf.Tensor

    @property
    def size(self) -> int:
        """The number of units, H."""
        return int(self.w_c.shape[-1])

    def block(self, first_input: int = 0) -> BlockWeights:
        """Give the weights as a step takes them, the 1 added to u's bias.

        Parameters
        ----------
        first_input : int, default 0
            Leave out the inputs before this one. The derivative by the state does not depend on
            them, and theirs can be taken later for all bins at once.
        """
        size = self.size
        offset = tf.constant([0.0] * size + [1.0] * size)
        return BlockWeights(
            self.w_ru[..., first_input:, :],
            self.w_c[..., first_input:, :],
            self.b_ru + offset,
            self.b_c,
        )


class CellStep(NamedTuple):
    """What one step computed; each of shape (batch, H) or (time, batch, H)."""

    r: tf.Tensor
    u: tf.Tensor
    c: tf.Tensor
    h: tf.Tensor


def clips(clip_value: float, is_first: bool) -> bool:
    """Tell whether a step can leave the range.

    The new state lies between the old one and a candidate within ±1, so after the first step only
    a range narrower than that is ever left.
    """
    return is_first or clip_value < 1.0


def cell_forward(
    x: tf.Tensor,
    h: tf.Tensor,
    weights: BlockWeights,
    clip_value: float,
    *,
    is_first: bool,
) -> CellStep:
    """Take one step.

    Parameters
    ----------
    x : tf.Tensor, shape (batch, I), float32
        I may be 0.
    h : tf.Tensor, shape (batch, H), float32
    weights : BlockWeights
        `GruWeights.block`.
    clip_value : float
    is_first : bool
        Whether `h` may lie outside the range.

    Returns
    -------
    CellStep
    """
    r, u, c, state = block(x, h, weights)
    if clips(clip_value, is_first):
        state = tf.clip_by_value(state, -clip_value, clip_value)
    return CellStep(r, u, c, state)


class Gates(NamedTuple):
    """What of a step its derivative needs, beside the states; of shape (time, batch, H)."""

    r: tf.Tensor
    u: tf.Tensor
    c: tf.Tensor


def gates_again(x: tf.Tensor, before: tf.Tensor, weights: BlockWeights) -> Gates:
    """Compute gates and candidates of many bins from the states, which are known by then.

    Parameters
    ----------
    x : tf.Tensor, shape (time, batch, I)
    before : tf.Tensor, shape (time, batch, H)
        The state before each step.
    weights : BlockWeights
        `GruWeights.block`.
    """
    x_rows, h_rows = rows(x), rows(before)
    gates = tf.sigmoid(tf.matmul(tf.concat([x_rows, h_rows], -1), weights.w_ru) + weights.b_ru)
    r, u = tf.split(gates, 2, -1)
    c = tf.tanh(tf.matmul(tf.concat([x_rows, r * h_rows], -1), weights.w_c) + weights.b_c)
    return Gates(*(over_time(gate, int(x.shape[0])) for gate in (r, u, c)))


def cell_backward(
    x: tf.Tensor,
    h: tf.Tensor,
    gates: Gates,
    d_state: tf.Tensor,
    weights: BlockWeights,
    clip_value: float,
    *,
    is_first: bool,
) -> BlockGradients:
    """Take the derivative of one step.

    Parameters
    ----------
    x : tf.Tensor, shape (batch, J), float32
        The inputs to take the derivative by, the last J.
    h, clip_value, is_first
        As for `cell_forward`.
    weights : BlockWeights
        `GruWeights.block` without the inputs before those.
    gates : Gates
        Those of the step.
    d_state : tf.Tensor, shape (batch, H), float32
        Derivative of the cost by the new state.

    Returns
    -------
    BlockGradients
    """
    if clips(clip_value, is_first):
        unclipped = gates.u * h + (1.0 - gates.u) * gates.c
        d_state = tf.where(tf.abs(unclipped) <= clip_value, d_state, tf.zeros_like(d_state))
    return block_gradients(x, h, *gates, d_state, weights)


def weight_gradients(
    inputs: tf.Tensor, before: tf.Tensor, r: tf.Tensor, pre_ru: tf.Tensor, pre_c: tf.Tensor
) -> Tensors:
    """Sum the derivatives by the weights over all bins and trials.

    Parameters
    ----------
    inputs : tf.Tensor, shape (time, batch, I)
    before : tf.Tensor, shape (time, batch, H)
        The state before each step.
    r : tf.Tensor, shape (time, batch, H)
    pre_ru, pre_c : tf.Tensor, shape (time, batch, 2 H) and (time, batch, H)
        Derivatives by the pre-activations.

    Returns
    -------
    tuple of tf.Tensor
        In the order of `GruWeights`.
    """
    pre_ru, pre_c = rows(pre_ru), rows(pre_c)
    d_w_ru = _by_weights(inputs, before, pre_ru)
    d_w_c = _by_weights(inputs, before * r, pre_c)
    return d_w_ru, column_sums(pre_ru), d_w_c, column_sums(pre_c)


def input_gradients(
    weights: GruWeights, num_inputs: int, pre_ru: tf.Tensor, pre_c: tf.Tensor
) -> tf.Tensor:
    """Take the derivative by the first inputs for all bins.

    Parameters
    ----------
    weights : GruWeights
    num_inputs : int
    pre_ru, pre_c
        As for `weight_gradients`.

    Returns
    -------
    tf.Tensor, shape (time, batch, num_inputs)
    """
    by_rows = tf.matmul(rows(pre_ru), weights.w_ru[..., :num_inputs, :], transpose_b=True)
    by_rows += tf.matmul(rows(pre_c), weights.w_c[..., :num_inputs, :], transpose_b=True)
    return over_time(by_rows, int(pre_c.shape[0]))


def _by_weights(inputs: tf.Tensor, states: tf.Tensor, d_rows: tf.Tensor) -> tf.Tensor:
    parts = [part for part in (inputs, states) if part.shape[-1]]
    products = [tf.matmul(rows(part), d_rows, transpose_a=True) for part in parts]
    return tf.concat(products, -2)


def rows(tensor: tf.Tensor) -> tf.Tensor:
    """Join time and batch: (time, batch, dim) becomes (time * batch, dim), for each run."""
    dim = tensor.shape[-1]
    if len(tensor.shape) < 4:
        return tf.reshape(tensor, [-1, dim])
    return tf.reshape(tf.transpose(tensor, [1, 0, 2, 3]), [tensor.shape[1], -1, dim])


def over_time(joined: tf.Tensor, num_steps: int) -> tf.Tensor:
    """Undo `rows`."""
    dim = joined.shape[-1]
    if len(joined.shape) < 3:
        return tf.reshape(joined, [num_steps, -1, dim])
    by_run = tf.reshape(joined, [joined.shape[0], num_steps, -1, dim])
    return tf.transpose(by_run, [1, 0, 2, 3])


def column_sums(matrix: tf.Tensor) -> tf.Tensor:
    """Give the sums of columns, shape (..., 1, columns).

    As a product with ones this takes a third of the time of a sum over the first axis.
    """
    return tf.matmul(tf.ones([1, tf.shape(matrix)[-2]]), matrix)


def gru_layer(
    inputs: tf.Tensor,
    initial: tf.Tensor,
    weights: GruWeights,
    clip_value: float,
    *,
    reverse: bool = False,
    inputs_need_gradient: bool = True,
) -> tf.Tensor:
    """Run the cell over time.

    Parameters
    ----------
    inputs : tf.Tensor, shape (time, batch, I), float32
        I may be 0: a cell without inputs.
    initial : tf.Tensor, shape (batch, H), float32
    weights : GruWeights
    clip_value : float
        The hyperparameter ``cell_clip_value``.
    reverse : bool, default False
        Run from the last bin to the first.
    inputs_need_gradient : bool, default True
        False saves time where the inputs are data.

    Returns
    -------
    tf.Tensor, shape (time, batch, H), float32
        The state after each bin's step.
    """
    size, input_dim = weights.size, int(inputs.shape[-1])
    keeps_gates = is_unrolled(int(inputs.shape[0]))

    @tf.custom_gradient
    def layer(inputs: tf.Tensor, initial: tf.Tensor, *tensors: tf.Tensor):  # type: ignore[no-untyped-def]
        weights = GruWeights(*tensors)
        whole, recurrent = weights.block(), weights.block(input_dim)

        def forward(state: Tensors, now: Tensors, is_edge: bool) -> tuple[Tensors, Tensors]:
            step = cell_forward(now[0], state[0], whole, clip_value, is_first=is_edge)
            return (step.h,), (step.h, *(step[:3] if keeps_gates else ()))

        dims = [size] * (4 if keeps_gates else 1)
        states, *gates = scan(forward, (initial,), (inputs,), dims, reverse=reverse).outputs

        def gradient(d_states: tf.Tensor) -> Tensors:
            before = states_before(states, initial, reverse=reverse)

            def prepare(piece: Tensors) -> Tensors:
                x, h, _ = piece
                return (*piece, *gates_again(x, h, whole))

            def backward(state: Tensors, now: Tensors, is_edge: bool) -> tuple[Tensors, Tensors]:
                _, h, d_output, *gates = now
                d = cell_backward(
                    h[..., :0],
                    h,
                    Gates(*gates),
                    state[0] + d_output,
                    recurrent,
                    clip_value,
                    is_first=is_edge,
                )
                return (d.h,), (d.pre_ru, d.pre_c)

            def finish(piece: Tensors, derivatives: Tensors) -> tuple[Tensors, Tensors]:
                x, h, _, r, *_ = piece
                d_x = (input_gradients(weights, input_dim, *derivatives),)
                by_weights = weight_gradients(x, h, r, *derivatives)
                return d_x if inputs_need_gradient else (), by_weights

            (d_initial,), d_inputs, by_weights = scan(
                backward,
                (tf.zeros_like(initial),),
                (inputs, before, d_states, *gates),
                [input_dim] * inputs_need_gradient,
                prepare=None if keeps_gates else prepare,
                finish=Finish(finish, tuple(tf.zeros_like(tensor) for tensor in tensors)),
                reverse=not reverse,
                edge_is_last=True,
            )
            return (d_inputs[0] if d_inputs else None, d_initial, *by_weights)

        return states, gradient

    return layer(inputs, initial, *weights)
