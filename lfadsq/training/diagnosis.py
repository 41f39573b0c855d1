"""Which quantity of a step was the first that is not a finite number.

The step is computed once more, one operation after the other, from the same parameters, data and
random draws. This takes long and happens once: training has ended then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.costs import batch_costs, trial_terms
from lfadsq.model.distributions import gaussian_kl
from lfadsq.model.network import (
    Encoding,
    Generation,
    Masks,
    Noise,
    Parameters,
    decode,
    draw_masks,
    draw_noise,
    encode,
    sample_g0,
)
from lfadsq.training.data import Batch

__all__ = ["Finding", "first_bad_quantity"]

_LOOK_AT_DATA = "look at these trials, and prepare the data again without them"
_OLDER_CHECKPOINT = (
    "the checkpoint that training began from is bad already: go on from an older one, or train anew"
)
_STATES = "lower c_learning_rate_init or c_max_grad_norm, or c_cell_clip_value"
_SMALLER_STEPS = "lower c_learning_rate_init or c_max_grad_norm"
_RATES = (
    "lower c_learning_rate_init or c_max_grad_norm, or lower c_cell_clip_value or raise"
    " c_l2_gen_scale, which bound the generator; and look for trials with very large counts"
)
_POSTERIOR = "lower c_learning_rate_init or c_max_grad_norm; raise c_kl_ic_weight or c_kl_co_weight"
_PRIOR_OF_INPUTS = (
    "lower c_learning_rate_init, or fix the prior of the inputs: c_do_train_prior_ar_atau and"
    " c_do_train_prior_ar_nvar of false"
)
_SCALES = "lower c_l2_gen_scale, c_l2_con_scale or c_co_mean_corr_scale"
_GRADIENTS = "lower c_cell_clip_value or c_learning_rate_init, or raise c_l2_gen_scale"

_POST_G0_MEAN = "LFADS/z/ic_enc_2_post_g0/mean"
_BACKWARD_ORDER = (
    "LFADS/glm/",
    "LFADS/gen/gen_2_fac/",
    "LFADS/gen/GenGRU/",
    "LFADS/con/",
    "LFADS/z/u_prior_ar1/",
    "LFADS/gen/g0_2_gen_ic/",
    "LFADS/z/",
    "LFADS/ci_enc",
    "LFADS/ic_enc",
    "LFADS/x_2_infac",
)
"""Through a parameter that stands later go the derivatives by all that stand before it."""


class Finding(NamedTuple):
    """The first quantity that is not finite.

    Attributes
    ----------
    quantity : str
        For people: ``the log rates, first in time bin 7 (counted from 1)``.
    trials : ndarray, shape (bad trial,), int64
        Places in the batch of the trials in which it is not finite; empty if it is one of the
        batch as a whole.
    remedy : str
        What to change.
    """

    quantity: str
    trials: NDArray[np.int64]
    remedy: str


class _Quantity(NamedTuple):
    name: str
    values: tf.Tensor
    axes: str  # a letter an axis, as far as they matter: t(ime), b(atch)
    remedy: str


def first_bad_quantity(
    config: ModelConfig,
    parameters: Mapping[str, tf.Variable],
    trained: Sequence[str],
    dataset: DatasetConfig,
    batch: Batch,
    seed: tf.Tensor,
    step: int,
    *,
    trains: bool,
) -> Finding | None:
    """Find what was the first quantity of a step to be infinite or not a number.

    Parameters
    ----------
    config : ModelConfig
    parameters : mapping of str to tf.Variable
        As they were before the step.
    trained : sequence of str
        Names of those that the optimiser changes.
    dataset : DatasetConfig
        Of which the batch is.
    batch : Batch
    seed : tf.Tensor, shape (2,), int64
        From `seeds`.
    step : int
        Updates done before.
    trains : bool
        Whether it is a training step: with dropout and gradients.

    Returns
    -------
    Finding, optional
        In the order of computation, and within the recurrent part in that of time. None if all is
        finite: the computation was then not quite the same.
    """
    noise = draw_noise(config, len(batch.data), seed)
    masks = draw_masks(config, dataset, len(batch.data), seed) if trains else None
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        watched = {name: parameters[name] for name in trained} if trains else {}
        tape.watch(list(watched.values()))
        forward = _Forward(config, parameters, dataset, batch, noise, masks, step)
        for group in forward.groups():
            finding = _earliest(group)
            if finding is not None:
                return finding
    if not trains:
        return None
    gradients = tape.gradient(
        forward.total, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return _of_gradients(gradients)


class _Forward:
    """The forward pass, quantity by quantity."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        dataset: DatasetConfig,
        batch: Batch,
        noise: Noise,
        masks: Masks | None,
        step: int,
    ) -> None:
        self._config = config
        self._parameters = parameters
        self._dataset = dataset
        self._batch = batch
        self._noise = noise
        self._masks = masks
        self._step = tf.constant(step, tf.int64)
        self.total: tf.Tensor = tf.constant(0.0)

    def groups(self) -> Iterator[list[_Quantity]]:
        """Give quantities in the order of computation; those of a group interleave in time."""
        config, parameters, batch = self._config, self._parameters, self._batch
        yield [_Quantity("the data", batch.data, "bt", _LOOK_AT_DATA)]
        yield [_Quantity("the external inputs", batch.ext_input, "bt", _LOOK_AT_DATA)]
        for name, value in parameters.items():
            yield [_Quantity(f"the parameter {name}", value, "", _OLDER_CHECKPOINT)]
        data = tf.transpose(tf.constant(batch.data), [1, 0, 2])
        ext_input = tf.transpose(tf.constant(batch.ext_input), [1, 0, 2])
        encoding = encode(config, parameters, self._dataset, data, ext_input, self._masks)
        yield from self._encoded(data, ext_input, encoding)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, self._noise.g0)
        yield [_Quantity("the sample of g0", g0, "b", _POSTERIOR)]
        generation = decode(
            *(config, parameters, self._dataset, g0, encoding.ci),
            *(ext_input, self._noise.co, self._masks),
        )
        yield [_Quantity("the generator's initial state", generation.gen_ics, "b", _SMALLER_STEPS)]
        yield self._generated(generation)
        terms = trial_terms(
            *(config, parameters, data, tf.constant(batch.log_factorials)),
            *(encoding, generation, self._noise.co),
        )
        yield [_Quantity("the reconstruction cost", terms.log_density, "b", _RATES)]
        kl_g0 = gaussian_kl(
            *(encoding.post_g0_mean, encoding.post_g0_logvar),
            *(encoding.prior_g0_mean, encoding.prior_g0_logvar),
        )
        yield [_Quantity("the KL cost of g0", kl_g0, "b", _POSTERIOR)]
        yield [_Quantity("the KL cost of the inferred inputs", terms.kl, "b", _PRIOR_OF_INPUTS)]
        yield [_Quantity("the correlation cost", terms.corr, "b", _SCALES)]
        costs = batch_costs(config, parameters, terms, self._step)
        yield [_Quantity("the L2 cost", costs.l2, "", _SCALES)]
        yield [_Quantity("the weighted sum of the costs", costs.total, "", _SCALES)]
        self.total = costs.total

    def _encoded(
        self, data: tf.Tensor, ext_input: tf.Tensor, encoding: Encoding
    ) -> Iterator[list[_Quantity]]:
        # Through a map that is the identity, encode() gives the states themselves.
        weight = self._parameters[f"{_POST_G0_MEAN}/W"]
        identity = {
            f"{_POST_G0_MEAN}/W": tf.eye(int(weight.shape[0])),
            f"{_POST_G0_MEAN}/b": tf.zeros([1, int(weight.shape[0])]),
        }
        parameters = {**self._parameters, **identity}
        states = encode(self._config, parameters, self._dataset, data, ext_input, self._masks)
        for name, values, axes, remedy in (
            ("the states of the encoder of g0", states.post_g0_mean, "b", _STATES),
            ("the states of the controller's encoder", encoding.ci, "tb", _STATES),
            ("the posterior mean of g0", encoding.post_g0_mean, "b", _POSTERIOR),
            ("the posterior log variance of g0", encoding.post_g0_logvar, "b", _POSTERIOR),
            ("the prior mean of g0", encoding.prior_g0_mean, "", _POSTERIOR),
            ("the prior log variance of g0", encoding.prior_g0_logvar, "", _POSTERIOR),
        ):
            if values is not None:
                yield [_Quantity(name, values, axes, remedy)]

    def _generated(self, generation: Generation) -> list[_Quantity]:
        heads = ("log rates",) if self._config.is_poisson else ("output means", "log variances")
        named = zip(heads, generation.heads, strict=True)
        quantities = [
            ("the controller's posterior mean", generation.post_co_mean, _POSTERIOR),
            ("the controller's posterior log variance", generation.post_co_logvar, _POSTERIOR),
            ("the inferred inputs", generation.controller_outputs, _POSTERIOR),
            ("the generator's states", generation.gen_states, _STATES),
            ("the factors", generation.factors, _SMALLER_STEPS),
            *((f"the {name}", values, _RATES) for name, values in named),
        ]
        return [
            _Quantity(name, values, "tb", remedy)
            for name, values, remedy in quantities
            if values is not None
        ]


def _earliest(group: Sequence[_Quantity]) -> Finding | None:
    """Give the quantity that is bad in the earliest bin; of several, the first in the group."""
    found: tuple[int, Finding] | None = None
    for quantity in group:
        bad = ~np.isfinite(np.asarray(quantity.values))
        if not bad.any():
            continue
        per_axis = bad.reshape(*bad.shape[: len(quantity.axes)], -1).any(-1)
        bin_index, name = 0, quantity.name
        if "t" in quantity.axes:
            per_axis = np.moveaxis(per_axis, quantity.axes.index("t"), 0)
            bin_index = int(np.flatnonzero(per_axis.any(1))[0])
            name += f", first in time bin {bin_index + 1} (counted from 1)"
            per_axis = per_axis[bin_index]
        trials = np.flatnonzero(per_axis) if "b" in quantity.axes else np.zeros(0, np.int64)
        if found is None or bin_index < found[0]:
            found = bin_index, Finding(name, trials, quantity.remedy)
    return found[1] if found else None


def _of_gradients(gradients: Mapping[str, tf.Tensor]) -> Finding | None:
    """Give the gradient that is taken first of those that are not finite."""
    values = {name: np.asarray(gradient) for name, gradient in gradients.items()}
    bad = [name for name, value in values.items() if not np.isfinite(value).all()]
    nothing = np.zeros(0, np.int64)
    if bad:
        first = min(bad, key=_place_in_backward_pass)
        others = f" (and of {len(bad) - 1} more)" if len(bad) > 1 else ""
        return Finding(f"the gradient of the parameter {first}{others}", nothing, _GRADIENTS)
    if not np.isfinite(np.asarray(tf.linalg.global_norm(list(gradients.values())))):
        largest = max(values, key=lambda name: float(np.abs(values[name]).max(initial=0.0)))
        name = f"the norm of the gradients, of which that of the parameter {largest} is the largest"
        return Finding(name, nothing, _GRADIENTS)
    return None


def _place_in_backward_pass(name: str) -> int:
    places = (place for place, part in enumerate(_BACKWARD_ORDER) if name.startswith(part))
    return next(places, len(_BACKWARD_ORDER))
