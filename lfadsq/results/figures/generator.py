"""Weights of the generator: its recurrent matrices, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    add_legend,
    figure_or_new,
    tidy,
    title,
    whole_figure,
)
from lfadsq.results.figures.colours import series_colours
from lfadsq.texts import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lfadsq.results.model_trained_params import ModelTrainedParams

__all__ = ["plot_generator_weights"]

_NAMES = ("reset gate", "update gate", "candidate state")
_MOST_NAMES = 3
_HIGH = 99.5  # percentile of magnitudes, so that few large weights do not make all else white


def plot_generator_weights(
    params: ModelTrainedParams, *, figure: AnyFigure | None = None
) -> Drawing:
    """Draw the recurrent weights of the generator, their eigenvalues and singular values.

    Matrices are those of the GRU, state to reset gate, update gate and candidate state, as stored:
    rows are the units that a weight comes from, columns those it leads to. Eigenvalues are those of
    the candidate's matrix, over the unit circle.

    Parameters
    ----------
    params : ModelTrainedParams
        The weights of a model.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes: three matrices, eigenvalues, singular values.

    Raises
    ------
    ResultShapeError
        If the file holds no recurrent weights.
    """
    gates, candidate = params.gen_gengru_h_to_ru_W, params.gen_gengru_rh_to_c_W
    if gates is None or candidate is None:
        raise ResultShapeError(
            "these are weights without those of a generator",
            "give run.load_model_trained_params() of a trained run",
        )
    reset, update = np.split(gates.astype(np.float64), 2, axis=1)
    matrices = (reset, update, candidate.astype(np.float64))
    part = figure_or_new(figure, 14.5, 3.4)
    axes = part.subplots(1, 5, gridspec_kw={"width_ratios": [1, 1, 1, 1, 1.1]})
    _draw_matrices(part, axes[:3], matrices)
    _draw_eigenvalues(axes[3], np.linalg.eigvals(matrices[2]))
    _draw_singular_values(axes[4], matrices)
    names = params.dataset_names
    of = ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} datasets"
    notes = filter(None, [count_text(len(reset), "unit"), of])
    title(part, "Recurrent weights of the generator", "; ".join(notes))
    return Drawing(whole_figure(part), axes)


def _draw_matrices(
    part: AnyFigure, axes: npt.NDArray[Any], matrices: tuple[npt.NDArray[np.float64], ...]
) -> None:
    high = float(np.percentile(np.abs(np.stack(matrices)), _HIGH)) or 1.0
    for ax, matrix, name in zip(axes, matrices, _NAMES, strict=True):
        edges = (0.5, len(matrix) + 0.5)
        image = ax.imshow(
            matrix,
            cmap="RdBu_r",
            vmin=-high,
            vmax=high,
            interpolation="none",
            extent=(*edges, *edges[::-1]),
        )
        ax.set_title(name, fontsize="medium")
        ax.set_xlabel("to unit")
    axes[0].set_ylabel("from unit")
    part.colorbar(image, ax=axes.tolist(), label="weight", fraction=0.03, aspect=20, extend="both")


def _draw_eigenvalues(ax: Axes, values: npt.NDArray[Any]) -> None:
    angle = np.linspace(0.0, 2 * np.pi, 200)
    ax.plot(np.cos(angle), np.sin(angle), color="0.6", linewidth=0.8)
    ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0)
    colour = series_colours(3)[2]
    ax.plot(values.real, values.imag, linestyle="none", marker="o", markersize=3, color=colour)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_title("eigenvalues, candidate state", fontsize="medium")
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")
    tidy(ax)


def _draw_singular_values(ax: Axes, matrices: tuple[npt.NDArray[np.float64], ...]) -> None:
    handles = []
    for matrix, colour in zip(matrices, series_colours(3), strict=True):
        values = np.linalg.svd(matrix, compute_uv=False)
        handles += ax.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=1.4)
    ax.set_title("singular values", fontsize="medium")
    ax.set_xlabel("number, by size")
    ax.set_ylabel("singular value")
    ax.set_ylim(bottom=0.0)
    tidy(ax)
    add_legend(ax, handles, _NAMES, loc="best")
