"""Roughly how long a training will take: good enough to start the longest first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lfadsq.manager.inputs import InputShape
from lfadsq.manager.params import RunParams

__all__ = ["estimate_training_s"]

_OVERHEAD_S_A_BIN = 0.2e-3
_FLOPS_PER_S = 1.3e11
_SECONDS_AT_LEAST = 10.0


def estimate_training_s(params: RunParams, shapes: Sequence[InputShape]) -> float:
    """Estimate how long training a run may take.

    Parameters
    ----------
    params : RunParams
        The hyperparameters.
    shapes : sequence of InputShape
        Size of the input of each dataset.

    Returns
    -------
    float
        [s] on two processor cores; on a GPU all are shorter. Only their order is relied on.

    Notes
    -----
    The number of steps times the time of one. Training cannot stop before the learning rate has
    fallen to ``c_learning_rate_stop``, and it falls at most once in
    ``c_learning_rate_n_to_compare`` epochs; nor is it likely to while the weights of the costs
    still rise. A step visits each time bin once: 0.2 ms of overhead and the arithmetic of the
    recurrent cells, six operations a weight and trial (forward, and twice that backward), fitted
    to 30 ms for 50 bins, and 345 ms for 500, of a batch of 150 with 64 units a cell.
    """
    units = [params.c_ic_enc_dim, params.c_ic_enc_dim, params.c_gen_dim]
    if params.c_co_dim:
        units += [params.c_ci_enc_dim, params.c_ci_enc_dim, params.c_con_dim]
    num_decays = math.log(params.c_learning_rate_stop / params.c_learning_rate_init) / math.log(
        params.c_learning_rate_decay_factor
    )
    num_epochs = max(1.0, num_decays) * params.c_learning_rate_n_to_compare
    scale = len(shapes)
    ramp_steps = max(
        params.c_kl_start_step + params.c_kl_increase_steps,
        params.c_l2_start_step + params.c_l2_increase_steps,
    )
    total_s = 0.0
    for shape in shapes:
        num_weights = sum(3 * one * (one + shape.num_channels) for one in units)
        flops = 6.0 * params.c_batch_size * num_weights
        step_s = shape.num_bins * (_OVERHEAD_S_A_BIN + flops / _FLOPS_PER_S)
        steps_an_epoch = math.ceil(shape.num_train / params.c_batch_size)
        total_s += step_s * max(num_epochs * steps_an_epoch, ramp_steps / scale)
    return max(_SECONDS_AT_LEAST, total_s)
