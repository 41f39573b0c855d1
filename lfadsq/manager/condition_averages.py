"""Averages over the trials of each condition: what several datasets are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import DatasetError
from lfadsq.manager.counts import DatasetCounts, trial_blocks
from lfadsq.manager.inputs import bins_per_spike_bin, rebin

__all__ = ["Condition", "ConditionAverages", "read_conditions"]

Condition = float | str
"""What tells trials apart: the same number, whichever its type, or the same text."""


@dataclass(frozen=True, eq=False)  # arrays have no one truth value
class ConditionAverages:
    """Counts of one dataset, averaged over the trials of each condition.

    Attributes
    ----------
    dataset_name : str
        The dataset.
    conditions : tuple of float or str
        Its conditions: numbers first, each kind in ascending order.
    counts : numpy.ndarray, shape (condition, time, channel), float64 [spikes/bin]
        Averages in the trainer's bins.
    """

    dataset_name: str
    conditions: tuple[Condition, ...]
    counts: npt.NDArray[np.float64]

    @classmethod
    def of_counts(
        cls, counts: DatasetCounts, spike_bin_ms: float, dataset_name: str
    ) -> ConditionAverages:
        """Average the trials of each condition; trials without one are left out.

        Parameters
        ----------
        counts : DatasetCounts
            Counts that were `checked`.
        spike_bin_ms : float
            Width of the trainer's bins [ms].
        dataset_name : str
            The dataset.

        Raises
        ------
        DatasetError
            If no trial has a condition, one is neither number nor text, or the bins do not fit.
        """
        assert counts.bin_ms is not None
        num_trials, num_channels, num_raw_bins = counts.counts.shape
        factor = bins_per_spike_bin(spike_bin_ms, counts.bin_ms, num_raw_bins, dataset_name)
        of_trials = read_conditions(counts.condition_id, num_trials, dataset_name)
        found = {condition for condition in of_trials if condition is not None}
        if not found:
            raise DatasetError(
                f"no trial of {dataset_name} has a condition, by which datasets are aligned",
                "give condition_id in generate_counts_for_dataset, or set useAlignmentMatrix and "
                "useSingleDatasetAlignmentMatrix false",
            )
        conditions = tuple(sorted(found, key=lambda one: (isinstance(one, str), one)))
        numbers = {condition: number for number, condition in enumerate(conditions)}
        index = np.array([numbers.get(one, -1) if one is not None else -1 for one in of_trials])
        num_values = num_raw_bins // factor * num_channels
        sums = np.zeros((len(conditions), num_values))
        for block in trial_blocks(num_trials):
            binned = rebin(counts.counts[block], factor, np.float64).reshape(-1, num_values)
            present = index[block][index[block] >= 0]
            for number in np.unique(present):
                sums[number] += binned[index[block] == number].sum(axis=0)
        sums /= np.bincount(index[index >= 0])[:, np.newaxis]
        return cls(dataset_name, conditions, sums.reshape(len(conditions), -1, num_channels))

    def rows_of(self, conditions: Sequence[Condition]) -> npt.NDArray[np.float64]:
        """Put some conditions one below another; all of them without a copy.

        Parameters
        ----------
        conditions : sequence of float or str
            Conditions of this dataset.

        Returns
        -------
        numpy.ndarray, shape (condition * time, channel), float64 [spikes/bin]
        """
        counts = self.counts
        if tuple(conditions) != self.conditions:
            counts = counts[[self.conditions.index(condition) for condition in conditions]]
        return counts.reshape(-1, counts.shape[2])


def read_conditions(
    condition_id: npt.NDArray[Any] | None, num_trials: int, dataset_name: str
) -> list[Condition | None]:
    """Read the condition of each trial.

    Parameters
    ----------
    condition_id : numpy.ndarray, shape (trial,), optional
        Numbers or text, or what a cell of these becomes when a MAT file is read.
    num_trials : int
        Number of trials.
    dataset_name : str
        For messages.

    Returns
    -------
    list of float, str or None
        None where it is NaN or empty. Blanks around text do not count.

    Raises
    ------
    DatasetError
        If one is neither number nor text.

    Examples
    --------
    >>> read_conditions(np.array([2, np.nan]), 2, "dataset001")
    [2.0, None]
    >>> read_conditions(np.array(["left ", ""]), 2, "dataset001")
    ['left', None]
    """
    if condition_id is None:
        return [None] * num_trials
    return [_read_condition(value, dataset_name) for value in condition_id]


def _read_condition(value: Any, dataset_name: str) -> Condition | None:
    array = np.asarray(value)
    if array.size == 0 or value is None:
        return None
    if array.size == 1 and array.dtype.kind in "biuf":
        number = float(array.item())
        return None if np.isnan(number) else number
    if array.size == 1 and array.dtype.kind in "US":
        item = array.item()
        text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
        return text.strip() or None
    raise DatasetError(
        f"condition_id of {dataset_name} has {value!r}",
        "give each trial one number or text, or NaN or '' to leave it out",
    )
