"""What all figures share: how they are made, labelled, handed back and saved.

Figures are made without pyplot: no window system is asked for, and no state is shared. matplotlib
is imported when a figure is made, as it takes half a second.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from lfadsq.errors import ConfigError
from lfadsq.files import written_aside
from lfadsq.results.figures.colours import ConditionColours
from lfadsq.results.figures.conditions import Condition, condition_text
from lfadsq.texts import printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "FORMATS",
    "Drawing",
    "add_condition_key",
    "add_legend",
    "check_format",
    "figure_or_new",
    "heading",
    "plain_text",
    "save_figure",
    "tidy",
    "title",
    "whole_figure",
]

AnyFigure: TypeAlias = "Figure | SubFigure"

FORMATS = ("png", "pdf", "svg")
_DPI = 150
_MOST_IN_LEGEND = 12
_MOST_TEXT = 120
_CHARACTERS_PER_IN = 8.5


class Drawing(NamedTuple):
    """A figure and its axes, which a notebook shows.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        ``drawing.figure.savefig("factors.pdf")`` saves it.
    axes : matplotlib.axes.Axes, or numpy.ndarray of them
        To be changed further: one, or as many as the figure has panels.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure, axes = Drawing(Figure(), None)
    """

    figure: Figure
    axes: Any

    def _repr_png_(self) -> bytes | None:
        canvas: Any = self.figure.canvas
        if getattr(canvas, "manager", None) is not None:
            return None  # pyplot has made it, and shows it itself
        stream = io.BytesIO()
        with _without_glyph_warnings():
            self.figure.savefig(stream, format="png")
        return stream.getvalue()


def figure_or_new(figure: AnyFigure | None, width_in: float, height_in: float) -> AnyFigure:
    """Give the figure to draw into, or make one."""
    from matplotlib.figure import Figure

    if figure is None:
        return Figure(figsize=(width_in, height_in), layout="constrained")
    if isinstance(figure, Figure) and figure.get_layout_engine() is None:
        # Legends and colour bars beside the axes need somebody who makes room.
        figure.set_layout_engine("constrained")
    return figure


def whole_figure(part: AnyFigure) -> Figure:
    """Give the figure of which a subfigure is a part."""
    from matplotlib.figure import Figure

    while not isinstance(part, Figure):
        part = part.figure
    return part


def plain_text(text: str) -> str:
    r"""Give text as it is to be read: no formula, no control characters, not endless.

    >>> plain_text("cost $x$ of\n" + "a_b")
    'cost \\$x\\$ of\\na_b'
    """
    shown = printable(text)
    if len(shown) > _MOST_TEXT:
        shown = f"{shown[: _MOST_TEXT // 2]}...{shown[-_MOST_TEXT // 2 :]}"
    return shown.replace("$", r"\$")


def title(part: AnyFigure, text: str, note: str = "") -> None:
    """Write above a figure what it shows, and by which rule something was left out."""
    width_in = part.bbox.width / whole_figure(part).dpi
    part.suptitle(heading(text, note, width_in), fontsize="large")


def heading(text: str, note: str, width_in: float) -> str:
    """Give a heading and a note, in lines that fit a width."""
    notes = textwrap.wrap(f"({note})", max(int(_CHARACTERS_PER_IN * width_in), 20)) if note else []
    return "\n".join(map(plain_text, [text, *notes]))


def tidy(axes: Any) -> None:
    """Take the upper and right border from axes."""
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


def add_legend(
    place: Any, handles: Sequence[Artist], labels: Sequence[str], **options: Any
) -> None:
    """Add a legend to a figure or to axes, whatever the labels are.

    matplotlib would leave out labels that begin with an underscore, as names may.
    """
    placeholders = [str(number) for number in range(len(labels))]
    legend = place.legend(handles, placeholders, frameon=False, fontsize="small", **options)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(plain_text(label))


def add_condition_key(
    part: AnyFigure,
    axes: Any,
    colours: ConditionColours,
    drawn: Sequence[Condition | None],
    label: str = "condition",
) -> None:
    """Say which colour is which condition: a legend, or a colour bar where there are many."""
    conditions = [one for one in drawn if one is not None]
    if not conditions:
        return
    if len(conditions) <= _MOST_IN_LEGEND:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=colours[one], linewidth=3) for one in drawn]
        texts = [condition_text(one) for one in drawn]
        # Beside the axes, unless others are there or nobody makes room for it.
        has_room = whole_figure(part).get_layout_engine() is not None
        is_inside = np.size(axes) == 1 and (len(part.axes) > 1 or not has_room)
        place = np.ravel(axes)[0] if is_inside else part
        loc = "best" if is_inside else "outside right upper"
        add_legend(place, handles, texts, title=label, loc=loc)
        return
    _add_colour_bar(part, axes, colours, label)


def _add_colour_bar(part: AnyFigure, axes: Any, colours: ConditionColours, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    every = colours.conditions
    shades = ListedColormap([colours[one] for one in every])
    edges = np.arange(len(every) + 1) - 0.5
    bar = part.colorbar(
        ScalarMappable(BoundaryNorm(edges, len(every)), shades),
        ax=axes if np.size(axes) == 1 else np.ravel(axes).tolist(),
        label=label,
        fraction=0.04,
        aspect=30,
        spacing="proportional",
    )
    shown = np.unique(np.linspace(0, len(every) - 1, 6).round().astype(int))
    bar.set_ticks(shown.tolist(), labels=[plain_text(condition_text(every[one])) for one in shown])
    bar.ax.minorticks_off()


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure; an old file is replaced once the new one is complete.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : str or Path
        PNG, PDF or SVG, by its ending.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If the ending is none of these.
    StorageError
        If it cannot be written; no half of one is left.
    """
    path = Path(path).expanduser()
    kind = check_format(path)
    with written_aside(path) as aside, _without_glyph_warnings():
        figure.savefig(aside, format=kind, dpi=_DPI)
    return path


def check_format(path: Path) -> str:
    """Tell what kind of picture a file is to be, by its ending.

    Raises
    ------
    ConfigError
        If it is none that can be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ConfigError(f"{path} is no kind of picture", f"end it in one of {', '.join(FORMATS)}")
    return kind


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Names may be in a script that the font lacks: boxes say that as well as a warning does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
