"""What a machine of a cluster tells its queue, as plain data that msgpack can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lfadsq.queue.devices import Device
from lfadsq.queue.execution import Result
from lfadsq.queue.locks import Journal
from lfadsq.queue.records import Attempt

__all__ = ["Machine", "result_from_dict", "result_to_dict", "topic_of"]


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
    ends_at_s : float or None
        When its job ends [s since 1970]; None if nobody knows.
    leaving_because : str
        Why it takes nothing more; empty while it does.
    problem : str
        Why it can be used for nothing; empty if it can.
    """

    name: str
    address: str
    host: str
    job_id: str = ""
    devices: tuple[Device, ...] = ()
    ends_at_s: float | None = None
    leaving_because: str = ""
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what msgpack can hold."""
        data = {key: getattr(self, key) for key in _PLAIN_OF_MACHINE}
        return {**data, "devices": [_device_to_dict(device) for device in self.devices]}

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
    "ends_at_s",
    "leaving_because",
    "problem",
)


def topic_of(queue_id: str) -> str:
    """Name the topic of Dask under which the machines of a queue speak."""
    return f"lfadsq-{queue_id}"


def result_to_dict(result: Result) -> dict[str, Any]:
    """Convert a result to what msgpack can hold."""
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


def _device_to_dict(device: Device) -> dict[str, Any]:
    taken = list(device.taken_mb_by_session.items())
    return {**asdict(device), "taken_mb_by_session": taken}


def _device_from_dict(data: Mapping[str, Any]) -> Device:
    return Device(**{**data, "taken_mb_by_session": dict(data["taken_mb_by_session"])})
