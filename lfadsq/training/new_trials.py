"""Trials that a trained model is to be applied to, from the files that people have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from lfadsq.errors import DatasetError
from lfadsq.files import check_readable, storage_errors
from lfadsq.manager.recordings import load_recording

__all__ = ["WHICH", "NewTrials", "read_trials", "stored_numbers"]

WHICH = ("all", "train", "valid")
"""Which trials of a file that holds training and validation trials."""

_SPLITS = ("train", "valid")
_NPY_MAGIC = b"\x93NUMPY"
_AXES = "(trial, time, channel)"


class NewTrials(NamedTuple):
    """Trials as a file holds them.

    Attributes
    ----------
    data : ndarray, shape (trial, time, channel)
    ext_input : ndarray, shape (trial, time, input), optional
    numbers : ndarray, shape (trial,), int64
        The number of each trial, from 0.
    """

    data: NDArray[Any]
    ext_input: NDArray[Any] | None
    numbers: NDArray[np.int64]


def stored_numbers(path: Path, split: str, num_trials: int) -> NDArray[np.int64]:
    """Give the numbers of the trials of a split (FORMATS.md 4), from 0.

    Without any in the file, or with some that cannot be, trials are numbered as they come.

    Parameters
    ----------
    path : Path
        Input file of the trainer.
    split : {"train", "valid"}
    num_trials : int
    """
    try:
        with h5py.File(path, "r") as file:
            stored = file[f"{split}_inds"][()]
    except (OSError, KeyError, TypeError):
        stored = None
    return _numbers(stored, num_trials)


def read_trials(path: Path, which: str = "all", key: str | None = None) -> NewTrials:
    """Read trials.

    Parameters
    ----------
    path : Path
        HDF5, ``.npz``, ``.npy`` or MAT file. It holds ``train_data`` and ``valid_data``, as the
        trainer's input does, or one array of three axes, if there are more called ``data``; and
        ``ext_input`` if the model has external inputs.
    which : {"all", "train", "valid"}
        Which trials of the trainer's input; all in the order of their numbers.
    key : str, optional
        The array to take.

    Raises
    ------
    DatasetError
        If there is no such file or array.
    StorageError
        If it cannot be read.
    """
    arrays = _read(path)
    present = [split for split in _SPLITS if f"{split}_data" in arrays]
    if key is not None or not present:
        name = _the_only(arrays, path) if key is None else key
        data = _three_axes(_found(arrays, name, path), name, path)
        return NewTrials(data, arrays.get("ext_input"), np.arange(len(data)))
    chosen = present if which == "all" else [which]
    numbers, parts = [], []
    for split in chosen:
        name = f"{split}_data"
        data = _three_axes(_found(arrays, name, path), name, path)
        numbers.append(_numbers(arrays.get(f"{split}_inds"), len(data)))
        parts.append((data, arrays.get(f"{split}_ext_input")))
    parts = [part for part in parts if len(part[0])] or parts[:1]
    if len({array.shape[1:] for array, _ in parts}) > 1:
        raise DatasetError(
            f"{path}: training and validation trials differ in their numbers of bins or channels",
            "apply the model to each by itself: --trials train, then --trials valid",
        )
    inputs = [ext_input for _, ext_input in parts if ext_input is not None]
    joined = NewTrials(
        np.concatenate([array for array, _ in parts]),
        np.concatenate(inputs) if len(inputs) == len(parts) else None,
        np.concatenate(numbers),
    )
    has_numbers = all(f"{split}_inds" in arrays for split in chosen)
    if len(set(joined.numbers.tolist())) < len(joined.numbers) or not has_numbers:
        return joined._replace(numbers=np.arange(len(joined.data)))
    order = np.argsort(joined.numbers)
    ext_input = None if joined.ext_input is None else joined.ext_input[order]
    return NewTrials(joined.data[order], ext_input, joined.numbers[order])


def _read(path: Path) -> Mapping[str, Any]:
    with storage_errors(path, "read"):
        is_file = path.is_file()
    if is_file:
        check_readable(path)
        with path.open("rb") as file:
            is_npy = file.read(len(_NPY_MAGIC)) == _NPY_MAGIC
        if is_npy:
            try:
                return {"data": np.load(path, allow_pickle=False)}
            except (ValueError, EOFError) as error:
                raise DatasetError(f"cannot read {path}: {error}", "make it again") from error
    return load_recording(path)


def _numbers(stored: Any, num_trials: int) -> NDArray[np.int64]:
    if stored is not None:
        values = np.asarray(stored).ravel()
        if values.shape == (num_trials,) and values.dtype.kind in "iuf" and (values >= 1).all():
            return values.astype(np.int64) - 1
    return np.arange(num_trials)


def _the_only(arrays: Mapping[str, Any], path: Path) -> str:
    if "data" in arrays:
        return "data"
    names = [n for n, a in arrays.items() if getattr(a, "ndim", 0) == 3 and n != "ext_input"]
    if len(names) == 1:
        return names[0]
    raise DatasetError(
        f"{path} holds {'several arrays' if names else 'no array'} of three axes {_AXES}: it has "
        f"{_listed(arrays)}",
        "name the array with --key" if names else "give spike counts as one array with these axes",
    )


def _found(arrays: Mapping[str, Any], name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise DatasetError(f"{path} has no {name}: it has {_listed(arrays)}", "name one of these")
    array = arrays[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DatasetError(f"{path}: {name} is no array of numbers", "name another")
    return array


def _three_axes(array: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    if array.ndim == 2:
        return array[:, :, np.newaxis]  # MATLAB drops the last axis of one channel
    if array.ndim != 3:
        raise DatasetError(
            f"{path}: {name} has shape {array.shape}, but needs the axes {_AXES}",
            "arrange it so",
        )
    return array


def _listed(arrays: Mapping[str, Any]) -> str:
    shapes = [f"{name} {getattr(array, 'shape', '')}".strip() for name, array in arrays.items()]
    return ", ".join(shapes[:12]) or "nothing"
