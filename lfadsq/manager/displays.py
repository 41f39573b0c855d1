"""How values and lists of attributes are written for people, as MATLAB would write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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


def format_general(value: Any) -> str:
    """Write a value as summaries and the line of differences do: ``%g``, ``true``, plain text.

    >>> [format_general(value) for value in (0.0001, 1820, True, "poisson", (1.0, 2.5), ("a", 2))]
    ['0.0001', '1820', 'true', 'poisson', '[1 2.5]', '{a 2}']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return _in_brackets(value, " ".join(map(format_general, value)))
    return str(value)


def format_short(value: Any) -> str:
    """Write a value as MATLAB shows it with ``format short``.

    >>> [format_short(value) for value in (0.01, 0.001, 123.4567, 1234.5, 200.0, True, "factors")]
    ['0.0100', '1.0000e-03', '123.4567', '1.2345e+03', '200', '1', "'factors'"]
    """
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e9:
            return f"{value:.0f}"
        return f"{value:.4f}" if 0.001 < abs(value) < 1000 else f"{value:.4e}"
    if isinstance(value, tuple):
        return _in_brackets(value, " ".join(map(format_short, value)))
    return f"'{value}'"


def _in_brackets(value: tuple[Any, ...], text: str) -> str:
    is_row = bool(value) and all(type(element) is float for element in value)
    return f"[{text}]" if is_row else f"{{{text}}}"


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
