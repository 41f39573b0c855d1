"""Inferred inputs: what the controller tells the generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from lfadsq.errors import ConfigError, ResultShapeError
from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    add_condition_key,
    title,
    whole_figure,
)
from lfadsq.results.figures.colours import ConditionColours
from lfadsq.results.figures.conditions import TrialGroups
from lfadsq.results.figures.lines import MOST_BANDS, MOST_LINES, draw_lines, panels

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["plot_inferred_inputs"]

_SPREADS = {"sd": "standard deviation", "sem": "standard error of the mean"}


def plot_inferred_inputs(
    means: PosteriorMeans,
    *,
    spread: Literal["sd", "sem"] = "sd",
    conditions: Sequence[object] | None = None,
    colours: ConditionColours | None = None,
    figure: AnyFigure | None = None,
) -> Drawing:
    """Draw each inferred input over time: the average of each condition, and how trials spread.

    The spread is a band around the average; of more than nine conditions it has panels of its own,
    because bands over each other would hide all.

    Parameters
    ----------
    means : PosteriorMeans
        What a model with a controller inferred.
    spread : {"sd", "sem"}, default "sd"
        Over the trials of a condition: the standard deviation, or that of the mean.
    conditions : sequence of float or str, optional
        Which; by default all, and of more than 12 so many, evenly spread.
    colours : ConditionColours, optional
        To share with figures of recordings that have other conditions.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes: one for each input; then, of more than nine conditions, one for
        the spread of each.

    Raises
    ------
    ConfigError
        If `spread` is none of these, or there is no such condition.
    ResultShapeError
        If the model has no controller.
    """
    inputs = means.controller_outputs
    if spread not in _SPREADS:
        raise ConfigError(f"there is no spread {spread!r}", f"take {' or '.join(_SPREADS)}")
    if inputs is None:
        raise ResultShapeError(
            f"the model of {means.dataset_name} has no controller, so it infers no inputs",
            "train one with c_co_dim above 0",
        )
    groups = TrialGroups.of(means, conditions, MOST_LINES)
    colours = colours or ConditionColours.of(groups.every)
    averages, spreads = groups.averages(inputs), groups.spreads(inputs)
    if spread == "sem":
        spreads /= np.sqrt([len(trials) for trials in groups.trials])[:, np.newaxis, np.newaxis]
    numbers = range(inputs.shape[2])
    has_bands = len(groups.drawn) <= MOST_BANDS
    names = [f"inferred input {one + 1} [a.u.]" for one in numbers]
    if not has_bands:
        names += [f"{spread} of input {one + 1} [a.u.]" for one in numbers]
    part, axes = panels(figure, len(names), names)
    for number in numbers:
        of_input = spreads[..., number]
        draw_lines(
            axes[number],
            means,
            groups,
            colours,
            averages[..., number],
            of_input if has_bands else None,
        )
        axes[number].axhline(0.0, color="0.6", linewidth=0.6, zorder=0)
        if not has_bands:
            draw_lines(axes[len(numbers) + number], means, groups, colours, of_input, None)
    add_condition_key(part, axes, colours, groups.drawn)
    shown = f"{_SPREADS[spread]} over trials"
    notes = [f"averages of {groups.text}", f"bands: {shown}" if has_bands else f"{spread}: {shown}"]
    title(part, f"Inferred inputs of {means.dataset_name}", "; ".join(notes))
    return Drawing(whole_figure(part), np.asarray(axes))
