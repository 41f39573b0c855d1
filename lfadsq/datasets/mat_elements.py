"""The elements of MAT v5 files: whether all that a file announces is there."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_mat5"]

_HEADER_BYTES = 128
_TAG = struct.Struct("<2I")
_COMPRESSED = 15
_PIECE_BYTES = 2**20


def check_mat5(path: Path, *, whole: bool = False) -> None:
    """Refuse a MAT v5 file that was cut short.

    SciPy reads what is left of one without a word, if the variables asked for stood behind.

    Parameters
    ----------
    path : Path
        A MAT file of version 4 (of which nothing can be told) to 7.
    whole : bool, default False
        Read all of it, to see that its contents are not damaged either.

    Raises
    ------
    ValueError, zlib.error
        If it is truncated, or with `whole` if a variable is damaged.
    OSError
        If it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
        # Version 4 has no such header, and MATLAB on big-endian machines wrote "MI".
        if len(header) < _HEADER_BYTES or header[126:] != b"IM":
            return
        while stream.tell() < size:
            tag = stream.read(_TAG.size)
            if len(tag) < _TAG.size:
                raise ValueError("it is truncated")
            kind, num_bytes = _TAG.unpack(tag)
            end = stream.tell() + num_bytes
            if end > size:
                raise ValueError(f"it is truncated: {size} bytes, of {end} or more")
            if whole and kind == _COMPRESSED:
                _decompress(stream, num_bytes)
            stream.seek(end)


def _decompress(stream: BinaryIO, num_bytes: int) -> None:
    decompressor = zlib.decompressobj()
    while num_bytes > 0:
        piece = stream.read(min(num_bytes, _PIECE_BYTES))
        num_bytes -= len(piece)
        while piece and not decompressor.eof:
            decompressor.decompress(piece, _PIECE_BYTES)
            piece = decompressor.unconsumed_tail
    if not decompressor.eof:
        raise ValueError("one of its variables is incomplete")
