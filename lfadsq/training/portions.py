"""How much of a posterior is computed at once."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from lfadsq.model.config import ModelConfig
from lfadsq.queue.machine import usable_memory_mb

__all__ = ["Portions", "choose_portions", "memory_for_pass"]

# Measured with 64 to 200 units and 50 and 500 bins on two cores: from 2^26 to 2^30 bytes no size of
# pass is clearly quicker for a sample than others. Small ones end soon when asked to stop.
_MOST_ON_CPU = 2**28
# A GPU needs more work at once to be busy; what does not fit is halved when that shows.
_MOST_ON_GPU = 2**30
_SHARE_OF_FREE_MEMORY = 0.25
_FEWEST_ROWS = 64
_MOST_ENCODED = 64


class Portions(NamedTuple):
    """How many trials and samples are computed at once.

    Attributes
    ----------
    encoded : int
        Trials that are encoded together; a multiple of `trials`.
    trials : int
        Trials whose samples are generated together.
    samples : int
        Samples of each of those trials.
    """

    encoded: int
    trials: int
    samples: int

    def halved(self) -> Portions | None:
        """Give smaller ones, for a device that had too little memory; None if there are none."""
        if self == (1, 1, 1):
            return None
        if self.trials == 1:
            return Portions(1 + (self.encoded - 1) // 2, 1, 1 + (self.samples - 1) // 2)
        trials = self.trials // 2
        return Portions(max(1, self.encoded // 2 // trials) * trials, trials, self.samples)


def memory_for_pass() -> int:
    """Give the bytes to spend on one pass, on the device that TensorFlow computes on."""
    if tf.config.list_logical_devices("GPU"):
        return _MOST_ON_GPU
    _, free_mb = usable_memory_mb()
    return min(_MOST_ON_CPU, int(free_mb * 2**20 * _SHARE_OF_FREE_MEMORY))


def choose_portions(
    config: ModelConfig, num_trials: int, num_samples: int, memory_bytes: int
) -> Portions:
    """Choose what is computed at once.

    Parameters
    ----------
    config : ModelConfig
    num_trials, num_samples : int
        All there is to compute; at least 1.
    memory_bytes : int
        See `memory_for_pass`.
    """
    channels = max(dataset.num_channels for dataset in config.datasets)
    per_bin = 6 * config.gen_dim + 2 * config.factors_dim + 8 * channels
    per_bin_encoded = 8 * config.ic_enc_dim + 4 * channels
    if config.has_controller:
        per_bin += 6 * config.con_dim + 2 * config.ci_code_dim + 8 * config.co_dim
        per_bin_encoded += 10 * config.ci_enc_dim
    rows = memory_bytes // (4 * per_bin * config.num_steps)
    if memory_bytes >= _MOST_ON_CPU:
        # Fewer take hardly less time; only a lack of memory is a reason.
        rows = max(rows, _FEWEST_ROWS)
    rows = max(rows, 1)
    trials = min(max(rows // num_samples, 1), num_trials)
    samples = _evenly(num_samples, min(rows, num_samples))
    encoded = memory_bytes // (4 * per_bin_encoded * config.num_steps)
    encoded = min(max(encoded, trials), max(_MOST_ENCODED, trials), num_trials)
    return Portions(encoded // trials * trials, trials, samples)


def _evenly(total: int, most: int) -> int:
    """Give a size of at most `most` that divides `total` well: each size is compiled by itself.

    >>> _evenly(512, 200), _evenly(100, 60), _evenly(7, 4)
    (128, 50, 4)
    """
    return next((size for size in range(most, most // 2, -1) if total % size == 0), most)
