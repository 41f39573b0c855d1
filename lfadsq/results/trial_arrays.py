"""Arrays that lie in files, trial by trial, and are read when they are indexed.

Training and validation trials of a run lie in two files. `TrialArray` shows them as one array in
the order of the recording. It holds no file open: each reading opens what it needs and closes it
again, so that hundreds of arrays can be at hand, files can be moved or written anew, and arrays can
be pickled and read from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import storage_errors
from lfadsq.hdf5 import hdf5_for_reading

__all__ = ["FileTrials", "TrialArray", "TrialValues", "joined_trials"]

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]

_BLOCK_BYTES = 2**24


class TrialValues(Protocol):
    """What `TrialArray` and `numpy.ndarray` have in common; the first axis are trials."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class FileTrials:
    """A variable of an HDF5 file, whose first axis are trials.

    Attributes
    ----------
    path : Path
        The file.
    key : str
        The variable.
    trials : numpy.ndarray, shape (row,), int64
        Which trial each row is, as it is counted in the whole array, from 0.
    shape : tuple of int
        Of the variable when it was first looked at.
    first_column : int, default 0
        Where the columns that count begin on the last axis, if it has more.
    scale : float, optional
        What values are multiplied with; they are float64 then.
    """

    path: Path
    key: str
    trials: Indices
    shape: tuple[int, ...]
    first_column: int = 0
    scale: float | None = None


class TrialArray:
    """An array that lies in files, read when it is indexed.

    ``array[3:5]``, ``array[trials, :, 7]``, with whole numbers, slices, lists of indices or of
    bools: every axis by itself (as in xarray, not as NumPy does with several lists). Only the
    trials asked for are read. ``np.asarray(array)`` reads all.

    Parameters
    ----------
    parts : sequence of FileTrials
        Where the trials lie: each trial once.
    shape : tuple of int
        Of the whole array.
    dtype : numpy.dtype
        Type of the values.

    Raises
    ------
    ResultShapeError
        If the parts do not make up the trials.
    """

    def __init__(
        self, parts: Sequence[FileTrials], shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> None:
        self.parts = tuple(parts)
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        trials = np.concatenate([np.zeros(0, np.int64), *(part.trials for part in self.parts)])
        if not np.array_equal(np.sort(trials), np.arange(shape[0])):
            where = " and ".join(str(part.path) for part in self.parts)
            raise ResultShapeError(
                f"{where} hold {len(trials)} trials, which are not each of {shape[0]} once",
                "sample or prepare the run again",
            )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size once it is read [bytes]."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Read what is asked for.

        Raises
        ------
        IndexError
            If it is outside of the array.
        ResultNotReadyError
            If a file is not there any more.
        ResultShapeError
            If a file was written anew with other shapes.
        StorageError
            If a file cannot be read, or is damaged.
        """
        indices, dropped = _normalised(key, self.shape)
        values = self._read(indices)
        return values[tuple(0 if drop else slice(None) for drop in dropped)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("what lies in files cannot be had without a copy")
        values: Array = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        sizes = " x ".join(map(str, self.shape))
        return f"<{type(self).__name__} {sizes} {self.dtype}, in {len(self.parts)} files>"

    def scaled(self, scale: float) -> TrialArray:
        """Give the same array, times a number, in float64."""
        parts = [replace(part, scale=scale * (part.scale or 1.0)) for part in self.parts]
        return TrialArray(parts, self.shape, np.float64)

    def columns(self, first: int, number: int) -> TrialArray:
        """Give a range of the last axis."""
        parts = [replace(part, first_column=part.first_column + first) for part in self.parts]
        return TrialArray(parts, (*self.shape[:-1], number), self.dtype)

    def blocks(self, trials: Indices | None = None) -> Iterator[tuple[Indices, Array]]:
        """Read trials in the order that is quickest, so many at once as fit into a few megabytes.

        Parameters
        ----------
        trials : numpy.ndarray, shape (n,), int64, optional
            Which, from 0; by default all.

        Yields
        ------
        trials : numpy.ndarray, shape (block,), int64
        values : numpy.ndarray, shape (block, ...)
        """
        wanted = np.ones(len(self), dtype=bool)
        if trials is not None:
            wanted[:] = False
            wanted[trials] = True
        rest = [np.arange(length) for length in self.shape[1:]]
        for part in self.parts:
            rows = np.flatnonzero(wanted[part.trials])
            for chosen, values in self._read_rows(part, rows, rest):
                yield part.trials[rows[chosen]], values

    def _read(self, indices: Sequence[Indices]) -> Array:
        trials, rest = indices[0], indices[1:]
        values = np.empty(tuple(map(len, indices)), self.dtype)
        if not values.size:
            return values
        row_of = np.empty(len(self), np.int64)
        for part in self.parts:
            row_of[:] = -1
            row_of[part.trials] = np.arange(len(part.trials))
            targets = np.flatnonzero(row_of[trials] >= 0)
            # Sorted, as files are read from front to back.
            targets = targets[np.argsort(row_of[trials[targets]], kind="stable")]
            rows = row_of[trials[targets]]
            for chosen, block in self._read_rows(part, rows, rest):
                values[targets[chosen]] = block
        return values

    def _read_rows(
        self, part: FileTrials, rows: Indices, rest: Sequence[Indices]
    ) -> Iterator[tuple[slice, Array]]:
        """Read rows in ascending order, block by block; gives which of them, and their values."""
        if not len(rows):
            return
        spans = [slice(None), *map(_span, rest)]
        if rest:
            first = part.first_column
            spans[-1] = slice(spans[-1].start + first, spans[-1].stop + first)
        with _opened(part) as variable:
            row_bytes = variable.dtype.itemsize * int(np.prod(variable.shape[1:]))
            rows_per_chunk = variable.chunks[0] if variable.chunks else 1
            for chosen in _runs(rows, rows_per_chunk, max(_BLOCK_BYTES // max(row_bytes, 1), 1)):
                these = rows[chosen]
                spans[0] = _span(these)
                values = variable[tuple(spans)]
                for axis, index in enumerate((these, *rest)):
                    values = _picked(values, axis, index)
                if part.scale is not None:
                    values = np.multiply(values, part.scale, dtype=np.float64)
                yield chosen, values


def joined_trials(arrays: Sequence[TrialArray]) -> TrialArray:
    """Put the trials of several arrays one after another, without reading them.

    Raises
    ------
    ResultShapeError
        If their other axes differ.
    """
    rests = sorted({array.shape[1:] for array in arrays})
    if len(rests) != 1:
        raise ResultShapeError(
            f"arrays of other shapes than each other cannot be joined: {rests}",
            "leave out those that differ",
        )
    parts: list[FileTrials] = []
    num_trials = 0
    for array in arrays:
        parts += [replace(part, trials=part.trials + num_trials) for part in array.parts]
        num_trials += len(array)
    dtype = np.result_type(*(array.dtype for array in arrays))
    return TrialArray(parts, (num_trials, *rests[0]), dtype)


@contextmanager
def _opened(part: FileTrials) -> Iterator[h5py.Dataset]:
    """Open a file for one reading, and see that it is the one that was looked at before."""
    with storage_errors(part.path, "read"):
        is_there = part.path.exists()
    if not is_there:
        raise ResultNotReadyError(
            f"{part.path} is not there any more", "load again from where it is now"
        )
    with hdf5_for_reading(part.path) as stored:
        variable = stored.get(part.key)
        if getattr(variable, "shape", None) != part.shape:
            raise ResultShapeError(
                f"{part.key} of {part.path} is not what it was: the file was written anew",
                "load it again",
            )
        yield variable


def _normalised(key: Any, shape: tuple[int, ...]) -> tuple[list[Indices], list[bool]]:
    """Give the indices along each axis, and which axes were asked for by one number."""
    keys = list(key) if isinstance(key, tuple) else [key]
    num_given = sum(one is not Ellipsis for one in keys)
    if num_given > len(shape):
        raise IndexError(f"{num_given} indices for an array of {len(shape)} axes")
    fill = [slice(None)] * (len(shape) - num_given)
    at = next((number for number, one in enumerate(keys) if one is Ellipsis), len(keys))
    keys = [*keys[:at], *fill, *(one for one in keys[at:] if one is not Ellipsis)]
    indices = [_indices(one, length) for one, length in zip(keys, shape, strict=True)]
    return indices, [np.ndim(one) == 0 and not isinstance(one, slice) for one in keys]


def _indices(key: Any, length: int) -> Indices:
    if isinstance(key, slice):
        return np.arange(length)[key]
    index = np.atleast_1d(np.asarray(key))
    if index.ndim > 1 or (index.size and index.dtype.kind not in "biu"):
        raise IndexError(f"{key!r} is no number, slice or list of numbers")
    # NumPy looks after bools of a wrong length, negative numbers and what lies outside.
    chosen: Indices = np.arange(length)[index if index.size else index.astype(np.int64)]
    return chosen


def _span(index: Indices) -> slice:
    return slice(int(index.min()), int(index.max()) + 1)


def _picked(values: Array, axis: int, index: Indices) -> Array:
    within = index - index.min()
    if np.array_equal(within, np.arange(values.shape[axis])):
        return values
    picked: Array = values.take(within, axis=axis)
    return picked


def _runs(rows: Indices, rows_per_chunk: int, most_rows: int) -> Iterator[slice]:
    """Cut ascending rows into runs that one reading gives each, of at most about `most_rows`.

    A chunk is decompressed as a whole, whichever of its rows are wanted: all of them are taken
    from it at once. Files of the original have chunks of hundreds of rows.
    """
    chunk = rows // rows_per_chunk
    block = chunk // max(most_rows // rows_per_chunk, 1)
    gap, is_other_chunk = np.diff(rows) > 1, np.diff(chunk) > 0
    cuts = np.flatnonzero((gap & is_other_chunk) | (np.diff(block) > 0)) + 1
    edges = [0, *cuts.tolist(), len(rows)]
    yield from map(slice, edges[:-1], edges[1:])
