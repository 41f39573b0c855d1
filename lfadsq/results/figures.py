"""Pictures of what a run inferred."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from lfadsq.files import written_aside

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
    StorageError
        If the picture cannot be written; no half of one is left.
    """
    # Figure without pyplot: no window system is asked for, and no state is shared.
    figure = Figure(figsize=(3.2 * len(trials), 1.7 * len(channels) + 0.9), layout="constrained")
    axes = figure.subplots(len(channels), len(trials), squeeze=False, sharex=True, sharey="row")
    time_ms = (np.arange(true_rates.shape[1]) + 0.5) * bin_ms
    for row, channel in enumerate(channels):
        for column, trial in enumerate(trials):
            ax = axes[row, column]
            spikes = counts[trial, :, channel]
            ax.bar(
                time_ms,
                spikes * (1000.0 / bin_ms),
                bin_ms,
                color="0.85",
                label="counts / bin width",
            )
            ax.plot(time_ms, true_rates[trial, :, channel], color="black", label="true rate")
            ax.plot(
                time_ms, inferred_rates[trial, :, channel], color="tab:red", label="inferred rate"
            )
            ax.spines[["top", "right"]].set_visible(False)
            if row == 0:
                ax.set_title(f"trial {trial + 1}", fontsize="medium")
            if row == len(channels) - 1:
                ax.set_xlabel("time [ms]")
            if column == 0:
                ax.set_ylabel(f"channel {channel + 1}\n[spikes/s]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title)
    with written_aside(path) as aside:
        figure.savefig(aside, format=path.suffix.removeprefix("."), dpi=120)
