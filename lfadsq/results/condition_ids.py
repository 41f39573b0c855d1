"""Conditions of trials, as recordings give them: numbers, text, or cells of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["condition_array", "condition_labels", "has_condition"]


def condition_array(values: object) -> npt.NDArray[Any] | None:
    """Give the condition of each trial in one array.

    Parameters
    ----------
    values : object
        What stands for ``conditionId`` in a file: an array of numbers or text, a list of such
        (MATLAB's cell), or nothing.

    Returns
    -------
    numpy.ndarray, shape (trial,), or None
        int64 if all are whole numbers; float64 with NaN, or text with ``""``, where a trial has no
        condition; of objects (float, str, None) where numbers and text are mixed. None if there are
        no conditions.

    Examples
    --------
    >>> condition_array(np.array([[1.0], [3.0]])).tolist()
    [1, 3]
    >>> condition_array(["left ", "", "right"]).tolist()
    ['left', '', 'right']
    >>> condition_array([np.array([[2.0]]), np.empty((0, 0))]).tolist()
    [2.0, nan]
    """
    if values is None:
        return None
    each = [_plain(value) for value in _elements(values)]
    if all(value is None for value in each):
        return None
    if all(isinstance(value, str | None) for value in each):
        return np.array([value or "" for value in each])
    if any(isinstance(value, str) for value in each):
        mixed = np.empty(len(each), dtype=object)
        mixed[:] = each
        return mixed
    numbers = np.array([np.nan if value is None else value for value in each], dtype=np.float64)
    whole = np.all(numbers == np.floor(numbers)) and np.all(np.abs(numbers) < 2**53)
    return numbers.astype(np.int64) if whole else numbers


def has_condition(conditions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell of each trial whether it has a condition.

    >>> has_condition(np.array([1.0, np.nan])).tolist()
    [True, False]
    """
    return np.array([_plain(value) is not None for value in conditions], dtype=bool)


def condition_labels(conditions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give conditions as files and plots can hold them: where numbers and text mix, all as text.

    >>> condition_labels(np.array([1.0, "left", None], dtype=object)).tolist()
    ['1', 'left', '']
    """
    if conditions.dtype.kind != "O":
        return conditions
    return np.array([_label(_plain(value)) for value in conditions])


def _label(condition: float | str | None) -> str:
    return f"{condition:g}" if isinstance(condition, float) else condition or ""


def _elements(values: object) -> Sequence[Any]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, list | tuple):
        return values
    return list(np.asarray(values).ravel(order="F"))


def _plain(value: Any) -> float | str | None:
    """Give a number or text; None for NaN, for what is empty, and for what is neither."""
    while isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    array = np.asarray(value)
    if array.size != 1 or value is None:
        return None
    item = array.item()
    if isinstance(item, bytes):
        item = item.decode("utf-8", "replace")
    if isinstance(item, str):
        return item.strip() or None
    if array.dtype.kind not in "biuf":
        return None if array.ndim == 0 else _plain(item)
    number = float(item)
    return None if np.isnan(number) else number
