"""One pass over the data of an input, in blocks of trials: what each channel holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.preflight.input_files import SPLITS, damage_of

__all__ = ["ChannelScan", "SplitScan", "scan_data"]

_BLOCK_BYTES = 2**25
_LARGEST_COUNT = 2.0**53  # the trainer's limit: of whole numbers up to here, none is lost
_HASH_SEED = 20180131

Array = npt.NDArray[Any]


@dataclass
class SplitScan:
    """Of one array of one split.

    Attributes
    ----------
    num_not_finite, num_negative, num_fractions, num_too_large : int
        Values that are NaN or infinite, below 0, no whole number, and above 2^53.
    first_wrong : tuple of int or None
        (trial, time, channel) from 0 of the first value that is not finite or, else, no count.
    num_empty_trials : int
        Trials that are 0 throughout.
    """

    num_not_finite: int = 0
    num_negative: int = 0
    num_fractions: int = 0
    num_too_large: int = 0
    first_wrong: tuple[int, ...] | None = None
    num_empty_trials: int = 0


@dataclass
class ChannelScan:
    """Of one array, both splits together, channel by channel.

    Attributes
    ----------
    splits : dict of str to SplitScan
    total, smallest, largest : numpy.ndarray, shape (channel,), float64
        Sum and extremes of each channel [spikes/bin].
    num_high : numpy.ndarray, shape (channel,), int64
        Bins with more than one spike a ms.
    fingerprint : numpy.ndarray, shape (channel,), uint64
        The same for channels with the same values in all bins.
    num_bins : int
        Bins of each channel, over all trials.
    num_trials : int
    scanned_bytes : int
        As the data are uncompressed.
    damage : str
        Why it could not be read to its end; empty if it was.
    """

    num_channels: int
    splits: dict[str, SplitScan] = field(default_factory=dict)
    num_bins: int = 0
    num_trials: int = 0
    scanned_bytes: int = 0
    damage: str = ""

    def __post_init__(self) -> None:
        n = self.num_channels
        self.total = np.zeros(n)
        self.smallest = np.full(n, np.inf)
        self.largest = np.full(n, -np.inf)
        self.num_high = np.zeros(n, np.int64)
        self.fingerprint = np.zeros(n, np.uint64)

    def take(self, split: str, first_trial: int, block: Array, bin_ms: float) -> None:
        """Add a block.

        Parameters
        ----------
        split : str
        first_trial : int
            Its first trial's index within the split.
        block : numpy.ndarray, shape (trial, time, channel)
        bin_ms : float
            Width of a bin [ms]; 0 if it is not known, or the data are no counts.
        """
        scan = self.splits.setdefault(split, SplitScan())
        is_float = block.dtype.kind == "f"
        if is_float:
            block = self._take_floats(scan, first_trial, block)
        flat = block.reshape(-1, block.shape[2])
        smallest, largest = flat.min(axis=0), flat.max(axis=0)
        if not is_float and (smallest.min() < 0 or largest.max() > _LARGEST_COUNT):
            _note_wrong(scan, first_trial, (block < 0) | (block > _LARGEST_COUNT))
            scan.num_negative += int((block < 0).sum())
            scan.num_too_large += int((block > _LARGEST_COUNT).sum())
        self.total += flat.sum(axis=0, dtype=np.float64 if is_float else np.int64)
        self.smallest = np.minimum(self.smallest, smallest)
        self.largest = np.maximum(self.largest, largest)
        if bin_ms and largest.max() > bin_ms:
            self.num_high += (flat > bin_ms).sum(axis=0)
        scan.num_empty_trials += len(block) - int(block.any(axis=(1, 2)).sum())
        self._take_fingerprint(flat)
        self.num_bins += len(flat)
        self.num_trials += len(block)
        self.scanned_bytes += block.nbytes

    def _take_floats(self, scan: SplitScan, first_trial: int, block: Array) -> Array:
        is_finite = np.isfinite(block)
        if not is_finite.all():
            scan.num_not_finite += int((~is_finite).sum())
            _note_wrong(scan, first_trial, ~is_finite)
            block = np.where(is_finite, block, 0)
        is_negative, is_fraction = block < 0, block != np.floor(block)
        is_wrong = is_negative | is_fraction | (block > _LARGEST_COUNT)
        if is_wrong.any():
            scan.num_negative += int(is_negative.sum())
            scan.num_fractions += int(is_fraction.sum())
            scan.num_too_large += int((block > _LARGEST_COUNT).sum())
            _note_wrong(scan, first_trial, is_wrong)
        return block

    def _take_fingerprint(self, flat: Array) -> None:
        if flat.dtype.kind == "f":
            # Equal values have equal bits, once there is one zero only.
            bits = (flat.astype(np.float64) + 0.0).view(np.uint64)
        else:
            bits = np.ascontiguousarray(flat, dtype=np.int64).view(np.uint64)
        # Where a block begins must matter, or swapped blocks would look alike.
        weights = np.random.default_rng([_HASH_SEED, self.num_bins]).integers(
            0, 2**64, len(flat), dtype=np.uint64
        )
        self.fingerprint += np.einsum("i,ij->j", weights, bits)


def _note_wrong(scan: SplitScan, first_trial: int, is_wrong: Array) -> None:
    if scan.first_wrong is None:
        trial, time, channel = np.unravel_index(int(is_wrong.argmax()), is_wrong.shape)
        scan.first_wrong = (first_trial + int(trial), int(time), int(channel))


def scan_data(
    path: Path,
    *,
    bin_ms: float = 0.0,
    kind: str = "data",
    advance: Callable[[int], None] = lambda num_bytes: None,
) -> ChannelScan | None:
    """Read all values of ``train_<kind>`` and ``valid_<kind>`` once.

    Parameters
    ----------
    path : Path
        A file whose header can be read.
    bin_ms : float, default 0
        Width of a bin, to count the bins with more than a spike a ms; 0 for data that are no counts
        [ms].
    kind : {"data", "ext_input"}
        Which arrays.
    advance : callable, optional
        Told the uncompressed size of each block [bytes].

    Returns
    -------
    ChannelScan or None
        None if there is no such array. No more than a block of it (32 MB or a trial) is in memory.
    """
    scan: ChannelScan | None = None
    try:
        with h5py.File(path, "r") as stored:
            for split in SPLITS:
                name = f"{split}_{kind}"
                if name not in stored or stored[name].ndim != 3:
                    continue
                item = stored[name]
                scan = scan or ChannelScan(item.shape[2])
                scan.splits.setdefault(split, SplitScan())
                if item.shape[2] != scan.num_channels or not item.size:
                    continue
                for trials in _blocks(item):
                    block = item[trials]
                    scan.take(split, trials.start, block, bin_ms)
                    advance(block.nbytes)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        scan = scan or ChannelScan(0)
        scan.damage = damage_of(error)
    return scan


def _blocks(item: h5py.Dataset) -> Iterator[slice]:
    trial_bytes = item.dtype.itemsize * item.shape[1] * item.shape[2]
    step = max(1, _BLOCK_BYTES // trial_bytes)
    if item.chunks:
        # A chunk that two blocks share would be decompressed twice.
        step = max(item.chunks[0], step - step % item.chunks[0])
    for first in range(0, item.shape[0], step):
        yield slice(first, min(first + step, item.shape[0]))
