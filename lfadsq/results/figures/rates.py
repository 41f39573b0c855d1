"""Rates of a demonstration, from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lfadsq.results.figures.canvas import (
    add_legend,
    figure_or_new,
    save_figure,
    tidy,
    whole_figure,
)
from lfadsq.results.figures.canvas import title as write_title
from lfadsq.results.figures.lines import TIME
from lfadsq.results.figures.single_trials import INFERRED, TRUE

__all__ = ["plot_rates"]

Array = npt.NDArray[np.float64]


def plot_rates(
    path: Path,
    *,
    true_rates: Array,
    inferred_rates: Array,
    counts: Array,
    bin_ms: float,
    trials: Sequence[int],
    channels: Sequence[int],
    title: str,
) -> None:
    """Draw true and inferred rates of a few channels in a few trials, with the spikes.

    Parameters
    ----------
    path : Path
        Where the picture goes (PNG, PDF or SVG, by its extension); an old one is replaced.
    true_rates, inferred_rates : numpy.ndarray, shape (trial, time, channel), float64 [spikes/s]
        Rates in the same bins.
    counts : numpy.ndarray, shape (trial, time, channel) [spikes/bin]
        What the model saw.
    bin_ms : float
        Bin width [ms].
    trials, channels : sequence of int
        Which to draw, from 0: trials are the columns, channels the rows.
    title : str
        What stands above all.

    Raises
    ------
    ConfigError
        If the ending of `path` is of no such picture.
    StorageError
        If the picture cannot be written; no half of one is left.
    """
    part = figure_or_new(None, 3.2 * len(trials), 1.7 * len(channels) + 0.9)
    axes = part.subplots(len(channels), len(trials), squeeze=False, sharex=True, sharey="row")
    time_ms = (np.arange(true_rates.shape[1]) + 0.5) * bin_ms
    for row, channel in enumerate(channels):
        axes[row, 0].set_ylabel(f"channel {channel + 1}\n[spikes/s]")
        for column, trial in enumerate(trials):
            ax = axes[row, column]
            spikes = counts[trial, :, channel] * (1000.0 / bin_ms)
            ax.bar(time_ms, spikes, bin_ms, color="0.85", label="counts / bin width")
            ax.plot(time_ms, true_rates[trial, :, channel], color=TRUE, label="true rate")
            inferred = inferred_rates[trial, :, channel]
            ax.plot(time_ms, inferred, color=INFERRED, label="inferred rate")
    for ax, trial in zip(axes[0], trials, strict=True):
        ax.set_title(f"trial {trial + 1}", fontsize="medium")
    for ax in axes[-1]:
        ax.set_xlabel(TIME)
    tidy(axes)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    add_legend(part, handles, labels, loc="outside lower center", ncols=3)
    write_title(part, title)
    save_figure(whole_figure(part), path)
