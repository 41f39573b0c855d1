"""The draws behind samples of the posterior: each sample of each trial has its own.

Philox is a generator that can be asked for any part of its stream. The number of a trial chooses
one of 2^64 streams, and that of a sample a place in it: which trials and samples are computed
together, in which order, or by which process does not change a draw.
"""

from __future__ import annotations

import tensorflow as tf

from lfadsq.model.config import ModelConfig
from lfadsq.model.network import Noise

__all__ = ["posterior_noise"]

_PHILOX = 1
_PER_COUNT = 4  # normal draws that Philox gives for one value of its counter
_G0_STREAM, _CO_STREAM = 0, 1


def posterior_noise(
    config: ModelConfig,
    seed: tf.Tensor,
    trial_numbers: tf.Tensor,
    first_sample: tf.Tensor,
    num_samples: int,
) -> Noise:
    """Draw the noise of some samples of some trials.

    Parameters
    ----------
    config : ModelConfig
    seed : tf.Tensor, shape (2,), int64
    trial_numbers : tf.Tensor, shape (trial,), int64
        From 0.
    first_sample : tf.Tensor, shape (), int64
        Number of the first sample, from 0.
    num_samples : int
        How many samples of each trial.

    Returns
    -------
    Noise
        The samples of a trial lie side by side on the axis of the batch.
    """
    steps, co_dim = config.num_steps, config.co_dim
    g0 = _draws(seed, _G0_STREAM, trial_numbers, first_sample, num_samples, config.ic_dim)
    if not co_dim:
        return Noise(g0, tf.zeros([steps, g0.shape[0], 0]))
    co = _draws(seed, _CO_STREAM, trial_numbers, first_sample, num_samples, steps * co_dim)
    return Noise(g0, tf.transpose(tf.reshape(co, [-1, steps, co_dim]), [1, 0, 2]))


def _draws(
    seed: tf.Tensor,
    stream: int,
    trial_numbers: tf.Tensor,
    first_sample: tf.Tensor,
    num_samples: int,
    width: int,
) -> tf.Tensor:
    """Draw `width` numbers for each sample; shape (trial * sample, width)."""
    folded = tf.random.experimental.stateless_fold_in(seed, stream)
    key, _ = tf.raw_ops.StatelessRandomGetKeyCounter(seed=folded)
    counts = -(-width // _PER_COUNT)

    def of_trial(number: tf.Tensor) -> tf.Tensor:
        counter = tf.bitcast(tf.stack([first_sample * counts, number]), tf.uint64)
        return tf.raw_ops.StatelessRandomNormalV2(
            shape=[num_samples, counts * _PER_COUNT],
            key=key,
            counter=counter,
            alg=_PHILOX,
            dtype=tf.float32,
        )

    drawn = tf.map_fn(of_trial, trial_numbers, fn_output_signature=tf.float32)
    num_rows = int(trial_numbers.shape[0]) * num_samples
    return tf.reshape(drawn, [num_rows, counts * _PER_COUNT])[:, :width]
