"""Channels of recordings that were held out from the model, in the bins that it saw."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.datasets.layouts import as_recording
from lfadsq.errors import DatasetError
from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.datasets import Dataset
from lfadsq.manager.inputs import bins_per_spike_bin, rebin
from lfadsq.manager.recordings import load_recording
from lfadsq.manager.runs import Run

__all__ = ["HELD_OUT", "HeldOutCounts", "read_held_out"]

HELD_OUT = "heldoutSpikes"
"""Variable of a recording, (trial, channel, time), as `lfadsq.datasets.layouts` names them."""

_MOST_KEPT = 4


def read_held_out(run: Run, dataset: Dataset) -> npt.NDArray[Any] | None:
    """Read the channels of a recording that were held out.

    Parameters
    ----------
    run : Run
        The model.
    dataset : Dataset
        The recording.

    Returns
    -------
    numpy.ndarray, shape (trial, time, channel), int64 or float64 [spikes/bin], or None
        All trials of the recording; NaN where the recording has NaN. None if no channel was held
        out.

    Raises
    ------
    DatasetError
        If the recording is missing or damaged, or its bins make none of the model's.
    """
    data = _load(run, dataset)
    spikes = data.get(HELD_OUT)
    if spikes is None:
        return None
    values = np.asarray(spikes)
    is_gap = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, dtype=bool)
    has_gaps = bool(is_gap.any())
    raw = DatasetCounts(np.where(is_gap, 0, values) if has_gaps else values, data.get("timeMs"))
    checked = raw.checked(f"{HELD_OUT} of {dataset.name}")
    assert checked.bin_ms is not None
    factor = bins_per_spike_bin(
        run.params.spikeBinMs, checked.bin_ms, checked.counts.shape[2], dataset.name
    )
    return rebin(values if has_gaps else checked.counts, factor, float if has_gaps else np.int64)


def _load(run: Run, dataset: Dataset) -> dict[str, Any]:
    try:
        return dataset.load_data()
    except DatasetError:
        # Some files do not tell the width of their bins. The drive script does, in a class that is
        # not known where a collection was opened from disk; but the run's input tells it, too.
        if dataset.raw_bin_ms is not None or not dataset.path.is_file():
            raise
    bin_ms = float(np.ravel(run.load_input_info(dataset.name)["seq_binSizeMs"])[0])
    return as_recording(load_recording(dataset.path), dataset.path, bin_ms=bin_ms)


class HeldOutCounts:
    """Reads held-out channels, and keeps those of a few recordings: runs of a sweep share them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, float], npt.NDArray[Any] | None] = OrderedDict()

    def of(self, run: Run, dataset: Dataset) -> npt.NDArray[Any] | None:
        """Give what `read_held_out` gives."""
        key = (dataset.name, run.params.spikeBinMs)
        if key not in self._kept:
            self._kept[key] = read_held_out(run, dataset)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
