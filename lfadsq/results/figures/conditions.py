"""Trials by their conditions: which there are, and what they do on average."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError
from lfadsq.texts import count_text

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["Condition", "TrialGroups", "condition_text", "evenly_spread", "sorted_conditions"]

Condition: TypeAlias = "float | str"
"""What tells trials apart: the same number, whichever its type, or the same text."""

Array = npt.NDArray[np.float64]

_MOST_CONDITIONS = 100


def sorted_conditions(values: Iterable[object]) -> tuple[Condition, ...]:
    """List the conditions among values: numbers first, each kind in ascending order.

    >>> sorted_conditions([2, float("nan"), 1.0, 2.0, ""]), sorted_conditions(["b ", "a"])
    ((1.0, 2.0), ('a', 'b'))
    """
    found = {one for one in map(_condition, values) if one is not None}
    return tuple(sorted(found, key=lambda one: (isinstance(one, str), one)))


def condition_text(condition: Condition | None) -> str:
    """Name a condition in a legend.

    >>> condition_text(45.0), condition_text("left"), condition_text(None)
    ('45', 'left', 'no condition')
    """
    if condition is None:
        return "no condition"
    return condition if isinstance(condition, str) else f"{condition:g}"


def evenly_spread(total: int, most: int) -> npt.NDArray[np.int64]:
    """Choose at most so many of a sequence, evenly from the first to the last, always the same.

    >>> evenly_spread(5, 9), evenly_spread(100, 4)
    (array([0, 1, 2, 3, 4]), array([ 0, 33, 66, 99]))
    """
    return np.linspace(0, total - 1, min(total, most)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class TrialGroups:
    """Trials grouped by condition; all in one group where a recording has no conditions.

    Attributes
    ----------
    every : tuple of float or str
        All conditions of the recording; empty if it has none.
    drawn : tuple of float, str or None
        Those to draw, in order; only None, for all trials, where there are no conditions.
    trials : tuple of numpy.ndarray, shape (n,), int64
        The trials of each of `drawn`.
    rule : str
        By which rule conditions were left out; empty if none were by one.
    """

    every: tuple[Condition, ...]
    drawn: tuple[Condition | None, ...]
    trials: tuple[npt.NDArray[np.int64], ...]
    rule: str = ""

    @classmethod
    def of(
        cls,
        means: PosteriorMeans,
        conditions: Sequence[object] | None = None,
        most: int | None = _MOST_CONDITIONS,
    ) -> TrialGroups:
        """Group the trials.

        Parameters
        ----------
        means : PosteriorMeans
            With `condition_ids`, or without. Trials with NaN or an empty text have no condition,
            and are in no group.
        conditions : sequence of float or str, optional
            Which to draw, in this order; by default all.
        most : int or None, default 100
            Of more than so many, if none are given, these many, evenly spread in their order; None
            for no limit.

        Raises
        ------
        ConfigError
            If a condition is not one of the recording's.
        """
        ids = means.condition_ids
        of_trials = [None] * means.num_trials if ids is None else [_condition(one) for one in ids]
        every = sorted_conditions(of_trials)
        rule = ""
        if conditions is not None:
            drawn = _known(conditions, every, means.dataset_name)
        elif most is not None and len(every) > most:
            drawn = tuple(every[one] for one in evenly_spread(len(every), most))
            rule = ", evenly spread"
        else:
            drawn = every
        if not every:
            return cls((), (None,), (np.arange(means.num_trials),))
        numbers = {condition: number for number, condition in enumerate(drawn)}
        index = np.array([-1 if one is None else numbers.get(one, -1) for one in of_trials])
        trials = tuple(np.flatnonzero(index == number) for number in range(len(drawn)))
        return cls(every, drawn, trials, rule)

    @property
    def num_trials(self) -> int:
        """How many trials the groups have together."""
        return sum(map(len, self.trials))

    @property
    def text(self) -> str:
        """Say what was averaged, and by which rule some of it was left out."""
        if not self.every:
            return f"all {count_text(self.num_trials, 'trial')}"
        trials, drawn = count_text(self.num_trials, "trial"), len(self.drawn)
        if drawn < len(self.every):
            return f"{trials} of {drawn} of {len(self.every)} conditions{self.rule}"
        return f"{trials} of {count_text(drawn, 'condition')}"

    def averages(self, values: Array) -> Array:
        """Average over the trials of each group.

        Parameters
        ----------
        values : numpy.ndarray, shape (trial, ...), float64

        Returns
        -------
        numpy.ndarray, shape (group, ...), float64
        """
        return np.stack([values[trials].mean(axis=0) for trials in self.trials])

    def spreads(self, values: Array) -> Array:
        """Give the standard deviation over the trials of each group, of n - 1; NaN for one trial.

        Parameters
        ----------
        values : numpy.ndarray, shape (trial, ...), float64

        Returns
        -------
        numpy.ndarray, shape (group, ...), float64
        """
        nothing = np.full(values.shape[1:], np.nan)
        return np.stack(
            [
                values[trials].std(axis=0, ddof=1) if len(trials) > 1 else nothing
                for trials in self.trials
            ]
        )


def _condition(value: Any) -> Condition | None:
    """Read the condition of a trial: None where it is NaN or empty."""
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    number = float(value)
    return None if math.isnan(number) else number


def _known(
    asked: Sequence[object], every: Sequence[Condition], dataset_name: str
) -> tuple[Condition, ...]:
    read = [_condition(one) for one in asked]
    strangers = [str(given) for given, one in zip(asked, read, strict=True) if one not in every]
    if strangers or not read:
        some = ", ".join(condition_text(every[one]) for one in evenly_spread(len(every), 10))
        raise ConfigError(
            f"{dataset_name} has no condition {', '.join(strangers)}"
            if strangers
            else "no condition is given",
            f"it has {some}{', ...' if len(every) > 10 else ''}" if every else "leave them out",
        )
    return tuple(dict.fromkeys(one for one in read if one is not None))
