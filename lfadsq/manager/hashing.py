"""The six characters of ``param_<HASH>`` and ``data_<HASH>`` (FORMATS.md 2).

MATLAB hashed its own values: a typed stream of bytes goes into MD5, whose Base64 text is cut. The
names of folders on disk depend on every byte of it: change nothing here without a new collection
version.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from lfadsq.manager.hyperparams import HyperParam
from lfadsq.manager.matlab_values import MatlabArray

__all__ = ["hash_of", "typed_stream"]

_HASH_LENGTH = 6
_NUM_DIMS = 2
_CODES = {
    "logical": "?",
    "double": "d",
    "single": "f",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
}
# MATLAB's NaN has its sign bit set, on x86 at least; `num2hex` is documented to show it so.
_NANS = {"double": bytes.fromhex("000000000000f8ff"), "single": bytes.fromhex("0000c0ff")}


def hash_of(values: Iterable[tuple[HyperParam, Any]]) -> str:
    """Hash hyperparameters as MATLAB hashes the struct of them.

    Parameters
    ----------
    values : iterable of (HyperParam, value)
        The hyperparameters that count, with values as `HyperParam.convert` gives them.

    Returns
    -------
    str
        Six characters of ``A-Z a-z 0-9 - _``.
    """
    stream = _header("struct", 1, 1)
    for hyper, value in sorted(values, key=lambda pair: pair[0].name):
        stream += hyper.name.encode("ascii") + typed_stream(value, hyper.matlab_class)
    digest = hashlib.md5(stream, usedforsecurity=False).digest()
    return base64.b64encode(digest, altchars=b"-_").decode("ascii")[:_HASH_LENGTH]


def typed_stream(value: Any, matlab_class: str) -> bytes:
    """Give what the digest is fed for a value: its class, its dimensions, its contents.

    Parameters
    ----------
    value : object
        As `lfadsq.manager.matlab_values.to_matlab` gives it.
    matlab_class : str
        Its class.
    """
    if matlab_class == "char":
        units: bytes = value.encode("utf-16-le")
        return _row_header("char", len(units) // 2) + units
    if matlab_class == "cell":
        return _row_header("cell", len(value)) + b"".join(map(_element, value))
    if not isinstance(value, tuple):
        return _numbers(matlab_class, 1, (value,))
    if value and isinstance(value[0], tuple):
        column_major = [number for column in zip(*value, strict=True) for number in column]
        return _numbers(matlab_class, len(value), column_major)
    return _numbers(matlab_class, 1, value)


def _header(matlab_class: str, num_rows: int, num_columns: int) -> bytes:
    return matlab_class.encode("ascii") + struct.pack("<3Q", _NUM_DIMS, num_rows, num_columns)


def _row_header(matlab_class: str, length: int) -> bytes:
    # MATLAB's '', [] and {} are 0 x 0.
    return _header(matlab_class, 1, length) if length else _header(matlab_class, 0, 0)


def _numbers(matlab_class: str, num_rows: int, numbers: Sequence[Any]) -> bytes:
    if not numbers:
        return _header(matlab_class, 0, 0)
    stored_class = _narrowed(matlab_class, numbers)
    code = "<" + _CODES[stored_class]
    nan = _NANS.get(stored_class, b"")
    header = _header(stored_class, num_rows, len(numbers) // num_rows)
    return header + b"".join(
        nan if nan and math.isnan(number) else struct.pack(code, number) for number in numbers
    )


def _narrowed(matlab_class: str, numbers: Sequence[int]) -> str:
    """Give the class as which integers are hashed; empty ones keep theirs, as do small ones."""
    if matlab_class in ("uint32", "uint64"):
        largest = max(numbers)
        if largest < 2**16:
            return "uint16"
        return "uint32" if largest < 2**32 else matlab_class
    if matlab_class in ("int32", "int64"):
        smallest, largest = min(numbers), max(numbers)
        if smallest >= -(2**15) and largest < 2**15:
            return "int16"
        # LFADS Run Manager leaves out the largest int32 here (`<` where `<=` was meant).
        return "int32" if smallest >= -(2**31) and largest < 2**31 - 1 else matlab_class
    return matlab_class


def _element(value: Any) -> bytes:
    """Give the stream of an element of a cell, whose class follows from its Python type."""
    if isinstance(value, MatlabArray):
        return typed_stream(value, value.matlab_class)
    if isinstance(value, bool):
        return typed_stream(value, "logical")
    if isinstance(value, str):
        return typed_stream(value, "char")
    return typed_stream(value, "cell" if isinstance(value, tuple) else "double")
