"""Running a step over time: unrolled where that is short, in a loop over unrolled pieces otherwise.

A graph unrolled over all bins runs fastest, but takes seconds to build for hundreds of bins; a loop
over single bins builds at once, but runs several times slower. A loop whose body holds a few dozen
bins has the merits of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["CHUNK_STEPS", "MAX_UNROLLED_STEPS", "scan", "states_before"]

MAX_UNROLLED_STEPS = 64
"""Longer sequences are run in a loop."""

CHUNK_STEPS = 25
"""Bins in the body of that loop."""

State = tuple[Any, ...]
Tensors = tuple[tf.Tensor, ...]
Step = Callable[[State, Tensors, bool], tuple[State, Tensors]]


def scan(
    step: Step,
    state: State,
    inputs: Tensors,
    output_dims: Sequence[int],
    *,
    reverse: bool = False,
    edge_is_last: bool = False,
) -> tuple[State, Tensors]:
    """Run `step` over the first axis of the inputs.

    Gradients are the caller's business: this is used inside functions with their own.

    Parameters
    ----------
    step : callable
        ``step(state, inputs_t, is_edge) -> (state, outputs_t)``. `is_edge` is true for one step
        only: the first visited, or with `edge_is_last` the last visited.
    state : tuple of tf.Tensor
        State before the first step.
    inputs : tuple of tf.Tensor, each of shape (time, batch, ...)
        At least one; the number of bins is static.
    output_dims : sequence of int
        The last dimension of each output of a step; the first is that of the batch.
    reverse : bool, default False
        Visit the last bin first.
    edge_is_last : bool, default False
        See `step`.

    Returns
    -------
    state : tuple of tf.Tensor
        After the last step visited.
    outputs : tuple of tf.Tensor, each of shape (time, batch, dim)
        In the order of time, whatever the order of visits.
    """
    num_steps = int(inputs[0].shape[0])
    edge = num_steps - 1 if edge_is_last else 0
    num_chunks = 0 if num_steps <= MAX_UNROLLED_STEPS else (num_steps - 1) // CHUNK_STEPS
    rest = num_steps - num_chunks * CHUNK_STEPS

    def visit(state: State, begin: int, end: int) -> tuple[State, Tensors]:
        times = slice(num_steps - end, num_steps - begin) if reverse else slice(begin, end)
        piece = tuple(tensor[times] for tensor in inputs)
        edges = [position == edge for position in range(begin, end)]
        return _unrolled(step, state, piece, reverse, edges)

    if not num_chunks:
        return visit(state, 0, num_steps)
    # The edge needs a step of its own, so the steps that fill no whole chunk lie on its side.
    if edge_is_last:
        state, first = _looped(step, state, inputs, output_dims, reverse, 0, num_chunks)
        state, second = visit(state, num_steps - rest, num_steps)
    else:
        state, first = visit(state, 0, rest)
        state, second = _looped(step, state, inputs, output_dims, reverse, rest, num_chunks)
    pieces = (second, first) if reverse else (first, second)
    return state, tuple(tf.concat(parts, 0) for parts in zip(*pieces, strict=True))


def states_before(states: tf.Tensor, initial: tf.Tensor, *, reverse: bool = False) -> tf.Tensor:
    """Give the state before each step from the states after it.

    Parameters
    ----------
    states : tf.Tensor, shape (time, batch, dim)
    initial : tf.Tensor, shape (batch, dim)
        Before the first step.
    reverse : bool, default False
        Whether the first step was the last bin.

    Returns
    -------
    tf.Tensor, shape (time, batch, dim)
    """
    edge = initial[tf.newaxis]
    pieces = [states[1:], edge] if reverse else [edge, states[:-1]]
    return tf.concat(pieces, 0)


def _unrolled(
    step: Step, state: State, inputs: Tensors, reverse: bool, edges: Sequence[bool]
) -> tuple[State, Tensors]:
    length = len(edges)
    rows = [tf.unstack(tensor, num=length) for tensor in inputs]
    outputs: list[Tensors] = []
    for position, is_edge in enumerate(edges):
        t = length - 1 - position if reverse else position
        state, output = step(state, tuple(row[t] for row in rows), is_edge)
        outputs.append(output)
    if reverse:
        outputs.reverse()
    return state, tuple(tf.stack(parts) for parts in zip(*outputs, strict=True))


def _looped(
    step: Step,
    state: State,
    inputs: Tensors,
    output_dims: Sequence[int],
    reverse: bool,
    begin: int,
    num_chunks: int,
) -> tuple[State, Tensors]:
    num_steps, *batch = inputs[0].shape[:-1]

    def body(index: tf.Tensor, state: State, arrays: Any) -> tuple[tf.Tensor, State, Any]:
        start = begin + index * CHUNK_STEPS
        if reverse:
            start = num_steps - CHUNK_STEPS - start
        piece = tuple(tensor[start : start + CHUNK_STEPS] for tensor in inputs)
        state, outputs = _unrolled(step, state, piece, reverse, [False] * CHUNK_STEPS)
        slot = num_chunks - 1 - index if reverse else index
        arrays = [array.write(slot, part) for array, part in zip(arrays, outputs, strict=True)]
        return index + 1, state, tuple(arrays)

    arrays = tuple(
        tf.TensorArray(tf.float32, size=num_chunks, element_shape=(CHUNK_STEPS, *batch, dim))
        for dim in output_dims
    )
    _, state, arrays = tf.while_loop(
        lambda index, *_: index < num_chunks,
        body,
        (tf.constant(0), state, arrays),
        parallel_iterations=1,
    )
    outputs = []
    for array, dim in zip(arrays, output_dims, strict=True):
        joined = array.concat()
        joined.set_shape((num_chunks * CHUNK_STEPS, *batch, dim))
        outputs.append(joined)
    return state, tuple(outputs)
