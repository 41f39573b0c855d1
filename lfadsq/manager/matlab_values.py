"""Values as MATLAB types them, and the Python values that stand for them.

======================  ====================================================================
MATLAB                  Python
======================  ====================================================================
logical, char           `bool`, `str`
double, single          `float`; of class single, rounded to what that holds
int8 ... uint64         `int`
1 x n, and m x n        a tuple of these, and a tuple of rows
``[]``, ``''``, ``{}``  ``()``, ``""``, ``()``
cell, 1 x n             a tuple; inside it a number is a double, an array a `MatlabArray`, and a
                        further cell a `MatlabCell`
======================  ====================================================================

All of these are immutable, and can be compared and hashed. A struct is not among them: LFADS Run
Manager itself cannot write a parameter of that class in its summary.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import numpy as np

__all__ = [
    "NAN",
    "MatlabArray",
    "MatlabCell",
    "MatlabClass",
    "NotANumber",
    "UnfitValueError",
    "class_of",
    "contains_nan",
    "is_equal",
    "is_finite",
    "to_matlab",
    "to_scalar",
]

MatlabClass = Literal[
    "char",
    "logical",
    "double",
    "single",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "cell",
]

_OTHER_NAMES: dict[str, MatlabClass] = {
    "bool": "logical",
    "float64": "double",
    "float32": "single",
}
_INTEGERS: dict[str, tuple[int, int]] = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in get_args(MatlabClass)
    if "int" in name
}
_LARGEST_SINGLE = float(np.finfo(np.float32).max)
_SURROGATES = range(0xD800, 0xE000)


class UnfitValueError(ValueError):
    """A MATLAB class cannot hold a value.

    Parameters
    ----------
    remedy : str
        What to give instead.
    """

    def __init__(self, remedy: str) -> None:
        super().__init__(remedy)
        self.remedy = remedy


class NotANumber(float):
    """A NaN that equals every NaN, so that settings which hold one can be compared and found.

    MATLAB's `isequal` takes no NaN for equal; where that matters, `is_equal` does as it does.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isnan(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash("NaN")


NAN = NotANumber("nan")
"""The value that stands for every NaN."""


class MatlabArray(tuple[Any, ...]):
    """A numeric or logical array inside a cell: its elements, or its rows.

    Parameters
    ----------
    values : iterable
        Numbers, or rows of numbers.
    matlab_class : str, default "double"
        Its class.
    """

    matlab_class: MatlabClass

    def __new__(
        cls, values: Iterable[Any] = (), matlab_class: MatlabClass = "double"
    ) -> MatlabArray:
        """Make one; `to_matlab` converts and checks its elements."""
        array = super().__new__(cls, values)
        array.matlab_class = matlab_class
        return array

    def __repr__(self) -> str:
        return f"MatlabArray({tuple(self)!r}, {self.matlab_class!r})"


class MatlabCell(tuple[Any, ...]):
    """A cell inside a cell. Give one where a list would be taken for a row of numbers.

    >>> to_matlab(["range", [0, 5], MatlabCell([0, 5])], "cell")
    ('range', MatlabArray((0.0, 5.0), 'double'), MatlabCell((0.0, 5.0)))
    """

    def __repr__(self) -> str:
        return f"MatlabCell({tuple(self)!r})"


def class_of(value: Any) -> MatlabClass:
    """Give the MATLAB class of a Python value that is declared without one.

    Parameters
    ----------
    value : object
        NumPy's arrays have the class of their dtype. Numbers, also NumPy's, are doubles, as are
        lists of numbers; other lists are cells.

    Raises
    ------
    UnfitValueError
        If it is an array of a dtype that MATLAB does not have.
    """
    if isinstance(value, MatlabArray):
        return value.matlab_class
    if isinstance(value, np.ndarray):
        return _class_of_dtype(value.dtype)
    if isinstance(value, bool | np.bool_):
        return "logical"
    if isinstance(value, str):
        return "char"
    if isinstance(value, list | tuple):
        is_row = value and all(type(element) in (int, float) for element in value)
        return "double" if is_row else "cell"
    return "double"


def _class_of_dtype(dtype: np.dtype[Any]) -> MatlabClass:
    if dtype.kind in "OU":
        return "cell"
    if dtype.name in _OTHER_NAMES:
        return _OTHER_NAMES[dtype.name]
    for known in get_args(MatlabClass):
        if dtype.name == known:
            return known  # type: ignore[no-any-return]
    raise UnfitValueError("give an array of float64, float32, bool, or integers")


def to_matlab(value: Any, matlab_class: MatlabClass) -> Any:
    """Give the Python value that stands for a value of a MATLAB class.

    Parameters
    ----------
    value : object
        Python or NumPy scalars, text, lists, tuples or arrays of at most two dimensions.
    matlab_class : str
        The class.

    Returns
    -------
    object
        As the table at the head of this module says. What has one element is a scalar.

    Raises
    ------
    UnfitValueError
        If the class cannot hold the value.
    """
    if matlab_class == "cell":
        return tuple(_cell_elements(value))
    if matlab_class == "char":
        return to_scalar(value, matlab_class)
    if isinstance(value, np.ndarray):
        value = _nested(value)
    if not isinstance(value, list | tuple | range):
        return to_scalar(value, matlab_class)
    rows: list[Any] = [_nested(row) if isinstance(row, np.ndarray) else row for row in value]
    are_rows = [isinstance(row, list | tuple | range) for row in rows]
    if not any(are_rows):
        rows = [rows]
    elif not all(are_rows) or len({len(row) for row in rows}) > 1:
        raise UnfitValueError("give numbers, or rows of equally many numbers")
    elif not rows[0]:
        raise UnfitValueError("give [] for an empty value")
    table = tuple(tuple(to_scalar(element, matlab_class) for element in row) for row in rows)
    if len(table) > 1:
        return table
    return table[0][0] if len(table[0]) == 1 else table[0]


def _nested(array: np.ndarray[Any, Any]) -> Any:
    if array.ndim > 2:
        raise UnfitValueError(f"give at most two dimensions, not {array.ndim}")
    if array.size:
        return array.tolist()
    if max(array.shape) > 0:
        # MATLAB tells 0 x 3 from 0 x 0, which no list can.
        raise UnfitValueError("give [] for an empty value")
    return []


def to_scalar(value: Any, matlab_class: MatlabClass) -> Any:
    """Give the Python value that stands for a scalar, or for text.

    Raises
    ------
    UnfitValueError
        If the class cannot hold the value.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    return _SCALARS[matlab_class](value, matlab_class)


def _logical(value: Any, _: str) -> bool:
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return bool(value)
    raise UnfitValueError("give True or False")


def _text(value: Any, _: str) -> str:
    if not isinstance(value, str):
        raise UnfitValueError("give text")
    if not value.isascii() and any(ord(character) in _SURROGATES for character in value):
        raise UnfitValueError("give text that can be written as UTF-8")
    if not value.isprintable() and any(ord(character) < 32 for character in value):
        raise UnfitValueError("give text without line breaks or control characters")
    return str(value)


def _double(value: Any, matlab_class: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitValueError("give a number")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise UnfitValueError("give a finite number that a double can hold")
    number = float(value)
    if math.isnan(number):
        return NAN
    if matlab_class == "single" and math.isfinite(number):
        try:
            (number,) = struct.unpack("<f", struct.pack("<f", number))
        except OverflowError:
            raise UnfitValueError(
                f"give a number that a single can hold, up to {_LARGEST_SINGLE:g}"
            ) from None
    return number


def _integer(value: Any, matlab_class: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
        raise UnfitValueError("give a whole number")
    lowest, highest = _INTEGERS[matlab_class]
    if not lowest <= value <= highest:
        raise UnfitValueError(f"give a whole number from {lowest} to {highest}")
    return int(value)


_SCALARS: dict[str, Callable[[Any, str], Any]] = {
    "logical": _logical,
    "char": _text,
    "double": _double,
    "single": _double,
    **dict.fromkeys(_INTEGERS, _integer),
}


def _cell_elements(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        value = _nested(value)
    if not isinstance(value, list | tuple | range):
        raise UnfitValueError("give a list")
    return [_cell_element(element) for element in value]


def _cell_element(value: Any) -> Any:
    if isinstance(value, MatlabCell):
        return MatlabCell(_cell_elements(value))
    if isinstance(value, np.ndarray | MatlabArray):
        matlab_class = class_of(value)
        if matlab_class == "cell":
            return MatlabCell(_cell_elements(value))
        return _array(value, matlab_class)
    if isinstance(value, list | tuple | range):
        are_numbers = value and all(map(_is_number, value))
        return _array(value, "double") if are_numbers else MatlabCell(_cell_elements(value))
    if isinstance(value, bool | np.bool_ | str):
        return to_scalar(value, class_of(value))
    return to_scalar(value, "double")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _array(value: Any, matlab_class: MatlabClass) -> Any:
    converted = to_matlab(tuple(value) if isinstance(value, tuple) else value, matlab_class)
    if isinstance(converted, tuple):
        return MatlabArray(converted, matlab_class)
    is_plain = matlab_class in ("double", "logical")
    return converted if is_plain else MatlabArray([converted], matlab_class)


def is_equal(one: Any, other: Any) -> bool:
    """Compare as MATLAB's `isequal` does: by values, whatever their class; no NaN equals another.

    Parameters
    ----------
    one, other : object
        As `to_matlab` gives them for one class.
    """
    if isinstance(one, tuple) and isinstance(other, tuple):
        return (
            len(one) == len(other)
            and isinstance(one, MatlabArray) == isinstance(other, MatlabArray)
            and all(map(is_equal, one, other))
        )
    one, other = _unwrapped(one), _unwrapped(other)
    return not isinstance(one, NotANumber) and bool(one == other)


def _unwrapped(value: Any) -> Any:
    return value[0] if isinstance(value, MatlabArray) and len(value) == 1 else value


def contains_nan(value: Any) -> bool:
    """Tell whether a value is or holds a NaN."""
    if isinstance(value, tuple):
        return any(map(contains_nan, value))
    return isinstance(value, float) and math.isnan(value)


def is_finite(value: Any) -> bool:
    """Tell whether a value holds no NaN and nothing infinite."""
    if isinstance(value, tuple):
        return all(map(is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
