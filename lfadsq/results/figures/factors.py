"""Factors by condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    add_condition_key,
    title,
    whole_figure,
)
from lfadsq.results.figures.choices import chosen
from lfadsq.results.figures.colours import ConditionColours
from lfadsq.results.figures.conditions import TrialGroups
from lfadsq.results.figures.lines import MOST_BANDS, MOST_LINES, draw_lines, panels

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["plot_factors"]

_MOST_FACTORS = 16


def plot_factors(
    means: PosteriorMeans,
    *,
    factors: Sequence[int] | None = None,
    conditions: Sequence[object] | None = None,
    colours: ConditionColours | None = None,
    figure: AnyFigure | None = None,
) -> Drawing:
    """Draw each factor over time, averaged over the trials of each condition.

    With up to nine conditions a band shows the standard deviation over trials.

    Parameters
    ----------
    means : PosteriorMeans
        What the model inferred.
    factors : sequence of int, optional
        Which, from 0; by default all, and of more than 16 those of the largest variance over
        averages and time.
    conditions : sequence of float or str, optional
        Which; by default all, and of more than 12 so many, evenly spread.
    colours : ConditionColours, optional
        To share with figures of recordings that have other conditions.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes: one for each factor.

    Raises
    ------
    ConfigError
        If there is no such factor or condition.

    Examples
    --------
    >>> figure, axes = plot_factors(run.load_posterior_means())  # doctest: +SKIP
    >>> figure.savefig("factors.pdf")  # doctest: +SKIP
    """
    groups = TrialGroups.of(means, conditions, MOST_LINES)
    colours = colours or ConditionColours.of(groups.every)
    averages = groups.averages(means.factors)
    spreads = groups.spreads(means.factors) if len(groups.drawn) <= MOST_BANDS else None
    variances = averages.var(axis=(0, 1))
    drawn, note = chosen(factors, variances, _MOST_FACTORS, "factors", means.dataset_name)
    part, axes = panels(figure, len(drawn), [f"factor {one + 1} [a.u.]" for one in drawn])
    for ax, factor in zip(axes, drawn, strict=True):
        of_factor = None if spreads is None else spreads[..., factor]
        draw_lines(ax, means, groups, colours, averages[..., factor], of_factor)
    add_condition_key(part, axes, colours, groups.drawn)
    notes = "; ".join(filter(None, [f"averages of {groups.text}", note]))
    title(part, f"Factors of {means.dataset_name}", notes)
    return Drawing(whole_figure(part), np.asarray(axes))
