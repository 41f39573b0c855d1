"""How values and lists of attributes are written for people, as MATLAB would write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lfadsq.manager.matlab_values import MatlabArray, MatlabCell, MatlabClass

__all__ = [
    "attribute_lines",
    "class_title",
    "format_general",
    "format_paths",
    "format_short",
    "short_path",
]

_MARGIN = 4
_LONGEST_LIST = 10


def format_general(
    value: Any, matlab_class: MatlabClass | None = None, *, longest: int | None = None
) -> str:
    """Write a value as summaries and the line of differences do: ``%g``, ``true``, plain text.

    Parameters
    ----------
    value : object
        As `lfadsq.manager.matlab_values.to_matlab` gives it.
    matlab_class : str, optional
        Its class, without which an empty tuple is taken for a cell.
    longest : int, optional
        Write arrays of more elements only as ``[...]``.

    Examples
    --------
    >>> [format_general(value) for value in (0.0001, 1820, True, "poisson", (1.0, 2.5), ("a", 2))]
    ['0.0001', '1820', 'true', 'poisson', '[1 2.5]', '{a, 2}']
    >>> format_general(((1.0, 2.0), (3.0, float("-inf"))), "double")
    '[1 2;3 -Inf]'
    """
    if not isinstance(value, tuple):
        return _general(value, digits=6)
    if _is_cell(value, matlab_class):
        return "{" + ", ".join(format_general(element, longest=longest) for element in value) + "}"
    rows = _rows(value)
    if longest is not None and sum(map(len, rows)) > longest:
        return "[...]"
    texts = (" ".join(_general(element, digits=15) for element in row) for row in rows)
    return "[" + ";".join(texts) + "]"


def _general(value: Any, *, digits: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.{digits}g}" if math.isfinite(value) else _not_finite(value)
    return str(value)


def format_short(value: Any, matlab_class: MatlabClass | None = None) -> str:
    """Write a value as MATLAB shows it with ``format short``.

    Parameters
    ----------
    value : object
        As `lfadsq.manager.matlab_values.to_matlab` gives it.
    matlab_class : str, optional
        Its class, without which an empty tuple is taken for a cell.

    Examples
    --------
    >>> [format_short(value) for value in (0.01, 0.001, 123.4567, 1234.5, 200.0, True, "factors")]
    ['0.0100', '1.0000e-03', '123.4567', '1.2345e+03', '200', '1', "'factors'"]
    >>> format_short(((1, 2), (3, 4)), "int8"), format_short(("a", 2.0), "cell")
    ('[2x2 int8]', "{'a' [2]}")
    """
    if isinstance(value, str):
        return f"'{value}'"
    if not isinstance(value, tuple):
        return _short(value)
    is_cell = _is_cell(value, matlab_class)
    rows = (value,) if is_cell else _rows(value)
    if len(rows) > 1 or len(rows[0]) > _LONGEST_LIST:
        shown_class = matlab_class or getattr(
            value, "matlab_class", "cell" if is_cell else "double"
        )
        text = f"{len(rows)}x{len(rows[0])} {shown_class}"
        return f"{{{text}}}" if is_cell else f"[{text}]"
    if is_cell:
        return "{" + " ".join(map(_short_element, value)) + "}"
    return "[" + " ".join(map(_short, value)) + "]"


def _short(value: Any) -> str:
    if isinstance(value, bool | int):
        return str(int(value))
    if not math.isfinite(value):
        return _not_finite(value)
    if value.is_integer() and abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.4f}" if 0.001 < abs(value) < 1000 else f"{value:.4e}"


def _short_element(value: Any) -> str:
    return format_short(value) if isinstance(value, str | tuple) else f"[{_short(value)}]"


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Inf" if value > 0 else "-Inf"


def _is_cell(value: tuple[Any, ...], matlab_class: MatlabClass | None) -> bool:
    if matlab_class is not None or isinstance(value, MatlabArray | MatlabCell):
        return isinstance(value, MatlabCell) or matlab_class == "cell"
    elements = [element for row in _rows(value) for element in row]
    return not elements or any(type(element) not in (int, float) for element in elements)


def _rows(value: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    are_rows = value and all(type(row) is tuple for row in value)
    return value if are_rows else (value,)


def attribute_lines(
    attributes: Iterable[tuple[str, str]], *, longest: int | None = None
) -> list[str]:
    """Align names to the right of a column, each followed by its value.

    Parameters
    ----------
    attributes : iterable of (str, str)
        Names and the text of their values.
    longest : int, optional
        Length of the longest name in the display; by default among `attributes`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> attribute_lines([("name", "'a'"), ("comment", "''")])
    ["       name: 'a'", "    comment: ''"]
    """
    pairs = list(attributes)
    width = _MARGIN + (longest or max(len(name) for name, _ in pairs))
    return [f"{name:>{width}}: {value}" for name, value in pairs]


def format_paths(paths: Sequence[Path]) -> str:
    """Write a list of paths; a long one only as its length.

    >>> format_paths([Path("/a"), Path("/b")])
    "{'/a' '/b'}"
    """
    if len(paths) > _LONGEST_LIST:
        return f"{{1x{len(paths)} paths}}"
    return "{" + " ".join(f"'{short_path(path)}'" for path in paths) + "}"


def short_path(path: Path) -> str:
    """Write a path with ``~`` for the home folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def class_title(cls: type) -> str:
    """Name a class with the package it comes from, as in ``LorenzExperiment.RunParams``.

    >>> from lfadsq.manager.params import RunParams
    >>> class_title(RunParams)
    'lfadsq.RunParams'
    """
    package = cls.__module__.partition(".")[0]
    return cls.__qualname__ if package == "__main__" else f"{package}.{cls.__qualname__}"
