"""When and where each run was tried, from the records beside its done-markers.

Queues move a damaged record aside. Whoever reports changes nothing: it is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import QueueError
from lfadsq.paths import RunPaths
from lfadsq.queue.devices import is_cpu
from lfadsq.queue.overview import parse_time_s
from lfadsq.queue.records import SCHEMA_VERSION, Attempt, AttemptState
from lfadsq.queue.tasks import TaskFiles
from lfadsq.queue.versioned import parse_versioned
from lfadsq.watching.gpu_history import GpuHistory
from lfadsq.watching.quick_reading import read_whole
from lfadsq.watching.run_status import RunState, RunStatus

__all__ = ["RunRecords", "Stay", "read_records", "stays_in_history", "stays_of"]

_MARKERS = (RunPaths(Path()).done, RunPaths(Path()).posterior_mean_done)
_RECORDS = tuple(str(TaskFiles(marker).record) for marker in _MARKERS)


@dataclass(frozen=True)
class Stay:
    """A run on a device, once.

    Attributes
    ----------
    run : int or None
        Its place among the runs of the report; None for a task that is none of them.
    name : str
        Of its task.
    host, device, device_name : str
        Where: the machine, and the UUID of a GPU or MIG device, or ``cpu``.
    began_s, ended_s : float
        [s since 1970]; the end is the last that is known if there was none.
    how : str
        Its `lfadsq.queue.records.Outcome`, ``running``, or ``unknown``.
    cause : str
        Why it did not succeed; empty if it did, or is not known.
    queue_id : str
        Of the queue that started it.
    """

    run: int | None
    name: str
    host: str
    device: str
    device_name: str
    began_s: float
    ended_s: float
    how: str
    cause: str
    queue_id: str

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return not is_cpu(self.device)


@dataclass(frozen=True)
class RunRecords:
    """What was tried for the tasks of one run.

    Attributes
    ----------
    attempts : tuple of (str, Attempt)
        With the name of the task: training, and sampling alone.
    num_damaged : int
        Records that cannot be understood.
    """

    attempts: tuple[tuple[str, Attempt], ...] = ()
    num_damaged: int = 0

    @property
    def peak_memory_mb(self) -> float | None:
        """The most device memory that an attempt was seen to take [MB]; None if nobody saw."""
        peaks = [one.peak_memory_mb for _, one in self.attempts if one.peak_memory_mb is not None]
        return max(peaks, default=None)

    @property
    def last(self) -> Attempt | None:
        """The newest attempt of the training."""
        trained = [one for name, one in self.attempts if not name.endswith("posteriorMeanOnly")]
        return trained[-1] if trained else None


def read_records(folder: str) -> RunRecords:
    """Read the records in the folder of a run; nothing there is changed.

    Parameters
    ----------
    folder : str

    Returns
    -------
    RunRecords
        Without those that are missing, damaged, or of a newer lfadsq.
    """
    attempts: list[tuple[str, Attempt]] = []
    num_damaged = 0
    for record in _RECORDS:
        path = Path(folder) / record
        try:
            data = parse_versioned(path, read_whole(str(path))[0].decode(), SCHEMA_VERSION)
            read = [(str(data["name"]), Attempt.from_dict(one)) for one in data["attempts"]]
        except FileNotFoundError:
            continue
        except (OSError, QueueError, ValueError, TypeError, KeyError, AttributeError):
            num_damaged += 1
            continue
        attempts += read
    return RunRecords(tuple(attempts), num_damaged)


def stays_of(number: int, status: RunStatus, records: RunRecords, now_s: float) -> list[Stay]:
    """Tell when and where a run was.

    Parameters
    ----------
    number : int
        Its place among the runs.
    status : RunStatus
    records : RunRecords
    now_s : float
        When it was looked at [s since 1970].
    """
    stays = []
    for name, attempt in records.attempts:
        began_s = parse_time_s(attempt.started_at)
        if began_s is None:
            continue
        is_last = attempt is records.attempts[-1][1] or attempt is records.last
        ended_s, how = _end_of(attempt, status, began_s, now_s, is_last=is_last)
        stays.append(
            Stay(
                number,
                name,
                attempt.host,
                attempt.device.partition("@")[0],
                attempt.device_name,
                began_s,
                max(began_s, ended_s),
                how,
                attempt.cause.value if attempt.cause else "",
                attempt.queue_id,
            )
        )
    return stays


def _end_of(
    attempt: Attempt, status: RunStatus, began_s: float, now_s: float, *, is_last: bool
) -> tuple[float, str]:
    if attempt.state is AttemptState.ENDED:
        ended_s = parse_time_s(attempt.ended_at or "")
        how = attempt.outcome.value if attempt.outcome else "unknown"
        return began_s if ended_s is None else ended_s, how
    if status.state is RunState.TRAINING and is_last:
        return now_s, "running"
    # Nobody saw it end: what it last said is all that is known.
    return parse_time_s(status.updated) or began_s, "unknown"


def stays_in_history(
    history: GpuHistory, known: Sequence[Stay], run_of_task: dict[str, int]
) -> list[Stay]:
    """Tell of runs on GPUs that no record tells of, such as those whose training was deleted.

    Parameters
    ----------
    history : GpuHistory
    known : sequence of Stay
        What records tell.
    run_of_task : dict of str to int
        Places of runs by the names of their tasks.
    """
    recorded: dict[tuple[str, str], list[Stay]] = {}
    for stay in known:
        recorded.setdefault((stay.name, stay.device), []).append(stay)
    return [
        Stay(
            run_of_task.get(run.name),
            run.name,
            device.host,
            device.device_id,
            device.name,
            run.began_s,
            run.ended_s,
            "unknown",
            "",
            run.queue_id,
        )
        for device in history.devices.values()
        for run in device.runs
        if not _is_any_at(recorded.get((run.name, device.device_id), ()), run.began_s, run.ended_s)
    ]


def _is_any_at(stays: Iterable[Stay], began_s: float, ended_s: float) -> bool:
    return any(stay.began_s <= ended_s and stay.ended_s >= began_s for stay in stays)
