"""A picture of a sweep: its score against each hyperparameter, and against another score."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lfadsq.errors import ConfigError
from lfadsq.files import written_aside
from lfadsq.results.comparison import SweepComparison
from lfadsq.results.comparison_rows import COLUMNS, Column, RunRow

__all__ = ["draw_comparison", "save"]

_FORMATS = ("png", "pdf", "svg")
_MOST_COLUMNS = 3
_PANEL_INCHES = (3.4, 2.8)
_MOST_LABELS = 12
_MOST_TICKS = 5
_BEST_COLOUR, _SUSPECT_COLOUR = "tab:green", "tab:red"
_CHECKS = ("truth_r2", "co_bits_per_spike", "psth_r2", "bits_per_spike", "valid_cost")
"""What the rule is drawn against, the first that there is: by what it was not ranked."""


def draw_comparison(comparison: SweepComparison) -> Figure:
    """Draw a sweep; see `SweepComparison.plot`.

    Each point is a run. A ring marks the best, a cross a run that looks broken; colours are kinds
    of data.

    Raises
    ------
    ConfigError
        If no run has a rank.
    """
    by = next(column for column in COLUMNS if column.name == comparison.rule)
    rows = [row for row in comparison.rows if row.name in comparison.ranks]
    if not rows:
        raise ConfigError(
            f"no run has a {by.name}, so there is nothing to draw", "rank by another rule"
        )
    check = next(
        (
            column
            for name in _CHECKS
            for column in comparison.columns
            if column.name == name and name != by.name
        ),
        None,
    )
    varying = [
        name
        for name in comparison.varying
        if len({str(row.settings.get(name)) for row in rows}) > 1
    ]
    num_panels = max(1, len(varying) + (check is not None))
    num_columns = min(num_panels, _MOST_COLUMNS)
    num_lines = math.ceil(num_panels / num_columns)
    width, height = _PANEL_INCHES
    # Figure without pyplot: no window system is asked for, and no state is shared.
    figure = Figure(figsize=(width * num_columns, height * num_lines + 0.6), layout="constrained")
    axes = figure.subplots(num_lines, num_columns, squeeze=False).ravel()
    panels = iter(axes)
    for name in varying:
        _draw_setting(next(panels), comparison, rows, by, name)
    if check is not None:
        _draw_check(next(panels), comparison, rows, by, check)
    elif not varying:
        _draw_runs(next(panels), comparison, rows, by)
    for unused in panels:
        unused.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(_plain(comparison.title or f"{len(rows)} runs"), fontsize="medium")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all.

    Raises
    ------
    ConfigError
        If its extension is that of no picture.
    StorageError
        If it cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in _FORMATS:
        raise ConfigError(
            f"{path} is no name of a picture", f"let it end with .{', .'.join(_FORMATS)}"
        )
    with written_aside(path) as aside:
        figure.savefig(aside, format=kind, dpi=120)


def _draw_setting(
    ax: Axes, comparison: SweepComparison, rows: list[RunRow], by: Column, name: str
) -> None:
    values = [row.settings.get(name) for row in rows]
    are_numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if are_numbers:
        places = [float(value) for value in values if isinstance(value, (int, float))]
        if min(places) > 0 and max(places) >= 20 * min(places):
            ax.set_xscale("log")
        swept = sorted(set(places))
        if len(swept) <= _MOST_TICKS:
            ax.set_xticks(swept, [f"{value:g}" for value in swept])
            ax.minorticks_off()
    else:
        texts = sorted({_text(value) for value in values})
        places = [float(texts.index(_text(value))) for value in values]
        ax.set_xticks(range(len(texts)), texts)
        ax.margins(x=0.2)
    _scatter(ax, comparison, rows, places, [by.of(row) for row in rows])
    ax.set_xlabel(_plain(name))
    _label_score(ax, by)


def _draw_check(
    ax: Axes, comparison: SweepComparison, rows: list[RunRow], by: Column, check: Column
) -> None:
    shown = [row for row in rows if not math.isnan(check.of(row))]
    _scatter(ax, comparison, shown, [check.of(r) for r in shown], [by.of(r) for r in shown])
    ax.set_xlabel(textwrap.fill(f"{check.name}: {check.about}", 40), fontsize="small")
    _label_score(ax, by)


def _draw_runs(ax: Axes, comparison: SweepComparison, rows: list[RunRow], by: Column) -> None:
    _scatter(ax, comparison, rows, list(map(float, range(len(rows)))), [by.of(row) for row in rows])
    ticks = range(len(rows)) if len(rows) <= _MOST_LABELS else ()
    ax.set_xticks(ticks, [_plain(rows[at].name) for at in ticks], rotation=30, ha="right")
    _label_score(ax, by)


def _scatter(
    ax: Axes,
    comparison: SweepComparison,
    rows: list[RunRow],
    places: list[float],
    scores: list[float],
) -> None:
    x, y = np.array(places), np.array(scores)
    kinds = list(dict.fromkeys(row.data_label for row in rows))
    of_kind = np.array([kinds.index(row.data_label) for row in rows], dtype=int)
    for number, kind in enumerate(kinds):
        chosen = of_kind == number
        label = _plain(kind) if len(kinds) > 1 else None
        ax.scatter(x[chosen], y[chosen], s=22, alpha=0.75, color=f"C{number % 10}", label=label)
    is_best = np.array([comparison.ranks.get(row.name) == 1 for row in rows], dtype=bool)
    is_suspect = np.array([bool(row.signs) for row in rows], dtype=bool)
    if is_best.any():
        ax.scatter(
            x[is_best],
            y[is_best],
            s=110,
            facecolors="none",
            edgecolors=_BEST_COLOUR,
            linewidths=1.5,
            label="best",
        )
    if is_suspect.any():
        ax.scatter(
            x[is_suspect],
            y[is_suspect],
            s=60,
            marker="x",
            color=_SUSPECT_COLOUR,
            linewidths=1,
            label="looks broken",
        )
    ax.spines[["top", "right"]].set_visible(False)


def _label_score(ax: Axes, by: Column) -> None:
    arrow = {-1: "lower is better", 1: "higher is better"}[by.better]
    ax.set_ylabel(textwrap.fill(f"{by.name} ({arrow})", 30), fontsize="small")


def _text(value: Any) -> str:
    return _plain("-" if value is None else str(value))


def _plain(text: str) -> str:
    """Give text that matplotlib takes for no formula, and a label that it does not leave out."""
    shown = "".join(one if one.isprintable() else "?" for one in text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown
