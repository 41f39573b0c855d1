"""All that a report tells of a collection, gathered from its files; nothing there is changed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import ResultError, StorageError
from lfadsq.paths import RunPaths
from lfadsq.queue.failures import last_lines, log_tail
from lfadsq.results.fit_log import FitLog
from lfadsq.texts import harmless
from lfadsq.watching.collection_status import (
    BestRun,
    CollectionStatus,
    read_collection_status,
)
from lfadsq.watching.gpu_history import GpuHistory
from lfadsq.watching.quick_reading import making_many_objects
from lfadsq.watching.report.attempts import (
    RunRecords,
    Stay,
    read_records,
    stays_in_history,
    stays_of,
)
from lfadsq.watching.report.curves import (
    Curve,
    Scores,
    curve_of,
    scores_of,
)
from lfadsq.watching.report.gpu_series import GpuSeries, gpu_series_of
from lfadsq.watching.report.hyperparameters import HyperParam, hyper_param_of
from lfadsq.watching.report.timeline import Timeline, timeline_of
from lfadsq.watching.run_status import RunState, RunStatus

__all__ = ["ReportRun", "RunReport", "collect"]

_MOST_STEPS = 900
_ALL_POINTS = 500_000
_MOST_POINTS, _FEWEST_POINTS = 1200, 60
_NUM_LINES, _LONGEST_LINE = 15, 400


@dataclass(frozen=True)
class ReportRun:
    """What a report tells of one run.

    Attributes
    ----------
    status : RunStatus
    scores : Scores or None
        None before an epoch counts.
    curve : Curve or None
        None if there is no log of costs.
    records : RunRecords
    duration_s : float or None
        How long all attempts took together [s]; None if no queue tells.
    log_lines : tuple of str
        The end of the log of a run that failed.
    problem : str
        Why its log of costs cannot be read; empty if it can.
    """

    status: RunStatus
    scores: Scores | None
    curve: Curve | None
    records: RunRecords
    duration_s: float | None
    log_lines: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class RunReport:
    """What a report tells of a collection.

    Attributes
    ----------
    status : CollectionStatus
    host : str
        Where the report was made.
    runs : tuple of ReportRun
        In the order of `status`.
    hyper_params : tuple of HyperParam
        In which the runs differ, their values in the order of `runs`.
    timeline : Timeline
    gpus : GpuSeries or None
        None without a GPU history.
    notes : tuple of str
        What could not be read, or is not all there.
    """

    status: CollectionStatus
    host: str
    runs: tuple[ReportRun, ...]
    hyper_params: tuple[HyperParam, ...]
    timeline: Timeline
    gpus: GpuSeries | None
    notes: tuple[str, ...]

    @property
    def best(self) -> tuple[BestRun, ...]:
        """The run of the lowest validation cost on each kind of data."""
        return self.status.best(1)


def collect(collection: Path, advance: Callable[[str, int, int], None]) -> RunReport:
    """Gather what a report tells.

    Parameters
    ----------
    collection : Path
        Its folder.
    advance : callable
        Called with the name of a run, its number from 1, and how many there are.

    Raises
    ------
    QueueError, StorageError
        If the folder, or what queues and people said, cannot be read.
    """
    with making_many_objects():
        return _collect(collection, advance)


def _collect(collection: Path, advance: Callable[[str, int, int], None]) -> RunReport:
    status = read_collection_status(collection)
    history = GpuHistory.load(collection)
    num_begun = sum(run.num_epochs > 0 for run in status.runs)
    most_points = min(_MOST_POINTS, max(_FEWEST_POINTS, _ALL_POINTS // max(1, 2 * num_begun)))
    runs: list[ReportRun] = []
    stays: list[Stay] = []
    run_of_task: dict[str, int] = {}
    for number, one in enumerate(status.runs):
        records = read_records(str(collection / one.name))
        of_run = stays_of(number, one, records, status.at_s)
        runs.append(_report_run(collection, one, records, of_run, most_points))
        stays += of_run
        run_of_task |= dict.fromkeys((name for name, _ in records.attempts), number)
        advance(one.name, number + 1, len(status.runs))
    stays += stays_in_history(history, stays, run_of_task)
    return RunReport(
        status,
        socket.gethostname(),
        tuple(runs),
        _hyper_params(status),
        timeline_of(stays, history),
        gpu_series_of(history, _MOST_STEPS),
        tuple(_notes(runs, history)),
    )


def _report_run(
    collection: Path,
    status: RunStatus,
    records: RunRecords,
    stays: Sequence[Stay],
    most_points: int,
) -> ReportRun:
    paths = RunPaths(collection / status.name)
    log = None
    problem = ""
    if status.num_epochs:
        try:
            log = FitLog.load(paths.output.fit_log())
        except (ResultError, StorageError) as error:
            problem = harmless(str(error))
    lines: tuple[str, ...] = ()
    if status.state is RunState.FAILED:
        since = records.last.log_offset if records.last else 0
        found = last_lines(log_tail(paths.log, since=since), _NUM_LINES)
        lines = tuple(harmless(line)[:_LONGEST_LINE] for line in found)
    return ReportRun(
        status,
        scores_of(log) if log else None,
        curve_of(log, most_points) if log else None,
        records,
        sum(stay.ended_s - stay.began_s for stay in stays) if stays else None,
        lines,
        problem,
    )


def _hyper_params(status: CollectionStatus) -> tuple[HyperParam, ...]:
    by_hash = {
        param_hash: status.settings.values(param_hash)
        for param_hash in dict.fromkeys(run.param_hash for run in status.runs)
    }
    values = [by_hash[run.param_hash] for run in status.runs]
    return tuple(
        hyper_param_of(name, [_known(one.get(name)) for one in values])
        for name in status.settings.varying
    )


def _known(text: str | None) -> str | None:
    return None if text in (None, "?") else harmless(text)


def _notes(runs: Sequence[ReportRun], history: GpuHistory) -> list[str]:
    notes = [harmless(problem) for problem in history.problems]
    if history.num_damaged:
        notes.append(f"{history.num_damaged} records of the GPU history are damaged and left out.")
    if num_damaged := sum(run.records.num_damaged for run in runs):
        notes.append(f"{num_damaged} records of attempts cannot be read and are left out.")
    notes += [run.problem for run in runs if run.problem]
    untold = sum(run.curve is not None and run.duration_s is None for run in runs)
    if untold:
        notes.append(
            f"{untold} of the runs were trained without a queue of lfadsq: when and where is not"
            " known."
        )
    return notes
