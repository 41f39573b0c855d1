"""Writing MAT v7.3 files, which hold variables of any size.

They are HDF5 with a header of their own and MATLAB's marks: each dataset and group says its class,
text is UTF-16, a cell holds references to datasets in ``#refs#``, and axes are reversed.

References
----------
"MAT-File Format", The MathWorks, 2019, for the header; that of v7.3 differs in version and text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.hdf5 import stream_aside
from lfadsq.matfile import StreamedArray

__all__ = ["write_mat73"]

_HEADER_BYTES = 512
_HEADER_TEXT = b"MATLAB 7.3 MAT-file, written by lfadsq, HDF5 schema 1.00 ."
_TEXT_BYTES = 116
_END_OF_HEADER = b"\0" * 8 + b"\x00\x02IM"
_CLASS, _DECODE, _EMPTY = "MATLAB_class", "MATLAB_int_decode", "MATLAB_empty"
_CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}
_REFERENCES = "#refs#"


def write_mat73(
    path: Path, variables: Mapping[str, Any], streamed: Mapping[str, StreamedArray]
) -> None:
    """Write a MAT v7.3 file.

    Parameters
    ----------
    path : Path
        The file; it appears complete or not at all.
    variables : mapping of str to object
        Numbers and arrays of numbers (vectors become columns), bools, text, sequences of texts or
        arrays (cells, n x 1), and mappings of these (structs).
    streamed : mapping of str to StreamedArray
        Large arrays of doubles.

    Raises
    ------
    StorageError
        If it cannot be written; an old file is then untouched.
    """
    with stream_aside(path) as stream:
        with h5py.File(stream, "w", userblock_size=_HEADER_BYTES) as stored:
            for name, value in variables.items():
                _write(stored, name, value)
            for name, array in streamed.items():
                _write_streamed(stored, name, array)
                stream.check()
        stream.seek(0)
        stream.write(_HEADER_TEXT.ljust(_TEXT_BYTES) + _END_OF_HEADER)


def _write(place: h5py.Group, name: str, value: Any) -> h5py.Dataset | h5py.Group:
    if isinstance(value, Mapping):
        group = place.create_group(name)
        group.attrs[_CLASS] = np.bytes_("struct")
        for field, one in value.items():
            _write(group, field, one)
        return group
    if isinstance(value, str):
        return _write_text(place, name, value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return _write_cell(place, name, list(value.ravel()))
    if isinstance(value, Sequence):
        return _write_cell(place, name, value)
    return _write_array(place, name, np.asarray(value))


def _write_array(place: h5py.Group, name: str, value: npt.NDArray[Any]) -> h5py.Dataset:
    matrix = value.reshape(-1, 1) if value.ndim < 2 else value
    matlab_class = _CLASSES.get(str(matrix.dtype), str(matrix.dtype))
    if not matrix.size:
        return _write_empty(place, name, matrix.shape, matlab_class)
    is_logical = matrix.dtype.kind == "b"
    stored = place.create_dataset(name, data=(matrix.astype(np.uint8) if is_logical else matrix).T)
    stored.attrs[_CLASS] = np.bytes_(matlab_class)
    if is_logical:
        stored.attrs[_DECODE] = np.int32(1)
    return stored


def _write_empty(
    place: h5py.Group, name: str, shape: tuple[int, ...], matlab_class: str
) -> h5py.Dataset:
    stored = place.create_dataset(name, data=np.array(shape, np.uint64))
    stored.attrs[_CLASS] = np.bytes_(matlab_class)
    stored.attrs[_EMPTY] = np.uint8(1)
    return stored


def _write_text(place: h5py.Group, name: str, text: str) -> h5py.Dataset:
    units = np.frombuffer(text.encode("utf-16-le", "replace"), "<u2")
    if not len(units):
        return _write_empty(place, name, (0, 0), "char")
    stored = place.create_dataset(name, data=units[:, None])
    stored.attrs[_CLASS] = np.bytes_("char")
    stored.attrs[_DECODE] = np.int32(2)
    return stored


def _write_cell(place: h5py.Group, name: str, values: Sequence[Any]) -> h5py.Dataset:
    if not values:
        return _write_empty(place, name, (0, 0), "cell")
    elements = place.file.require_group(_REFERENCES)
    references = [_write(elements, f"e{len(elements)}", value).ref for value in values]
    stored = place.create_dataset(name, (1, len(references)), dtype=h5py.ref_dtype)
    stored[0] = references
    stored.attrs[_CLASS] = np.bytes_("cell")
    return stored


def _write_streamed(place: h5py.Group, name: str, array: StreamedArray) -> None:
    # In column-major order of MATLAB's axes, which is row-major order of these axes reversed.
    stored = place.create_dataset(name, array.shape[::-1], np.float64)
    stored.attrs[_CLASS] = np.bytes_("double")
    first = 0
    for piece in array.pieces:
        stored[first : first + len(piece)] = piece
        first += len(piece)
