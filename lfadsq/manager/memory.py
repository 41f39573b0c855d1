"""How much memory a training needs, before it has begun."""

from __future__ import annotations

from collections.abc import Sequence

from lfadsq.manager.inputs import InputShape
from lfadsq.manager.params import RunParams

__all__ = ["estimate_memory_mb"]

_BYTES_PER_FLOAT = 4
_BYTES_PER_MB = 2**20
_RUNTIME_MB = 700
_GRU_FLOATS_PER_UNIT = 12
_PARAMETER_COPIES = 5


def estimate_memory_mb(params: RunParams, shapes: Sequence[InputShape]) -> int:
    """Estimate the memory that training a run takes on its device.

    Parameters
    ----------
    params : RunParams
        The hyperparameters.
    shapes : sequence of InputShape
        Size of the input of each dataset.

    Returns
    -------
    int
        [MB], rounded up. It errs on the side of too much: a queue that packs by it shall not run
        out of memory.

    Notes
    -----
    The sum of

    - 700 MB for TensorFlow itself (libraries and a CUDA context),
    - what back-propagation keeps of each time bin of a batch: 12 floats a unit of every recurrent
      cell (gates, candidate, states, their products and dropout), 4 a channel and factor,
    - posterior sampling, which keeps no gradient but copies each trial `num_samples_posterior`
      times: a third of the same for a batch of that size, where that is more,
    - five copies of the weights: values, gradients, two Adam moments, and one in passing,
    - the data of one dataset, twice, as float32.

    Measured on processors, with and without a controller, batches of 150 and 350, 64 to 200 units,
    50 to 200 bins: trainings took 720 to 2320 MB, and the estimate was 1.1 to 1.2 times that.
    """
    num_units = 2 * params.c_ic_enc_dim + params.c_gen_dim
    if params.c_co_dim:
        num_units += 2 * params.c_ci_enc_dim + params.c_con_dim
    largest_floats = 0.0
    for shape in shapes:
        floats_per_bin = (
            _GRU_FLOATS_PER_UNIT * num_units
            + 4 * (shape.num_channels + params.c_factors_dim)
            + 4 * (params.c_co_dim + shape.num_inputs)
        )
        batch = max(params.c_batch_size, params.num_samples_posterior / 3)
        num_trials = shape.num_train + shape.num_valid
        data = 2 * num_trials * shape.num_bins * (shape.num_channels + shape.num_inputs)
        largest_floats = max(largest_floats, batch * shape.num_bins * floats_per_bin + data)
    weights = _PARAMETER_COPIES * _count_weights(params, shapes)
    needed_mb = (largest_floats + weights) * _BYTES_PER_FLOAT / _BYTES_PER_MB
    return _RUNTIME_MB + int(needed_mb) + 1


def _count_weights(params: RunParams, shapes: Sequence[InputShape]) -> int:
    num_channels = sum(shape.num_channels for shape in shapes)
    widest_input = max(num_channels, params.c_factors_dim) + params.c_ext_input_dim
    encoder_units = [params.c_ic_enc_dim] * 2
    cells = [(params.c_co_dim + params.c_ext_input_dim, params.c_gen_dim)]
    if params.c_co_dim:
        encoder_units += [params.c_ci_enc_dim] * 2
        fed_back = 2 * params.c_ci_enc_dim + widest_input
        cells.append((fed_back, params.c_con_dim))
    cells += [(widest_input, units) for units in encoder_units]
    in_cells = sum(3 * units * (inputs + units + 1) for inputs, units in cells)
    initial = 2 * (2 * params.c_ic_enc_dim * params.c_ic_dim) + params.c_ic_dim * params.c_gen_dim
    factors = params.c_factors_dim * (params.c_gen_dim + 2 * num_channels)
    return in_cells + initial + factors
