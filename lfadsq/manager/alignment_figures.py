"""Pictures of how well each dataset gives what all datasets have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from lfadsq.errors import ConfigError
from lfadsq.files import written_aside

if TYPE_CHECKING:
    from lfadsq.manager.alignment import MultisessionAlignmentTool

__all__ = ["plot_reconstruction"]

_FORMATS = ("png", "pdf", "svg")
_COLORMAP = "viridis"
_MOST_PER_LEGEND_COLUMN = 24


def plot_reconstruction(
    path: Path, tool: MultisessionAlignmentTool, *, num_factors: int, num_conditions: int
) -> Path:
    """Draw the global components, and over them what each dataset reconstructs.

    Parameters
    ----------
    path : Path
        The picture (PNG, PDF or SVG, by its ending); an old one is replaced.
    tool : MultisessionAlignmentTool
        The alignment.
    num_factors, num_conditions : int
        How many to draw, from the first: components are the rows, conditions the columns.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    ConfigError
        If a number is below 1, or the ending is none of these.
    StorageError
        If it cannot be written; no half of one is left.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in _FORMATS:
        raise ConfigError(
            f"{path} is no kind of picture", f"end it in one of {', '.join(_FORMATS)}"
        )
    if num_factors < 1 or num_conditions < 1:
        raise ConfigError(
            f"{num_factors} factors of {num_conditions} conditions cannot be drawn",
            "give 1 or more of each",
        )
    components = tool.global_components
    num_rows = min(num_factors, components.shape[2])
    num_columns = min(num_conditions, components.shape[0])
    # Figure without pyplot: no window system is asked for, and no state is shared.
    figure = Figure(figsize=(3.2 * num_columns + 2.4, 1.7 * num_rows + 0.9), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey="row")
    for row in range(num_rows):
        axes[row, 0].set_ylabel(f"component {row + 1}")
        for column in range(num_columns):
            axes[row, column].plot(
                components[column, :, row],
                color="black",
                linewidth=0.8,
                zorder=3,  # above what the datasets make of it
                label="all datasets",
            )
            axes[row, column].spines[["top", "right"]].set_visible(False)
    for column in range(num_columns):
        axes[0, column].set_title(f"condition {_shown(tool.conditions[column])}", fontsize="medium")
        axes[-1, column].set_xlabel("bin")
    # One dataset's reconstruction at a time is in memory.
    for number, dataset in enumerate(tool.datasets):
        reconstruction = tool.reconstruct(number)
        color = _color(number, len(tool.datasets))
        for row in range(num_rows):
            for column in range(num_columns):
                axes[row, column].plot(
                    reconstruction[column, :, row],
                    color=color,
                    linewidth=1.5,
                    label=f"{dataset.dataset_name} (R2 {dataset.r2:.2f})",
                )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside right upper",
        ncols=1 + len(handles) // _MOST_PER_LEGEND_COLUMN,
        frameon=False,
        fontsize="small",
    )
    with written_aside(path) as aside:
        figure.savefig(aside, format=kind, dpi=120)
    return path


def _color(number: int, total: int) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    # The light end of the map is hard to see on white.
    return colormaps[_COLORMAP](0.9 * number / max(total - 1, 1))


def _shown(condition: float | str) -> str:
    return condition if isinstance(condition, str) else f"{condition:g}"
