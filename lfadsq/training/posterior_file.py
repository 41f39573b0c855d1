"""Files of posterior means (FORMATS.md 6), written while they are computed.

Records of trials gather in a journal, compressed as HDF5 has them. When the last is there, the file
is put together without computing or compressing anything again, and the journal goes.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfadsq.files import remove_asides, storage_errors, written_aside
from lfadsq.training.journal import TrialJournal, journal_path

__all__ = ["PosteriorFile", "fingerprint", "is_complete"]

Arrays = Mapping[str, NDArray[Any]]

_VERSION = 1
"""Of journals. Raise it with any change of what they hold: older ones are then begun anew."""

_ATTRIBUTE = "lfadsq_fingerprint"
_FLUSH_INTERVAL_S = 5.0
_COMPRESSION_LEVEL = 4  # that of HDF5 and h5py
_OVERHEAD_BYTES = 2**20
_OVERHEAD_BYTES_PER_CHUNK = 256


def fingerprint(described: object, arrays: Sequence[NDArray[Any]]) -> str:
    """Give a text that differs if anything does that results depend on.

    Parameters
    ----------
    described : object
        Settings; their `repr` must tell them apart.
    arrays : sequence of ndarray
        Weights and data.
    """
    digest = blake2b(repr(described).encode(), digest_size=16)
    for array in arrays:
        contiguous = np.ascontiguousarray(array)
        digest.update(repr((contiguous.shape, contiguous.dtype.str)).encode())
        digest.update(contiguous.view(np.uint8).data if contiguous.size else b"")
    return digest.hexdigest()


def is_complete(path: Path, expected: str) -> bool:
    """Tell whether a file holds just the results of that fingerprint.

    If it does, what is left of its journal is removed: the process may have been killed between
    the two.
    """
    try:
        with h5py.File(path, "r") as file:
            complete = bool(file.attrs.get(_ATTRIBUTE) == expected)
    except OSError:
        return False
    if complete:
        with suppress(OSError):
            journal_path(path).unlink(missing_ok=True)
    return complete


class PosteriorFile:
    """The posterior means of some trials on their way to a file.

    Use it as a context, add trials in order, and finish it. What was added before the process was
    killed is there again the next time.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        `fingerprint` of the results.
    portions : sequence of int
        How much is computed at once, which shows in the last digits: a journal that is continued
        tells its own.

    Attributes
    ----------
    portions : tuple of int
        Those to use.

    Raises
    ------
    RunError
        If another process writes the same file.
    StorageError
        If the journal cannot be read or written.
    """

    def __init__(self, path: Path, expected: str, portions: Sequence[int]) -> None:
        self.path = path
        header = {"version": _VERSION, "fingerprint": expected, "portions": list(portions)}
        self._fingerprint = expected
        self._journal = TrialJournal(path, header, compared=("version", "fingerprint"))
        remove_asides(path)
        self.portions: tuple[int, ...] = tuple(self._journal.header["portions"])
        self._flushed_at = time.monotonic()

    def __enter__(self) -> PosteriorFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.close()

    @property
    def num_trials(self) -> int:
        """Trials added so far, also by earlier processes."""
        return self._journal.num_trials

    def add(self, arrays: Arrays) -> None:
        """Add the next trials.

        Parameters
        ----------
        arrays : mapping of str to ndarray, each of shape (trial, ...)

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        for trial in range(len(next(iter(arrays.values())))):
            pieces = []
            for name, values in arrays.items():
                row = np.asarray(values[trial], dtype="<f8", order="C")
                pieces += [name.encode(), ",".join(map(str, row.shape)).encode(), _stored(row)]
            self._journal.append(pieces)
        if time.monotonic() - self._flushed_at > _FLUSH_INTERVAL_S:
            self._journal.flush()
            self._flushed_at = time.monotonic()

    def finish(self) -> None:
        """Put the file together.

        Raises
        ------
        StorageError
            If it cannot be written; the journal stays, and an older file too.
        """
        with written_aside(self.path) as aside:
            self._reserve_space()
            self._write(aside)
        self._journal.remove()

    def _write(self, aside: Path) -> None:
        small: dict[str, list[NDArray[np.float64]]] = {}
        with h5py.File(aside, "w") as file:
            file.attrs[_ATTRIBUTE] = self._fingerprint
            for trial, pieces in enumerate(self._journal.records()):
                for name, shape, stored in _triples(pieces):
                    if len(shape) < 2:
                        values = np.frombuffer(stored, "<f8").reshape(shape)
                        small.setdefault(name, []).append(values)
                        continue
                    if name not in file:
                        file.create_dataset(
                            name,
                            (self.num_trials, *shape),
                            np.float64,
                            chunks=(1, *shape),
                            compression="gzip",
                            compression_opts=_COMPRESSION_LEVEL,
                        )
                    file[name].id.write_direct_chunk((trial, *(0 for _ in shape)), stored)
            for name, rows in small.items():
                file.create_dataset(name, data=np.stack(rows), compression="gzip")

    def _reserve_space(self) -> None:
        # HDF5 ends the process with a segmentation fault when it cannot write what it holds.
        size = self._journal.num_bytes + _OVERHEAD_BYTES
        size += self.num_trials * 8 * _OVERHEAD_BYTES_PER_CHUNK
        with storage_errors(self.path, "write"), tempfile.TemporaryFile(dir=self.path.parent) as f:
            os.posix_fallocate(f.fileno(), 0, size)


def _stored(row: NDArray[np.float64]) -> bytes:
    """Give the bytes of one trial as HDF5 stores them, large ones compressed."""
    if row.ndim < 2:
        return row.tobytes()
    return zlib.compress(row.data, _COMPRESSION_LEVEL)


def _triples(pieces: list[bytes]) -> list[tuple[str, tuple[int, ...], bytes]]:
    triples = []
    for name, shape, stored in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        lengths = tuple(int(text) for text in shape.decode().split(",") if text)
        triples.append((name.decode(), lengths, stored))
    return triples
