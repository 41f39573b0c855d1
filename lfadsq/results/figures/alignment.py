"""How well each dataset gives what all datasets of a stitched run have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError
from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    add_legend,
    figure_or_new,
    plain_text,
    tidy,
    title,
    whole_figure,
)
from lfadsq.results.figures.colours import series_colours
from lfadsq.results.figures.conditions import condition_text

if TYPE_CHECKING:
    from lfadsq.results.figures.conditions import Condition

__all__ = ["AlignedDataset", "Alignment", "plot_alignment"]

Array = npt.NDArray[np.float64]

_MOST_PER_LEGEND_COLUMN = 24


class AlignedDataset(Protocol):
    """What is drawn of a dataset: its name, and the R2 of its reconstruction."""

    @property
    def dataset_name(self) -> str: ...  # noqa: D102

    @property
    def r2(self) -> float: ...  # noqa: D102


class Alignment(Protocol):
    """What is drawn of `lfadsq.manager.alignment.MultisessionAlignmentTool`."""

    conditions: tuple[Condition, ...]
    global_components: Array

    @property
    def datasets(self) -> Sequence[AlignedDataset]: ...  # noqa: D102

    def reconstruct(self, number: int) -> Array: ...  # noqa: D102


def plot_alignment(
    alignment: Alignment,
    *,
    num_factors: int = 3,
    num_conditions: int = 3,
    figure: AnyFigure | None = None,
) -> Drawing:
    """Draw the global components, and over them what each dataset reconstructs.

    Parameters
    ----------
    alignment : MultisessionAlignmentTool
        ``run.do_multisession_alignment()``.
    num_factors, num_conditions : int, default 3
        How many to draw, from the first: components are the rows, conditions the columns.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes, shape (component, condition).

    Raises
    ------
    ConfigError
        If a number is below 1.
    """
    if num_factors < 1 or num_conditions < 1:
        raise ConfigError(
            f"{num_factors} factors of {num_conditions} conditions cannot be drawn",
            "give 1 or more of each",
        )
    components = alignment.global_components
    num_rows = min(num_factors, components.shape[2])
    num_columns = min(num_conditions, components.shape[0])
    part = figure_or_new(figure, 3.2 * num_columns + 2.6, 1.7 * num_rows + 1.2)
    axes = part.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey="row")
    time_bins = np.arange(components.shape[1]) + 1
    names = [one.dataset_name for one in alignment.datasets]
    lines: list[Any] = []
    # One dataset's reconstruction at a time is in memory.
    for number, colour in enumerate(series_colours(len(names))):
        reconstruction = alignment.reconstruct(number)
        for row, column in np.ndindex(num_rows, num_columns):
            ax = axes[row, column]
            (line,) = ax.plot(time_bins, reconstruction[column, :, row], color=colour)
        lines.append(line)
    for row, column in np.ndindex(num_rows, num_columns):
        values = components[column, :, row]
        (line,) = axes[row, column].plot(
            time_bins,
            values,
            color="black",
            linewidth=0.8,
            zorder=3,  # above what the datasets make of it
        )
        axes[row, 0].set_ylabel(f"component {row + 1} [a.u.]")
        axes[0, column].set_title(
            f"condition {plain_text(condition_text(alignment.conditions[column]))}",
            fontsize="medium",
        )
        axes[-1, column].set_xlabel("time [bins]")
    tidy(axes)
    told = [f"{one.dataset_name} (R2 {one.r2:.2f})" for one in alignment.datasets]
    add_legend(
        part,
        [line, *lines],
        ["all datasets", *told],
        loc="outside right upper",
        ncols=1 + len(lines) // _MOST_PER_LEGEND_COLUMN,
    )
    every = len(alignment.conditions)
    note = f"the first {num_columns} of {every} conditions" if num_columns < every else ""
    title(part, "Common components, and what each dataset reconstructs", note)
    return Drawing(whole_figure(part), axes)
