"""One training update and one validation batch, compiled."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.costs import Costs, batch_costs, trial_terms
from lfadsq.model.network import (
    Generation,
    Masks,
    Noise,
    decode,
    draw_masks,
    draw_noise,
    encode,
    output_dist_params,
    sample_g0,
)
from lfadsq.model.optimizer import adam_step, clip_gradients
from lfadsq.training.data import Batch
from lfadsq.training.variables import ModelVariables

__all__ = ["BatchCosts", "Example", "ModelSteps"]

_VALIDATION_STREAM = 1_000


class BatchCosts(NamedTuple):
    """What one batch cost, as Python numbers.

    Attributes
    ----------
    total, recon, kl, l2, corr, kl_weight, l2_weight : float
        See `costs.Costs`.
    grad_norm : float
        Global norm of the gradient before clipping; not a number in validation.
    """

    total: float
    recon: float
    kl: float
    l2: float
    corr: float
    kl_weight: float
    l2_weight: float
    grad_norm: float


class Example(NamedTuple):
    """One validation trial and what the model makes of it; shapes are (time, ...)."""

    data: NDArray[np.float32]
    rates: NDArray[np.float32]
    factors: NDArray[np.float32]


class ModelSteps:
    """Updates of one model, compiled when first needed for each dataset.

    All random draws follow from the seed, the number of updates done and the batch, so that
    training that was resumed draws what it would have drawn.

    Parameters
    ----------
    config : ModelConfig
    variables : ModelVariables
        Changed in place.
    seed : int
    """

    def __init__(self, config: ModelConfig, variables: ModelVariables, seed: int) -> None:
        self._config = config
        self._variables = variables
        self._seed = seed
        self._train = tf.function(self._train_step, autograph=False)
        self._validate = tf.function(self._validation_step, autograph=False)

    def train(self, dataset: int, batch: Batch) -> BatchCosts:
        """Update the variables on one batch of a dataset."""
        return _as_numbers(self._train(dataset, *map(tf.constant, batch)))

    def validate(self, dataset: int, index: int, batch: Batch) -> tuple[BatchCosts, Example]:
        """Give the costs of a validation batch, the `index`-th of its epoch, and one trial."""
        stream = tf.constant(index, tf.int64)
        costs, rates, factors = self._validate(dataset, stream, *map(tf.constant, batch))
        return _as_numbers(costs), Example(batch.data[0], rates.numpy(), factors.numpy())

    def _train_step(
        self, dataset: int, data: tf.Tensor, ext_input: tf.Tensor, log_factorials: tf.Tensor
    ) -> tf.Tensor:
        config, variables = self._config, self._variables
        described = config.datasets[dataset]
        step = variables.global_step
        seed = tf.stack([tf.constant(self._seed, tf.int64), step])
        batch_size = int(data.shape[0])
        noise = draw_noise(config, batch_size, seed)
        masks = draw_masks(config, described, batch_size, seed)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(variables.trained.values()))
            costs, _ = self._costs(described, data, ext_input, log_factorials, noise, masks)
        gradients = tape.gradient(
            costs.total, variables.trained, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        clipped, norm = clip_gradients(gradients, config.max_grad_norm)
        numbers = _stacked(costs, norm)
        # Costs are those before the update, so they must be read before it.
        with tf.control_dependencies([numbers]):
            adam_step(variables.parameters, clipped, variables.adam, variables.learning_rate)
            step.assign_add(1)
        return numbers

    def _validation_step(
        self,
        dataset: int,
        index: tf.Tensor,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        seed = tf.stack([tf.constant(self._seed, tf.int64), self._variables.global_step])
        seed = tf.random.experimental.stateless_fold_in(seed, _VALIDATION_STREAM + index)
        noise = draw_noise(self._config, int(data.shape[0]), seed)
        described = self._config.datasets[dataset]
        costs, generation = self._costs(described, data, ext_input, log_factorials, noise, None)
        rates = output_dist_params(self._config, generation.heads)[:, 0]
        return _stacked(costs, tf.constant(math.nan)), rates, generation.factors[:, 0]

    def _costs(
        self,
        dataset: DatasetConfig,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
        noise: Noise,
        masks: Masks | None,
    ) -> tuple[Costs, Generation]:
        config, parameters = self._config, self._variables.parameters
        data, ext_input = (tf.transpose(tensor, [1, 0, 2]) for tensor in (data, ext_input))
        encoding = encode(config, parameters, dataset, data, ext_input, masks)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
        generation = decode(
            config, parameters, dataset, g0, encoding.ci, ext_input, noise.co, masks
        )
        terms = trial_terms(
            config, parameters, data, log_factorials, encoding, generation, noise.co
        )
        costs = batch_costs(config, parameters, terms, self._variables.global_step)
        return costs, generation


def _as_numbers(costs: tf.Tensor) -> BatchCosts:
    return BatchCosts(*map(float, costs.numpy()))


def _stacked(costs: Costs, grad_norm: tf.Tensor) -> Any:
    return tf.stack(
        [
            costs.total,
            costs.recon,
            costs.kl,
            costs.l2,
            costs.corr,
            costs.kl_weight,
            costs.l2_weight,
            grad_norm,
        ]
    )
