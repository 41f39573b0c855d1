"""Recordings from NWB files: spike times, and the table that says what a trial is.

pynwb reads them (``pip install 'lfadsq[nwb]'``); it is imported when a file is opened.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lfadsq.datasets.recording_files import check_recording_file
from lfadsq.errors import ConfigError, DatasetError

__all__ = [
    "EventTimes",
    "bin_spikes",
    "load_continuous_nwb",
    "load_nwb",
    "opened_nwb",
    "read_trials",
    "trial_table",
]

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]

# Spike times are whole samples or milliseconds, stored as seconds in float64: those on the border
# of a bin lie a rounding error beside it, and belong to the bin that begins there.
_BORDER_BINS = 1e-6


def load_nwb(
    path: Path,
    *,
    event: str,
    before_ms: float,
    after_ms: float,
    bin_ms: float = 1.0,
    condition: str | None = None,
    table: str = "trials",
    units: Sequence[int] | Sequence[bool] | Array | None = None,
    trials: Sequence[int] | Sequence[bool] | Array | None = None,
) -> dict[str, Any]:
    """Count spikes around an event of each trial.

    Parameters
    ----------
    path : Path
        The NWB file.
    event : str
        Column of the trials table with the time of the event [s], for example ``start_time``.
    before_ms, after_ms : float [ms]
        Where the window begins before the event and ends after it; ``before_ms=-100`` begins
        100 ms after it.
    bin_ms : float, default 1 [ms]
        Width of a bin; the window must be a whole number of them.
    condition : str, optional
        Column with the condition of each trial: numbers or text.
    table : str, default "trials"
        Another table of intervals, by its name.
    units, trials : sequence of int or of bool, optional
        Which to keep: rows from 0, or a mask. By default all.

    Returns
    -------
    dict of str to object
        For `Dataset.load_data`: ``spikes`` (trial, channel, time), unsigned integers [spikes/bin];
        ``timeMs`` (time,), the beginning of each bin after the event; ``conditionId`` (trial,)
        where asked for; ``trialRows`` and ``unitRows``, the rows from 0 of what is in ``spikes``;
        ``eventTimes`` (trial,), when the event was in the session [s]; ``subject`` and ``date``.
        Trials without the event (NaN) are left out, and a line of the log
        says how many.

    Raises
    ------
    ConfigError
        If pynwb is not installed, or the window is no whole number of bins.
    DatasetError
        If the file is missing, damaged or no NWB file, has no spike times or no such table or
        column, or no trial is left.
    StorageError
        If it cannot be read.

    Examples
    --------
    A dataset class of your own::

        class ReachingDataset(Dataset):
            def load_data(self):
                return load_nwb(
                    self.path, event="go_cue_time", before_ms=200, after_ms=600, condition="target"
                )
    """
    num_bins = _whole_bins(before_ms, after_ms, bin_ms)
    with opened_nwb(path) as nwb:
        rows = trial_table(nwb, table, path)
        event_times_s = _event_times(_column(rows, event, table, path), event, path)
        trial_rows = _kept(trials, len(event_times_s), "trials")
        has_event = np.isfinite(event_times_s[trial_rows])
        if not has_event.all():
            _log.info(
                "%s: left out %d of %d trials, which have no %s",
                path.name,
                np.sum(~has_event),
                len(has_event),
                event,
            )
        trial_rows = trial_rows[has_event]
        if not len(trial_rows):
            raise DatasetError(
                f"no trial of {path} is left: {len(has_event)} were chosen, none has {event}",
                "choose another event or other trials",
            )
        spike_times_s, unit_rows = _spike_times(nwb, units, path)
        recording: dict[str, Any] = {
            "spikes": bin_spikes(
                spike_times_s, event_times_s[trial_rows] - before_ms / 1000, num_bins, bin_ms
            ),
            "timeMs": np.arange(num_bins) * bin_ms - before_ms,
            "eventTimes": event_times_s[trial_rows],
            "trialRows": trial_rows,
            "unitRows": unit_rows,
        }
        if condition is not None:
            values = np.asarray(_column(rows, condition, table, path)[:])
            if values.ndim != 1:
                raise DatasetError(
                    f"{condition} of {path} has several values for each trial",
                    "choose a column with one, or make condition ids in load_data",
                )
            recording["conditionId"] = values[trial_rows]
        return recording | _session(nwb)


def load_continuous_nwb(
    path: Path,
    *,
    bin_ms: float = 1.0,
    start_s: float = 0.0,
    stop_s: float | None = None,
    units: Sequence[int] | Sequence[bool] | Array | None = None,
) -> dict[str, Any]:
    """Count the spikes of a recording without trials, to be cut with `windows`.

    Parameters
    ----------
    path : Path
        The NWB file.
    bin_ms : float, default 1 [ms]
        Width of a bin.
    start_s, stop_s : float [s]
        Part of the session; by default from 0 to the last spike. What makes no whole bin at the end
        is left out.
    units : sequence of int or of bool, optional
        Which to keep: rows from 0, or a mask. By default all.

    Returns
    -------
    dict of str to object
        ``counts`` (channel, time), unsigned integers [spikes/bin]; ``timeMs`` (time,), the
        beginning of each bin in the session; ``unitRows``, ``subject`` and ``date``.

    Raises
    ------
    ConfigError
        If pynwb is not installed, or the part is shorter than a bin.
    DatasetError
        If the file is missing, damaged or no NWB file, or has no spike times.
    StorageError
        If it cannot be read.
    """
    with opened_nwb(path) as nwb:
        spike_times_s, unit_rows = _spike_times(nwb, units, path)
        if stop_s is None:
            # The bin of the last spike is whole.
            last_s = max((float(times[-1]) for times in spike_times_s if len(times)), default=0.0)
            stop_s = last_s + bin_ms / 1000
        num_bins = _floor_bins(np.array((stop_s - start_s) * 1000), bin_ms).item()
        if num_bins < 1:
            raise ConfigError(
                f"{start_s:g} to {stop_s:g} s of {path} are less than a bin of {bin_ms:g} ms",
                "give a longer part, or narrower bins",
            )
        counts = bin_spikes(spike_times_s, np.array([start_s]), num_bins, bin_ms)[0]
        time_ms = start_s * 1000 + np.arange(num_bins) * bin_ms
        return {"counts": counts, "timeMs": time_ms, "unitRows": unit_rows, **_session(nwb)}


class EventTimes(NamedTuple):
    """When an event of each trial was.

    Attributes
    ----------
    event_times_s : numpy.ndarray, shape (trial,), float64 [s]
        Time in the session, of the trials that have the event.
    rows : numpy.ndarray, shape (trial,), int64
        Their rows in the table, from 0.
    """

    event_times_s: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]


def read_trials(path: Path, table: str, event: str) -> EventTimes:
    """Read when an event of each trial was; trials without it are left out, as `load_nwb` does.

    Parameters
    ----------
    path : Path
        The NWB file.
    table : str
        Table of intervals, ``trials`` for example.
    event : str
        Column with the times [s].

    Raises
    ------
    ConfigError
        If pynwb is not installed.
    DatasetError
        If the file is missing, damaged or no NWB file, or has no such table or column.
    StorageError
        If it cannot be read.
    """
    with opened_nwb(path) as nwb:
        rows = trial_table(nwb, table, path)
        times_s = _event_times(_column(rows, event, table, path), event, path)
    has_event = np.isfinite(times_s)
    return EventTimes(times_s[has_event], np.flatnonzero(has_event))


def bin_spikes(
    spike_times_s: Sequence[Array], starts_s: Array, num_bins: int, bin_ms: float
) -> Array:
    """Count spikes in the bins of each trial.

    Parameters
    ----------
    spike_times_s : sequence of numpy.ndarray, shape (spike,) [s]
        For each channel, times in ascending order.
    starts_s : numpy.ndarray, shape (trial,) [s]
        Where the first bin of each trial begins.
    num_bins : int
        Bins of a trial.
    bin_ms : float [ms]
        Width of a bin, which holds its beginning, but not its end.

    Returns
    -------
    numpy.ndarray, shape (trial, channel, time), the smallest unsigned integers [spikes/bin]

    Examples
    --------
    >>> bin_spikes([np.array([1.0, 1.001, 1.0015])], np.array([1.0, 1.001]), 2, 1.0).tolist()
    [[[1, 2]], [[2, 0]]]
    """
    margin_s = bin_ms / 1000
    stops_s = starts_s + num_bins * bin_ms / 1000
    # One bin more on either side, so that rounding at the borders is decided below, and there only.
    spans = [
        (np.searchsorted(times, starts_s - margin_s), np.searchsorted(times, stops_s + margin_s))
        for times in spike_times_s
    ]
    most = max((int((last - first).max(initial=0)) for first, last in spans), default=0)
    counts = np.zeros((len(starts_s), len(spans), num_bins), dtype=np.min_scalar_type(most))
    for channel, (times, (first, last)) in enumerate(zip(spike_times_s, spans, strict=True)):
        for trial, start_s in enumerate(starts_s):
            since_ms = (times[first[trial] : last[trial]] - start_s) * 1000
            bins = _floor_bins(since_ms, bin_ms)
            bins = bins[(bins >= 0) & (bins < num_bins)]
            counts[trial, channel] = np.bincount(bins, minlength=num_bins)
    return counts


def _floor_bins(duration_ms: Array, bin_ms: float) -> npt.NDArray[np.int64]:
    return np.floor(duration_ms / bin_ms + _BORDER_BINS).astype(np.int64)


def _whole_bins(before_ms: float, after_ms: float, bin_ms: float) -> int:
    length_ms = before_ms + after_ms
    if not (np.isfinite(length_ms) and np.isfinite(bin_ms) and bin_ms > 0):
        raise ConfigError(
            f"a window of {length_ms:g} ms cannot have bins of {bin_ms:g} ms",
            "give a positive bin_ms",
        )
    num_bins = round(length_ms / bin_ms)
    if num_bins < 1 or abs(num_bins * bin_ms - length_ms) > _BORDER_BINS * bin_ms:
        raise ConfigError(
            f"a window from {before_ms:g} ms before to {after_ms:g} ms after the event is no whole "
            f"number of bins of {bin_ms:g} ms",
            "change before_ms or after_ms",
        )
    return num_bins


# --- the file -------------------------------------------------------------------------------------


@contextmanager
def opened_nwb(path: Path) -> Iterator[Any]:
    """Open an NWB file for reading; it is closed at the end of the block.

    Raises
    ------
    ConfigError
        If pynwb is not installed.
    DatasetError
        If the file is missing, damaged or no NWB file, or something goes wrong in the block.
    StorageError
        If it cannot be read.
    """
    check_recording_file(path)
    try:
        pynwb = importlib.import_module("pynwb")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"reading {path} takes pynwb, which is not installed ({error})",
            "run: pip install 'lfadsq[nwb]'",
        ) from error
    with _reading(path):
        # Extensions of the format that the file was written with are taken from the file itself.
        stored = pynwb.NWBHDF5IO(str(path), mode="r", load_namespaces=True)
    with stored:
        with _reading(path):
            nwb = stored.read()
        with _reading(path):
            yield nwb


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (DatasetError, ConfigError, MemoryError):
        raise
    # pynwb raises whatever the damaged bytes make it stumble over.
    except Exception as error:
        raise DatasetError(
            f"{path} is damaged, truncated, or no NWB file ({error})",
            "copy it again, and see what pynwb-validate says of it",
        ) from error


def trial_table(nwb: Any, table: str, path: Path) -> Any:
    """Give a table of intervals of an open NWB file.

    Raises
    ------
    DatasetError
        If there is none of that name; the message lists those that there are.
    """
    # Versions of pynwb differ in whether `intervals` holds the tables that have names of their own.
    named = (nwb.trials, nwb.epochs, nwb.invalid_times)
    tables = {one.name: one for one in named if one is not None} | dict(nwb.intervals or {})
    if table not in tables:
        there = ", ".join(map(repr, tables))
        raise DatasetError(
            f"{path} has no table {table!r}",
            f"choose one of {there}" if there else "it has none: use load_continuous_nwb",
        )
    return tables[table]


def _column(rows: Any, name: str, table: str, path: Path) -> Any:
    if name not in rows.colnames:
        raise DatasetError(
            f"the table {table!r} of {path} has no column {name!r}",
            f"choose one of {', '.join(map(repr, rows.colnames))}",
        )
    return rows[name]


def _event_times(column: Any, event: str, path: Path) -> npt.NDArray[np.float64]:
    values = np.asarray(column[:])
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise DatasetError(
            f"{event} of {path} is no column of times: one number for each trial, in seconds",
            "choose another event",
        )
    return values.astype(np.float64)


def _spike_times(nwb: Any, units: Any, path: Path) -> tuple[list[Array], Array]:
    table = nwb.units
    if table is None or "spike_times" not in table.colnames or len(table) == 0:
        raise DatasetError(
            f"{path} has no units with spike times",
            "it may hold raw signals only, or field potentials: read these with pynwb in load_data",
        )
    unit_rows = _kept(units, len(table), "units")
    if not len(unit_rows):
        raise ConfigError(f"no unit of {path} is chosen", "choose one or several")
    times = [np.asarray(table["spike_times"][int(row)], dtype=np.float64) for row in unit_rows]
    return [np.sort(one[np.isfinite(one)]) for one in times], unit_rows


def _kept(chosen: Any, num_rows: int, what: str) -> npt.NDArray[np.int64]:
    """Give the rows that a mask or a list of rows chooses."""
    if chosen is None:
        return np.arange(num_rows)
    given = np.asarray(chosen)
    if given.dtype.kind == "b" and given.shape == (num_rows,):
        return np.flatnonzero(given)
    if given.size == 0:
        return np.arange(0)
    is_rows = given.dtype.kind in "iu" and given.ndim == 1
    if not is_rows or given.min() < 0 or given.max() >= num_rows:
        raise ConfigError(
            f"{what} {chosen!r} choose nothing: there are {num_rows}",
            f"give rows from 0 to {num_rows - 1}, or a mask of {num_rows}",
        )
    if len(set(given.tolist())) < len(given):
        raise ConfigError(f"{what} {chosen!r} choose rows twice", "give each once")
    return given.astype(np.int64)


def _session(nwb: Any) -> dict[str, Any]:
    subject = "" if nwb.subject is None else str(nwb.subject.subject_id or "")
    return {"subject": subject, "date": nwb.session_start_time}
