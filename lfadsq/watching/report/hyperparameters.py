"""The hyperparameters in which runs differ, each with the axis on which its values are drawn."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["AxisKind", "HyperParam", "hyper_param_of"]

_DECADE = 10.0
_MOST_STEPS = 12


class AxisKind(str, enum.Enum):
    """How values lie on an axis."""

    LINEAR = "linear"
    LOG = "log"
    """For numbers above zero that span a decade or more."""
    CATEGORY = "category"
    """Evenly: texts, and the few numbers of which some are zero and the rest spans decades."""


@dataclass(frozen=True)
class HyperParam:
    """A hyperparameter in which runs differ.

    Attributes
    ----------
    name : str
        As published, such as ``c_gen_dim``.
    texts : tuple of (str or None)
        For each run what the summary says; None if that is unknown.
    numbers : tuple of (float or None)
        The same as numbers; all None if one of the texts is none.
    kind : AxisKind
    categories : tuple of str
        Of a `AxisKind.CATEGORY`, in the order of their numbers, or else of their texts.
    """

    name: str
    texts: tuple[str | None, ...]
    numbers: tuple[float | None, ...]
    kind: AxisKind
    categories: tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether its values are numbers."""
        return any(number is not None for number in self.numbers)


def hyper_param_of(name: str, texts: Sequence[str | None]) -> HyperParam:
    """Find out how the values of a hyperparameter are best drawn.

    Parameters
    ----------
    name : str
    texts : sequence of (str or None)
        For each run.

    Examples
    --------
    >>> hyper_param_of("c_l2_gen_scale", ["500", "5", None]).kind
    <AxisKind.LOG: 'log'>
    >>> hyper_param_of("c_l2_gen_scale", ["500", "0", "5"]).categories
    ('0', '5', '500')
    """
    values = {text: _number(text) for text in texts if text is not None}
    numbers = [number for number in values.values() if number is not None]
    if not numbers or len(numbers) < len(values):
        return HyperParam(
            name,
            tuple(texts),
            (None,) * len(texts),
            AxisKind.CATEGORY,
            tuple(sorted(values, key=lambda text: (text.lower(), text))),
        )
    kind = _kind(numbers)
    return HyperParam(
        name,
        tuple(texts),
        tuple(None if text is None else values[text] for text in texts),
        kind,
        tuple(sorted(values, key=lambda text: (values[text] or 0.0, text)))
        if kind is AxisKind.CATEGORY
        else (),
    )


def _kind(numbers: Sequence[float]) -> AxisKind:
    sizes = [abs(number) for number in numbers if number]
    spans_decades = bool(sizes) and max(sizes) / min(sizes) >= _DECADE
    if min(numbers) > 0:
        return AxisKind.LOG if spans_decades else AxisKind.LINEAR
    is_stepped = spans_decades and len(set(numbers)) <= _MOST_STEPS
    return AxisKind.CATEGORY if is_stepped else AxisKind.LINEAR


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
