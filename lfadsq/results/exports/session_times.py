"""`SessionTimes`: when the trials of a dataset were in their session, and what else is known then.

Prepared data hold times from an event of each trial, not where the event was in the session. That
is in the recording, an NWB file, or has to be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.datasets.nwb import read_trials
from lfadsq.datasets.windows import window_starts
from lfadsq.errors import ConfigError
from lfadsq.files import storage_errors
from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["NwbOptions", "Recording", "SessionTimes", "find_session_times"]

_MS_PER_S = 1000.0
_SUFFIX = ".nwb"


@dataclass(frozen=True)
class Recording:
    """A dataset's recording, as the manager knows it.

    Attributes
    ----------
    path : Path
        Its file.
    load : callable or None
        Reads it as the lab's own class does, if there is one: a dict that may have ``eventTimes``
        [s] and ``trialRows`` (see `lfadsq.datasets.nwb.load_nwb`).
    """

    path: Path
    load: Callable[[], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class NwbOptions:
    """How to find trials in their session.

    Attributes
    ----------
    recording_of : callable
        Gives the recording of a dataset, by its name.
    nwb : Path, optional
        The NWB file of the recording; by default the recording itself, if it is one.
    event : str, optional
        Column of its table of trials at which they were cut [s]. Not needed if the class of the
        dataset reads it with ``load_nwb``.
    table : str, default "trials"
        Another table of intervals.
    event_times : Path or array_like, optional
        Time 0 of each trial in the session [s], in the order of the trials: numbers, or a text
        file with one a line. Then no NWB file is needed.
    session_start : str, optional
        When the session began, ISO 8601, where no NWB file tells it.
    overlap_bins, num_bins : int, optional
        If trials are windows of a continuous recording (see `lfadsq.datasets.windows`): by how
        many of the model's bins they overlap, and how many the recording has. They are merged.
    start_s : float, default 0 [s]
        Where such a recording begins in the session.
    """

    recording_of: Callable[[str], Recording] = field(repr=False)
    nwb: Path | None = None
    event: str | None = None
    table: str = "trials"
    event_times: Path | npt.ArrayLike | None = None
    session_start: str | None = None
    overlap_bins: int | None = None
    num_bins: int | None = None
    start_s: float = 0.0

    def __post_init__(self) -> None:
        if (self.overlap_bins is None) != (self.num_bins is None):
            raise ConfigError(
                "windows are merged by their overlap and the bins of the recording, and only one "
                "of these was given",
                "give both, in bins of the model",
            )
        ways = {
            "an event": self.event is not None,
            "event times": self.event_times is not None,
            "windows of a continuous recording": self.is_continuous,
        }
        said = [way for way, is_said in ways.items() if is_said]
        if len(said) > 1:
            raise ConfigError(
                f"trials are found in the session by one of these, and {' and '.join(said)} were "
                "given",
                "leave out all but one",
            )
        if self.start_s and not self.is_continuous:
            raise ConfigError(
                "start_s is where a continuous recording begins, and trials are no windows of one",
                "leave it out, or give overlap_bins and num_bins",
            )

    @property
    def is_continuous(self) -> bool:
        """Whether trials are windows of a continuous recording."""
        return self.overlap_bins is not None


@dataclass(frozen=True, eq=False)
class SessionTimes:
    """When trials were.

    Attributes
    ----------
    event_times_s : numpy.ndarray or None, shape (trial,), float64 [s]
        Time 0 of each trial in the session; None of windows of a continuous recording.
    source : Path or None
        The NWB file that tells of the session.
    table : str
        Its table of trials.
    trial_rows : numpy.ndarray or None, shape (trial,), int64
        Which of its rows the trials are, from 0.
    """

    event_times_s: npt.NDArray[np.float64] | None
    source: Path | None
    table: str
    trial_rows: npt.NDArray[np.int64] | None


def find_session_times(means: PosteriorMeans, options: NwbOptions) -> SessionTimes:
    """Find when the trials of a dataset were.

    Parameters
    ----------
    means : PosteriorMeans
        Results of the dataset.
    options : NwbOptions
        What was said about it.

    Returns
    -------
    SessionTimes

    Raises
    ------
    ConfigError
        If nothing tells it, or what does is of another number of trials.
    DatasetError, StorageError
        If the recording cannot be read.
    """
    recording = options.recording_of(means.dataset_name)
    source = options.nwb or (recording.path if recording.path.suffix == _SUFFIX else None)
    if source is None and options.session_start is None:
        raise ConfigError(
            f"the recording of {means.dataset_name}, {recording.path}, is no NWB file, so nobody "
            "knows its session",
            "give the session's NWB file (--nwb), or --session-start and --event-times",
        )
    if source is not None and options.session_start is not None:
        raise ConfigError(
            f"when the session began is in {source}, and was given besides",
            "leave out --session-start (session_start)",
        )
    if options.is_continuous:
        _check_windows(means, options)
        return SessionTimes(None, source, options.table, None)
    if options.event_times is not None:
        times_s = _given_times(options.event_times)
        _check_number(times_s, means, "event times were given")
        return SessionTimes(times_s, source, options.table, None)
    if source is None:
        raise ConfigError(
            f"nothing tells when the trials of {means.dataset_name} were in the session",
            "give the time of each with --event-times",
        )
    rows: npt.NDArray[np.int64] | None
    if options.event is not None:
        times_s, rows = read_trials(source, options.table, options.event)
        what = f"rows of {options.table} in {source} have {options.event}"
    else:
        times_s, rows = _loaded_times(recording, means.dataset_name)
        what = f"event times were read from {recording.path}"
    _check_number(times_s, means, what)
    return SessionTimes(times_s, source, options.table, rows)


def _given_times(given: Any) -> npt.NDArray[np.float64]:
    if not isinstance(given, str | Path):
        return np.ravel(np.asarray(given, dtype=np.float64))
    path = Path(given)
    with storage_errors(path, "read"):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        raise ConfigError(
            f"{path} holds something else than numbers ({error})",
            "write the time of each trial in the session, in seconds, one a line",
        ) from error


def _loaded_times(
    recording: Recording, dataset_name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64] | None]:
    data = recording.load() if recording.load is not None else {}
    if "eventTimes" not in data:
        raise ConfigError(
            f"at which event the trials of {dataset_name} were cut is not known",
            "name the column of the trials table with --event (event=...)",
        )
    rows = data.get("trialRows")
    return np.ravel(data["eventTimes"]), None if rows is None else np.ravel(rows)


def _check_windows(means: PosteriorMeans, options: NwbOptions) -> None:
    assert options.num_bins is not None
    assert options.overlap_bins is not None
    window_bins = len(means.time_ms)
    number = len(window_starts(options.num_bins, window_bins, options.overlap_bins))
    if number != means.num_trials:
        raise ConfigError(
            f"a recording of {options.num_bins} bins has {number} windows of {window_bins} that "
            f"overlap by {options.overlap_bins}, and {means.dataset_name} {means.num_trials}",
            "give overlap and length in bins of the model",
        )


def _check_number(times_s: npt.NDArray[np.float64], means: PosteriorMeans, what: str) -> None:
    if len(times_s) != means.num_trials:
        raise ConfigError(
            f"{means.dataset_name} has {means.num_trials} trials, and {len(times_s)} {what}",
            "give the time of each trial that the model was given, with --event-times",
        )
    if not np.isfinite(times_s).all():
        raise ConfigError(
            f"some event times of {means.dataset_name} are no numbers", "give one for each trial"
        )
