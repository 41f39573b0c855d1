"""The durable record of what was tried for a task, one JSON file beside its done-marker.

Whoever reads it, lfadsq or not, sees a whole record or none: it is replaced in one step. Its format
is versioned by `SCHEMA_VERSION`: change that with any change of a field, and keep reading old ones.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lfadsq.files import storage_errors, write_text
from lfadsq.queue.versioned import parse_versioned

__all__ = ["SCHEMA_VERSION", "Attempt", "AttemptState", "Cause", "Outcome", "Record", "iso_time"]

SCHEMA_VERSION = 2


class AttemptState(str, enum.Enum):
    """Whether an attempt goes on."""

    RUNNING = "running"
    ENDED = "ended"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to this attempt."""
        return self is AttemptState.ENDED


class Outcome(str, enum.Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The queue was asked to stop; never charged to the task."""
    CANCELLED = "cancelled"
    """A person cancelled it; not charged."""
    LOST = "lost"
    """Nobody saw it end: the machine, or task and queue together, died. Not charged either."""


class Cause(str, enum.Enum):
    """Why an attempt did not succeed."""

    GPU_MEMORY = "out of GPU memory"
    NOT_A_NUMBER = "not a number"
    IMPORT_ERROR = "import error"
    MISSING_PROGRAM = "missing program"
    MISSING_SCRIPT = "missing script"
    NO_GPU = "no GPU"
    STORAGE = "storage"
    KILLED_BY_SIGNAL = "killed by signal"
    KILLED_BY_USER = "killed by user"
    NOT_CONVERGED = "no line of success"
    REFUSED = "refused by the trainer"
    FITS_NOWHERE = "fits no device"
    CANCELLED = "cancelled by user"
    PAUSED = "paused by user"
    QUEUE_STOPPED = "queue stopped"
    LOST = "lost"
    WALLTIME = "walltime"
    """Its batch job came to its end."""
    PREEMPTED = "preempted"
    """Its batch job had to give way, or was cancelled."""
    NODE_LOST = "node lost"
    """Its batch job or machine died."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Attempt:
    """One start of a task's command.

    Attributes
    ----------
    number : int
        Counts from 1 for each task.
    command : str
        As given by the user.
    host : str
        Machine it ran on.
    device, device_name : str
        UUID of the GPU or ``cpu``, and what people call it.
    started_at : str
        ISO 8601 with offset.
    log_offset : int
        Where in the log what it printed begins [bytes].
    state : AttemptState
    pid : int or None
        Leader of its session and process group on `host`.
    pid_started_s : float or None
        When that process began [s since 1970], by which a reused pid is told apart.
    ended_at : str or None
    outcome : Outcome or None
        None while it runs.
    cause : Cause or None
        None while it runs or if it succeeded.
    exit_status : int or None
        What the command ended with; None if it was ended by a signal, or nobody knows.
    signal : str or None
        Name of the signal that ended it, such as ``SIGKILL``.
    memory_mb : float
        Device memory that was reserved for it [MB].
    peak_memory_mb : float or None
        The most device memory it was seen to take [MB]; None if nobody saw.
    is_alone : bool
        Whether the device was kept for it alone.
    shape : str
        Of its task: what it took tells what others of this shape will.
    queue_id : str
        The queue that started it.
    folder : str
        Where it was started: relative paths in the command begin there.
    digest : str
        Of command and script: a repetition with the same gives the same (`lfadsq.queue.retries`).
    """

    number: int
    command: str
    host: str
    device: str
    device_name: str
    started_at: str
    log_offset: int
    state: AttemptState = AttemptState.RUNNING
    pid: int | None = None
    pid_started_s: float | None = None
    ended_at: str | None = None
    outcome: Outcome | None = None
    cause: Cause | None = None
    exit_status: int | None = None
    signal: str | None = None
    memory_mb: float = 0.0
    peak_memory_mb: float | None = None
    is_alone: bool = False
    shape: str = ""
    queue_id: str = ""
    folder: str = ""
    digest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return dict(vars(self))  # asdict copies deeply, at ten times the cost

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Attempt:
        """Convert from JSON.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is no attempt of this schema version.
        """
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["state"] = AttemptState(data["state"])
        values["outcome"] = Outcome(data["outcome"]) if data.get("outcome") else None
        values["cause"] = Cause(data["cause"]) if data.get("cause") else None
        if not isinstance(data["number"], int) or not isinstance(data["log_offset"], int):
            raise TypeError("number and log_offset must be integers")
        return cls(**values)


@dataclass(frozen=True)
class Record:
    """Everything tried so far for one task.

    Attributes
    ----------
    name : str
        The task's name.
    attempts : tuple of Attempt
        Oldest first.
    """

    name: str
    attempts: tuple[Attempt, ...] = field(default=())

    @property
    def last(self) -> Attempt | None:
        """The newest attempt, if there was any."""
        return self.attempts[-1] if self.attempts else None

    def with_attempt(self, attempt: Attempt) -> Record:
        """Give the record with an attempt added, or put in place of the one of its number."""
        others = tuple(a for a in self.attempts if a.number != attempt.number)
        return Record(self.name, tuple(sorted((*others, attempt), key=lambda a: a.number)))

    def write(self, path: Path, *, durable: bool = True) -> None:
        """Replace the file in one step.

        Raises
        ------
        StorageError
            If it cannot be written; the old record is then untouched.
        """
        head = json.dumps({"schema_version": SCHEMA_VERSION, "name": self.name})
        attempts = ",\n".join(json.dumps(attempt.to_dict()) for attempt in self.attempts)
        text = f'{head.removesuffix("}")}, "attempts": [\n{attempts}\n]}}\n'
        write_text(path, text, durable=durable)

    @classmethod
    def read(cls, path: Path, name: str, *, moves_damaged: bool = True) -> Record:
        """Read the record of a task.

        Parameters
        ----------
        path : Path
            Where it lies.
        name : str
            The task's name, for a record that does not exist yet.
        moves_damaged : bool, default True
            Whether a damaged one is moved aside to ``<name>.damaged``. Those who only look leave it
            where it is.

        Returns
        -------
        Record
            Empty if there is none. A damaged one counts as none: it only tells history, whereas
            lock and done-marker decide.

        Raises
        ------
        QueueError
            If a newer lfadsq wrote it; it is left as it is.
        StorageError
            If it cannot be read.
        """
        with storage_errors(path, "read"):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                return cls(name)
        try:
            data = parse_versioned(path, text, SCHEMA_VERSION)
            return cls(str(data["name"]), tuple(map(Attempt.from_dict, data["attempts"])))
        except (ValueError, TypeError, KeyError, AttributeError):
            if moves_damaged:
                with storage_errors(path, "move aside"):
                    path.replace(path.with_name(f"{path.name}.damaged"))
            return cls(name)


def iso_time(seconds: float) -> str:
    """Write a time since 1970 [s] as ISO 8601 in UTC.

    >>> iso_time(0)
    '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
