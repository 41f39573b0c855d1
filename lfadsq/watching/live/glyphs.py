"""Small pictures of numbers in characters: bars, and sparklines of costs."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["ASCII", "BLOCKS", "Glyphs", "bar", "glyphs_for", "sparkline"]


@dataclass(frozen=True)
class Glyphs:
    """What bars and sparklines are made of.

    Attributes
    ----------
    levels : str
        From the lowest value to the highest.
    full, empty : str
        Of a bar.
    unknown : str
        In a sparkline, for what is not a number.
    """

    levels: str
    full: str
    empty: str
    unknown: str = "!"


BLOCKS = Glyphs("▁▂▃▄▅▆▇█", "█", "░")
ASCII = Glyphs("_.-=+*#@", "#", "-")


def glyphs_for(encoding: str | None) -> Glyphs:
    """Choose what a terminal of an encoding can show.

    >>> glyphs_for("utf8") is BLOCKS, glyphs_for("ANSI_X3.4-1968") is BLOCKS, glyphs_for(None).full
    (True, False, '#')
    """
    try:
        is_utf_8 = codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        is_utf_8 = False
    return BLOCKS if is_utf_8 else ASCII


def bar(fraction: float | None, width: int, glyphs: Glyphs = BLOCKS) -> str:
    """Draw a share as a bar; nothing if it is not known.

    It is only full if all is done, and only empty if nothing is.

    >>> bar(0.5, 8, ASCII), bar(0.999, 4, ASCII), bar(0.001, 4, ASCII), bar(None, 3, ASCII)
    ('####----', '###-', '#---', '   ')
    """
    if fraction is None or math.isnan(fraction) or width <= 0:
        return " " * max(0, width)
    num_full = round(fraction * width)
    if 0 < fraction < 1 and width > 1:
        num_full = min(max(num_full, 1), width - 1)
    num_full = min(max(num_full, 0), width)
    return glyphs.full * num_full + glyphs.empty * (width - num_full)


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs = BLOCKS) -> str:
    """Draw a course of values, the newest at the right.

    Parameters
    ----------
    values : sequence of float
        More of them than columns are drawn as means over as many as fall on a column.
    width : int
    glyphs : Glyphs

    Returns
    -------
    str
        As many characters as there are values, `width` at most. Values that are not finite show as
        unknown, also where one of several that share a column is. If all are equal, all are low.

    Examples
    --------
    >>> sparkline([9, 5, 3, 2, 1, 1], 6), sparkline([4, 4], 6), sparkline([1, float("nan"), 2], 3)
    ('█▅▃▂▁▁', '▁▁', '▁!█')
    >>> sparkline([8, 8, 4, 4, 0, 0], 3, ASCII)
    '@+_'
    """
    if not values or width <= 0:
        return ""
    num = min(width, len(values))
    edges = [round(at * len(values) / num) for at in range(num + 1)]
    # Halved, since sums and differences of the largest floats are none; levels stay as they are.
    means = [
        math.fsum(value / 2 / len(part) for value in part)
        if all(map(math.isfinite, part))
        else math.nan
        for begin, end in pairwise(edges)
        for part in [values[begin:end]]
    ]
    finite = [value for value in means if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_level(value, low, high, glyphs) for value in means)


def _level(value: float, low: float, high: float, glyphs: Glyphs) -> str:
    if not math.isfinite(value):
        return glyphs.unknown
    if high <= low:
        return glyphs.levels[0]
    share = (value - low) / (high - low)
    return glyphs.levels[min(len(glyphs.levels) - 1, int(share * len(glyphs.levels)))]
