from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import gammaln

from lfadsq.model.distributions import (
    ar1_log_density,
    gaussian_kl,
    gaussian_log_density,
    poisson_log_density,
    prior_g0_logvar,
)

STREAM = np.random.default_rng(0)


def test_poisson_density_is_that_of_scipy() -> None:
    counts = np.arange(8.0, dtype=np.float32)
    log_rates = np.linspace(-2, 2, 8, dtype=np.float32)
    ours = poisson_log_density(counts, log_rates) - gammaln(counts + 1)
    np.testing.assert_allclose(ours, stats.poisson.logpmf(counts, np.exp(log_rates)), rtol=1e-5)


def test_gaussian_density_is_that_of_scipy() -> None:
    x, mean, logvar = STREAM.standard_normal((3, 20)).astype(np.float32)
    expected = stats.norm.logpdf(x, mean, np.exp(logvar / 2))
    np.testing.assert_allclose(gaussian_log_density(x, mean, logvar), expected, rtol=1e-4)


def test_kl_is_the_integral_of_its_definition() -> None:
    q_mean, q_logvar, p_mean, p_logvar = 0.4, -0.7, -0.2, 0.3
    x = np.linspace(-12, 12, 200_001)
    q = stats.norm(q_mean, np.exp(q_logvar / 2))
    p = stats.norm(p_mean, np.exp(p_logvar / 2))
    integral = np.trapezoid(q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), x)
    arguments = [tf.constant([[v]]) for v in (q_mean, q_logvar, p_mean, p_logvar)]
    np.testing.assert_allclose(gaussian_kl(*arguments), [integral], rtol=1e-5)


def test_kl_of_equal_distributions_is_zero() -> None:
    mean, logvar = tf.ones([3, 4]), tf.fill([3, 4], -1.5)
    np.testing.assert_allclose(gaussian_kl(mean, logvar, mean, logvar), np.zeros(3), atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_ar1_density_is_that_of_the_stationary_gaussian(num_steps: int) -> None:
    """The sequence is jointly normal with covariance e φ^|i-j| / (1 - φ²)."""
    taus, noise_variances = np.array([10.0, 2.5]), np.array([0.1, 0.6])
    u = STREAM.standard_normal((num_steps, 3, 2))
    expected = np.zeros(3)
    lags = np.abs(np.subtract.outer(np.arange(num_steps), np.arange(num_steps)))
    for dim, (tau, variance) in enumerate(zip(taus, noise_variances, strict=True)):
        phi = np.exp(-1 / tau)
        covariance = variance / (1 - phi**2) * phi**lags
        density = stats.multivariate_normal(np.zeros(num_steps), covariance)
        expected += [density.logpdf(u[:, trial, dim]) for trial in range(3)]
    logs = [tf.constant(np.log(v)[np.newaxis], tf.float32) for v in (taus, noise_variances)]
    ours = ar1_log_density(tf.constant(u, tf.float32), *logs)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_trained_prior_variance_lies_in_the_upper_half_of_its_interval() -> None:
    """As in the original: an initial 0.1 between 0.05 and 0.4 gives 0.234."""
    variance = np.exp(prior_g0_logvar(tf.math.log(tf.constant([[0.1]])), 0.05, 0.4))
    np.testing.assert_allclose(variance, 0.2337, atol=1e-4)


def test_fixed_prior_variance_is_the_parameter() -> None:
    logvar = tf.constant([[-2.3]])
    np.testing.assert_array_equal(prior_g0_logvar(logvar, 0.1, 0.1), logvar)
