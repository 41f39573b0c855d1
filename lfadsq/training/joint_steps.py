"""Updates of several runs at once: one batch of models, with a leading ``run`` axis.

A small model leaves a GPU nearly idle, as its operations take less time than starting them does.
Those of several runs take hardly longer than those of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.costs import Costs, TrialTerms, batch_costs, trial_terms
from lfadsq.model.network import (
    Generation,
    Masks,
    Noise,
    decode,
    draw_masks,
    draw_noise,
    encode,
    sample_g0,
)
from lfadsq.model.optimizer import ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON
from lfadsq.training.data import Batch
from lfadsq.training.seeds import stream_seed, training_seed
from lfadsq.training.steps import BatchCosts, Example, costs_vector, example_means
from lfadsq.training.variables import ModelVariables

__all__ = ["JointSteps", "RunOfMany", "Validated"]


@dataclass(frozen=True)
class RunOfMany:
    """What the steps need of one run.

    Attributes
    ----------
    config : ModelConfig
    variables : ModelVariables
        Counters, learning rate and powers are kept up to date; the others by `JointSteps.settle`.
    seed : int
    """

    config: ModelConfig
    variables: ModelVariables
    seed: int


class Validated(NamedTuple):
    """What a validation batch of a run gave.

    Attributes
    ----------
    costs : BatchCosts
    means : Example
        Over the batch.
    """

    costs: BatchCosts
    means: Example


class JointSteps:
    """Steps of several runs of one architecture, each numerically as by `ModelSteps`.

    Runs may differ in seeds, learning rates, dropout, and the settings of costs and gradients.

    Parameters
    ----------
    runs : sequence of RunOfMany
    """

    def __init__(self, runs: Sequence[RunOfMany]) -> None:
        self._runs = tuple(runs)
        variables = [run.variables for run in runs]
        self._parameters = _stacked_variables([each.parameters for each in variables])
        self._first = _stacked_variables([each.adam.first for each in variables])
        self._second = _stacked_variables([each.adam.second for each in variables])
        self._train = tf.function(self._train_step, autograph=False)
        self._validate = tf.function(self._validation_step, autograph=False)

    def train(self, dataset: int, batches: Sequence[Batch | None]) -> list[BatchCosts]:
        """Update the runs for which there is a batch, all of one dataset; the others stay.

        Parameters
        ----------
        dataset : int
        batches : sequence of Batch
            One a run, or none; all of the same number of trials.

        Returns
        -------
        list of BatchCosts
            Those of runs without a batch mean nothing.
        """
        is_active = tf.constant([batch is not None for batch in batches])
        numbers = self._train(dataset, is_active, *_filled(batches)).numpy()
        return [BatchCosts(*map(float, row)) for row in numbers]

    def validate(
        self, dataset: int, streams: Sequence[int], batches: Sequence[Batch | None]
    ) -> list[Validated]:
        """Give costs and means of a batch of each run that has one (see `train`).

        Parameters
        ----------
        dataset : int
        streams : sequence of int
            See `seeds.stream_seed`.
        batches : sequence of Batch
        """
        numbers, *means = self._validate(dataset, tf.constant(streams, tf.int64), *_filled(batches))
        costs = [BatchCosts(*map(float, row)) for row in numbers.numpy()]
        by_run = [np.moveaxis(mean.numpy(), 1, 0) for mean in means]
        return [
            Validated(cost, Example(*(mean[run] for mean in by_run)))
            for run, cost in enumerate(costs)
        ]

    def settle(self, run: int) -> None:
        """Bring the variables of a run up to date."""
        variables = self._runs[run].variables
        for stacked, own in (
            (self._parameters, variables.parameters),
            (self._first, variables.adam.first),
            (self._second, variables.adam.second),
        ):
            for name, variable in own.items():
                variable.assign(stacked[name][run])

    def _train_step(
        self,
        dataset: int,
        is_active: tf.Tensor,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
    ) -> tf.Tensor:
        described = self._runs[0].config.datasets[dataset]
        batch_size = int(data.shape[1])
        noises, masks = [], []
        for run in self._runs:
            seed = training_seed(run.seed, run.variables.global_step)
            noises.append(draw_noise(run.config, batch_size, seed))
            masks.append(draw_masks(run.config, described, batch_size, seed))
        trained = {name: self._parameters[name] for name in self._first}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(trained.values()))
            costs, _ = self._costs(
                described, data, ext_input, log_factorials, _noise(noises), _masks(masks)
            )
            total = tf.add_n([cost.total for cost in costs])
        gradients = tape.gradient(
            total, trained, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        norms = _norms(gradients.values())
        numbers = tf.stack([costs_vector(cost, norms[run]) for run, cost in enumerate(costs)])
        # As for one run: costs are those before the update, and what is not finite changes nothing.
        with tf.control_dependencies([numbers]):
            is_finite = tf.math.is_finite(numbers[:, 0]) & tf.math.is_finite(norms)
            self._update(gradients, norms, is_active & is_finite)
        return numbers

    def _update(self, gradients: dict[str, tf.Tensor], norms: tf.Tensor, moves: tf.Tensor) -> None:
        """Do what `optimizer.adam_step` does for the runs that move."""
        variables = [run.variables for run in self._runs]
        rates = tf.stack([each.learning_rate for each in variables])
        power1 = tf.stack([each.adam.beta1_power for each in variables])
        power2 = tf.stack([each.adam.beta2_power for each in variables])
        largest = tf.constant([run.config.max_grad_norm for run in self._runs], tf.float32)
        scales = largest / tf.maximum(norms, largest)
        rates = rates * tf.sqrt(1.0 - power2) / (1.0 - power1)
        for name, gradient in gradients.items():
            first, second, value = self._first[name], self._second[name], self._parameters[name]
            clipped = gradient * _like(scales, gradient)
            new_first = first + (clipped - first) * (1.0 - ADAM_BETA1)
            new_second = second + (tf.square(clipped) - second) * (1.0 - ADAM_BETA2)
            step = _like(rates, gradient) * new_first / (tf.sqrt(new_second) + ADAM_EPSILON)
            changes = _like(moves, gradient)
            value.assign(tf.where(changes, value - step, value))
            first.assign(tf.where(changes, new_first, first))
            second.assign(tf.where(changes, new_second, second))
        for index, each in enumerate(variables):
            does_move = moves[index]
            each.global_step.assign_add(tf.cast(does_move, tf.int64))
            for power, beta in (
                (each.adam.beta1_power, ADAM_BETA1),
                (each.adam.beta2_power, ADAM_BETA2),
            ):
                power.assign(tf.where(does_move, power * beta, power))

    def _validation_step(
        self,
        dataset: int,
        streams: tf.Tensor,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        noises = []
        for index, run in enumerate(self._runs):
            seed = stream_seed(run.seed, run.variables.global_step, streams[index])
            noises.append(draw_noise(run.config, int(data.shape[1]), seed))
        described = self._runs[0].config.datasets[dataset]
        costs, generation = self._costs(
            described, data, ext_input, log_factorials, _noise(noises), None
        )
        nothing = tf.constant(float("nan"))
        numbers = tf.stack([costs_vector(cost, nothing) for cost in costs])
        return numbers, *example_means(self._runs[0].config, generation)

    def _costs(
        self,
        dataset: DatasetConfig,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
        noise: Noise,
        masks: Masks | None,
    ) -> tuple[list[Costs], Generation]:
        config, parameters = self._runs[0].config, self._parameters
        data, ext_input = (tf.transpose(tensor, [2, 0, 1, 3]) for tensor in (data, ext_input))
        encoding = encode(config, parameters, dataset, data, ext_input, masks)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
        generation = decode(
            config, parameters, dataset, g0, encoding.ci, ext_input, noise.co, masks
        )
        weights = [(run.config.kl_ic_weight, run.config.kl_co_weight) for run in self._runs]
        terms = trial_terms(
            config,
            parameters,
            data,
            log_factorials,
            encoding,
            generation,
            noise.co,
            kl_weights=tuple(
                tf.constant(each, tf.float32)[:, tf.newaxis] for each in zip(*weights, strict=True)
            ),
        )
        costs = []
        for index, run in enumerate(self._runs):
            own = {name: value[index] for name, value in parameters.items()}
            of_run = TrialTerms(*(term[index] for term in terms))
            costs.append(batch_costs(run.config, own, of_run, run.variables.global_step))
        return costs, generation


def _stacked_variables(of_runs: Sequence[Any]) -> dict[str, tf.Variable]:
    return {name: tf.Variable(tf.stack([each[name] for each in of_runs])) for name in of_runs[0]}


def _filled(batches: Sequence[Batch | None]) -> list[tf.Tensor]:
    """Stack batches; where a run has none, another's serves, and what comes of it is dropped."""
    known = next(batch for batch in batches if batch is not None)
    return [
        tf.constant(np.stack(arrays))
        for arrays in zip(*(known if batch is None else batch for batch in batches), strict=True)
    ]


def _noise(noises: Sequence[Noise]) -> Noise:
    return Noise(tf.stack([n.g0 for n in noises]), tf.stack([n.co for n in noises], 1))


def _masks(masks: Sequence[Masks | None]) -> Masks | None:
    known = next((mask for mask in masks if mask is not None), None)
    if known is None:
        return None
    without = Masks(*map(tf.ones_like, known))
    every = [without if mask is None else mask for mask in masks]
    axes = {name: 0 if name == "ic_code" else 1 for name in Masks._fields}
    return Masks(*(tf.stack([getattr(m, name) for m in every], axes[name]) for name in axes))


def _norms(gradients: Any) -> tf.Tensor:
    """Give the global norm of the gradient of each run."""
    squares = [
        tf.reduce_sum(tf.square(tensor), list(range(1, len(tensor.shape)))) for tensor in gradients
    ]
    return tf.sqrt(tf.add_n(squares))


def _like(of_runs: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Add axes to numbers of the runs, so that they apply to whole tensors."""
    return tf.reshape(of_runs, [-1] + [1] * (len(tensor.shape) - 1))
