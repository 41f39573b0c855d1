"""Everything that posterior means tell of how good a run is, dataset by dataset and together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.bits_per_spike import SpikePrediction
from lfadsq.results.co_smoothing import co_smoothing
from lfadsq.results.posterior_variables import MS_PER_S
from lfadsq.results.psth import DEFAULT_SMOOTHING_MS, psth_r2
from lfadsq.results.scores import explained_of_log_rates, explained_of_rates
from lfadsq.results.spike_following import spike_following
from lfadsq.results.trial_arrays import TrialValues
from lfadsq.results.trial_blocks import aligned_blocks

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["RunScores", "Score", "score_posterior_means"]

Array = npt.NDArray[np.float64]

_DEAD_SHARE = 0.01
_ACTIVE_SHARE = 0.01


@dataclass(frozen=True)
class Score:
    """A number, and how much it counts beside those of other datasets.

    Attributes
    ----------
    value : float
        NaN where the data do not give it.
    weight : float
        What it is a mean over: spikes, channels or variance.
    """

    value: float = math.nan
    weight: float = 0.0

    @classmethod
    def together(cls, scores: Iterable[Score]) -> Score:
        """Give the mean by weight, which is the score of all data at once."""
        known = [one for one in scores if one.weight > 0 and not math.isnan(one.value)]
        weight = sum(one.weight for one in known)
        if not weight:
            return cls()
        return cls(sum(one.value * one.weight for one in known) / weight, weight)


_NO_SCORE = Score()


@dataclass(frozen=True)
class RunScores:
    """Scores of a run, on one dataset or on all of it.

    Attributes
    ----------
    bits_per_spike, train_bits_per_spike : Score
        Of the channels that the model saw, on validation and on training trials
        (`lfadsq.results.bits_per_spike`).
    co_smoothing : Score
        Bits per spike of channels that it never saw, on validation trials
        (`lfadsq.results.co_smoothing`).
    psth_r2 : Score
        `lfadsq.results.psth`, rates of validation trials.
    truth_r2, truth_log_r2 : Score
        Share of the variance of true rates and of their logs that is explained, on validation
        trials (`lfadsq.results.scores`).
    spike_following : Score
        `lfadsq.results.spike_following`, on validation trials.
    rate_variation : float
        Standard deviation of rates over the time of a trial, divided by the mean rate, of the
        channel in which it is largest.
    num_factors, num_dead_factors : int
        Of the latter the standard deviation is below 1 % of that of the factor that varies most.
    num_ic_dims, num_active_ic_dims : int
        Dimensions of the initial condition; in active ones the variance of posterior means over
        trials is above 1 % of the prior variance, which is the rule of `burda2016`. 0 of 0 where
        the files do not tell.
    has_inputs : bool
        Whether there are inferred inputs.
    """

    bits_per_spike: Score = _NO_SCORE
    train_bits_per_spike: Score = _NO_SCORE
    co_smoothing: Score = _NO_SCORE
    psth_r2: Score = _NO_SCORE
    truth_r2: Score = _NO_SCORE
    truth_log_r2: Score = _NO_SCORE
    spike_following: Score = _NO_SCORE
    rate_variation: float = math.nan
    num_factors: int = 0
    num_dead_factors: int = 0
    num_ic_dims: int = 0
    num_active_ic_dims: int = 0
    has_inputs: bool = False

    @classmethod
    def together(cls, parts: Sequence[RunScores]) -> RunScores:
        """Join the scores of the datasets of a run.

        Scores are as if all data had been scored at once. The datasets share factors and initial
        conditions, so what lives in one of them lives.
        """
        if not parts:
            return cls()
        scores = {
            name: Score.together(getattr(part, name) for part in parts)
            for name, value in vars(parts[0]).items()
            if isinstance(value, Score)
        }
        variations = [part.rate_variation for part in parts]
        return cls(
            **scores,
            rate_variation=max((v for v in variations if not math.isnan(v)), default=math.nan),
            num_factors=parts[0].num_factors,
            num_dead_factors=min(part.num_dead_factors for part in parts),
            num_ic_dims=max(part.num_ic_dims for part in parts),
            num_active_ic_dims=max(part.num_active_ic_dims for part in parts),
            has_inputs=any(part.has_inputs for part in parts),
        )


def score_posterior_means(
    means: PosteriorMeans,
    *,
    held_out: TrialValues | None = None,
    smoothing_ms: float = DEFAULT_SMOOTHING_MS,
) -> RunScores:
    """Score what a run inferred of one dataset.

    Parameters
    ----------
    means : PosteriorMeans
        Of Poisson output: gaussian output has neither spikes nor rates, and only what is known of
        factors and initial conditions is filled in.
    held_out : numpy.ndarray or TrialArray, shape (trial, time, channel), optional [spikes/bin]
        Counts of channels that the model never saw, in its bins, trials in the order of the
        recording.
    smoothing_ms : float, default 0 [ms]
        As in `lfadsq.results.psth.psth_r2`.

    Returns
    -------
    RunScores
        What the data do not give (truth, conditions, validation trials) is NaN.

    Raises
    ------
    ResultShapeError
        If counts do not fit the posterior means.
    """
    factors, counts = np.asarray(means.lazy("factors")), means.lazy("counts")
    known: dict[str, Any] = {
        **_factor_facts(factors),
        **_ic_facts(means),
        "has_inputs": means.lazy("controller_outputs") is not None,
    }
    if means.is_gaussian:
        return RunScores(**known)
    train, valid = means.train_inds, means.valid_inds
    if held_out is not None and len(valid) and len(train):
        prediction = co_smoothing(factors, held_out, train_inds=train, valid_inds=valid)
        known["co_smoothing"] = Score(prediction.bits_per_spike, prediction.num_spikes)
    expected = means.inferred["output_means"]
    if counts is not None:
        known["train_bits_per_spike"] = _bits(expected, counts, train)
    if not len(valid):
        return RunScores(**known)
    # A fifth of all, usually: once read, it serves for all that follows.
    inferred = np.asarray(expected[valid])
    known["rate_variation"] = _rate_variation(inferred)
    if counts is not None:
        seen = np.asarray(counts[valid])
        known["bits_per_spike"] = bits = _bits(inferred, seen, None)
        known["spike_following"] = Score(spike_following(inferred, seen), bits.weight)
        if means.condition_ids is not None:
            value = psth_r2(
                expected,
                counts,
                means.condition_ids,
                bin_ms=means.bin_ms,
                trials=valid,
                smoothing_ms=smoothing_ms,
            )
            known["psth_r2"] = Score(value, expected.shape[2])
    true_rates = means.lazy("true_rates")
    if true_rates is not None:
        known.update(_truth_scores(true_rates[valid] * (means.bin_ms / MS_PER_S), inferred))
    return RunScores(**known)


def _bits(
    expected: TrialValues, counts: TrialValues, trials: npt.NDArray[np.int64] | None
) -> Score:
    prediction = SpikePrediction(expected.shape[2])
    for inferred, seen in aligned_blocks(expected, counts, trials=trials):
        prediction.add(inferred, seen)
    return Score(prediction.bits_per_spike, prediction.num_spikes)


def _truth_scores(true: Array, inferred: Array) -> dict[str, Score]:
    plain = explained_of_rates(true, inferred)
    scores = {"truth_r2": Score(plain.r2, plain.total)}
    try:
        logs = explained_of_log_rates(true, inferred)
    except ResultShapeError:
        return scores  # true rates of zero have no logarithm
    return scores | {"truth_log_r2": Score(logs.r2, logs.total)}


def _rate_variation(expected: Array) -> float:
    deviation, mean = np.zeros(expected.shape[2]), np.zeros(expected.shape[2])
    for (block,) in aligned_blocks(expected):
        deviation += block.std(axis=1).sum(axis=0)
        mean += block.mean(axis=1).sum(axis=0)
    is_firing = mean > 0
    return float((deviation[is_firing] / mean[is_firing]).max()) if is_firing.any() else math.nan


def _factor_facts(factors: Array) -> dict[str, int]:
    deviation = factors.std(axis=(0, 1))
    num_dead = np.count_nonzero(deviation <= _DEAD_SHARE * deviation.max())
    return {"num_factors": factors.shape[2], "num_dead_factors": int(num_dead)}


def _ic_facts(means: PosteriorMeans) -> dict[str, int]:
    mean, prior_logvar = means.post_g0_mean, means.prior_g0_logvar
    if mean is None or prior_logvar is None:
        return {}
    share = mean.var(axis=0) / np.exp(prior_logvar).mean(axis=0)
    num_active = int(np.count_nonzero(share > _ACTIVE_SHARE))
    return {"num_ic_dims": mean.shape[1], "num_active_ic_dims": num_active}
