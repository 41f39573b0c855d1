"""How large a model and its outputs are, from the shapes of FORMATS.md 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lfadsq.preflight.input_files import SPLITS, InputHeader

__all__ = ["OutputSize", "num_weights", "output_size"]

_FLOAT32, _FLOAT64 = 4, 8
_ADAM_COPIES = 3
"""Values in a checkpoint, and the two moments of each."""

_GZIP_SHARE = 0.6
"""What gzip leaves of float32 values that are stored as float64: 0.56 to 0.57 measured."""

_LOG_BYTES = 20 * 10**6
"""Allowed for a run's TensorBoard events, fit log and ``lfads.out``."""

_CHECKPOINTS_IF_ALL_ARE_KEPT = 50


@dataclass(frozen=True)
class OutputSize:
    """What a run will write [bytes].

    Attributes
    ----------
    posterior_means, checkpoints, logs : float
        To be kept. Checkpoints include the file of parameters.
    in_passing : float
        Needed while the largest file of posterior means is put together.
    """

    posterior_means: float = 0.0
    checkpoints: float = 0.0
    logs: float = 0.0
    in_passing: float = 0.0

    @property
    def kept(self) -> float:
        """All that stays [bytes]."""
        return self.posterior_means + self.checkpoints + self.logs


def num_weights(flags: Mapping[str, Any], num_channels: Sequence[int], *, is_aligned: bool) -> int:
    """Count the parameters of a model.

    Parameters
    ----------
    flags : dict of str to object
        All flags of the trainer.
    num_channels : sequence of int
        Of each dataset.
    is_aligned : bool
        Whether datasets are read in through alignment matrices.

    Returns
    -------
    int
    """
    gen, factors, ic = int(flags["gen_dim"]), int(flags["factors_dim"]), int(flags["ic_dim"])
    inferred, ext = int(flags["co_dim"]), int(flags["ext_input_dim"])
    ic_enc, ci_enc, con = (int(flags[name]) for name in ("ic_enc_dim", "ci_enc_dim", "con_dim"))
    is_gaussian = flags["output_dist"] == "gaussian"
    is_single = len(num_channels) == 1
    reads_as_is = is_single and not is_aligned
    writes_as_is = is_single and not is_gaussian and num_channels[0] == factors
    data_dim = num_channels[0] if reads_as_is else factors
    to_gen = ext if flags["inject_ext_input_to_gen"] else 0
    to_encoders = data_dim + ext - to_gen

    total = 0 if reads_as_is else sum((channels + 1) * factors for channels in num_channels)
    if not writes_as_is:
        per_output = sum((factors + 1) * channels for channels in num_channels)
        total += per_output * (2 if is_gaussian else 1)
    total += 2 * _encoder(to_encoders, ic_enc)
    total += 2 * ic + 2 * _linear(2 * ic_enc, ic)
    total += 0 if ic == gen else _linear(ic, gen)
    total += _gru(inferred + to_gen, gen) + gen * factors
    if inferred:
        num_directions = 1 if flags["do_causal_controller"] else 2
        total += num_directions * _encoder(to_encoders, ci_enc)
        fed_back = 0
        if flags["do_feed_factors_to_controller"]:
            are_rates = flags["feedback_factors_or_rates"] == "rates"
            fed_back = num_channels[0] if are_rates else factors
        total += con + _gru(num_directions * ci_enc + fed_back, con)
        total += 2 * _linear(con, inferred) + 2 * inferred
    return total


def _linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def _gru(inputs: int, units: int) -> int:
    return 3 * units * inputs + 3 * units * (units + 1)


def _encoder(inputs: int, units: int) -> int:
    return units + _gru(inputs, units)  # its first state is trained


def output_size(flags: Mapping[str, Any], headers: Sequence[InputHeader]) -> OutputSize:
    """Estimate what a run writes.

    Parameters
    ----------
    flags : dict of str to object
        All flags of the trainer.
    headers : sequence of InputHeader
        Of its datasets; only usable ones, at least one.

    Returns
    -------
    OutputSize
        Posterior means: for each trial and bin the generator's states, factors, rates and inferred
        inputs, as float64, of which gzip leaves 0.6. Checkpoints: weights and two moments of each,
        as often as checkpoints are kept, and two more while the next are written.
    """
    per_split = [
        header.num_trials(split) * _trial_floats(flags, header) * _FLOAT64 * _GZIP_SHARE
        for header in headers
        for split in SPLITS
    ]
    weights = num_weights(
        flags,
        [header.num_channels for header in headers],
        is_aligned=any(header.has_alignment for header in headers),
    )
    kept = [
        flags[name] or _CHECKPOINTS_IF_ALL_ARE_KEPT
        for name in ("max_ckpt_to_keep", "max_ckpt_to_keep_lve")
    ]
    checkpoints = (sum(kept) + 2) * _ADAM_COPIES + 1
    return OutputSize(
        posterior_means=sum(per_split),
        checkpoints=float(checkpoints * weights * _FLOAT32),
        logs=float(_LOG_BYTES),
        in_passing=2 * max(per_split),
    )


def _trial_floats(flags: Mapping[str, Any], header: InputHeader) -> int:
    outputs = header.num_channels * (2 if flags["output_dist"] == "gaussian" else 1)
    per_bin = flags["gen_dim"] + flags["factors_dim"] + outputs + flags["co_dim"]
    return int(header.num_bins * per_bin + flags["gen_dim"] + 4 * flags["ic_dim"] + 4)
