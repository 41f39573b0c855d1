"""Initial conditions: where the generator starts in every trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from lfadsq.errors import ConfigError, ResultNotReadyError
from lfadsq.results.figures.canvas import Drawing, add_condition_key, whole_figure
from lfadsq.results.figures.colours import ConditionColours
from lfadsq.results.figures.conditions import TrialGroups, evenly_spread
from lfadsq.results.figures.lines import MOST_BANDS
from lfadsq.results.figures.projections import Projection
from lfadsq.results.figures.spaces import check_dims, finish_space, space_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["plot_initial_conditions"]

_WHAT = {"generator_ics": "Initial generator states", "post_g0_mean": "Posterior means of g0"}
_MOST_TRIALS = 5000


def plot_initial_conditions(
    means: PosteriorMeans,
    *,
    of: Literal["generator_ics", "post_g0_mean"] = "generator_ics",
    dims: Literal[2, 3] = 2,
    conditions: Sequence[object] | None = None,
    colours: ConditionColours | None = None,
    ax: Axes | None = None,
) -> Drawing:
    """Draw where each trial begins, in the space of the first principal components of all trials.

    Small dots are trials, large ones the averages of conditions.

    Parameters
    ----------
    means : PosteriorMeans
        What the model inferred.
    of : {"generator_ics", "post_g0_mean"}, default "generator_ics"
        The generator's initial states, or the posterior means of the initial condition, from which
        they follow.
    dims : {2, 3}, default 2
        How many components.
    conditions : sequence of float or str, optional
        Which; by default all, and trials that have none in grey.
    colours : ConditionColours, optional
        To share with figures of recordings that have other conditions.
    ax : matplotlib.axes.Axes, optional
        Where to draw, with ``projection="3d"`` for three components; by default a new figure.

    Returns
    -------
    Drawing
        The figure and its axes. Of more than 5000 trials so many are drawn, evenly spread; averages
        are those of all.

    Raises
    ------
    ConfigError
        If `of` or `dims` is none of these, or there is no such condition.
    ResultNotReadyError
        If the files have no initial conditions.
    ResultShapeError
        If they have fewer dimensions than `dims`.
    """
    check_dims(dims)
    if of not in _WHAT:
        raise ConfigError(f"there are no initial conditions of {of!r}", f"take {', '.join(_WHAT)}")
    values = getattr(means, of)
    if values is None:
        raise ResultNotReadyError(
            f"the posterior means of {means.dataset_name} have no {of}",
            f"sample them again, or take of={next(one for one in _WHAT if one != of)!r}",
        )
    projection = Projection.fit(values, dims, "the initial conditions")
    places = projection.of(values)
    groups = TrialGroups.of(means, conditions, most=None)
    colours = colours or ConditionColours.of(groups.every)
    shades = np.full(len(places), colours[None])
    for condition, trials in zip(groups.drawn, groups.trials, strict=True):
        shades[trials] = colours[condition]
    candidates = np.arange(len(places))
    if conditions is not None:
        candidates = np.sort(np.concatenate(groups.trials))
    dots = candidates[evenly_spread(len(candidates), _MOST_TRIALS)]

    space = space_axes(ax, dims)
    space.scatter(
        *places[dots].T,
        color=shades[dots],
        s=5,
        alpha=0.5 if groups.every else 0.8,
        linewidths=0,
        rasterized=True,  # thousands of dots would make a PDF slow to turn the page to
    )
    if groups.every:
        space.scatter(
            *groups.averages(places).T,
            color=[colours[condition] for condition in groups.drawn],
            s=45 if len(groups.drawn) <= MOST_BANDS else 28,
            edgecolors="white",
            linewidths=0.8,
            zorder=3,
        )
    has_grey = bool(groups.every) and conditions is None and groups.num_trials < len(places)
    add_condition_key(space.figure, space, colours, (*groups.drawn, *([None] if has_grey else [])))
    notes = [f"{len(dots)} trials"]
    if len(dots) < len(candidates):
        notes = [f"{len(dots)} of {len(candidates)} trials, evenly spread"]
    if groups.every:
        notes.append("large: averages of conditions")
    finish_space(space, projection, f"{_WHAT[of]} of {means.dataset_name}", "; ".join(notes))
    return Drawing(whole_figure(space.figure), space)
