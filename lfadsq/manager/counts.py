"""`DatasetCounts`: spike counts of one dataset, as a `Run` gives them, and their checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, DatasetError

__all__ = ["DatasetCounts", "TrialValues", "trial_blocks"]

_TRIALS_PER_BLOCK = 64
_AXES = "(trial, channel, time)"
_INPUT_AXES = "(trial, input, time)"
_CONDITION_AXES = "(condition, channel, time)"
_LARGEST_COUNT = np.iinfo(np.int32).max  # sums of these fit into the trainer's int64


class TrialValues(Protocol):
    """An array (trial, channel, time), or what can be sliced by trial like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    def __getitem__(self, block: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class _ByCondition:
    """Values that trials of a condition share, made for the trials that are looked at."""

    values: npt.NDArray[Any]
    condition: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.condition), *self.values.shape[1:])

    def __getitem__(self, block: Any, /) -> Any:
        return self.values[self.condition[block]]


@dataclass(frozen=True, eq=False)  # arrays have no one truth value
class DatasetCounts:
    """Spike counts of one dataset in raw bins, with what else is known of each trial.

    Parameters
    ----------
    counts : numpy.ndarray, shape (trial, channel, time), integers in any dtype [spikes/bin]
        Spike counts in raw bins.
    time_ms : numpy.ndarray, shape (time,), optional [ms]
        Time of each raw bin; evenly spaced. Without it, times count from 0 in steps of `bin_ms`.
    bin_ms : float, optional [ms]
        Width of a raw bin; by default the step of `time_ms`.
    condition_id : numpy.ndarray, shape (trial,), optional
        Condition of each trial: numbers or text. A cell of these, as it is read from a MAT file,
        will do, also with empty elements for trials without a condition.
    truth : numpy.ndarray, shape (trial, channel, time), optional
        True rates in each raw bin, in any unit.
    external_inputs : numpy.ndarray, shape (trial, input, time), optional
        Measured inputs in each raw bin.
    condition_truth : numpy.ndarray, shape (condition, channel, time), optional
        In place of `truth`, true rates that all trials of a condition share: `condition_id` says
        which, as whole numbers from 1. A simulation has far fewer conditions than trials.
    """

    counts: npt.NDArray[Any]
    time_ms: npt.NDArray[Any] | None = None
    bin_ms: float | None = None
    condition_id: npt.NDArray[Any] | None = None
    truth: npt.NDArray[Any] | None = None
    external_inputs: npt.NDArray[Any] | None = None
    condition_truth: npt.NDArray[Any] | None = None

    @classmethod
    def of(cls, given: object) -> DatasetCounts:
        """Accept what a user's ``generate_counts_for_dataset`` returned.

        Parameters
        ----------
        given : DatasetCounts or mapping
            A mapping has the attributes above as keys.

        Raises
        ------
        ConfigError
            If it is something else, or has other keys.
        """
        if isinstance(given, cls):
            return given
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"generate_counts_for_dataset returned {type(given).__name__}",
                f"return a DatasetCounts or a dict with the keys {', '.join(known)}",
            )
        unknown = [str(key) for key in given if key not in known]
        if unknown or "counts" not in given:
            problem = f"unknown keys {', '.join(unknown)}" if unknown else "no key 'counts'"
            raise ConfigError(
                f"generate_counts_for_dataset returned {problem}", f"known are {', '.join(known)}"
            )
        return cls(**given)

    @property
    def are_whole(self) -> bool:
        """Whether all counts are whole numbers; others are for gaussian output."""
        if self.counts.dtype.kind != "f":
            return True
        blocks = (self.counts[block] for block in trial_blocks(len(self.counts)))
        return all(bool((part == np.floor(part)).all()) for part in blocks)

    @property
    def truth_of_trials(self) -> TrialValues | None:
        """True rates (trial, channel, time) of any slice of trials, however they were given."""
        if self.condition_truth is None or self.condition_id is None:
            return self.truth
        return _ByCondition(self.condition_truth, self.condition_id.astype(np.int64) - 1)

    def checked(self, dataset_name: str, *, are_spikes: bool = True) -> DatasetCounts:
        """Refuse what LFADS cannot be given, and fill in what was left out.

        Parameters
        ----------
        dataset_name : str
            For messages.
        are_spikes : bool, default True
            Whether they are to be counts. Data for gaussian output (calcium, field potentials) may
            be any finite numbers.

        Returns
        -------
        DatasetCounts
            The same, with every field an array, and `time_ms` and `bin_ms` set.

        Raises
        ------
        DatasetError
            If a number of dimensions is wrong, shapes do not fit each other, counts are NaN (or,
            of spikes, negative, no whole numbers or too large), or times are not evenly spaced.
        """
        counts = _array(self.counts, "counts", _AXES, dataset_name)
        num_trials, _, num_bins = counts.shape
        if counts.size == 0:
            raise DatasetError(
                f"the counts of {dataset_name} have shape {counts.shape}: there is nothing in them",
                "leave the dataset out, or see how its file was written",
            )
        truth = self._optional(self.truth, "truth", _AXES, dataset_name)
        if truth is not None and truth.shape != counts.shape:
            raise _misfit(dataset_name, "truth", truth.shape, counts.shape)
        inputs = self._optional(self.external_inputs, "external_inputs", _INPUT_AXES, dataset_name)
        if inputs is not None and inputs.shape[::2] != counts.shape[::2]:
            raise _misfit(dataset_name, "external_inputs", inputs.shape, counts.shape)
        condition_id = (
            None if self.condition_id is None else _conditions(self.condition_id, dataset_name)
        )
        if condition_id is not None and len(condition_id) != num_trials:
            raise _misfit(dataset_name, "condition_id", condition_id.shape, counts.shape)
        by_condition = self._optional(
            self.condition_truth, "condition_truth", _CONDITION_AXES, dataset_name
        )
        if by_condition is not None:
            if by_condition.shape[1:] != counts.shape[1:]:
                raise _misfit(dataset_name, "condition_truth", by_condition.shape, counts.shape)
            if truth is not None:
                raise DatasetError(
                    f"{dataset_name} has both truth and condition_truth", "give one of them"
                )
            _check_numbered(condition_id, len(by_condition), dataset_name)
        time_ms, bin_ms = _time_axis(self.time_ms, self.bin_ms, num_bins, dataset_name)
        if are_spikes:
            _check_counts(counts, dataset_name)
        else:
            _check_finite(counts, "counts", dataset_name)
        floats = {"truth": truth, "external_inputs": inputs, "condition_truth": by_condition}
        for name, values in floats.items():
            if values is not None:
                _check_finite(values, name, dataset_name)
        return DatasetCounts(counts, time_ms, bin_ms, condition_id, truth, inputs, by_condition)

    @staticmethod
    def _optional(
        values: npt.NDArray[Any] | None, name: str, axes: str, dataset_name: str
    ) -> npt.NDArray[Any] | None:
        return None if values is None else _array(values, name, axes, dataset_name)


def trial_blocks(num_trials: int) -> Iterator[slice]:
    """Cut trials into blocks small enough to convert without doubling a dataset's memory."""
    for first in range(0, num_trials, _TRIALS_PER_BLOCK):
        yield slice(first, min(first + _TRIALS_PER_BLOCK, num_trials))


def _as_array(
    values: Any, name: str, dataset_name: str, dtype: npt.DTypeLike | None = None
) -> npt.NDArray[Any]:
    if np.ma.is_masked(values):
        raise DatasetError(
            f"{name} of {dataset_name} are masked in places",
            "leave out trials or channels without data",
        )
    try:
        array = np.asarray(values)
        if dtype is not None and array.dtype.kind == "c":
            raise TypeError("they are complex")
        return array if dtype is None else array.astype(dtype, copy=False)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{name} of {dataset_name} make no array of numbers ({error})",
            "give numbers, in rows of one length",
        ) from error


def _conditions(values: Any, dataset_name: str) -> npt.NDArray[Any]:
    """Give condition ids as one array: of objects, if it is a cell that has empty elements."""
    elements = list(values) if isinstance(values, list | tuple) or _is_cell(values) else []
    are_text = {np.asarray(one).dtype.kind in "US" for one in elements if np.size(one)}
    is_mixed = len(are_text) > 1 or any(one is None or not np.size(one) for one in elements)
    if not is_mixed or any(np.size(one) > 1 for one in elements):
        return _as_array(values, "condition_id", dataset_name).ravel()
    cell = np.empty(len(elements), dtype=object)
    for number, one in enumerate(elements):
        # MATLAB's empty, as None cannot be written for MATLAB.
        cell[number] = np.empty((0, 0)) if one is None else one
    return cell


def _check_numbered(
    condition_id: npt.NDArray[Any] | None, num_conditions: int, dataset_name: str
) -> None:
    """Refuse condition ids that do not say which condition's truth is a trial's."""
    ids = np.array([np.nan]) if condition_id is None else condition_id
    if ids.dtype.kind not in "iuf" or not np.isin(ids, np.arange(1, num_conditions + 1)).all():
        raise DatasetError(
            f"condition_truth of {dataset_name} is of {num_conditions} conditions, but its "
            f"condition_id are not all whole numbers from 1 to {num_conditions}",
            "number the conditions, or give truth for each trial",
        )


def _is_cell(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1


def _array(values: Any, name: str, axes: str, dataset_name: str) -> npt.NDArray[Any]:
    array = _as_array(values, name, dataset_name)
    if array.ndim != 3:
        raise DatasetError(
            f"{name} of {dataset_name} have {array.ndim} dimensions, shape {array.shape}",
            f"give three: {axes}",
        )
    if array.dtype.kind not in "biuf":
        raise DatasetError(f"{name} of {dataset_name} are of type {array.dtype}", "give numbers")
    return array


def _misfit(
    dataset_name: str, name: str, shape: tuple[int, ...], counts_shape: tuple[int, ...]
) -> DatasetError:
    return DatasetError(
        f"{name} of {dataset_name} have shape {shape}, which does not fit the counts' "
        f"{counts_shape} {_AXES}",
        "give them for the same trials and bins, axes in this order",
    )


def _time_axis(
    time_ms: npt.NDArray[Any] | None, bin_ms: float | None, num_bins: int, dataset_name: str
) -> tuple[npt.NDArray[np.float64], float]:
    if bin_ms is not None:
        widths = _as_array(bin_ms, "bin_ms", dataset_name, np.float64).ravel()
        if len(widths) != 1:
            raise DatasetError(
                f"bin_ms of {dataset_name} has {len(widths)} values", "give the one width of all"
            )
        bin_ms = float(widths[0])
    if time_ms is None:
        if bin_ms is None:
            raise DatasetError(
                f"neither the times nor the width of the raw bins of {dataset_name} are known",
                "give time_ms or bin_ms",
            )
        times = np.arange(num_bins, dtype=np.float64) * bin_ms
    else:
        times = _as_array(time_ms, "time_ms", dataset_name, np.float64).ravel()
    if len(times) != num_bins:
        raise DatasetError(
            f"time_ms of {dataset_name} has {len(times)} values, the counts have {num_bins} bins",
            f"give a time for each bin, and counts as {_AXES}",
        )
    if bin_ms is None:
        if num_bins < 2:
            raise DatasetError(f"{dataset_name} has a single raw bin", "give its width as bin_ms")
        bin_ms = float((times[-1] - times[0]) / (num_bins - 1))
    if not (np.isfinite(bin_ms) and bin_ms > 0):
        raise DatasetError(
            f"the raw bins of {dataset_name} are {bin_ms:g} ms wide",
            "give the time of each bin in ms, in ascending order, or a positive bin_ms",
        )
    steps = np.diff(times)
    if not np.all(np.abs(steps - bin_ms) <= 1e-3 * bin_ms):
        raise DatasetError(
            f"the times of {dataset_name} are not evenly spaced by {bin_ms:g} ms: their steps are "
            f"{steps.min():g} to {steps.max():g} ms",
            "give counts in bins of one width",
        )
    # The mean step of times such as 0.001 * k carries rounding of the last digits.
    return times, round(bin_ms, 9)


def _check_counts(counts: npt.NDArray[Any], dataset_name: str) -> None:
    kind = counts.dtype.kind
    if kind == "b" or (kind == "u" and counts.itemsize < 4):
        return
    for block in trial_blocks(len(counts)):
        part = counts[block]
        with np.errstate(invalid="ignore"):
            wrong = ~((part >= 0) & (part <= np.float64(_LARGEST_COUNT)))
            if kind == "f":
                wrong |= part != np.floor(part)
        if wrong.any():
            trial, channel, time = (int(index) for index in np.argwhere(wrong)[0])
            raise DatasetError(
                f"counts of {dataset_name} are {part[trial, channel, time]} in trial "
                f"{block.start + trial + 1}, channel {channel + 1}, bin {time + 1}",
                f"counts are whole numbers from 0 to {_LARGEST_COUNT}: leave out trials or "
                "channels without data; for data that are no counts set c_output_dist='gaussian'",
            )


def _check_finite(values: npt.NDArray[Any], name: str, dataset_name: str) -> None:
    for block in trial_blocks(len(values)):
        if not np.isfinite(values[block]).all():
            raise DatasetError(
                f"{name} of {dataset_name} have NaN or infinite values in trials "
                f"{block.start + 1} to {block.stop}",
                "give numbers for every bin",
            )
