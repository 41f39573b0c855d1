"""Trajectories of conditions in the space of their principal components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, ResultNotReadyError, ResultShapeError
from lfadsq.results.figures.canvas import Drawing, add_condition_key, whole_figure
from lfadsq.results.figures.colours import ConditionColours
from lfadsq.results.figures.conditions import TrialGroups
from lfadsq.results.figures.lines import MOST_BANDS
from lfadsq.results.figures.projections import Projection
from lfadsq.results.figures.spaces import check_dims, finish_space, space_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["plot_trajectories"]

_SPACES = {"factors": "factors", "generator_states": "generator states", "rates": "rates"}


def plot_trajectories(
    means: PosteriorMeans,
    *,
    dims: Literal[2, 3] = 2,
    of: Literal["factors", "generator_states", "rates"] = "factors",
    conditions: Sequence[object] | None = None,
    like: PosteriorMeans | None = None,
    colours: ConditionColours | None = None,
    ax: Axes | None = None,
) -> Drawing:
    """Draw the average trial of each condition in the space of the first principal components.

    A dot is where a trajectory begins.

    Parameters
    ----------
    means : PosteriorMeans
        What the model inferred.
    dims : {2, 3}, default 2
        How many components.
    of : {"factors", "generator_states", "rates"}, default "factors"
        Of what. Components are those of the averages of all conditions, whichever are drawn.
    conditions : sequence of float or str, optional
        Which; by default all, and of more than 100 so many, evenly spread.
    like : PosteriorMeans, optional
        Those whose averages give the components; by default `means`. Datasets of a stitched run
        share their factors: give all the same, and they lie in one space.
    colours : ConditionColours, optional
        To share with figures of recordings that have other conditions.
    ax : matplotlib.axes.Axes, optional
        Where to draw, with ``projection="3d"`` for three components; by default a new figure.

    Returns
    -------
    Drawing
        The figure and its axes.

    Raises
    ------
    ConfigError
        If `dims` or `of` is none of these, or there is no such condition.
    ResultNotReadyError
        If the files lack what is to be drawn.
    ResultShapeError
        If it has fewer dimensions than `dims`, other ones than `like`, or the output has no rates.

    Examples
    --------
    >>> figure, ax = plot_trajectories(run.load_posterior_means(), dims=3)  # doctest: +SKIP
    """
    check_dims(dims)
    if of not in _SPACES:
        raise ConfigError(f"there are no trajectories of {of!r}", f"take {', '.join(_SPACES)}")
    values = _values(means, of)
    model = means if like is None else like
    whole = TrialGroups.of(model, most=None).averages(_values(model, of))
    projection = Projection.fit(whole, dims, f"the {_SPACES[of]}")
    if values.shape[2] != whole.shape[2]:
        raise ResultShapeError(
            f"the {_SPACES[of]} of {means.dataset_name} are {values.shape[2]}, those of "
            f"{model.dataset_name} {whole.shape[2]}: they lie in no common space",
            "take like= of the same run, and of='factors'",
        )
    groups = TrialGroups.of(means, conditions)
    colours = colours or ConditionColours.of(groups.every)
    space = space_axes(ax, dims)
    width = 1.6 if len(groups.drawn) <= MOST_BANDS else 0.9
    for condition, path in zip(groups.drawn, projection.of(groups.averages(values)), strict=True):
        space.plot(*path.T, color=colours[condition], linewidth=width)
        space.plot(*path[:1].T, color=colours[condition], marker="o", markersize=3.5)
    add_condition_key(space.figure, space, colours, groups.drawn)
    text = f"{_SPACES[of].capitalize()} of {means.dataset_name}"
    finish_space(space, projection, text, f"averages of {groups.text}; dots: start")
    return Drawing(whole_figure(space.figure), space)


def _values(means: PosteriorMeans, of: str) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] | None = getattr(means, of)
    if values is None:
        raise ResultNotReadyError(
            f"the posterior means of {means.dataset_name} have no {_SPACES[of]}",
            "sample them again, or take of='factors'",
        )
    return values
