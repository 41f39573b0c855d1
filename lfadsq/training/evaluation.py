"""What a trained model gives: samples and means of the posterior, samples of the prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.model.config import ModelConfig
from lfadsq.model.costs import Costs, TrialTerms, batch_costs, trial_terms
from lfadsq.model.network import (
    Encoding,
    Noise,
    Parameters,
    decode,
    draw_noise,
    encode,
    output_dist_params,
    prior_g0,
    sample_g0,
)
from lfadsq.training.data import Batch
from lfadsq.training.noise import posterior_noise

__all__ = ["Averages", "Evaluator", "PriorSample"]


class Averages(NamedTuple):
    """What files of posterior means hold, for some trials; trial is the first axis.

    Attributes
    ----------
    prior_g0_mean, prior_g0_logvar, post_g0_mean, post_g0_logvar : ndarray, shape (trial, ic)
    gen_ics : ndarray, shape (trial, gen)
    gen_states, factors, output_dist_params, controller_outputs : ndarray, shape (trial, time, ...)
        The last has no elements without a controller.
    costs, nll_bound_vaes, nll_bound_iwaes : ndarray, shape (trial,)
    """

    prior_g0_mean: NDArray[np.float32]
    prior_g0_logvar: NDArray[np.float32]
    post_g0_mean: NDArray[np.float32]
    post_g0_logvar: NDArray[np.float32]
    gen_ics: NDArray[np.float32]
    gen_states: NDArray[np.float32]
    factors: NDArray[np.float32]
    output_dist_params: NDArray[np.float32]
    controller_outputs: NDArray[np.float32]
    costs: NDArray[np.float32]
    nll_bound_vaes: NDArray[np.float32]
    nll_bound_iwaes: NDArray[np.float32]


class PriorSample(NamedTuple):
    """Trials drawn from the prior; sample is the first axis.

    Attributes
    ----------
    prior_g0_mean, prior_g0_logvar : ndarray, shape (sample, ic)
    gen_ics : ndarray, shape (sample, gen)
    gen_states, factors, output_dist_params, prior_zs_ar_con : ndarray, shape (sample, time, ...)
        The last are the inferred inputs drawn; no elements without a controller.
    cost : float
        The weighted L2 cost: without data there is no reconstruction, and samples of the prior
        have no divergence from it.
    """

    prior_g0_mean: NDArray[np.float32]
    prior_g0_logvar: NDArray[np.float32]
    gen_ics: NDArray[np.float32]
    gen_states: NDArray[np.float32]
    factors: NDArray[np.float32]
    output_dist_params: NDArray[np.float32]
    prior_zs_ar_con: NDArray[np.float32]
    cost: float


class _Outputs(NamedTuple):
    """Averages over samples, and the terms of each sample; time first."""

    gen_ics: tf.Tensor
    gen_states: tf.Tensor
    factors: tf.Tensor
    output_dist_params: tf.Tensor
    controller_outputs: tf.Tensor
    terms: TrialTerms


class Evaluator:
    """Evaluates a trained model.

    Parameters
    ----------
    config : ModelConfig
        Without dropout.
    parameters : mapping of str to tf.Tensor
    step : int
        Updates the model was trained for; it sets the weights of the costs.
    seed : int
        Of all draws.
    """

    def __init__(self, config: ModelConfig, parameters: Parameters, step: int, seed: int) -> None:
        self._config = config
        self._parameters = parameters
        self._step = tf.constant(step, tf.int64)
        self._seed = seed
        self._encode = tf.function(self._encoded, autograph=False)
        self._sample = tf.function(self._sampled, autograph=False)

    def encode(self, dataset: int, batch: Batch) -> Encoding:
        """Encode trials, once for all their samples.

        Parameters
        ----------
        dataset : int
        batch : Batch
            The same number of trials each time, or it is compiled anew.
        """
        encoding: Encoding = self._encode(dataset, *map(tf.constant, batch[:2]))
        return encoding

    def sample_and_average(
        self,
        dataset: int,
        encoding: Encoding,
        batch: Batch,
        trial_numbers: NDArray[np.int64],
        num_samples: int,
        at_once: int,
    ) -> Averages:
        """Average samples of the posterior of each trial.

        Averages are of the outputs: the mean of the rates, not the rate of the mean.

        Parameters
        ----------
        dataset : int
        encoding : Encoding
            Of the trials.
        batch : Batch
            The trials; the same number of them each time, or it is compiled anew.
        trial_numbers : ndarray, shape (trial,), int64
            They decide the draws, together with the seed and the number of each sample.
        num_samples : int
        at_once : int
            How many samples of each trial are generated together. What is averaged does not
            depend on it.
        """
        pieces, sizes = [], []
        for begin in range(0, num_samples, at_once):
            sizes.append(min(at_once, num_samples - begin))
            pieces.append(
                self._sample(
                    dataset,
                    sizes[-1],
                    encoding,
                    *map(tf.constant, batch),
                    tf.constant(trial_numbers, tf.int64),
                    tf.constant(begin, tf.int64),
                    False,
                )
            )
        return self._averages(encoding, pieces, sizes)

    def push_mean(
        self,
        dataset: int,
        encoding: Encoding,
        batch: Batch,
        trial_numbers: NDArray[np.int64],
    ) -> Averages:
        """Push the means of the posteriors of g0 and of the inferred inputs through the model.

        Costs are those of each trial by itself, where the original copies one number to all
        trials of a batch. The divergence of the inferred inputs in them is still that of one
        random sample.

        Parameters
        ----------
        dataset, encoding, batch, trial_numbers
            As for `sample_and_average`.
        """
        trials, first = tf.constant(trial_numbers, tf.int64), tf.constant(0, tf.int64)
        piece = self._sample(dataset, 1, encoding, *map(tf.constant, batch), trials, first, True)
        return self._averages(encoding, [piece], [1])

    def sample_prior(self, dataset: int, num_samples: int, ext_input: tf.Tensor) -> PriorSample:
        """Generate trials from samples of the priors of g0 and of the inferred inputs.

        Parameters
        ----------
        dataset : int
            Whose read-out to use.
        num_samples : int
        ext_input : tf.Tensor, shape (time, sample, input)
            Used where external inputs are injected; the original fails there.
        """
        config, parameters = self._config, self._parameters
        noise = draw_noise(config, num_samples, tf.constant([self._seed, 0], tf.int64))
        mean, logvar = prior_g0(config, parameters, num_samples)
        inputs = _ar1_sample(parameters, noise.co) if config.has_controller else None
        generation = decode(
            config,
            parameters,
            config.datasets[dataset],
            sample_g0(mean, logvar, noise.g0),
            None,
            ext_input,
            noise.co,
            inferred_inputs=inputs,
        )
        zeros = tf.zeros([num_samples])
        costs = batch_costs(config, parameters, TrialTerms(zeros, zeros, zeros), self._step)
        return PriorSample(
            prior_g0_mean=mean.numpy(),
            prior_g0_logvar=logvar.numpy(),
            gen_ics=generation.gen_ics.numpy(),
            gen_states=_trial_first(generation.gen_states),
            factors=_trial_first(generation.factors),
            output_dist_params=_trial_first(output_dist_params(config, generation.heads)),
            prior_zs_ar_con=_trial_first(noise.co if inputs is None else inputs),
            cost=float(costs.total),
        )

    def _encoded(self, dataset: int, data: tf.Tensor, ext_input: tf.Tensor) -> Encoding:
        data, ext_input = (tf.transpose(tensor, [1, 0, 2]) for tensor in (data, ext_input))
        described = self._config.datasets[dataset]
        encoding = encode(self._config, self._parameters, described, data, ext_input)
        if encoding.ci is None:
            empty = tf.zeros([self._config.num_steps, data.shape[1], 0])
            encoding = encoding._replace(ci=empty)
        return encoding

    def _sampled(
        self,
        dataset: int,
        num_samples: int,
        encoding: Encoding,
        data: tf.Tensor,
        ext_input: tf.Tensor,
        log_factorials: tf.Tensor,
        trial_numbers: tf.Tensor,
        first_sample: tf.Tensor,
        pushes_mean: bool,
    ) -> _Outputs:
        config = self._config
        num_trials = int(data.shape[0])
        data, ext_input = (
            tf.repeat(tf.transpose(tensor, [1, 0, 2]), num_samples, 1)
            for tensor in (data, ext_input)
        )
        axes = (0, 0, 0, 0, 1)
        repeated = Encoding(
            *(tf.repeat(t, num_samples, axis) for t, axis in zip(encoding, axes, strict=True))
        )
        seed = tf.constant([self._seed, dataset], tf.int64)
        noise = posterior_noise(config, seed, trial_numbers, first_sample, num_samples)
        used = Noise(*map(tf.zeros_like, noise)) if pushes_mean else noise
        generation = decode(
            config,
            self._parameters,
            config.datasets[dataset],
            sample_g0(repeated.post_g0_mean, repeated.post_g0_logvar, used.g0),
            repeated.ci,
            ext_input,
            used.co,
        )
        terms = trial_terms(
            config,
            self._parameters,
            data,
            tf.repeat(log_factorials, num_samples),
            repeated,
            generation,
            noise.co,
        )
        by_trial = (num_trials, num_samples)

        def mean(tensor: tf.Tensor) -> tf.Tensor:
            shape = [*tensor.shape[:-2], *by_trial, tensor.shape[-1]]
            return tf.reduce_mean(tf.reshape(tensor, shape), -2)

        inputs = generation.controller_outputs
        if inputs is None:
            inputs = tf.zeros([config.num_steps, num_trials * num_samples, 0])
        return _Outputs(
            gen_ics=mean(generation.gen_ics),
            gen_states=mean(generation.gen_states),
            factors=mean(generation.factors),
            output_dist_params=mean(output_dist_params(config, generation.heads)),
            controller_outputs=mean(inputs),
            terms=TrialTerms(*(tf.reshape(term, by_trial) for term in terms)),
        )

    def _averages(self, encoding: Encoding, pieces: list[_Outputs], sizes: list[int]) -> Averages:
        terms = TrialTerms(*(tf.concat(t, 1) for t in zip(*(p.terms for p in pieces), strict=True)))
        costs: Costs = batch_costs(self._config, self._parameters, terms, self._step)
        weights = np.array(sizes, np.float32) / sum(sizes)

        def mean(name: str) -> NDArray[np.float32]:
            values = np.stack([getattr(piece, name).numpy() for piece in pieces])
            averaged = np.tensordot(weights, values, 1)
            return averaged if averaged.ndim == 2 else np.swapaxes(averaged, 0, 1)

        return Averages(
            prior_g0_mean=encoding.prior_g0_mean.numpy(),
            prior_g0_logvar=encoding.prior_g0_logvar.numpy(),
            post_g0_mean=encoding.post_g0_mean.numpy(),
            post_g0_logvar=encoding.post_g0_logvar.numpy(),
            gen_ics=mean("gen_ics"),
            gen_states=mean("gen_states"),
            factors=mean("factors"),
            output_dist_params=mean("output_dist_params"),
            controller_outputs=mean("controller_outputs"),
            costs=costs.total.numpy(),
            nll_bound_vaes=costs.nll_bound_vae.numpy(),
            nll_bound_iwaes=costs.nll_bound_iwae.numpy(),
        )


def _ar1_sample(parameters: Parameters, noise: tf.Tensor) -> tf.Tensor:
    """Turn noise of shape (time, sample, co) into sequences of the AR(1) prior."""
    logevars = parameters["LFADS/z/u_prior_ar1/logevars"]
    phi = tf.exp(-tf.exp(-parameters["LFADS/z/u_prior_ar1/logatau"]))
    deviation = tf.exp(0.5 * logevars)
    inputs = [noise[0] * deviation / tf.sqrt(1.0 - tf.square(phi))]
    for row in tf.unstack(noise[1:]):
        inputs.append(phi * inputs[-1] + deviation * row)
    return tf.stack(inputs)


def _trial_first(tensor: tf.Tensor) -> NDArray[np.float32]:
    return np.swapaxes(tensor.numpy(), 0, 1)
