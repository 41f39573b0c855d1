"""The cost of a batch and its terms (NUMERICS.md 5 to 7)."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from lfadsq.model.config import ModelConfig
from lfadsq.model.distributions import (
    ar1_log_density,
    gaussian_kl,
    gaussian_log_density,
    poisson_log_density,
)
from lfadsq.model.network import Encoding, Generation, Parameters
from lfadsq.model.parameters import cell_scopes, recurrent_names

__all__ = [
    "Costs",
    "TrialTerms",
    "batch_costs",
    "correlation",
    "l2_cost",
    "trial_terms",
    "warmup_weight",
]


class TrialTerms(NamedTuple):
    """Terms of each trial, each of shape (batch,) and summed over time.

    Attributes
    ----------
    log_density : tf.Tensor
        Of the data given the sample.
    kl : tf.Tensor
        Of g0 and of the inferred inputs, with their weights ``kl_ic_weight``, ``kl_co_weight``.
    corr : tf.Tensor
        Of the inferred inputs' means, before its scale.
    """

    log_density: tf.Tensor
    kl: tf.Tensor
    corr: tf.Tensor


class Costs(NamedTuple):
    """Cost and its terms; scalars, or one number a trial.

    `kl`, `l2` and `corr` are before their weights and scales.
    """

    total: tf.Tensor
    recon: tf.Tensor
    kl: tf.Tensor
    l2: tf.Tensor
    corr: tf.Tensor
    kl_weight: tf.Tensor
    l2_weight: tf.Tensor
    nll_bound_vae: tf.Tensor
    nll_bound_iwae: tf.Tensor


def warmup_weight(step: tf.Tensor, start_step: int, increase_steps: int) -> tf.Tensor:
    """Give the weight of a cost that rises from 0 at `start_step` to 1.

    Parameters
    ----------
    step : tf.Tensor, int64
        Updates done before this one.
    start_step, increase_steps : int

    Returns
    -------
    tf.Tensor, float32
        min(max(step - start_step, 0) / increase_steps, 1). With `increase_steps` 0, where the
        original gives not a number, it is 1 from `start_step` on.
    """
    since = tf.cast(step - start_step, tf.float32)
    if increase_steps == 0:
        return tf.where(since >= 0.0, 1.0, 0.0)
    return tf.minimum(tf.maximum(since, 0.0) / float(increase_steps), 1.0)


def l2_cost(config: ModelConfig, parameters: Parameters) -> tf.Tensor:
    """Give the cost on the recurrent weights and biases of generator and controller.

    Σ 0.5 scale ||v||² / (elements of all of them). The controller's elements count even where
    ``l2_con_scale`` is 0; there is no term where both scales are 0.
    """
    scales = {"gen": config.l2_gen_scale, "con": config.l2_con_scale}
    scopes = cell_scopes(config)
    if not any(scales[cell] > 0 for cell in scopes):
        return tf.constant(0.0)
    total, elements = tf.constant(0.0), 0
    for cell, scope in scopes.items():
        for name in recurrent_names(scope):
            value = tf.convert_to_tensor(parameters[name])
            total += scales[cell] * tf.nn.l2_loss(value)
            elements += math.prod(value.shape)
    return total / float(elements)


def correlation(post_co_mean: tf.Tensor) -> tf.Tensor:
    """Give, for each trial, the mean over pairs i < j of 0.5 (Σ_t m_ti m_tj)².

    Parameters
    ----------
    post_co_mean : tf.Tensor, shape (time, batch, co)

    Returns
    -------
    tf.Tensor, shape (batch,)
        Zeros with fewer than two inferred inputs.
    """
    co_dim = int(post_co_mean.shape[-1])
    if co_dim < 2:
        return tf.zeros_like(post_co_mean[0, ..., 0])
    products = tf.square(tf.einsum("t...i,t...j->...ij", post_co_mean, post_co_mean))
    off_diagonal = tf.reduce_sum(products, [-2, -1]) - tf.linalg.trace(products)
    return 0.5 * off_diagonal / float(co_dim * (co_dim - 1))


def trial_terms(
    config: ModelConfig,
    parameters: Parameters,
    data: tf.Tensor,
    log_factorials: tf.Tensor,
    encoding: Encoding,
    generation: Generation,
    co_noise: tf.Tensor,
    kl_weights: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> TrialTerms:
    """Give the terms of each trial.

    Parameters
    ----------
    config, parameters, encoding, generation
        See `network`.
    data : tf.Tensor, shape (time, batch, channel), float32
        Without dropout.
    log_factorials : tf.Tensor, shape (batch,)
        Σ log k! of the counts; they do not depend on the model.
    co_noise : tf.Tensor, shape (time, batch, co)
        The draws of the sample of inferred inputs whose divergence is taken.
    kl_weights : tuple of tf.Tensor, optional
        ``kl_ic_weight`` and ``kl_co_weight``, where they are of several runs and not those of
        `config`: of shape (run, 1).

    Returns
    -------
    TrialTerms
    """
    if config.is_poisson:
        density = tf.reduce_sum(poisson_log_density(data, generation.heads[0]), [0, -1])
        density -= log_factorials
    else:
        density = tf.reduce_sum(gaussian_log_density(data, *generation.heads), [0, -1])
    kl_ic_weight, kl_co_weight = kl_weights or (config.kl_ic_weight, config.kl_co_weight)
    kl = kl_ic_weight * gaussian_kl(
        encoding.post_g0_mean,
        encoding.post_g0_logvar,
        encoding.prior_g0_mean,
        encoding.prior_g0_logvar,
    )
    corr = tf.zeros_like(kl)
    if config.has_controller:
        assert generation.post_co_mean is not None
        assert generation.post_co_logvar is not None
        kl += kl_co_weight * _inputs_kl(
            parameters, generation.post_co_mean, generation.post_co_logvar, co_noise
        )
        corr = correlation(generation.post_co_mean)
    return TrialTerms(density, kl, corr)


def _inputs_kl(
    parameters: Parameters, mean: tf.Tensor, logvar: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """Give log q(u) - log p(u) of one sample u, for each trial; it can be negative."""
    u = mean + tf.exp(0.5 * logvar) * noise
    log_q = -0.5 * tf.reduce_sum(logvar + math.log(2.0 * math.pi) + tf.square(noise), [0, -1])
    log_p = ar1_log_density(
        u, parameters["LFADS/z/u_prior_ar1/logatau"], parameters["LFADS/z/u_prior_ar1/logevars"]
    )
    return log_q - log_p


def batch_costs(
    config: ModelConfig, parameters: Parameters, terms: TrialTerms, step: tf.Tensor
) -> Costs:
    """Give the cost of a batch.

    cost = recon + w_kl kl + w_l2 l2 + co_mean_corr_scale corr.

    Parameters
    ----------
    config, parameters
        See `network`.
    terms : TrialTerms
        Means are taken over the last axis: shape (batch,) gives scalars, and shape
        (trial, sample) gives one number a trial.
    step : tf.Tensor, int64
        Updates done so far.

    Returns
    -------
    Costs
    """
    kl_weight = warmup_weight(step, config.kl_start_step, config.kl_increase_steps)
    l2_weight = warmup_weight(step, config.l2_start_step, config.l2_increase_steps)
    recon = -tf.reduce_mean(terms.log_density, -1)
    kl = tf.reduce_mean(terms.kl, -1)
    corr = tf.reduce_mean(terms.corr, -1)
    l2 = l2_cost(config, parameters)
    evidence = terms.log_density - terms.kl
    num_samples = tf.cast(tf.shape(evidence)[-1], tf.float32)
    return Costs(
        total=recon + kl_weight * kl + l2_weight * l2 + config.co_mean_corr_scale * corr,
        recon=recon,
        kl=kl,
        l2=l2,
        corr=corr,
        kl_weight=kl_weight,
        l2_weight=l2_weight,
        nll_bound_vae=-tf.reduce_mean(evidence, -1),
        nll_bound_iwae=-(tf.reduce_logsumexp(evidence, -1) - tf.math.log(num_samples)),
    )
