"""Densities and divergences (NUMERICS.md 5 and 6). All logarithms are natural."""

from __future__ import annotations

import math

import tensorflow as tf

__all__ = [
    "CLIP_VALUE",
    "ar1_log_density",
    "gaussian_kl",
    "gaussian_log_density",
    "poisson_log_density",
    "prior_g0_logvar",
]

CLIP_VALUE = 80.0
"""Log rates and log variances are kept within ± this where they are exponentiated for people."""

_LOG_2PI = math.log(2.0 * math.pi)


def poisson_log_density(counts: tf.Tensor, log_rates: tf.Tensor) -> tf.Tensor:
    """Give k l - exp(l), the log probability of counts without the term -log k!.

    That term does not depend on the model; it is added once a trial (see `costs`).

    Parameters
    ----------
    counts : tf.Tensor, float32 [spikes/bin]
    log_rates : tf.Tensor of the same shape, float32 [log spikes/bin]

    Returns
    -------
    tf.Tensor of the same shape
    """
    return counts * log_rates - tf.exp(log_rates)


def gaussian_log_density(x: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    """Give the log density -0.5 (logvar + log 2π + (x - mean)² / exp(logvar))."""
    return -0.5 * (logvar + _LOG_2PI + tf.square(x - mean) * tf.exp(-logvar))


def gaussian_kl(
    q_mean: tf.Tensor, q_logvar: tf.Tensor, p_mean: tf.Tensor, p_logvar: tf.Tensor
) -> tf.Tensor:
    """Give the divergence KL(q || p) of diagonal Gaussians, summed over the last axis.

    0.5 Σ (p_logvar - q_logvar + exp(q_logvar - p_logvar) + (q_mean - p_mean)² / exp(p_logvar) - 1)
    """
    terms = (
        p_logvar
        - q_logvar
        + tf.exp(q_logvar - p_logvar)
        + tf.square(q_mean - p_mean) * tf.exp(-p_logvar)
        - 1.0
    )
    return 0.5 * tf.reduce_sum(terms, -1)


def ar1_log_density(u: tf.Tensor, logatau: tf.Tensor, logevars: tf.Tensor) -> tf.Tensor:
    """Give the log density of sequences under a stationary AR(1) process with mean 0.

    φ = exp(-1/τ), τ = exp(logatau) in bins, ε = exp(logevars): u_0 ~ N(0, ε / (1 - φ²)) and
    u_t ~ N(φ u_{t-1}, ε).

    Parameters
    ----------
    u : tf.Tensor, shape (time, batch, co), float32
    logatau, logevars : tf.Tensor, shape (1, co), float32

    Returns
    -------
    tf.Tensor, shape (batch,)
        Summed over time and dimensions.
    """
    phi = tf.exp(-tf.exp(-logatau))
    first_logvar = logevars - tf.math.log(1.0 - tf.square(phi))
    first = gaussian_log_density(u[0], tf.zeros_like(u[0]), first_logvar)
    later = gaussian_log_density(u[1:], phi * u[:-1], logevars)
    return tf.reduce_sum(first, -1) + tf.reduce_sum(later, [0, -1])


def prior_g0_logvar(logvar: tf.Tensor, var_min: float, var_max: float) -> tf.Tensor:
    """Give the log variance of the prior of g0 from its parameter.

    With `var_max` above `var_min` the variance is ``var_min + (var_max - var_min) *
    sigmoid(exp(logvar))``. The exp inside the sigmoid is the original's: the variance lies in the
    upper half of the interval. Otherwise the parameter is the log variance, and fixed.
    """
    if var_max <= var_min:
        return logvar
    return tf.math.log(var_min + (var_max - var_min) * tf.sigmoid(tf.exp(logvar)))
