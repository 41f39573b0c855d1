"""What a queue and the machines of a cluster tell each other.

What machines tell travels as JSON in ASCII: msgpack refuses names that are no valid text, and a
message that cannot be sent would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from lfadsq.queue.devices import UNKNOWN_ACTIVITY, Device
from lfadsq.queue.execution import Result
from lfadsq.queue.locks import Journal
from lfadsq.queue.records import Attempt

__all__ = ["Machine", "Terms", "result_from_dict", "result_to_dict", "topic_of"]


@dataclass(frozen=True)
class Terms:
    """What a queue wants of its machines.

    Attributes
    ----------
    queue_id : str
    max_tasks_on_gpu : int or None
        How many tasks may share a GPU; None for as many as there are processors.
    needs_gpu : bool
        A machine without a GPU is of no use.
    num_gpus : int or None
        How many GPUs its job was given: if more are to be seen, some are other people's.
    min_time_left_s : float
        Nothing is started on a machine whose job ends sooner [s].
    end_margin_s : float
        How long before the end of their job tasks are told to end [s].
    grace_s : float
        How long they may take then, if nothing else limits it [s].
    hears_queue : bool
        Whether the queue calls from time to time; if it then falls silent it is dead.
    """

    queue_id: str
    max_tasks_on_gpu: int | None = 1
    needs_gpu: bool = True
    num_gpus: int | None = None
    min_time_left_s: float = 0.0
    end_margin_s: float = 0.0
    grace_s: float = 20.0
    hears_queue: bool = False


@dataclass(frozen=True)
class Machine:
    """A worker of a cluster, as it measured itself.

    Attributes
    ----------
    name : str
        Of the worker.
    address : str
        Where Dask reaches it.
    host : str
    job_id : str
        Of its batch job, as the batch system told it; empty if it is none.
    devices : tuple of Device
        Empty while it is still finding out.
    left_s : float or None
        Until its job ends [s]; None if nobody knows. No time of day: clocks of nodes differ.
    closed_because : str
        Why it takes nothing more; empty while it does.
    is_leaving : bool
        Whether what runs there is ending.
    problem : str
        Why it can be used for nothing; empty if it can.
    """

    name: str
    address: str
    host: str
    job_id: str = ""
    devices: tuple[Device, ...] = ()
    left_s: float | None = None
    closed_because: str = ""
    is_leaving: bool = False
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        data = {key: getattr(self, key) for key in _PLAIN_OF_MACHINE}
        return {**data, "devices": [_device_to_dict(device) for device in self.devices]}

    @property
    def gist(self) -> Machine:
        """The machine without what changes all the time; free memory counts in twentieths."""
        devices = tuple(replace(device, **_coarse(device)) for device in self.devices)
        return replace(self, left_s=None, devices=devices)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """Read what `to_dict` gave."""
        devices = tuple(_device_from_dict(device) for device in data["devices"])
        return cls(**{key: data[key] for key in _PLAIN_OF_MACHINE}, devices=devices)


_PLAIN_OF_MACHINE = (
    "name",
    "address",
    "host",
    "job_id",
    "left_s",
    "closed_because",
    "is_leaving",
    "problem",
)


def topic_of(queue_id: str) -> str:
    """Name the topic of Dask under which the machines of a queue speak."""
    return f"lfadsq-{queue_id}"


def result_to_dict(result: Result) -> dict[str, Any]:
    """Convert a result to what JSON can hold."""
    return {
        "kind": result.kind,
        "attempt": result.attempt.to_dict() if result.attempt else None,
        "problem": result.problem,
        "journal": asdict(result.journal) if result.journal else None,
    }


def result_from_dict(data: Mapping[str, Any]) -> Result:
    """Read what `result_to_dict` gave."""
    return Result(
        data["kind"],
        Attempt.from_dict(data["attempt"]) if data["attempt"] else None,
        data["problem"],
        Journal(**data["journal"]) if data["journal"] else None,
    )


def _coarse(device: Device) -> dict[str, Any]:
    step_mb = max(1.0, device.memory_total_mb / 20)
    free_mb = step_mb * round(device.memory_free_mb / step_mb)
    return {"memory_free_mb": free_mb, "taken_mb_by_session": {}, **UNKNOWN_ACTIVITY}


def _device_to_dict(device: Device) -> dict[str, Any]:
    taken = list(device.taken_mb_by_session.items())
    return {**asdict(device), "taken_mb_by_session": taken}


def _device_from_dict(data: Mapping[str, Any]) -> Device:
    taken, users = dict(data["taken_mb_by_session"]), tuple(data["other_users"])
    return Device(**{**data, "taken_mb_by_session": taken, "other_users": users})
