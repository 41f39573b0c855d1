"""When the learning rate falls, when training ends, and when a model is the best so far.

Pure functions of costs (NUMERICS.md 9), so that a replay of ``fitlog.csv`` gives the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["RateDecision", "decide_learning_rate", "is_lowest_validation", "should_save_rolling"]

EPOCHS_BETWEEN_CHECKPOINTS = 10


class RateDecision(NamedTuple):
    """What the learning-rate rule says after an epoch.

    Attributes
    ----------
    decays : bool
        Whether the rate is to be multiplied by ``learning_rate_decay_factor``.
    stored_cost : float
        What to append to the history: the cost, or infinity after a decay, so that the next one
        is at least `n_to_compare` epochs away.
    """

    decays: bool
    stored_cost: float


def decide_learning_rate(
    history: Sequence[float], train_total: float, n_to_compare: int
) -> RateDecision:
    """Apply the learning-rate rule after an epoch.

    Parameters
    ----------
    history : sequence of float
        The stored costs of all earlier epochs.
    train_total : float
        The epoch's mean training cost.
    n_to_compare : int
        The hyperparameter ``learning_rate_n_to_compare``.

    Examples
    --------
    >>> decide_learning_rate([3.0] * 7, 3.1, 6)
    RateDecision(decays=True, stored_cost=inf)
    >>> decide_learning_rate([3.0] * 6, 3.1, 6)
    RateDecision(decays=False, stored_cost=3.1)
    """
    decays = len(history) > n_to_compare and train_total > max(history[-n_to_compare:])
    return RateDecision(decays, math.inf if decays else train_total)


def is_lowest_validation(
    epoch: int,
    valid_total: float,
    lowest_valid_total: float,
    kl_weight: float,
    l2_weight: float,
    *,
    has_l2: bool,
) -> bool:
    """Tell whether an epoch's model is the best so far on validation trials.

    Costs before the warm-up has ended are lower for that reason alone, and do not count.

    Parameters
    ----------
    epoch : int
        From 0. The first never counts.
    valid_total : float
        Not a number where there are no validation trials.
    lowest_valid_total : float
        Of the epochs that counted; infinity before the first.
    kl_weight, l2_weight : float
        In the epoch's last batch.
    has_l2 : bool
        Whether either L2 scale is above 0.
    """
    warm = kl_weight >= 1.0 and (l2_weight >= 1.0 or not has_l2)
    return epoch > 0 and warm and valid_total < lowest_valid_total


def should_save_rolling(epoch: int) -> bool:
    """Tell whether a rolling checkpoint is due after this epoch, counted from 0."""
    return epoch % EPOCHS_BETWEEN_CHECKPOINTS == 0
