"""Learning curves: how the costs of one training, or of many, fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lfadsq.errors import ConfigError
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

if TYPE_CHECKING:
    from lfadsq.results.fit_log import FitLog

__all__ = ["plot_learning_curves"]

_COSTS = {"total": "total cost", "recon": "reconstruction cost", "kl": "KL cost"}
_UNIT = "[nats/trial]"
_MOST_RUNS = 40
_SHADES = {"KL": "#88ccee", "L2": "#ddcc77"}


def plot_learning_curves(
    logs: FitLog | Mapping[str, FitLog], *, figure: AnyFigure | None = None
) -> Drawing:
    """Draw total, reconstruction and KL cost over epochs: validation solid, training dotted.

    Epochs in which the weight of KL or L2 still rises are shaded (of several runs those in which it
    rises in any). The epoch of the lowest validation cost is marked: `FitLog.lowest_valid`. Epochs
    that were trained again, as the original does, are left out.

    Parameters
    ----------
    logs : FitLog, or dict of str to FitLog
        One training, or several by the names that the legend shows.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes: total, reconstruction, KL. The vertical axes leave out what is far
        above the rest in the first tenth of the epochs. Of more than 40 runs the 40 of the lowest
        validation cost are drawn.

    Raises
    ------
    ConfigError
        If there is no training.
    """
    of_runs = dict(logs) if isinstance(logs, Mapping) else {"": logs}
    if not of_runs:
        raise ConfigError("there is no training to draw", "give at least one FitLog")
    note = ""
    if len(of_runs) > _MOST_RUNS:
        note = f"the {_MOST_RUNS} of {len(of_runs)} runs with the lowest validation cost"
        ranked = sorted(of_runs, key=lambda name: _rank(of_runs[name]))[:_MOST_RUNS]
        of_runs = {name: log for name, log in of_runs.items() if name in ranked}
    is_single = len(of_runs) == 1
    # The original numbers epochs anew when it continues a training; steps go on.
    x_name = "step" if any(log.process[-1] > 0 for log in of_runs.values()) else "epoch"
    part = figure_or_new(figure, 13.0, 3.9)
    axes = part.subplots(1, len(_COSTS))
    colours = series_colours(len(of_runs))
    for ax, (cost, name) in zip(axes, _COSTS.items(), strict=True):
        _shade_warm_ups(ax, of_runs, x_name)
        for log, colour in zip(of_runs.values(), colours, strict=True):
            train, valid = getattr(log, f"{cost}_train"), getattr(log, f"{cost}_valid")
            kept = ~log.is_redone
            x = getattr(log, x_name)[kept]
            ax.plot(x, train[kept], color=colour, linewidth=0.9, linestyle=":")
            ax.plot(x, valid[kept], color=colour, linewidth=1.4)
        _leave_out_the_first(ax, of_runs, cost)
        ax.set_xlabel(x_name)
        ax.set_ylabel(f"{name} {_UNIT}")
    marks = [
        _mark_lowest(axes[0], log, x_name, colour)
        for log, colour in zip(of_runs.values(), colours, strict=True)
    ]
    tidy(axes)
    _add_key(part, of_runs, colours)
    (name,) = of_runs if is_single else (f"{len(of_runs)} runs",)
    told = marks[0] if is_single else "diamonds: lowest validation cost"
    heading = f"Learning curves of {name}" if name else "Learning curves"
    title(part, heading, "; ".join(filter(None, [note, told])))
    return Drawing(whole_figure(part), axes)


def _rank(log: FitLog) -> float:
    lowest = log.lowest_valid
    return np.inf if lowest is None else lowest.total_valid


def _mark_lowest(ax: Any, log: FitLog, x_name: str, colour: str) -> str:
    lowest = log.lowest_valid
    if lowest is None:
        return "no validation cost yet with KL and L2 in full"
    ax.plot(
        [getattr(lowest, x_name)],
        [lowest.total_valid],
        color=colour,
        marker="D",
        markersize=6,
        markeredgecolor="white",
        linestyle="none",
        zorder=4,
    )
    return f"lowest validation cost {lowest.total_valid:.2f} in epoch {lowest.epoch}"


def _shade_warm_ups(ax: Any, logs: Mapping[str, FitLog], x_name: str) -> None:
    # Half an epoch further, or a warm-up of one epoch would have no width.
    first = next(iter(logs.values()))
    half = 0.5 * float(getattr(first, x_name)[0]) if x_name == "step" else 0.5
    begin = min(float(getattr(log, x_name)[0]) for log in logs.values()) - half
    for number, kind in enumerate(_SHADES):
        ends = [end for log in logs.values() if (end := _warm_up_end(log, kind, x_name))]
        if ends:
            # One above the other, as both are often at the same time.
            low, high = number / len(_SHADES), (number + 1) / len(_SHADES)
            ax.axvspan(
                begin, max(ends) + half, low, high, color=_SHADES[kind], alpha=0.25, linewidth=0
            )


def _warm_up_end(log: FitLog, kind: str, x_name: str) -> float | None:
    """Say where the weight was last below 1; None if it never was."""
    weights = log.kl_weight if kind == "KL" else np.where(log.l2 == 0, 1.0, log.l2_weight)
    rising = getattr(log, x_name)[weights < 1]
    return float(rising[-1]) if len(rising) else None


def _leave_out_the_first(ax: Any, logs: Mapping[str, FitLog], cost: str) -> None:
    later = np.concatenate(
        [
            getattr(log, f"{cost}_{split}")[log.num_epochs // 10 :]
            for log in logs.values()
            for split in ("train", "valid")
        ]
    )
    later = later[np.isfinite(later)]
    if later.size and later.max() > later.min():
        margin = 0.05 * (later.max() - later.min())
        ax.set_ylim(later.min() - margin, later.max() + margin)


def _add_key(part: AnyFigure, logs: Mapping[str, FitLog], colours: list[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    labels = []
    if len(logs) > 1:
        handles += [Line2D([], [], color=colour, linewidth=3) for colour in colours]
        labels += list(logs)
    shade = colours[0] if len(logs) == 1 else "0.3"
    handles += [
        Line2D([], [], color=shade, linewidth=1.4),
        Line2D([], [], color=shade, linewidth=0.9, linestyle=":"),
    ]
    labels += ["validation", "training"]
    for kind, colour in _SHADES.items():
        if any(_warm_up_end(log, kind, "epoch") is not None for log in logs.values()):
            handles.append(Patch(color=colour, alpha=0.25, linewidth=0))
            labels.append(f"{kind} warm-up")
    add_legend(part, handles, labels, loc="outside right upper", ncols=1 + len(labels) // 20)
