"""From the variables of a file to the recording that the manager expects.

A recording is a dict with ``spikes`` (trial, channel, time), ``timeMs``, and, where they are known,
``conditionId``, ``true_rates`` (trial, channel, time) and ``externalInputs`` (trial, input, time).
Files made for training hold (trial, time, channel) instead, in ``train_data`` and ``valid_data``,
in ``data``, or under the names of the Neural Latents Benchmark. No value changes its type here, so
floats (calcium, field potentials) stay floats.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from lfadsq.errors import DatasetError

__all__ = ["as_recording", "list_variables"]

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
_Lengths = tuple[int | None, int | None, int | None]

_SPLITS = ("train", "valid")
_KINDS = {"data": "spikes", "truth": "true_rates", "ext_input": "externalInputs"}
_BESIDE = {
    "true_rates": ("train_truth", "valid_truth"),
    "externalInputs": ("train_ext_input", "valid_ext_input"),
}
_SCHEMES: tuple[dict[str, tuple[str, str]], ...] = (
    {"spikes": ("train_data", "valid_data"), **_BESIDE},
    {
        "spikes": ("train_encod_data", "valid_encod_data"),
        "reconSpikes": ("train_recon_data", "valid_recon_data"),
        **_BESIDE,
    },
    {
        "spikes": ("train_spikes_heldin", "eval_spikes_heldin"),
        "heldoutSpikes": ("train_spikes_heldout", "eval_spikes_heldout"),
        **_BESIDE,
    },
)
"""What trials that train and trials that validate are called in files, by name in a recording."""
_AXES = ("trial", "channel", "time")


def as_recording(
    variables: Mapping[str, Any], path: Path, *, bin_ms: float | None = None
) -> dict[str, Any]:
    """Arrange the variables of a file as a recording.

    Parameters
    ----------
    variables : mapping of str to object
        What `load_recording` read.
    path : Path
        The file, for messages.
    bin_ms : float, optional [ms]
        Width of a bin. It is needed where the file does not tell it as ``timeMs`` or ``bin_ms``.

    Returns
    -------
    dict of str to object
        All variables, with these changes:

        - ``train_data`` and ``valid_data``, or ``data``, (trial, time, channel) become ``spikes``,
          and likewise ``truth`` and ``ext_input``. Trials of both splits are put in the order of
          ``train_inds`` and ``valid_inds`` (from 1); without these, those that train come first.
          Truth and external inputs are multiplied by ``conversion_factor``: sums over raw bins
          become means again.
        - So do ``train_spikes_heldin`` and ``eval_spikes_heldin`` (of the Neural Latents Benchmark;
          trials that train come first): the model sees the channels that are held in alone. Those
          held out, ``train_spikes_heldout`` and ``eval_spikes_heldout``, become ``heldoutSpikes``
          (trial, channel, time), to score by; where some trials lack them they stay as they are.
        - So do ``train_encod_data`` and ``valid_encod_data``, what a model encodes. What it is to
          reconstruct, ``train_recon_data`` and ``valid_recon_data``, becomes ``reconSpikes``.
        - A cell of MATLAB with one matrix (channel, time) for each trial becomes one array.
        - An axis of length one that was squeezed away comes back where ``timeMs`` and
          ``conditionId`` tell which it was.
        - ``timeMs`` is added where only the width of the bins is known.

    Raises
    ------
    DatasetError
        If splits do not fit each other, the width of the bins of such a file is unknown, it cannot
        be told which axis is missing, or axes seem to be in another order.
    """
    recording = dict(variables)
    is_trainer_layout = "spikes" not in recording
    if is_trainer_layout:
        scheme = next((s for s in _SCHEMES if any(n in recording for n in s["spikes"])), None)
        if scheme is not None:
            _join_splits(recording, path, scheme)
        elif _is_trials(recording.get("data")):
            _put_time_last(recording, path)
        else:
            is_trainer_layout = False
    if "spikes" not in recording:
        return recording
    for name in _KINDS.values():
        if isinstance(recording.get(name), list):
            recording[name] = _stacked(recording[name], name, path)
    _add_times(recording, path, bin_ms, is_required=is_trainer_layout)
    _restore_axes(recording, path)
    _check_order(recording, path)
    return recording


def list_variables(variables: Mapping[str, Any]) -> str:
    """List what a file holds, for messages.

    Examples
    --------
    >>> list_variables({"counts": np.zeros((2, 3)), "subject": "J"})
    'counts (2, 3), subject'
    """
    return ", ".join(
        f"{name} {value.shape}" if isinstance(value, np.ndarray) else name
        for name, value in variables.items()
    )


# --- files made for training ----------------------------------------------------------------------


def _join_splits(
    recording: dict[str, Any], path: Path, scheme: Mapping[str, tuple[str, str]]
) -> None:
    num_trials = [
        0 if (data := recording.get(name)) is None else len(_three_axes(data, name, path))
        for name in scheme["spikes"]
    ]
    order = _trial_order(recording, num_trials, path)
    factor = _conversion_factor(recording)
    for kind, names in scheme.items():
        has = [recording.get(name) is not None for name in names]
        needed = [bool(count) for count in num_trials] if any(num_trials) else has
        lacks = [name for name, need, given in zip(names, needed, has, strict=True) if need > given]
        if not any(has) or (lacks and kind == "heldoutSpikes"):
            continue
        if lacks:
            raise DatasetError(
                f"{path} has no {lacks[0]}, but has it for the other trials",
                "write it for all trials, or for none",
            )
        arrays = []
        for name, count, need in zip(names, num_trials, needed, strict=True):
            value = recording.pop(name, None)
            if not need:
                continue
            array = _three_axes(value, name, path)
            if len(array) != count:
                raise DatasetError(
                    f"{path}: {name} has {len(array)} trials, "
                    f"{scheme['spikes'][names.index(name)]} has {count}",
                    "write both for the same trials",
                )
            arrays.append(array)
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) > 1:
            raise DatasetError(
                f"{path}: {' and '.join(names)} differ in time or channels: "
                f"{' and '.join(map(str, sorted(shapes)))}",
                "write both with the same bins and channels",
            )
        joined = np.concatenate(arrays)
        if np.any(np.diff(order) != 1):
            joined = joined[order]
        recording[kind] = _time_last(joined, factor if kind in _BESIDE else 1.0)


def _put_time_last(recording: dict[str, Any], path: Path) -> None:
    factor = _conversion_factor(recording)
    for kind, name in _KINDS.items():
        if kind in recording:
            array = _three_axes(recording.pop(kind), kind, path)
            recording[name] = _time_last(array, 1.0 if kind == "data" else factor)


def _time_last(array: Array, factor: float) -> Array:
    transposed: Array = array.transpose(0, 2, 1)
    return transposed if factor == 1 else transposed * np.float64(factor)


def _is_trials(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 3 and value.dtype.kind in "biuf"


def _three_axes(value: Any, name: str, path: Path) -> Array:
    if not _is_trials(value):
        is_array = isinstance(value, np.ndarray)
        found = f"of shape {value.shape} and type {value.dtype}" if is_array else "no array"
        raise DatasetError(
            f"{path}: {name} is {found}", "give numbers with the axes (trial, time, channel)"
        )
    array: Array = value
    return array


def _trial_order(recording: dict[str, Any], num_trials: list[int], path: Path) -> Array:
    """Give the order that puts joined trials in the order in which they were recorded."""
    num_all = sum(num_trials)
    indices = [recording.pop(f"{split}_inds", None) for split in _SPLITS]
    stored = [inds for inds, count in zip(indices, num_trials, strict=True) if count]
    if any(inds is None for inds in stored) or not stored:
        return np.arange(num_all)
    numbers = np.concatenate([np.asarray(inds, dtype=np.float64).ravel() for inds in stored])
    if len(numbers) != num_all or len(set(numbers.tolist())) != num_all:
        raise DatasetError(
            f"{path}: train_inds and valid_inds hold {len(set(numbers.tolist()))} different trial "
            f"numbers for {num_all} trials",
            "give each trial a number of its own, or leave both out",
        )
    order: Array = np.argsort(numbers)
    return order


def _conversion_factor(recording: dict[str, Any]) -> float:
    given = np.asarray(recording.pop("conversion_factor", 1.0), dtype=np.float64).ravel()
    return float(given[0]) if len(given) else 1.0


# --- one matrix for each trial --------------------------------------------------------------------


def _stacked(trials: list[Any], name: str, path: Path) -> Array:
    matrices = [trial.toarray() if scipy.sparse.issparse(trial) else trial for trial in trials]
    for number, matrix in enumerate(matrices, start=1):
        is_array = isinstance(matrix, np.ndarray)
        if not is_array or matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
            raise DatasetError(
                f"{path}: trial {number} of {name} is no matrix of numbers",
                "give each trial as (channel, time)",
            )
    shapes = sorted({matrix.shape for matrix in matrices})
    if len(shapes) > 1:
        raise DatasetError(
            f"{path}: the trials of {name} differ in shape, from {shapes[0]} to {shapes[-1]}",
            "LFADS takes trials of one length and the same channels: cut them in load_data",
        )
    return np.stack(matrices) if matrices else np.zeros((0, 0, 0))


# --- time and axes --------------------------------------------------------------------------------


def _add_times(
    recording: dict[str, Any], path: Path, bin_ms: float | None, *, is_required: bool
) -> None:
    if "timeMs" in recording:
        return
    if bin_ms is None and "bin_ms" in recording:
        widths = np.asarray(recording["bin_ms"]).ravel()
        bin_ms = float(widths[0]) if len(widths) == 1 and widths.dtype.kind in "iuf" else None
    if bin_ms is not None:
        if not (np.isfinite(bin_ms) and bin_ms > 0):
            raise DatasetError(
                f"the bins of {path} are said to be {bin_ms:g} ms wide", "give a positive width"
            )
        recording["timeMs"] = np.arange(np.shape(recording["spikes"])[-1]) * float(bin_ms)
    elif is_required:
        raise DatasetError(
            f"{path} does not tell how wide its bins are",
            "set raw_bin_ms in your Dataset class, or write timeMs or bin_ms into the file",
        )


def _length(recording: Mapping[str, Any], name: str) -> int | None:
    value = recording.get(name)
    if isinstance(value, list):
        return len(value) or None
    return value.size or None if isinstance(value, np.ndarray | np.generic) else None


def _restore_axes(recording: dict[str, Any], path: Path) -> None:
    """Bring back axes of length one, which MATLAB drops at the end and ``squeeze`` anywhere."""
    num_bins, num_trials = _length(recording, "timeMs"), _length(recording, "conditionId")
    for name in ("spikes", "true_rates", "externalInputs"):
        array = recording.get(name)
        if not isinstance(array, np.ndarray) or array.ndim != 2 or array.size == 0:
            continue
        expected: _Lengths = (num_trials, None, num_bins)
        spikes = recording["spikes"]
        if name != "spikes" and np.ndim(spikes) == 3:
            num_channels = spikes.shape[1] if name == "true_rates" else None
            expected = (spikes.shape[0], num_channels, spikes.shape[2])
        axes = _missing_axes(array.shape, expected)
        if len(axes) == 1:
            recording[name] = np.expand_dims(array, axes[0])
            _log.info("%s: took %s of shape %s for one %s", path, name, array.shape, _AXES[axes[0]])
        elif len(axes) > 1:
            raise DatasetError(
                f"{path}: {name} have two axes, {array.shape}, and nothing tells whether there is "
                f"one {' or one '.join(_AXES[axis] for axis in axes)}",
                f"add it in load_data, for example {name}[:, None, :] for one channel",
            )


def _missing_axes(shape: tuple[int, ...], expected: _Lengths) -> list[int]:
    """List the axes of length one, any of which would make a shape as expected."""
    if expected == (None, None, None):
        return []
    axes: dict[tuple[int, ...], int] = {}
    for axis in range(3):
        full = (*shape[:axis], 1, *shape[axis:])
        if all(known in (None, length) for known, length in zip(expected, full, strict=True)):
            axes.setdefault(full, axis)  # beside another of length one, either is the same
    return list(axes.values())


def _check_order(recording: Mapping[str, Any], path: Path) -> None:
    """Refuse axes that fit times and conditions only in another order."""
    spikes = recording["spikes"]
    if not isinstance(spikes, np.ndarray) or spikes.ndim != 3:
        return
    num_bins, num_trials = _length(recording, "timeMs"), _length(recording, "conditionId")

    def fits(shape: tuple[int, ...]) -> bool:
        return num_trials in (None, shape[0]) and num_bins in (None, shape[2])

    if fits(spikes.shape):
        return
    orders = [
        order for order in permutations(range(3)) if fits(tuple(spikes.shape[i] for i in order))
    ]
    if not orders:
        return
    # Where several orders fit, the likely one is that of MATLAB and of HDF5, reversed.
    order = (2, 1, 0) if (2, 1, 0) in orders else orders[0]
    axes = ", ".join(_AXES[order.index(axis)] for axis in range(3))
    known = [
        f"{count} {noun}"
        for count, noun in ((num_trials, "condition ids"), (num_bins, "times"))
        if count is not None
    ]
    raise DatasetError(
        f"{path}: spikes of shape {spikes.shape} are not (trial, channel, time): there are "
        f"{' and '.join(known)}, so they seem to be ({axes})",
        f'if they are, in load_data, put the axes in order: data["spikes"].transpose{order}',
    )
