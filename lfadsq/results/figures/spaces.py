"""Axes whose dimensions are principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lfadsq.errors import ConfigError
from lfadsq.results.figures.canvas import figure_or_new, heading, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lfadsq.results.figures.projections import Projection

__all__ = ["check_dims", "finish_space", "space_axes"]

_SIZE_IN = (6.4, 5.2)


def check_dims(dims: int) -> None:
    """Refuse what is neither 2 nor 3 dimensions.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if dims not in (2, 3):
        raise ConfigError(f"nothing can be drawn in {dims} dimensions", "take dims=2 or dims=3")


def space_axes(ax: Axes | None, dims: int) -> Any:
    """Give the axes to draw into, or make a figure with such axes.

    Raises
    ------
    ConfigError
        If axes of other dimensions were given.
    """
    if ax is not None and (ax.name == "3d") != (dims == 3):
        raise ConfigError(
            f"these axes are {'3-D' if ax.name == '3d' else '2-D'}, and dims is {dims}",
            "make them by figure.add_subplot(projection='3d') for dims=3, and without for dims=2",
        )
    if ax is not None:
        return ax
    figure = figure_or_new(None, *_SIZE_IN)
    return figure.add_subplot(projection="3d") if dims == 3 else figure.add_subplot()


def finish_space(ax: Any, projection: Projection, text: str, note: str) -> None:
    """Label axes of a space, and say above what they show."""
    dims = projection.loadings.shape[1]
    for number, axis in enumerate("xyz"[:dims]):
        getattr(ax, f"set_{axis}label")(projection.label(number))
    if dims == 2:
        # A length is to mean the same in every direction.
        ax.set_aspect("equal", adjustable="datalim")
        tidy(ax)
    else:
        ax.zaxis.labelpad = 8  # or it lies on the numbers
        ax.set_box_aspect(None, zoom=0.85)  # or it is cut off
    width_in = ax.get_figure(root=False).bbox.width / ax.figure.dpi
    ax.set_title(heading(text, note, width_in), fontsize="large")
