"""Rasters of single trials, with the channels sorted by what they contribute to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError
from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    figure_or_new,
    tidy,
    title,
    whole_figure,
)
from lfadsq.results.figures.choices import chosen_trials, no_counts
from lfadsq.results.figures.conditions import TrialGroups
from lfadsq.results.figures.lines import TIME, time_limits_ms
from lfadsq.results.figures.outputs import data_unit, output_at, output_unit, varying_output
from lfadsq.results.figures.projections import Projection

if TYPE_CHECKING:
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["plot_rasters"]

Array = npt.NDArray[np.float64]

_HIGH = 99.5  # percentile: one burst must not make all else white


def plot_rasters(
    means: PosteriorMeans,
    *,
    loadings: npt.ArrayLike | None = None,
    trials: Sequence[int] | None = None,
    figure: AnyFigure | None = None,
) -> Drawing:
    """Draw what was measured in single trials, and below it what was inferred, sorted alike.

    Parameters
    ----------
    means : PosteriorMeans
        What the model inferred.
    loadings : array, shape (channel,), optional
        What channels are sorted by, the largest above; for example those of a factor,
        ``params.factors_to_logrates_W["dataset001"][0]``. By default how much each contributes to
        the first principal component of log rates, averaged by condition.
    trials : sequence of int, optional
        Columns, from 0; by default three of validation, evenly spread over the recording.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes, shape (2, trial + 1): the first column shows the loadings.

    Raises
    ------
    ConfigError
        If there is no such trial.
    ResultNotReadyError
        If the data that the model saw are not there.
    ResultShapeError
        If the loadings are not one number for each channel.
    """
    by = "the loadings given"
    if loadings is None:
        loadings, by = _loadings(means), "loading on the first PC"
    values = np.asarray(loadings, dtype=np.float64)
    num_channels = means.output_means.shape[2]
    if values.shape != (num_channels,) or not np.isfinite(values).all():
        raise ResultShapeError(
            f"loadings of shape {values.shape} do not sort {num_channels} channels",
            "give one number for each channel",
        )
    if means.counts is None:
        raise no_counts(means)
    order = np.argsort(-values, kind="stable")
    shown, kind = chosen_trials(trials, means, 3)
    part = figure_or_new(figure, 3.1 * len(shown) + 2.2, 6.0)
    axes = part.subplots(
        2,
        len(shown) + 1,
        squeeze=False,
        sharey=True,
        gridspec_kw={"width_ratios": [0.35, *[1.0] * len(shown)]},
    )
    _draw_loadings(axes[:, 0], values[order])
    measured = means.counts[shown][:, :, order]
    inferred = output_at(means, shown)[:, :, order]
    _draw_maps(part, axes[0, 1:], means, measured, "Greys", f"data {data_unit(means)}")
    _draw_maps(part, axes[1, 1:], means, inferred, "viridis", f"inferred {output_unit(means)}")
    for ax, trial in zip(axes[0, 1:], shown, strict=True):
        ax.set_title(f"trial {means.trials[trial] + 1}", fontsize="medium")
    for ax in axes[1, 1:]:
        ax.set_xlabel(TIME)
    notes = "; ".join(filter(None, [kind, f"channels sorted by {by}"]))
    title(part, f"Rasters of {means.dataset_name}", notes)
    return Drawing(whole_figure(part), axes)


def _loadings(means: PosteriorMeans) -> Array:
    averages = TrialGroups.of(means, most=None).averages(means.output_means)
    averages = varying_output(means, averages)
    return Projection.fit(averages, 1, "the channels").loadings[:, 0]


def _draw_loadings(axes: npt.NDArray[Any], values: Array) -> None:
    for ax in axes:
        ax.barh(np.arange(len(values)) + 1, values, height=0.8, color="0.4")
        ax.axvline(0.0, color="0.4", linewidth=0.6)
        ax.set_ylabel("channel, sorted")
        ax.set_ylim(len(values) + 0.5, 0.5)
        ax.xaxis.get_major_locator().set_params(nbins=2)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.tick_params(axis="x", labelsize="x-small")
    axes[-1].set_xlabel("loading")
    tidy(axes)


def _draw_maps(
    part: AnyFigure,
    axes: npt.NDArray[Any],
    means: PosteriorMeans,
    values: npt.NDArray[Any],
    colours: str,
    label: str,
) -> None:
    low = float(values.min()) if means.is_gaussian else 0.0
    high = max(float(np.percentile(values, _HIGH)), low + 1e-12)
    for ax, trial in zip(axes, values, strict=True):
        image = ax.imshow(
            trial.T,
            aspect="auto",
            interpolation="none",
            cmap=colours,
            vmin=low,
            vmax=high,
            extent=(*time_limits_ms(means), trial.shape[1] + 0.5, 0.5),
        )
    part.colorbar(image, ax=axes.tolist(), label=label, fraction=0.04, aspect=20, extend="max")
