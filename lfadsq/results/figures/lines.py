"""Lines over time, one for each condition, and the axes they are in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.results.figures.canvas import AnyFigure, figure_or_new, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lfadsq.results.figures.colours import ConditionColours
    from lfadsq.results.figures.conditions import TrialGroups
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = [
    "MOST_BANDS",
    "MOST_LINES",
    "TIME",
    "bin_centres_ms",
    "draw_lines",
    "panels",
    "time_limits_ms",
]

Array = npt.NDArray[np.float64]

MOST_BANDS = 9
"""More bands over each other would hide all."""

MOST_LINES = 12
"""More lines over each other can no longer be followed."""

TIME = "time [ms]"
_MOST_COLUMNS = 4
_PANEL_IN = (2.9, 2.0)


def bin_centres_ms(means: PosteriorMeans) -> Array:
    """Give the middle of each bin [ms]."""
    return np.asarray(means.time_ms + means.bin_ms / 2, dtype=np.float64)


def time_limits_ms(means: PosteriorMeans) -> tuple[float, float]:
    """Give where the first bin begins and the last one ends [ms]."""
    return float(means.time_ms[0]), float(means.time_ms[-1] + means.bin_ms)


def panels(
    figure: AnyFigure | None, number: int, names: Sequence[str]
) -> tuple[AnyFigure, npt.NDArray[Any]]:
    """Make panels over one time axis, row by row, and name their axes.

    Returns
    -------
    figure : Figure or SubFigure
    axes : numpy.ndarray, shape (number,)
    """
    num_columns = min(number, _MOST_COLUMNS)
    num_rows = math.ceil(number / num_columns)
    width, height = _PANEL_IN
    part = figure_or_new(figure, width * num_columns + 1.6, height * num_rows + 0.9)
    grid = part.subplots(num_rows, num_columns, squeeze=False, sharex=True)
    axes = grid.ravel()[:number]
    for ax in grid.ravel()[number:]:
        ax.remove()
    for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
        ax.set_ylabel(name)
        if place + num_columns >= number:  # nothing below
            ax.set_xlabel(TIME)
            ax.tick_params(labelbottom=True)
    tidy(axes)
    return part, axes


def draw_lines(
    ax: Axes,
    means: PosteriorMeans,
    groups: TrialGroups,
    colours: ConditionColours,
    averages: Array,
    spreads: Array | None,
) -> None:
    """Draw a line for each group, and a band of its spread if there is one.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    means : PosteriorMeans
        Whose time it is.
    groups : TrialGroups
        What is drawn.
    colours : ConditionColours
        Of each group.
    averages, spreads : numpy.ndarray, shape (group, time), float64
        The lines, and half the width of their bands; no bands without.
    """
    time_ms = bin_centres_ms(means)
    width = 1.6 if len(averages) <= MOST_BANDS else 0.8
    for number, condition in enumerate(groups.drawn):
        colour = colours[condition]
        ax.plot(time_ms, averages[number], color=colour, linewidth=width)
        if spreads is not None and np.isfinite(spreads[number]).all():
            low, high = averages[number] - spreads[number], averages[number] + spreads[number]
            ax.fill_between(time_ms, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.set_xlim(*time_limits_ms(means))
