"""Signs that a run is broken, each with the reason and what to do.

A cost says that a run is worse than another. These say what is wrong with it; a run with a sign may
even have the lowest cost. Thresholds come from theory where there is one. The others lie between
what runs of the demonstration (`lfadsq.demo`) came to and what models came to that were broken on
purpose; ``tests/unit/results/test_run_signs.py`` keeps both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lfadsq.results.run_scores import RunScores

if TYPE_CHECKING:
    from lfadsq.results.fit_log import FitLog

__all__ = ["RunSign", "signs_in_fit_log", "signs_in_scores"]

Array = npt.NDArray[np.float64]

LEAST_KL = math.log(2)
"""[nats/trial]. The mean KL bounds what latent variables tell of a trial (`hoffman2016`): below one
bit they cannot even tell two kinds of trials apart."""
MOST_SPIKE_FOLLOWING = 0.15
"""Healthy runs came to 0.011 to 0.050, true rates themselves to 0.031 to 0.057; a model without KL,
L2 and dropout to 0.28, with the best bits per spike of all and an R2 of log rates of -6.3."""
LEAST_SHARE_OF_TRAIN_BITS = 0.8
"""Healthy runs came to 0.92 and more, one that was given 80 trials and nothing against over-fitting
to 0.72."""
LEAST_RATE_VARIATION = 0.01
"""Healthy runs came to 0.86 and more; even those that had hardly learned anything to 0.15. Below a
hundredth, nothing that a picture shows is left."""
# Chance alone makes the lowest of smoothed costs lie 0.7 of the noise below the last, give or take
# 0.4.
_CHANGE_IN_NOISE = 2.0
_SMOOTHED_EPOCHS = 9
_LEAST_EPOCHS = 30


@dataclass(frozen=True)
class RunSign:
    """What looks wrong with a run.

    Attributes
    ----------
    kind : str
        In a few words, the same for all runs that have it.
    reason : str
        What was seen, in numbers.
    remedy : str
        What to do.
    """

    kind: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}; {self.remedy}"


def signs_in_fit_log(
    log: FitLog,
    *,
    is_over: bool,
    kl_weights: Sequence[float] = (1.0,),
    learning_rate: float | None = None,
    learning_rate_init: float | None = None,
) -> list[RunSign]:
    """Look for signs in the costs of a training.

    Parameters
    ----------
    log : FitLog
    is_over : bool
        Whether nobody trains it any more: what comes late in a training is missed only then.
    kl_weights : sequence of float, default 1
        ``c_kl_ic_weight`` and, where there are inferred inputs, ``c_kl_co_weight``: logs hold the
        KL times these.
    learning_rate, learning_rate_init : float, optional
        In the last epoch and in the first, where known.

    Returns
    -------
    list of RunSign
    """
    signs = [*_not_a_number(log)]
    if signs:
        return signs
    signs += _collapsed(log, min(kl_weights))
    signs += _overfitted(log)
    if is_over:
        signs += _stopped_early(log, learning_rate, learning_rate_init)
    return signs


def signs_in_scores(scores: RunScores) -> list[RunSign]:
    """Look for signs in what a run inferred; scores that are NaN tell nothing."""
    return [
        *_posterior_is_prior(scores),
        *_useless_rates(scores),
        *_follows_spikes(scores),
        *_memorised(scores),
        *_dead_factors(scores),
    ]


def _not_a_number(log: FitLog) -> Iterator[RunSign]:
    is_bad = ~np.isfinite(log.total_train)
    has_validation = np.isfinite(log.total_valid).any()
    if has_validation:
        is_bad |= ~np.isfinite(log.total_valid)
    if is_bad.any():
        epoch = log.epoch[np.argmax(is_bad)]
        yield RunSign(
            "not a number",
            f"the cost of epoch {epoch} is no finite number",
            "lower c_learning_rate_init or c_max_grad_norm, and look for outliers in the data",
        )


def _collapsed(log: FitLog, kl_weight: float) -> Iterator[RunSign]:
    is_full = log.kl_weight >= 1
    # A KL that weighs nothing is logged as nothing, and is not what holds posteriors back.
    if not is_full.any() or kl_weight <= 0:
        return
    logged = log.kl_valid if np.isfinite(log.kl_valid).any() else log.kl_train
    # With two weights, this is the most that it can be.
    kl = logged / kl_weight
    last = float(np.median(kl[is_full][-_SMOOTHED_EPOCHS:]))
    if last < LEAST_KL:
        highest = float(np.nanmax(kl))
        fell = f"fell from {highest:.2g} to {last:.2g}" if highest >= LEAST_KL else f"is {last:.2g}"
        yield RunSign(
            "KL collapsed",
            f"the KL cost {fell} nats/trial, less than ln 2: what is inferred of a trial is less "
            "than one bit",
            "lower c_kl_ic_weight and c_kl_co_weight, or raise c_kl_increase_steps",
        )


def _overfitted(log: FitLog) -> Iterator[RunSign]:
    is_full = (log.kl_weight >= 1) & ((log.l2_weight >= 1) | (log.l2 == 0))
    train, valid = log.recon_train[is_full], log.recon_valid[is_full]
    if len(valid) < _LEAST_EPOCHS or not np.isfinite(valid).all():
        return
    smooth_train, smooth_valid = _running_median(train), _running_median(valid)
    best = int(np.argmin(smooth_valid))
    rise, fall = smooth_valid[-1] - smooth_valid[best], smooth_train[best] - smooth_train[-1]
    if rise > _CHANGE_IN_NOISE * _noise(valid) and fall > _CHANGE_IN_NOISE * _noise(train):
        yield RunSign(
            "over-fitted",
            f"since epoch {log.epoch[is_full][best + _SMOOTHED_EPOCHS // 2]} reconstruction of "
            f"validation trials got worse by {rise:.3g} nats/trial, of training trials better by "
            f"{fall:.3g}",
            "lower c_keep_prob, raise c_l2_gen_scale and c_l2_con_scale, make the model smaller, "
            "or give more trials; posterior means are of the epoch of lowest validation cost",
        )


def _stopped_early(
    log: FitLog, learning_rate: float | None, learning_rate_init: float | None
) -> Iterator[RunSign]:
    weight = min(float(log.kl_weight[-1]), float(log.l2_weight[-1]) if log.l2[-1] else 1.0)
    if weight < 1:
        yield RunSign(
            "stopped early",
            f"it ended after {log.num_epochs} epochs, while KL or L2 had a weight of {weight:.2g}",
            "train on, or lower c_kl_increase_steps and c_l2_increase_steps",
        )
    elif (
        learning_rate is not None
        and learning_rate_init is not None
        and learning_rate >= learning_rate_init * (1 - 1e-6)
    ):
        yield RunSign(
            "learning rate never decayed",
            f"it ended after {log.num_epochs} epochs with the first learning rate, "
            f"{learning_rate:.2g}",
            "train on: the queue continues from the checkpoint",
        )


def _noise(costs: Array) -> float:
    """Give the standard deviation of costs about their trend.

    Differences of neighbours hold the noise twice, and hardly anything of the trend.
    """
    return float(np.median(np.abs(np.diff(costs)))) / 0.6745 / math.sqrt(2)


def _running_median(values: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(values, _SMOOTHED_EPOCHS)
    medians: Array = np.median(windows, axis=1)
    return medians


def _posterior_is_prior(scores: RunScores) -> Iterator[RunSign]:
    if scores.num_ic_dims and not scores.num_active_ic_dims:
        others = ", so only inferred inputs tell trials apart" if scores.has_inputs else ""
        yield RunSign(
            "posterior equals prior",
            f"none of the {scores.num_ic_dims} dimensions of the initial condition differs between "
            f"trials by more than 1 % of the prior variance{others}",
            "lower c_kl_ic_weight, or raise c_ic_enc_dim; with inferred inputs it may be what you "
            "want"
            if scores.has_inputs
            else "lower c_kl_ic_weight, or raise c_kl_increase_steps",
        )


def _useless_rates(scores: RunScores) -> Iterator[RunSign]:
    variation, bits = scores.rate_variation, scores.bits_per_spike.value
    if variation < LEAST_RATE_VARIATION:
        yield RunSign(
            "rates constant",
            f"no rate changes over a trial by more than {100 * variation:.2g} % of its mean",
            "train longer, raise c_learning_rate_init, or lower c_l2_gen_scale",
        )
    elif bits <= 0:
        yield RunSign(
            "rates tell nothing",
            f"they predict spikes of validation trials no better than mean rates do ({bits:.3g} "
            "bits/spike)",
            "train longer, raise c_learning_rate_init, or check the data: lfadsq check",
        )


def _follows_spikes(scores: RunScores) -> Iterator[RunSign]:
    followed = scores.spike_following.value
    if followed > MOST_SPIKE_FOLLOWING:
        yield RunSign(
            "rates follow single spikes",
            f"with each spike the rate of its bin jumps by {followed:.2g} of it, in validation "
            "trials too",
            "lower c_keep_prob, raise c_kl_co_weight, lower c_co_dim, or raise c_l2_con_scale; "
            "believe co-smoothing, not the validation cost",
        )


def _memorised(scores: RunScores) -> Iterator[RunSign]:
    train, valid = scores.train_bits_per_spike.value, scores.bits_per_spike.value
    is_collapsed = bool(scores.num_ic_dims) and not scores.num_active_ic_dims
    if not is_collapsed and 0 < valid < LEAST_SHARE_OF_TRAIN_BITS * train:
        yield RunSign(
            "over-fitted",
            f"rates explain {train:.3g} bits/spike of training trials, but only {valid:.3g} of "
            "validation trials",
            "lower c_keep_prob, raise c_l2_gen_scale, or give more trials",
        )


def _dead_factors(scores: RunScores) -> Iterator[RunSign]:
    dead = scores.num_dead_factors
    if dead:
        yield RunSign(
            "dead factors",
            f"{dead} of {scores.num_factors} factors vary by less than 1 % of what the strongest "
            "does",
            f"lower c_factors_dim to {scores.num_factors - dead}: the rates lose nothing",
        )
