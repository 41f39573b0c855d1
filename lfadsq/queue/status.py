"""What a queue does at one moment, for people and for programs that show it.

A snapshot is a hint: record, lock and done-marker of a task decide. Format version 1; change
`SCHEMA_VERSION` when a field changes its meaning or goes, not when one is added.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from lfadsq.queue.clusters.jobs import JobStatus

__all__ = [
    "SCHEMA_VERSION",
    "DeviceStatus",
    "QueueState",
    "Snapshot",
    "TaskState",
    "TaskStatus",
    "Watermarks",
]

SCHEMA_VERSION = 1


class TaskState(str, enum.Enum):
    """Where a task is on its way."""

    WAITING = "waiting"
    PAUSED = "paused"
    """A person holds it back."""
    RUNNING = "running"
    ELSEWHERE = "elsewhere"
    """Another queue runs it."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """It ended with its queue, and goes on with the next."""
    LEFT = "left"
    """It goes on without a queue."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens to it unless a person wants it."""
        return self in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)


class QueueState(str, enum.Enum):
    """What a queue is about."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(frozen=True)
class TaskStatus:
    """A task as its queue sees it.

    Attributes
    ----------
    name : str
    state : TaskState
    since : str
        When it came into that state, ISO 8601; empty if unknown.
    device, device_name : str
        Of the attempt that runs or ran last; empty if there was none.
    attempt : int
        Its number; 0 if there was none.
    cause : str
        Why it did not succeed (`lfadsq.queue.records.Cause`); empty if that is not so.
    reason : str
        Why it waits or failed, in one line.
    priority : int
    memory_mb : float
        What it needs, or has reserved [MB].
    expected_s : float
        How long it may take [s]; 0 for unknown.
    is_alone : bool
        Whether it needs, or has, a device for itself.
    outfile, donefile, command : str
        As in the task list.
    """

    name: str
    state: TaskState = TaskState.WAITING
    since: str = ""
    device: str = ""
    device_name: str = ""
    attempt: int = 0
    cause: str = ""
    reason: str = ""
    priority: int = 0
    memory_mb: float = 0.0
    expected_s: float = 0.0
    is_alone: bool = False
    outfile: str = ""
    donefile: str = ""
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return dict(vars(self))  # asdict copies deeply, at ten times the cost

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskStatus:
        """Convert from JSON; what is missing has its default.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is no status of a task.
        """
        values = {key: value for key, value in data.items() if key in TASK_DEFAULTS}
        if not isinstance(data["name"], str):
            raise TypeError(f"name is {data['name']!r}")
        values["state"] = TaskState(data.get("state", TaskState.WAITING))
        return cls(**values)


TASK_DEFAULTS: Mapping[str, Any] = {
    f.name: "" if f.default is MISSING else f.default for f in fields(TaskStatus)
}
"""The fields of a `TaskStatus`: those that have these values need not be written."""


@dataclass(frozen=True)
class DeviceStatus:
    """A device as its queue sees it.

    Attributes
    ----------
    device_id : str
        UUID of a GPU or MIG device, or ``cpu``.
    name : str
        For displays, such as ``GPU 0 (NVIDIA A100)``.
    memory_total_mb, memory_free_mb : float
        As measured [MB]; free is what nobody, we or others, has taken.
    left_mb : float
        Free, less what running tasks have reserved and not yet taken [MB].
    max_tasks : int
        How many of our tasks may run on it at once.
    tasks : tuple of str
        Names of those that do.
    closed_because : str
        Why nothing is started on it; empty if it is open.
    kept_for : str
        Name of the waiting task for which it is being freed; empty for none.
    history : tuple of (float, str)
        Ever smaller amounts [MB], and when so much was last left (`Watermarks`), ISO 8601.
    utilisation_percent, power_w, power_limit_w, temperature_c : float or None
        How hard a GPU works [%, W, W, degrees Celsius]; None if it does not tell.
    num_others : int
        Processes that compute on it and are none of this queue's tasks.
    other_users : tuple of str
        Whose those are, as far as that is to be seen.
    host : str
        The machine it is in, if that is one of a cluster; empty for the queue's own.
    """

    device_id: str
    name: str
    memory_total_mb: float
    memory_free_mb: float
    left_mb: float
    max_tasks: int
    tasks: tuple[str, ...] = ()
    closed_because: str = ""
    kept_for: str = ""
    history: tuple[tuple[float, str], ...] = ()
    utilisation_percent: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    num_others: int = 0
    other_users: tuple[str, ...] = ()
    host: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU, whole or part."""
        return self.device_id.partition("@")[0] != "cpu"

    def since_when_below(self, need_mb: float) -> str:
        """Tell when so much was last left, ISO 8601; empty if never while anybody looked."""
        return Watermarks(self.history).since_when_below(need_mb) or ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {
            **vars(self),
            "tasks": list(self.tasks),
            "history": [list(entry) for entry in self.history],
            "other_users": list(self.other_users),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeviceStatus:
        """Convert from JSON.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is no status of a device.
        """
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["tasks"] = tuple(data.get("tasks", ()))
        values["other_users"] = tuple(map(str, data.get("other_users", ())))
        values["history"] = tuple(
            (float(left_mb), str(time)) for left_mb, time in data.get("history", ())
        )
        return cls(**values)


@dataclass(frozen=True)
class Snapshot:
    """A queue at one moment.

    Attributes
    ----------
    queue_id : str
    queue_name : str
        What displays call it.
    host : str
    pid : int
    started_at, updated_at : str
        ISO 8601.
    state : QueueState
    max_tasks : int
        How many tasks run at once in all.
    why_no_gpu : str
        Empty if GPUs are used.
    tensorboard, tensorboard_tunnel : str
        Its address, and the line that leads to it from another computer; empty if there is none.
    dashboard, dashboard_tunnel : str
        The same for the dashboard of the Dask scheduler, if that is one that was there already and
        has one.
    devices : tuple of DeviceStatus
    jobs : tuple of JobStatus
        Of the batch system, if it uses one.
    tasks : tuple of TaskStatus
        In the order of the task list.
    """

    queue_id: str
    queue_name: str
    host: str
    pid: int
    started_at: str
    updated_at: str
    state: QueueState = QueueState.RUNNING
    max_tasks: int = 1
    why_no_gpu: str = ""
    tensorboard: str = ""
    tensorboard_tunnel: str = ""
    dashboard: str = ""
    dashboard_tunnel: str = ""
    devices: tuple[DeviceStatus, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    tasks: tuple[TaskStatus, ...] = ()

    def head_dict(self) -> dict[str, Any]:
        """Convert all but the tasks to what JSON can hold."""
        head = {key: value for key, value in vars(self).items() if key != "tasks"}
        head["devices"] = [device.to_dict() for device in self.devices]
        head["jobs"] = [job.to_dict() for job in self.jobs]
        return {"schema_version": SCHEMA_VERSION, **head}

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {**self.head_dict(), "tasks": [task.to_dict() for task in self.tasks]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Snapshot:
        """Convert from JSON.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is no snapshot of this schema version.
        """
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {data['schema_version']}")
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["state"] = QueueState(data["state"])
        values["devices"] = tuple(map(DeviceStatus.from_dict, data["devices"]))
        values["jobs"] = tuple(map(JobStatus.from_dict, data.get("jobs", ())))
        values["tasks"] = tuple(map(TaskStatus.from_dict, data["tasks"]))
        return cls(**values)


class Watermarks:
    """When a device last had how much memory left, of all that was seen.

    Kept are ever smaller amounts with ever later times: what is larger than everything seen later.
    That answers for any need since when it has not been met.

    Parameters
    ----------
    entries : iterable of (float, str)
        Earlier ones, as `entries` gave them.
    max_entries : int, default 100
        If memory ebbs away so slowly that there would be more, those are dropped that differ least
        from the next larger one; answers for amounts in between are then too early.

    Examples
    --------
    >>> seen = Watermarks()
    >>> for left_mb, time in [(9000, "10:00"), (2000, "11:00"), (4000, "12:00"), (1000, "13:00")]:
    ...     seen.note(left_mb, time)
    >>> seen.entries
    ((9000, '10:00'), (4000, '12:00'), (1000, '13:00'))
    >>> seen.since_when_below(3000)
    '12:00'
    """

    def __init__(self, entries: Iterable[tuple[float, str]] = (), *, max_entries: int = 100):
        self._entries = list(entries)
        self._max_entries = max_entries

    @property
    def entries(self) -> tuple[tuple[float, str], ...]:
        """Amounts [MB], ever smaller, and when so much was last left."""
        return tuple(self._entries)

    def note(self, left_mb: float, time: str) -> None:
        """Take a new measurement, later than all before."""
        while self._entries and self._entries[-1][0] <= left_mb:
            self._entries.pop()
        self._entries.append((left_mb, time))
        if len(self._entries) > self._max_entries:
            amounts = [left_mb for left_mb, _ in self._entries]
            # Neither the first nor the last, which is how things are now.
            steps = [(amounts[i - 1] - amounts[i], i) for i in range(1, len(amounts) - 1)]
            del self._entries[min(steps)[1]]

    def since_when_below(self, need_mb: float) -> str | None:
        """Tell when so much was last left; None if it never was."""
        for left_mb, time in reversed(self._entries):
            if left_mb >= need_mb:
                return time
        return None
