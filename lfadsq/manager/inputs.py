"""The trainer's input: splitting trials, re-binning counts, and the two files of a dataset.

``lfads_<dataset>.h5`` is what the trainer reads; ``inputInfo_<dataset>.mat`` tells people and
MATLAB what is in it (FORMATS.md 4).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.errors import DatasetError, StorageError
from lfadsq.files import check_readable, storage_errors, written_aside
from lfadsq.hdf5 import hdf5_written_aside
from lfadsq.manager.counts import DatasetCounts, TrialValues, trial_blocks
from lfadsq.matfile import StreamedArray, smallest_dtype, write_mat

__all__ = [
    "InputShape",
    "add_alignment",
    "bins_per_spike_bin",
    "rebin",
    "split_trials",
    "write_input_h5",
    "write_input_info",
]

Array = npt.NDArray[Any]

_GZIP_LEVEL = 1


@dataclass(frozen=True)
class InputShape:
    """Size of the trainer's input of one dataset.

    Attributes
    ----------
    num_train, num_valid : int
        Trials in each split.
    num_bins, num_channels, num_inputs : int
        Time bins, channels and external inputs of a trial.
    """

    num_train: int
    num_valid: int
    num_bins: int
    num_channels: int
    num_inputs: int

    @classmethod
    def of_counts(
        cls, counts: DatasetCounts, spike_bin_ms: float, train_to_test_ratio: int, dataset_name: str
    ) -> InputShape:
        """Foresee the size that counts will have.

        Raises
        ------
        DatasetError
            If the bins do not fit the raw bins or the trials (see `bins_per_spike_bin`).
        """
        num_trials, num_channels, num_raw_bins = counts.counts.shape
        assert counts.bin_ms is not None
        factor = bins_per_spike_bin(spike_bin_ms, counts.bin_ms, num_raw_bins, dataset_name)
        train, valid = split_trials(num_trials, train_to_test_ratio)
        inputs = counts.external_inputs
        num_inputs = 0 if inputs is None else inputs.shape[1]
        return cls(len(train), len(valid), num_raw_bins // factor, num_channels, num_inputs)

    @classmethod
    def of_file(cls, path: Path) -> InputShape:
        """Read the size of an input that was prepared before.

        Raises
        ------
        StorageError
            If the file cannot be read, is damaged, truncated, or not the trainer's input.
        """
        check_readable(path)
        try:
            with h5py.File(path) as stored:
                train, valid = stored["train_data"], stored["valid_data"]
                num_inputs = (
                    stored["train_ext_input"].shape[2] if "train_ext_input" in stored else 0
                )
                # A file cut short can still have all its names: the last bytes must be there too.
                for inds, data in (("train_inds", train), ("valid_inds", valid)):
                    if len(stored[inds][()]) != len(data):
                        raise OSError(f"{inds} does not fit its data")
                    data[-1:]
                num_bins, num_channels = train.shape[1:]
                return cls(len(train), len(valid), num_bins, num_channels, num_inputs)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise StorageError(
                f"{path}, prepared before, is damaged or truncated ({error})",
                "write it again with prepare_for_lfads(regenerate=True)",
            ) from error


def split_trials(
    num_trials: int, train_to_test_ratio: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split trials into those that train and those that validate.

    Parameters
    ----------
    num_trials : int
        Number of trials.
    train_to_test_ratio : int
        Training trials for each validation trial, r.

    Returns
    -------
    train_inds, valid_inds : numpy.ndarray, shape (n,), int64
        Trials from 0. Every (r+1)-th validates, beginning with the first.

    Examples
    --------
    >>> train_inds, valid_inds = split_trials(7, 2)
    >>> train_inds.tolist(), valid_inds.tolist()
    ([1, 2, 4, 5], [0, 3, 6])
    """
    trials = np.arange(num_trials)
    is_valid = trials % (train_to_test_ratio + 1) == 0
    return trials[~is_valid], trials[is_valid]


def bins_per_spike_bin(
    spike_bin_ms: float, raw_bin_ms: float, num_raw_bins: int, dataset_name: str
) -> int:
    """Give the number of raw bins that make one bin of the trainer.

    Raises
    ------
    DatasetError
        If it is no whole number, or a trial is shorter than one bin.

    Examples
    --------
    >>> bins_per_spike_bin(10.0, 2.0, 500, "dataset001")
    5
    """
    ratio = spike_bin_ms / raw_bin_ms
    factor = round(ratio)
    if factor < 1 or abs(ratio - factor) > 1e-6 * ratio:
        raise DatasetError(
            f"spikeBinMs {spike_bin_ms:g} is no whole multiple of the raw bins of {dataset_name}, "
            f"{raw_bin_ms:g} ms",
            f"give a multiple of {raw_bin_ms:g}",
        )
    if factor > num_raw_bins:
        raise DatasetError(
            f"a trial of {dataset_name} lasts {num_raw_bins * raw_bin_ms:g} ms, less than one bin "
            f"of spikeBinMs {spike_bin_ms:g}",
            "give narrower bins",
        )
    return factor


def rebin(values: Array, factor: int, dtype: npt.DTypeLike) -> Array:
    """Sum raw bins, and put channels last as the trainer wants them.

    Parameters
    ----------
    values : numpy.ndarray, shape (trial, channel, time)
        Values in raw bins.
    factor : int
        Raw bins in a bin.
    dtype : numpy.dtype
        Type to sum in.

    Returns
    -------
    numpy.ndarray, shape (trial, time, channel), `dtype`
        Sums; raw bins at the end that make no whole bin are left out.

    Examples
    --------
    >>> rebin(np.array([[[1, 2, 3, 4, 5]]]), 2, np.int64).tolist()
    [[[3], [7]]]
    """
    num_trials, num_channels, num_raw_bins = values.shape
    num_bins = num_raw_bins // factor
    time_first = _time_first(values)[:, : num_bins * factor]
    grouped = time_first.reshape(num_trials, num_bins, factor, num_channels)
    summed: Array = grouped.sum(axis=2, dtype=dtype)
    return summed


def _time_first(values: Array) -> Array:
    return np.ascontiguousarray(values.transpose(0, 2, 1))


def write_input_h5(
    path: Path, counts: DatasetCounts, spike_bin_ms: float, train_to_test_ratio: int, name: str
) -> None:
    """Write ``lfads_<dataset>.h5``.

    Parameters
    ----------
    path : Path
        The file; it appears complete or not at all.
    counts : DatasetCounts
        Counts that were `checked`.
    spike_bin_ms : float
        Width of the trainer's bins [ms].
    train_to_test_ratio : int
        Training trials for each validation trial.
    name : str
        The dataset, for messages.

    Raises
    ------
    DatasetError
        If the bins do not fit.
    StorageError
        If it cannot be written.

    Notes
    -----
    Truth and external inputs are summed like the counts, and so are data for gaussian output, which
    stay floats; ``conversion_factor`` times them is their mean.
    """
    assert counts.bin_ms is not None
    num_trials, _, num_raw_bins = counts.counts.shape
    factor = bins_per_spike_bin(spike_bin_ms, counts.bin_ms, num_raw_bins, name)
    train_inds, valid_inds = split_trials(num_trials, train_to_test_ratio)
    optional = {"truth": counts.truth_of_trials, "ext_input": counts.external_inputs}
    given = {key: values for key, values in optional.items() if values is not None}
    with hdf5_written_aside(path) as stored:
        stored["train_inds"] = train_inds + 1.0
        stored["valid_inds"] = valid_inds + 1.0
        if given:
            stored["conversion_factor"] = np.array([1.0 / factor])
        kind = np.int64 if counts.are_whole else np.float64
        _write_split(stored, "data", counts.counts, factor, valid_inds, kind)
        for key, values in given.items():
            _write_split(stored, key, values, factor, valid_inds, np.float64)


def _stored_dtype(counts: DatasetCounts) -> np.dtype[Any]:
    if not counts.are_whole or counts.counts.min() < 0:
        return np.dtype("<f8")
    return smallest_dtype(float(counts.counts.max()))


def add_alignment(path: Path, matrix: Array, bias: Array) -> None:
    """Add an alignment matrix to ``lfads_<dataset>.h5``.

    Parameters
    ----------
    path : Path
        The file; it is replaced in one step.
    matrix : numpy.ndarray, shape (channel, factor), float64
        How counts are read in.
    bias : numpy.ndarray, shape (channel,), float64 [spikes/bin]
        Mean counts, subtracted first.

    Raises
    ------
    StorageError
        If it cannot be read or written; then it is as it was.
    """
    with storage_errors(path, "read"):
        image = io.BytesIO(path.read_bytes())
    with h5py.File(image, "r+") as stored:
        stored["alignment_matrix_cxf"] = np.asarray(matrix, dtype=np.float64)
        stored["alignment_bias_c"] = np.asarray(bias, dtype=np.float64)
    with written_aside(path) as aside:
        aside.write_bytes(image.getbuffer())


def _write_split(
    stored: h5py.File,
    key: str,
    values: TrialValues,
    factor: int,
    valid_inds: npt.NDArray[np.int64],
    dtype: npt.DTypeLike,
) -> None:
    num_trials, num_channels, num_raw_bins = values.shape
    is_valid = np.zeros(num_trials, dtype=bool)
    is_valid[valid_inds] = True
    trial_shape = (num_raw_bins // factor, num_channels)
    members = {"train": ~is_valid, "valid": is_valid}
    targets = {
        split: stored.create_dataset(
            f"{split}_{key}",
            shape=(int(member.sum()), *trial_shape),
            dtype=dtype,
            # Chunks need at least one trial; an empty split is stored without them.
            chunks=(1, *trial_shape) if member.any() else None,
            compression=_GZIP_LEVEL if member.any() else None,
            shuffle=bool(member.any()),
        )
        for split, member in members.items()
    }
    filled = dict.fromkeys(targets, 0)
    for block in trial_blocks(num_trials):
        binned = rebin(values[block], factor, dtype)
        for split, member in members.items():
            part = binned[member[block]]
            targets[split][filled[split] : filled[split] + len(part)] = part
            filled[split] += len(part)


def write_input_info(
    path: Path, counts: DatasetCounts, train_to_test_ratio: int, data_hash: str
) -> None:
    """Write ``inputInfo_<dataset>.mat`` (MAT v5).

    Parameters
    ----------
    path : Path
        The file; it appears complete or not at all.
    counts : DatasetCounts
        Counts that were `checked`.
    train_to_test_ratio : int
        Training trials for each validation trial.
    data_hash : str
        Data hash of the parameters.

    Raises
    ------
    DatasetError
        If an array is larger than the format allows.
    StorageError
        If it cannot be written.

    Notes
    -----
    ``counts``, ``truth`` (channel, time, trial), ``externalInputs`` (input, time, trial) and, in
    place of a truth of each trial, ``conditionTruth`` (channel, time, condition) are in raw bins,
    as are ``seq_timeVector`` and ``seq_binSizeMs``.
    """
    train_inds, valid_inds = split_trials(len(counts.counts), train_to_test_ratio)
    variables = {
        "trainInds": train_inds + 1.0,
        "validInds": valid_inds + 1.0,
        "paramInputDataHash": data_hash,
        "seq_timeVector": counts.time_ms,
        "seq_binSizeMs": counts.bin_ms,
        "conditionId": _for_matlab(counts.condition_id),
    }
    optional = {
        "truth": counts.truth,
        "conditionTruth": counts.condition_truth,
        "externalInputs": counts.external_inputs,
    }
    streamed = {
        "counts": _streamed(counts.counts, _stored_dtype(counts)),
        **{
            key: _streamed(values, np.dtype("<f8"))
            for key, values in optional.items()
            if values is not None
        },
    }
    with written_aside(path) as aside:
        write_mat(aside, variables, streamed)


def _for_matlab(condition_id: Array | None) -> Array:
    if condition_id is None:
        return np.empty((0, 0))
    if condition_id.dtype.kind in "biuf":
        return condition_id.astype(np.float64)
    return condition_id.astype(object)


def _streamed(values: Array, dtype: np.dtype[Any]) -> StreamedArray:
    def pieces() -> Iterator[Array]:
        for block in trial_blocks(len(values)):
            yield _time_first(values[block]).astype(dtype, copy=False)

    # MATLAB's (channel, time, trial) in column-major order is (trial, time, channel) in row-major.
    num_trials, num_channels, num_bins = values.shape
    return StreamedArray((num_channels, num_bins, num_trials), dtype, pieces())
