"""Running a step over time: unrolled where that is short, in a loop over unrolled pieces otherwise.

A graph unrolled over all bins runs fastest, but takes seconds to build for hundreds of bins; a loop
over single bins builds at once, but runs several times slower. A loop whose body holds a few dozen
bins has the merits of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

__all__ = [
    "CHUNK_STEPS",
    "MAX_UNROLLED_STEPS",
    "Finish",
    "Scanned",
    "is_unrolled",
    "scan",
    "states_before",
]

MAX_UNROLLED_STEPS = 64
"""Longer sequences are run in a loop."""

CHUNK_STEPS = 25
"""Bins in the body of that loop."""

State = tuple[Any, ...]
Tensors = tuple[tf.Tensor, ...]
Step = Callable[[State, Tensors, bool], tuple[State, Tensors]]


class Finish(NamedTuple):
    """What is made of the outputs of many steps at once, in place of keeping them.

    Attributes
    ----------
    function : callable
        ``function(inputs, outputs) -> (kept, terms)``, of some successive bins.
    totals : tuple of tf.Tensor
        To which `terms` are added, those of all bins.
    """

    function: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]
    totals: Tensors


class Scanned(NamedTuple):
    """What `scan` gives: the state after the last step, the outputs, and the totals."""

    state: State
    outputs: Tensors
    totals: Tensors


def is_unrolled(num_steps: int) -> bool:
    """Tell whether all bins are in memory at once, so that it pays to keep what is used again."""
    return num_steps <= MAX_UNROLLED_STEPS


def scan(
    step: Step,
    state: State,
    inputs: Tensors,
    output_dims: Sequence[int],
    *,
    prepare: Callable[[Tensors], Tensors] | None = None,
    finish: Finish | None = None,
    reverse: bool = False,
    edge_is_last: bool = False,
) -> Scanned:
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
        The last dimension of each output of a step, or with `finish` of what that keeps; the first
        is that of the batch.
    prepare : callable, optional
        Makes of the inputs of some successive bins those that `step` and `finish` take.
    finish : Finish, optional
        By default all outputs are kept. With it no more of them than of a few dozen bins are in
        memory at a time.
    reverse : bool, default False
        Visit the last bin first.
    edge_is_last : bool, default False
        See `step`.

    Returns
    -------
    Scanned
        Outputs have shape (time, batch, dim), in the order of time, whatever the order of visits.
    """
    num_steps = int(inputs[0].shape[0])
    edge = num_steps - 1 if edge_is_last else 0
    num_chunks = 0 if is_unrolled(num_steps) else (num_steps - 1) // CHUNK_STEPS
    rest = num_steps - num_chunks * CHUNK_STEPS

    def visit(
        state: State, begin: tf.Tensor | int, length: int, edges: Sequence[bool]
    ) -> tuple[State, Tensors, Tensors]:
        first = num_steps - length - begin if reverse else begin
        piece = tuple(tf.convert_to_tensor(tensor[first : first + length]) for tensor in inputs)
        for part in piece:
            part.set_shape((length, *part.shape[1:]))
        if prepare:
            piece = prepare(piece)
        state, outputs = _unrolled(step, state, piece, reverse, edges)
        kept, terms = finish.function(piece, outputs) if finish else (outputs, ())
        return state, kept, terms

    def visit_with_edge(state: State, begin: int, length: int) -> tuple[State, Tensors, Tensors]:
        edges = [position == edge for position in range(begin, begin + length)]
        return visit(state, begin, length, edges)

    if not num_chunks:
        return Scanned(*visit_with_edge(state, 0, num_steps))
    # The edge needs a step of its own, so the steps that fill no whole chunk lie on its side.
    batch = inputs[0].shape[1:-1]
    pieces = tuple(
        tf.TensorArray(
            tf.float32, num_chunks + 1, infer_shape=False, element_shape=(None, *batch, dim)
        )
        for dim in output_dims
    )
    totals = finish.totals if finish else ()
    begin_loop = 0 if edge_is_last else rest

    def write(order: tf.Tensor | int, pieces: Any, kept: Tensors) -> Any:
        slot = num_chunks - order if reverse else order
        return tuple(array.write(slot, part) for array, part in zip(pieces, kept, strict=True))

    def visit_edge(state: State, totals: Tensors, pieces: Any) -> tuple[State, Tensors, Any]:
        state, kept, terms = visit_with_edge(state, num_steps - rest if edge_is_last else 0, rest)
        return state, _sums(totals, terms), write(num_chunks if edge_is_last else 0, pieces, kept)

    def body(index: tf.Tensor, state: State, totals: Tensors, pieces: Any) -> Any:
        begin = begin_loop + index * CHUNK_STEPS
        state, kept, terms = visit(state, begin, CHUNK_STEPS, [False] * CHUNK_STEPS)
        order = index if edge_is_last else index + 1
        return index + 1, state, _sums(totals, terms), write(order, pieces, kept)

    if not edge_is_last:
        state, totals, pieces = visit_edge(state, totals, pieces)
    _, state, totals, pieces = tf.while_loop(
        lambda index, *_: index < num_chunks,
        body,
        (tf.constant(0), state, totals, pieces),
        parallel_iterations=1,
    )
    if edge_is_last:
        state, totals, pieces = visit_edge(state, totals, pieces)
    outputs = tuple(array.concat() for array in pieces)
    for output, dim in zip(outputs, output_dims, strict=True):
        output.set_shape((num_steps, *batch, dim))
    return Scanned(state, outputs, totals)


def _sums(totals: Tensors, terms: Tensors) -> Tensors:
    return tuple(total + term for total, term in zip(totals, terms, strict=True))


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
