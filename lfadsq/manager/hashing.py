"""The six characters of ``param_<HASH>`` and ``data_<HASH>`` (FORMATS.md 2).

MATLAB hashed its own values: a typed stream of bytes goes into MD5, whose Base64 text is cut. The
names of folders on disk depend on every byte of it: change nothing here without a new collection
version.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable
from typing import Any

from lfadsq.manager.hyperparams import HyperParam, MatlabClass

__all__ = ["hash_of"]

_HASH_LENGTH = 6
_NUM_DIMS = 2
_UINT16_MAX = 2**16 - 1


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
        stream += hyper.name.encode("ascii") + _typed(value, hyper.matlab_class)
    digest = hashlib.md5(stream, usedforsecurity=False).digest()
    return base64.b64encode(digest, altchars=b"-_").decode("ascii")[:_HASH_LENGTH]


def _header(matlab_class: str, num_rows: int, num_columns: int) -> bytes:
    return matlab_class.encode("ascii") + struct.pack("<3Q", _NUM_DIMS, num_rows, num_columns)


def _row_header(matlab_class: str, length: int) -> bytes:
    # MATLAB's '', [] and {} are 0 x 0; everything else here is one row.
    return _header(matlab_class, 1, length) if length else _header(matlab_class, 0, 0)


def _typed(value: Any, matlab_class: MatlabClass) -> bytes:
    if matlab_class == "char":
        units: bytes = value.encode("utf-16-le")
        return _row_header("char", len(units) // 2) + units
    if matlab_class == "cell":
        return _row_header("cell", len(value)) + b"".join(map(_element, value))
    if matlab_class == "logical":
        return _header("logical", 1, 1) + bytes([value])
    if matlab_class == "double":
        numbers = value if isinstance(value, tuple) else (value,)
        return _row_header("double", len(numbers)) + struct.pack(f"<{len(numbers)}d", *numbers)
    return _narrowed(value)


def _narrowed(value: int) -> bytes:
    matlab_class, code = ("uint16", "<H") if value <= _UINT16_MAX else ("uint32", "<I")
    return _header(matlab_class, 1, 1) + struct.pack(code, value)


def _element(value: Any) -> bytes:
    """Give the stream of an element of a cell, whose class follows from its Python type."""
    if isinstance(value, bool):
        return _typed(value, "logical")
    if isinstance(value, str):
        return _typed(value, "char")
    if isinstance(value, int | float):
        return _typed(value, "double")
    numbers_only = value and all(type(element) in (int, float) for element in value)
    return _typed(value, "double" if numbers_only else "cell")
