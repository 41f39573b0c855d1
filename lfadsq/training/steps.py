"""One training update and one validation batch, compiled."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

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
from lfadsq.training.devices import num_towers
from lfadsq.training.seeds import EXAMPLE_STREAM, stream_seed, training_seed, validation_stream
from lfadsq.training.variables import ModelVariables

__all__ = ["BatchCosts", "Example", "ModelSteps", "Steps", "costs_vector", "example_means"]


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
    """Posterior means of one trial.

    Attributes
    ----------
    rates : ndarray, shape (time, channel) or (time, 2 channel), float32
        See `network.output_dist_params`.
    factors : ndarray, shape (time, factor), float32
    inferred_inputs : ndarray, shape (time, input), float32
        No elements without a controller.
    """

    rates: NDArray[np.float32]
    factors: NDArray[np.float32]
    inferred_inputs: NDArray[np.float32]


class Steps(Protocol):
    """What a training needs computed; see `ModelSteps`."""

    def train(self, dataset: int, batch: Batch) -> BatchCosts: ...  # noqa: D102

    def validate(self, dataset: int, index: int, batch: Batch) -> BatchCosts: ...  # noqa: D102

    def posterior_means(  # noqa: D102
        self, dataset: int, trial: Batch, num_samples: int
    ) -> Example: ...

    def settle(self) -> None: ...  # noqa: D102


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
        self._num_towers = num_towers(variables.learning_rate.device)
        self._train = tf.function(self._train_step, autograph=False)
        self._validate = tf.function(self._validation_step, autograph=False)

    def train(self, dataset: int, batch: Batch) -> BatchCosts:
        """Update the variables on one batch of a dataset."""
        return _as_numbers(self._train(dataset, *map(tf.constant, batch)))

    def validate(self, dataset: int, index: int, batch: Batch) -> BatchCosts:
        """Give the costs of a validation batch, the `index`-th of its epoch."""
        stream = tf.constant(validation_stream(index), tf.int64)
        return _as_numbers(self._validate(dataset, stream, *map(tf.constant, batch))[0])

    def posterior_means(self, dataset: int, trial: Batch, num_samples: int) -> Example:
        """Average samples of the posterior of one trial.

        With as many samples as a validation batch has trials, nothing is compiled for it.

        Parameters
        ----------
        dataset : int
        trial : Batch
            Of one trial.
        num_samples : int
        """
        stream = tf.constant(EXAMPLE_STREAM, tf.int64)
        copies = (tf.constant(np.repeat(values, num_samples, axis=0)) for values in trial)
        return Example(*(mean.numpy() for mean in self._validate(dataset, stream, *copies)[1:]))

    def settle(self) -> None:
        """Bring the variables up to date, which here they are (see `together`)."""

    def _train_step(
        self, dataset: int, data: tf.Tensor, ext_input: tf.Tensor, log_factorials: tf.Tensor
    ) -> tf.Tensor:
        config, variables = self._config, self._variables
        described = config.datasets[dataset]
        step = variables.global_step
        seed = training_seed(self._seed, step)
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
        numbers = costs_vector(costs, norm)

        def update() -> tf.Tensor:
            adam_step(variables.parameters, clipped, variables.adam, variables.learning_rate)
            return step.assign_add(1)

        # Costs are those before the update, so they must be read before it. One that is not finite
        # changes nothing, so that its cause can still be found.
        with tf.control_dependencies([numbers]):
            is_finite = tf.math.is_finite(costs.total) & tf.math.is_finite(norm)
            tf.cond(is_finite, update, lambda: tf.identity(step))
        return numbers

    def _validation_step(
        self,
        dataset: int,
        stream: tf.Tensor,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        seed = stream_seed(self._seed, self._variables.global_step, stream)
        noise = draw_noise(self._config, int(data.shape[0]), seed)
        described = self._config.datasets[dataset]
        costs, generation = self._costs(described, data, ext_input, log_factorials, noise, None)
        means = example_means(self._config, generation)
        return costs_vector(costs, tf.constant(math.nan)), *means

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
            config,
            parameters,
            dataset,
            g0,
            encoding.ci,
            ext_input,
            noise.co,
            masks,
            num_towers=self._num_towers,
        )
        terms = trial_terms(
            config, parameters, data, log_factorials, encoding, generation, noise.co
        )
        costs = batch_costs(config, parameters, terms, self._variables.global_step)
        return costs, generation


def _as_numbers(costs: tf.Tensor) -> BatchCosts:
    return BatchCosts(*map(float, costs.numpy()))


def example_means(config: ModelConfig, generation: Generation) -> tuple[tf.Tensor, ...]:
    """Give what `Example` holds, averaged over the trials of a batch; the axes of runs stay."""
    rates = output_dist_params(config, generation.heads)
    inputs = generation.controller_outputs
    if inputs is None:
        inputs = rates[..., :0]
    return tuple(tf.reduce_mean(output, -2) for output in (rates, generation.factors, inputs))


def costs_vector(costs: Costs, grad_norm: tf.Tensor) -> tf.Tensor:
    """Give the numbers of `BatchCosts` as one tensor."""
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
