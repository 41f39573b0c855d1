"""What a trained model gives of every trial: names, axes, units, and the keys in its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["FILE_KEYS", "GIVEN", "REQUIRED", "VARIABLES", "Variable"]

_RATES = ("trial", "time", "channel")
_ICS = ("trial", "ic")
_PER_TRIAL = ("trial",)


class Variable(NamedTuple):
    """One variable.

    Attributes
    ----------
    dims : tuple of str
        Names of its axes.
    units : str
        Unit of counts and times; empty where there is none, or only the recording knows it.
    long_name : str
        What it is.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str


VARIABLES: Mapping[str, Variable] = {
    "rates": Variable(_RATES, "spikes/s", "firing rates"),
    "output_means": Variable(_RATES, "spikes/bin", "means of the output"),
    "output_variances": Variable(_RATES, "", "variances of gaussian output"),
    "factors": Variable(("trial", "time", "factor"), "", "factors"),
    "generator_states": Variable(
        ("trial", "time", "generator_state"), "", "states of the generator"
    ),
    "generator_ics": Variable(("trial", "generator_state"), "", "initial states of the generator"),
    "controller_outputs": Variable(("trial", "time", "controller_output"), "", "inferred inputs"),
    "post_g0_mean": Variable(_ICS, "", "posterior of the initial condition: means"),
    "post_g0_logvar": Variable(_ICS, "", "posterior of the initial condition: log variances"),
    "prior_g0_mean": Variable(_ICS, "", "prior of the initial condition: means"),
    "prior_g0_logvar": Variable(_ICS, "", "prior of the initial condition: log variances"),
    "costs": Variable(_PER_TRIAL, "nats", "costs"),
    "nll_bound_vaes": Variable(_PER_TRIAL, "nats", "bounds on the negative log-likelihood (VAE)"),
    "nll_bound_iwaes": Variable(_PER_TRIAL, "nats", "bounds on the negative log-likelihood (IWAE)"),
    "train_steps": Variable(_PER_TRIAL, "", "training steps done before"),
    "counts": Variable(_RATES, "spikes/bin", "counts that the model was given"),
    "true_rates": Variable(_RATES, "spikes/s", "true rates"),
    "external_inputs": Variable(
        ("trial", "time", "external_input"), "", "external inputs that the model was given"
    ),
}
"""Every variable that a trial may have, by the name of the attribute of `PosteriorMeans`."""

GIVEN = ("counts", "true_rates", "external_inputs")
"""What the model was given; it lies with the run's input, not with its results."""

REQUIRED = ("output_dist_params", "factors")
"""Keys without which a file is none of posterior means."""

FILE_KEYS: Mapping[str, str] = {
    "factors": "factors",
    "generator_states": "gen_states",
    "generator_ics": "gen_ics",
    "controller_outputs": "controller_outputs",
    "post_g0_mean": "post_g0_mean",
    "post_g0_logvar": "post_g0_logvar",
    "prior_g0_mean": "prior_g0_mean",
    "prior_g0_logvar": "prior_g0_logvar",
    "costs": "costs",
    "nll_bound_vaes": "nll_bound_vaes",
    "nll_bound_iwaes": "nll_bound_iwaes",
    "train_steps": "train_steps",
}
"""Keys of variables that files hold as they are."""
