"""From which seeds the random draws of a step follow.

They depend on nothing but the seed of the run and counters that checkpoints hold, so that training
that was resumed draws what it would have drawn, and any step can be computed again.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["EXAMPLE_STREAM", "stream_seed", "training_seed", "validation_seed", "validation_stream"]

EXAMPLE_STREAM = 999
"""Of the trials that are pictured."""

_VALIDATION_STREAM = 1_000


def training_seed(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Give the seed of the noise and dropout of a training step.

    Parameters
    ----------
    seed : int
        Of the run.
    step : tf.Tensor, int64
        Updates done before.

    Returns
    -------
    tf.Tensor, shape (2,), int64
    """
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])


def validation_stream(index: int) -> int:
    """Give the stream of the `index`-th validation batch of an epoch."""
    return _VALIDATION_STREAM + index


def stream_seed(seed: int, step: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
    """Give the seed of the noise of an evaluation between steps.

    Parameters
    ----------
    seed, step
        As for `training_seed`.
    stream : tf.Tensor, int64
        `EXAMPLE_STREAM` or `validation_stream`.

    Returns
    -------
    tf.Tensor, shape (2,), int64
    """
    return tf.random.experimental.stateless_fold_in(training_seed(seed, step), stream)


def validation_seed(seed: int, step: tf.Tensor, index: int) -> tf.Tensor:
    """Give the seed of the noise of the `index`-th validation batch of an epoch."""
    stream = tf.constant(validation_stream(index), tf.int64)
    return stream_seed(seed, step, stream)
