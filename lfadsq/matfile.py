"""Writing MAT v5 files with arrays too large to copy.

`scipy.io.savemat` copies an array several times before it is compressed. A MAT v5 file is a header
and then one element a variable, so small variables are written by SciPy, and each large array is
appended here as one more element, compressed as it streams by, or plain where that saves little.

References
----------
"MAT-File Format", The MathWorks, 2019: chapter 1, "Level 5 MAT-File Format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import scipy.io

from lfadsq.errors import DatasetError

__all__ = ["StreamedArray", "smallest_dtype", "write_mat"]

_MI_INT8, _MI_INT32, _MI_UINT32, _MI_MATRIX, _MI_COMPRESSED = 1, 5, 6, 14, 15
_MX_DOUBLE_CLASS = 6
# MATLAB itself stores doubles that are whole numbers in the smallest type that holds them.
_STORED_TYPES = {np.dtype("u1"): 2, np.dtype("<u2"): 4, np.dtype("<i4"): 5, np.dtype("<f8"): 9}
_LARGEST_ELEMENT_BYTES = 2**32 - 1024
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True, eq=False)
class StreamedArray:
    """An array of doubles for MATLAB, given in pieces.

    Parameters
    ----------
    shape : tuple of int
        As MATLAB sees it.
    dtype : numpy.dtype
        Of the pieces: ``u1``, ``<u2``, ``<i4`` or ``<f8``. MATLAB shows doubles in any case.
    pieces : iterable of numpy.ndarray
        C-contiguous arrays that, one after another, are the array in column-major order.
    compressed : bool, default True
        Whether to compress them: counts become far smaller, rates hardly.
    """

    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    pieces: Iterable[npt.NDArray[Any]]
    compressed: bool = True

    @property
    def num_bytes(self) -> int:
        """Size as it is stored, before it is compressed [bytes]."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def smallest_dtype(largest: float) -> np.dtype[Any]:
    """Give the smallest type that holds whole numbers from 0 to `largest`."""
    for dtype in ("u1", "<u2", "<i4"):
        if largest <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype("<f8")


def write_mat(
    path: Path, variables: Mapping[str, Any], streamed: Mapping[str, StreamedArray]
) -> None:
    """Write a MAT v5 file, readable by MATLAB's ``load`` and by `scipy.io.loadmat`.

    Parameters
    ----------
    path : Path
        The file; overwritten.
    variables : mapping of str to object
        Small variables, as for `scipy.io.savemat`.
    streamed : mapping of str to StreamedArray
        Large ones.

    Raises
    ------
    DatasetError
        If an array is larger than the format allows (4 GiB).
    OSError
        If the file cannot be written.
    """
    with path.open("wb") as stream:
        plain = {name: array for name, array in streamed.items() if not array.compressed}
        scipy.io.savemat(
            stream,
            dict(variables),
            # Only elements that are not compressed leave the next one where it may begin.
            do_compression=not plain,
            oned_as="column",
            long_field_names=True,
        )
        for name, array in plain.items():
            _append(stream, name, array)
        for name, array in streamed.items():
            if array.compressed:
                _append(stream, name, array)


def _append(stream: BinaryIO, name: str, array: StreamedArray) -> None:
    dtype = np.dtype(array.dtype)
    num_bytes = array.num_bytes
    if num_bytes > _LARGEST_ELEMENT_BYTES:
        raise DatasetError(
            f"{name} has {num_bytes} bytes, more than a MAT v5 file can hold in one variable",
            "use wider raw bins or fewer trials, or leave out the truth",
        )
    encoded_name = name.encode("ascii")
    contents = (
        struct.pack("<4I", _MI_UINT32, 8, _MX_DOUBLE_CLASS, 0)
        + _padded(
            struct.pack(f"<2I{len(array.shape)}i", _MI_INT32, 4 * len(array.shape), *array.shape)
        )
        + _padded(struct.pack("<2I", _MI_INT8, len(encoded_name)) + encoded_name)
        + struct.pack("<2I", _STORED_TYPES[dtype], num_bytes)
    )
    padding = b"\0" * (-num_bytes % 8)
    header = struct.pack("<2I", _MI_MATRIX, len(contents) + num_bytes + len(padding))

    if not array.compressed:
        stream.write(header + contents)
        for piece in array.pieces:
            stream.write(np.ascontiguousarray(piece, dtype).data)
        stream.write(padding)
        return
    start = stream.tell()
    stream.write(struct.pack("<2I", _MI_COMPRESSED, 0))
    compressor = zlib.compressobj(_COMPRESSION_LEVEL)
    stream.write(compressor.compress(header + contents))
    for piece in array.pieces:
        stream.write(compressor.compress(np.ascontiguousarray(piece, dtype).data))
    stream.write(compressor.compress(padding) + compressor.flush())
    end = stream.tell()
    stream.seek(start)
    stream.write(struct.pack("<2I", _MI_COMPRESSED, end - start - 8))
    stream.seek(end)


def _padded(element: bytes) -> bytes:
    return element + b"\0" * (-len(element) % 8)
