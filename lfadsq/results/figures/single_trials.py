"""Inferred rates of single trials, against smoothed spikes and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    add_legend,
    figure_or_new,
    tidy,
    title,
    whole_figure,
)
from lfadsq.results.figures.choices import chosen, chosen_trials, no_counts
from lfadsq.results.figures.lines import TIME, bin_centres_ms, time_limits_ms
from lfadsq.results.figures.outputs import output_at, output_unit, varying_output
from lfadsq.results.figures.smoothing import smooth_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["INFERRED", "MEASURED", "TRUE", "plot_single_trials"]

Array = npt.NDArray[np.float64]

INFERRED, MEASURED, TRUE = "#cc3311", "0.55", "black"
_SPIKE_HEIGHT = 0.05  # of the panel


def plot_single_trials(
    means: PosteriorMeans,
    *,
    trials: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    smoothing_ms: float = 50.0,
    figure: AnyFigure | None = None,
) -> Drawing:
    """Draw inferred rates over smoothed spikes and, where they are known, true rates.

    Marks at the foot are spikes: the darker, the more in a bin. Of gaussian output it is the
    inferred mean with a band of one standard deviation, over the data.

    Parameters
    ----------
    means : PosteriorMeans
        What the model inferred.
    trials : sequence of int, optional
        Columns, from 0; by default four of validation, evenly spread over the recording.
    channels : sequence of int, optional
        Rows, from 0; by default the four whose inferred rates vary most, in logarithm.
    smoothing_ms : float, default 50
        Standard deviation of the gaussian over the spikes [ms]; see `smooth_counts`.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes: shape (channel, trial).

    Raises
    ------
    ConfigError
        If there is no such trial or channel, or `smoothing_ms` is not above zero.
    ResultNotReadyError
        If the data that the model saw are not there.
    """
    data = means.counts
    if data is None:
        raise no_counts(means)
    shown_trials, kind = chosen_trials(trials, means, 4)
    variances = np.zeros(means.output_means.shape[2])
    if channels is None:
        variances = varying_output(means, means.output_means).var(axis=(0, 1))
    shown_channels, note = chosen(channels, variances, 4, "channels", means.dataset_name)
    part = figure_or_new(figure, 3.0 * len(shown_trials) + 0.6, 1.6 * len(shown_channels) + 1.2)
    axes = part.subplots(
        len(shown_channels), len(shown_trials), squeeze=False, sharex=True, sharey="row"
    )
    at = np.ix_(shown_trials, range(len(means.time_ms)), shown_channels)
    lines = _lines(means, data[at], at, smoothing_ms)
    time_ms = bin_centres_ms(means)
    for row, channel in enumerate(shown_channels):
        for column, trial in enumerate(shown_trials):
            ax = axes[row, column]
            for label, (values, style) in lines.items():
                ax.plot(time_ms, values[column, :, row], label=label, **style)
            if means.is_gaussian:
                _draw_band(ax, time_ms, means, trial, channel)
            else:
                _draw_spikes(ax, time_ms, data[trial, :, channel])
            if row == 0:
                ax.set_title(f"trial {means.trials[trial] + 1}", fontsize="medium")
        axes[row, 0].set_ylabel(f"channel {channel + 1}\n{output_unit(means)}")
        if not means.is_gaussian:
            axes[row, 0].set_ylim(bottom=0.0)  # of the whole row, and only when all is drawn
    for ax in axes[-1]:
        ax.set_xlabel(TIME)
        ax.set_xlim(*time_limits_ms(means))
    tidy(axes)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    add_legend(part, handles, labels, loc="outside lower center", ncols=len(labels))
    title(part, f"Single trials of {means.dataset_name}", "; ".join(filter(None, [kind, note])))
    return Drawing(whole_figure(part), axes)


def _lines(
    means: PosteriorMeans, counts: npt.NDArray[Any], at: tuple[Any, ...], smoothing_ms: float
) -> dict[str, tuple[Array, dict[str, Any]]]:
    """Give what is drawn, behind first: values of shape (trial, time, channel), and styles."""
    grey: dict[str, Any] = {"color": MEASURED, "linewidth": 1.2}
    red: dict[str, Any] = {"color": INFERRED, "linewidth": 1.4}
    if means.is_gaussian:
        return {"data": (counts, grey), "inferred mean": (output_at(means, at), red)}
    smoothed = smooth_counts(counts, means.bin_ms, smoothing_ms)
    lines = {f"spikes, smoothed over {smoothing_ms:g} ms": (smoothed, grey)}
    if means.true_rates is not None:
        lines["true rate"] = (means.true_rates[at], {"color": TRUE, "linewidth": 1.2})
    return {**lines, "inferred rate": (output_at(means, at), red)}


def _draw_band(ax: Axes, time_ms: Array, means: PosteriorMeans, trial: int, channel: int) -> None:
    assert means.output_variances is not None
    mean = means.output_means[trial, :, channel]
    sd = np.sqrt(means.output_variances[trial, :, channel])
    ax.fill_between(time_ms, mean - sd, mean + sd, color=INFERRED, alpha=0.15, linewidth=0)


def _draw_spikes(ax: Axes, time_ms: Array, counts: npt.NDArray[Any]) -> None:
    has_spikes = counts > 0
    shade = np.minimum(0.3 + 0.7 * counts[has_spikes] / max(counts.max(initial=0), 1), 1.0)
    ax.vlines(
        time_ms[has_spikes],
        0.0,
        _SPIKE_HEIGHT,
        colors=[(0.0, 0.0, 0.0, one) for one in shade],
        linewidth=1.0,
        transform=ax.get_xaxis_transform(),
    )
