"""Channels of recordings that were held out from the model, in the bins that it saw."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.datasets import Dataset
from lfadsq.manager.inputs import bins_per_spike_bin, rebin

__all__ = ["HELD_OUT", "HeldOutCounts", "read_held_out"]

HELD_OUT = "heldoutSpikes"
"""Variable of a recording, (trial, channel, time), as `lfadsq.datasets.layouts` names them."""

_MOST_KEPT = 4


def read_held_out(dataset: Dataset, spike_bin_ms: float) -> npt.NDArray[Any] | None:
    """Read the channels of a recording that were held out.

    Parameters
    ----------
    dataset : Dataset
        The recording.
    spike_bin_ms : float
        Width of the bins of the model [ms].

    Returns
    -------
    numpy.ndarray, shape (trial, time, channel), int64 or float64 [spikes/bin], or None
        All trials of the recording; NaN where the recording has NaN. None if no channel was held
        out.

    Raises
    ------
    DatasetError
        If the recording is missing or damaged, or its bins make no bins of this width.
    """
    data = dataset.load_data()
    spikes = data.get(HELD_OUT)
    if spikes is None:
        return None
    values = np.asarray(spikes)
    is_gap = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, dtype=bool)
    has_gaps = bool(is_gap.any())
    raw = DatasetCounts(np.where(is_gap, 0, values) if has_gaps else values, data.get("timeMs"))
    checked = raw.checked(f"{HELD_OUT} of {dataset.name}")
    assert checked.bin_ms is not None
    factor = bins_per_spike_bin(spike_bin_ms, checked.bin_ms, checked.counts.shape[2], dataset.name)
    return rebin(values if has_gaps else checked.counts, factor, float if has_gaps else np.int64)


class HeldOutCounts:
    """Reads held-out channels, and keeps those of a few recordings: runs of a sweep share them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, float], npt.NDArray[Any] | None] = OrderedDict()

    def of(self, dataset: Dataset, spike_bin_ms: float) -> npt.NDArray[Any] | None:
        """Give what `read_held_out` gives."""
        key = (dataset.name, spike_bin_ms)
        if key not in self._kept:
            self._kept[key] = read_held_out(dataset, spike_bin_ms)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
