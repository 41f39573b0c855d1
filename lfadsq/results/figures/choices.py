"""Which trials, channels and factors a figure shows, by rules that it states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, ResultNotReadyError
from lfadsq.results.figures.conditions import evenly_spread

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["chosen", "chosen_trials", "no_counts"]

Array = npt.NDArray[np.float64]


def chosen(
    asked: Sequence[int] | None, variances: Array, most: int, what: str, dataset_name: str
) -> tuple[list[int], str]:
    """Choose channels or factors: those asked for, all, or those of the largest variance.

    Parameters
    ----------
    asked : sequence of int or None
        From 0.
    variances : numpy.ndarray, shape (n,), float64
        Of all there are.
    most : int
        How many to choose if none are asked for.
    what, dataset_name : str
        For texts.

    Returns
    -------
    numbers : list of int
        In the order asked for, or ascending.
    note : str
        The rule, if something was left out by one.

    Raises
    ------
    ConfigError
        If there is no such channel or factor, or none is asked for.
    """
    total = len(variances)
    if asked is not None:
        return _checked(asked, total, what, dataset_name), ""
    if total <= most:
        return list(range(total)), ""
    # Of equal ones the first, so that the choice is always the same.
    largest = np.argsort(-variances, kind="stable")[:most]
    return sorted(largest.tolist()), f"the {most} of {total} {what} that vary most"


def chosen_trials(
    asked: Sequence[int] | None, means: PosteriorMeans, most: int
) -> tuple[list[int], str]:
    """Choose trials: those asked for, or some of validation, evenly spread.

    Raises
    ------
    ConfigError
        If there is no such trial, or none is asked for.
    """
    if asked is not None:
        return _checked(asked, means.num_trials, "trials", means.dataset_name), ""
    of_kind = np.flatnonzero(means.is_valid)
    has_valid = len(of_kind) > 0
    if not has_valid:
        of_kind = np.arange(means.num_trials)
    found = of_kind[evenly_spread(len(of_kind), most)].tolist()
    return found, "validation trials" if has_valid else ""


def no_counts(means: PosteriorMeans) -> ResultNotReadyError:
    """Say that what the model saw is not there."""
    return ResultNotReadyError(
        f"the data that the model of {means.dataset_name} saw are not there",
        "copy the collection's data_<HASH> folders, too, or prepare the run again",
    )


def _checked(asked: Sequence[int], total: int, what: str, dataset_name: str) -> list[int]:
    numbers = [int(one) for one in asked]
    strangers = [str(one) for one in numbers if not 0 <= one < total]
    if strangers or not numbers:
        which = ", ".join(strangers) or "none is asked for"
        raise ConfigError(
            f"{dataset_name} has {total} {what}: {which} cannot be drawn",
            f"give numbers from 0 to {total - 1}",
        )
    return numbers
