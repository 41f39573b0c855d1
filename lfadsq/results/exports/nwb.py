"""NWB files of what a run inferred, in the time of the session and beside its trials.

A new file is written; the recording is only read, for what it tells of the session and its trials.
pynwb writes it (``pip install 'lfadsq[nwb]'``).
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.datasets.nwb import opened_nwb, trial_table
from lfadsq.datasets.windows import merge_windows
from lfadsq.errors import ConfigError
from lfadsq.hdf5 import AsideStream, stream_aside
from lfadsq.results.condition_ids import condition_labels
from lfadsq.results.exports.export_files import ExportFile
from lfadsq.results.exports.exported_run import ExportedRun, encodable
from lfadsq.results.exports.session_times import NwbOptions, SessionTimes, find_session_times
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import TrialValues

__all__ = ["NwbOptions", "nwb_files"]

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
_Find: TypeAlias = Callable[[], tuple[PosteriorMeans, SessionTimes]]

_MS_PER_S = 1000.0
_BUFFER_BYTES = 2**24
_MODULE = "lfads"
_COMMENT = "trials one after another, in the order of the table of trials"
_SERIES: Mapping[str, tuple[str, str, str]] = {
    "rates": ("rates", "spikes/s", "firing rates of the channels"),
    "output_means": ("output_means", "a.u.", "means of the output, summed over a bin"),
    "factors": ("factors", "a.u.", "factors"),
    "controller_outputs": ("inferred_inputs", "a.u.", "inputs to the generator, as inferred"),
}
"""Attributes of `PosteriorMeans`: name, unit and description of their series."""

_SESSION_FIELDS = (
    "session_description",
    "session_start_time",
    "timestamps_reference_time",
    "experimenter",
    "experiment_description",
    "session_id",
    "institution",
    "lab",
)
_SUBJECT_FIELDS = (
    "age",
    "age__reference",
    "date_of_birth",
    "description",
    "genotype",
    "sex",
    "species",
    "strain",
    "subject_id",
    "weight",
)
_OWN_COLUMNS = ("start_time", "stop_time")


def nwb_files(run: ExportedRun, folder: Path, options: NwbOptions) -> list[ExportFile]:
    """Plan the files of a run: ``<dataset>_lfads.nwb``.

    Parameters
    ----------
    run : ExportedRun
        The run.
    folder : Path
        Where they go.
    options : NwbOptions
        How to find trials in their session.

    Returns
    -------
    list of ExportFile
        Each with a processing module ``lfads``, and the trials that the model was given.
    """
    return [
        ExportFile(
            folder / f"{name}_lfads.nwb",
            f"rates and factors of {name}",
            run.title,
            partial(_write, run, find, options),
            partial(_check, find, options),
        )
        for name in run.chosen
        for find in (_found_once(run.means_once(name), options),)
    ]


def _found_once(find: Callable[[], PosteriorMeans], options: NwbOptions) -> _Find:
    # A recording may take long to read, and is asked for both to check and to write.
    @cache
    def find_both() -> tuple[PosteriorMeans, SessionTimes]:
        means = find()
        return means, find_session_times(means, options)

    return find_both


def _check(find: _Find, options: NwbOptions) -> None:
    _pynwb()
    _, times = find()
    if times.source is None:
        _session_start(options)


def _write(run: ExportedRun, find: _Find, options: NwbOptions, path: Path) -> None:
    pynwb = _pynwb()
    means, times = find()
    if times.source is not None and path.exists() and path.samefile(times.source):
        raise ConfigError(f"{path} is the recording", "name another file with -o")
    fields, subject, trials = _session(pynwb, times, options)
    about = {
        **run.provenance(means.dataset_name),
        "recording": times.source.name if times.source else "",
        "recording_identifier": fields.pop("identifier", ""),
    }
    identifier = "_".join(
        filter(None, (about["recording_identifier"], means.dataset_name, run.title, run.kind))
    )
    file = pynwb.NWBFile(
        identifier=encodable(identifier),
        keywords=["LFADS"],
        notes=json.dumps({key: encodable(value) for key, value in about.items() if value}),
        **fields,
    )
    if subject is not None:
        file.subject = subject
    with stream_aside(path) as stream:
        _add_series(pynwb, file, means, times, options, stream)
        if times.event_times_s is not None:
            _add_trials(file, means, times, trials)
        with h5py.File(stream, "w") as stored, pynwb.NWBHDF5IO(file=stored, mode="w") as target:
            target.write(file)


def _add_series(
    pynwb: Any,
    file: Any,
    means: PosteriorMeans,
    times: SessionTimes,
    options: NwbOptions,
    stream: AsideStream,
) -> None:
    module = file.create_processing_module(
        _MODULE, "what an LFADS model inferred: firing rates, factors, inferred inputs"
    )
    timing = _timing(means, times, options)
    for attribute, (name, unit, description) in _SERIES.items():
        if attribute == "output_means" and not means.is_gaussian:
            continue
        array = means.lazy(attribute) if attribute in means.variable_names else None
        if array is None:
            continue
        if options.is_continuous:
            assert options.num_bins is not None
            assert options.overlap_bins is not None
            values: Any = merge_windows(
                np.asarray(array), options.num_bins, options.overlap_bins, time_axis=1
            )
        else:
            values = _streamed(array, stream)
        series = pynwb.TimeSeries(
            name=name,
            data=values,
            unit=unit,
            description=f"{description}; bins of {means.bin_ms:g} ms, times are their beginnings",
            comments="" if options.is_continuous else _COMMENT,
            **timing,
        )
        # Times of the first series are those of all, and stored once.
        if "timestamps" in timing:
            timing = {"timestamps": series}
        module.add(series)


def _timing(means: PosteriorMeans, times: SessionTimes, options: NwbOptions) -> dict[str, Any]:
    if times.event_times_s is None:
        return {"starting_time": options.start_s, "rate": _MS_PER_S / means.bin_ms}
    bins_s = means.time_ms / _MS_PER_S
    return {"timestamps": (times.event_times_s[:, None] + bins_s).ravel()}


def _streamed(array: TrialValues, stream: AsideStream) -> Any:
    """Give an array (trial, time, unit) to pynwb as (trial * time, unit), some trials at a time."""
    from hdmf.data_utils import GenericDataChunkIterator

    num_trials, num_bins, num_units = array.shape
    trial_bytes = num_bins * num_units * array.dtype.itemsize
    trials = min(max(_BUFFER_BYTES // max(trial_bytes, 1), 1), num_trials)

    class Trials(GenericDataChunkIterator):  # type: ignore[misc]
        def _get_data(self, selection: tuple[slice, ...]) -> Array:
            stream.check()
            first, last = selection[0].start // num_bins, -(-selection[0].stop // num_bins)
            values = np.asarray(array[first:last]).reshape(-1, num_units)
            start = selection[0].start - first * num_bins
            return values[start : start + selection[0].stop - selection[0].start, selection[1]]

        def _get_maxshape(self) -> tuple[int, int]:
            return (num_trials * num_bins, num_units)

        def _get_dtype(self) -> np.dtype[Any]:
            return array.dtype

    return Trials(buffer_shape=(trials * num_bins, num_units), chunk_shape=(num_bins, num_units))


def _add_trials(
    file: Any, means: PosteriorMeans, times: SessionTimes, copied: Mapping[str, Array]
) -> None:
    assert times.event_times_s is not None
    starts_s = times.event_times_s + means.time_ms[0] / _MS_PER_S
    stops_s = times.event_times_s + (means.time_ms[-1] + means.bin_ms) / _MS_PER_S
    own = {
        "lfads_split": (
            "whether the trial trained or validated",
            np.where(means.is_valid, "valid", "train"),
        ),
        "lfads_start_time": ("beginning of its first bin [s]", starts_s),
        "lfads_first_row": (
            f"row of its first bin in the series of the module {_MODULE}; it has "
            f"{len(means.time_ms)}",
            np.arange(means.num_trials) * len(means.time_ms),
        ),
    }
    conditions = means.condition_ids
    if conditions is not None:
        labels = condition_labels(conditions)
        own["lfads_condition"] = ("condition, as the model's data have it", labels)
    columns = {name: ("as in the recording", values) for name, values in copied.items()}
    columns |= own
    for name, (description, _) in columns.items():
        if name not in _OWN_COLUMNS:
            file.add_trial_column(name, description)
    # Without a table of the recording, a trial is what the model saw of it.
    columns.setdefault("start_time", ("", starts_s))
    columns.setdefault("stop_time", ("", stops_s))
    for trial in range(means.num_trials):
        file.add_trial(**{name: _plain(values[trial]) for name, (_, values) in columns.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    return value.item() if isinstance(value, np.generic) else value


def _session(
    pynwb: Any, times: SessionTimes, options: NwbOptions
) -> tuple[dict[str, Any], Any, dict[str, Array]]:
    """Give fields of the session, its subject, and columns of the table of trials."""
    if times.source is None:
        fields = {
            "session_description": "what an LFADS model inferred",
            "session_start_time": _session_start(options),
        }
        return fields, None, {}
    with opened_nwb(times.source) as recording:
        fields = {name: getattr(recording, name) for name in _SESSION_FIELDS}
        fields = {name: value for name, value in fields.items() if value is not None}
        fields["identifier"] = str(recording.identifier)
        subject = recording.subject
        if subject is not None:
            known = {name: getattr(subject, name, None) for name in _SUBJECT_FIELDS}
            subject = pynwb.file.Subject(**{k: v for k, v in known.items() if v is not None})
        return fields, subject, _copied_columns(recording, times)


def _copied_columns(recording: Any, times: SessionTimes) -> dict[str, Array]:
    if times.trial_rows is None or times.source is None:
        return {}
    table = trial_table(recording, times.table, times.source)
    columns, left_out = {}, []
    for name in table.colnames:
        values = _plain_column(table[name])
        if values is None:
            left_out.append(name)
        else:
            columns[name] = values[times.trial_rows]
    if left_out:
        _log.warning(
            "%s: left out the columns %s of %s, which hold lists or references",
            times.source.name,
            ", ".join(left_out),
            times.table,
        )
    return columns


def _plain_column(column: Any) -> Array | None:
    """Give a column with one number or text for each row; None for lists and references."""
    from hdmf.common import DynamicTableRegion, VectorIndex

    if isinstance(column, VectorIndex | DynamicTableRegion):
        return None
    values = np.asarray(column[:])
    is_text = values.dtype.kind == "O" and all(isinstance(value, str) for value in values)
    return values if values.ndim == 1 and (is_text or values.dtype.kind in "biufUS") else None


def _session_start(options: NwbOptions) -> datetime:
    text = options.session_start or ""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no time of a session's start", "write it as 2018-01-31T09:30:00+00:00"
        ) from error


def _pynwb() -> Any:
    try:
        return importlib.import_module("pynwb")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"writing NWB takes pynwb, which is not installed ({error})",
            "run: pip install 'lfadsq[nwb]'",
        ) from error
