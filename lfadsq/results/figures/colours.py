"""Colours that mean the same in every figure: of conditions, and of runs and datasets.

A condition's colour follows from all conditions of a recording, never from those that a figure
happens to show. So pass the same `ConditionColours` where recordings lack conditions of each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lfadsq.errors import ConfigError
from lfadsq.results.figures.conditions import Condition, sorted_conditions

__all__ = ["ConditionColours", "Kind", "series_colours"]

Kind = Literal["categorical", "circular", "ordered"]
_KINDS = ("categorical", "circular", "ordered")
_FULL_TURNS = (360.0, 2 * math.pi)

# "Muted" of tol2021, to be told apart whatever one's colour vision; dark ones come first.
_CATEGORICAL = (
    "#332288",
    "#cc6677",
    "#117733",
    "#ddcc77",
    "#88ccee",
    "#882255",
    "#44aa99",
    "#999933",
    "#aa4499",
)
_NO_CONDITION = "#aaaaaa"
_ALL_TRIALS = "#332288"
_MAP = "viridis"
_MAP_END = 0.9  # the light end is hard to see on white
_LIGHTNESS, _CHROMA = 0.68, 0.125  # inside sRGB at every hue, and dark enough on white


@dataclass(frozen=True)
class ConditionColours:
    """The colour of each condition.

    Parameters
    ----------
    conditions : tuple of float or str
        All conditions of the recording, in order: see `of`.
    kind : {"categorical", "circular", "ordered"}
        Colours that anybody can tell apart, for nine at most; a circle of hues, for angles; or an
        ordered map from dark to light.

    Raises
    ------
    ConfigError
        If there is no such kind, or there are too many conditions for it.

    Examples
    --------
    >>> colours = ConditionColours.of(["left", "right", "left"])
    >>> colours.kind, colours["left"], colours["right"], colours[None]
    ('categorical', '#332288', '#cc6677', '#aaaaaa')
    >>> ConditionColours.of([0, 45, 90, 135, 180, 225, 270, 315]).kind
    'circular'
    >>> ConditionColours.of(range(65)).kind
    'ordered'
    """

    conditions: tuple[Condition, ...]
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigError(
                f"there are no colours of kind {self.kind!r}", f"give one of {', '.join(_KINDS)}"
            )
        if self.kind == "categorical" and len(self.conditions) > len(_CATEGORICAL):
            raise ConfigError(
                f"{len(self.conditions)} conditions are more than the {len(_CATEGORICAL)} colours "
                "that anybody can tell apart",
                "take kind='ordered' or 'circular'",
            )

    @classmethod
    def of(cls, conditions: Iterable[object], kind: Kind | None = None) -> ConditionColours:
        """Choose colours for conditions.

        Parameters
        ----------
        conditions : iterable of float or str
            All there are, each any number of times, as in ``means.condition_ids``. NaN and empty
            ones are no conditions.
        kind : {"categorical", "circular", "ordered"}, optional
            By default circular for angles that go round a full turn in equal steps (in degrees or
            radians), categorical for up to nine others, ordered for more.
        """
        found = sorted_conditions(conditions)
        return cls(found, kind or _kind_of(found))

    def __getitem__(self, condition: Condition | None) -> str:
        """Give the colour of a condition as ``#rrggbb``: grey for trials that have none.

        Raises
        ------
        ConfigError
            If it is not one of the conditions.
        """
        if condition is None:
            return _NO_CONDITION if self.conditions else _ALL_TRIALS
        if condition not in self.conditions:
            raise ConfigError(
                f"condition {condition!r} has no colour", "make the colours of all conditions"
            )
        number, total = self.conditions.index(condition), len(self.conditions)
        if self.kind == "categorical":
            return _CATEGORICAL[number]
        if self.kind == "circular":
            return _hue(_turn_of(self.conditions, number))
        return _on_map(number / max(total - 1, 1))


def series_colours(number: int) -> list[str]:
    """Give colours for runs or datasets: those for categories, or of an ordered map if many.

    >>> series_colours(2)
    ['#332288', '#cc6677']
    """
    if number <= len(_CATEGORICAL):
        return list(_CATEGORICAL[:number])
    return [_on_map(place) for place in np.linspace(0.0, 1.0, number)]


def _kind_of(conditions: Sequence[Condition]) -> Kind:
    if _full_turn(conditions) is not None:
        return "circular"
    return "categorical" if len(conditions) <= len(_CATEGORICAL) else "ordered"


def _full_turn(conditions: Sequence[Condition]) -> float | None:
    """Give the unit of angles that go round in equal steps: 360 or 2 pi; None if they do not."""
    numbers = [one for one in conditions if not isinstance(one, str)]
    if len(numbers) < 3 or len(numbers) < len(conditions):
        return None
    steps = np.diff(numbers)
    for turn in _FULL_TURNS:
        if np.allclose(steps, turn / len(numbers), rtol=1e-3):
            return turn
    return None


def _turn_of(conditions: Sequence[Condition], number: int) -> float:
    """Say where on the circle a condition is, from 0 to 1."""
    turn = _full_turn(conditions)
    value = conditions[number]
    if turn is None or isinstance(value, str):
        return number / len(conditions)
    return (value / turn) % 1.0


def _on_map(place: float) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[_MAP](_MAP_END * place))


def _hue(turn: float) -> str:
    """Give a colour of the circle, in Oklch (ottosson2020): all about as light."""
    angle = 2 * math.pi * (turn + 0.08)
    lightness, a, b = _LIGHTNESS, _CHROMA * math.cos(angle), _CHROMA * math.sin(angle)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _srgb(value)):02x}" for value in linear)


def _srgb(linear: float) -> float:
    value = min(max(linear, 0.0), 1.0)
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
