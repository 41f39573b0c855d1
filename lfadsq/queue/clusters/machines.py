"""The machines of a cluster as the devices of a queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from lfadsq.queue.clusters.messages import Machine
from lfadsq.queue.devices import UNKNOWN_ACTIVITY, Device

__all__ = ["Machines"]

_STALE_S = 30.0


@dataclass(frozen=True)
class _Known:
    machine: Machine
    heard_s: float


class Machines:
    """All workers that have told of themselves; a `devices.DeviceSource`.

    The id of a device here is that on its machine, ``@``, and the worker's name: two jobs may well
    be shown the same GPU.

    Parameters
    ----------
    num_expected : callable
        Counts the machines that are still to come.
    """

    reason = ""

    def __init__(self, num_expected: Callable[[], int] = lambda: 0) -> None:
        self._num_expected = num_expected
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    # --- as a source of devices ------------------------------------------------------------------

    @property
    def num_missing(self) -> int:
        """How many machines are still to come: what fits none of those here may fit them."""
        return self._num_expected() or int(not self._known)

    def measure(self, our_sessions: Collection[int] = ()) -> list[Device]:
        """Give all devices as their machines measured them, seconds ago at most."""
        del our_sessions
        now_s = time.monotonic()
        with self._lock:
            known = list(self._known.values())
        return [
            replace(
                device,
                device_id=f"{device.device_id}@{one.machine.name}",
                name=f"{device.name} of {one.machine.host}",
                host=one.machine.host,
                closed_because=_closed_because(one, now_s) or device.closed_because,
                # What it said last must not be told as what it does now.
                **(UNKNOWN_ACTIVITY if now_s - one.heard_s > _STALE_S else {}),
            )
            for one in known
            for device in one.machine.devices
        ]

    def environment(self, device_id: str) -> dict[str, str]:
        """Give nothing: each machine knows best what its tasks need."""
        del device_id
        return {}

    def close(self) -> None:
        """Do nothing: the machines are let go by the transport."""

    # --- as a table ------------------------------------------------------------------------------

    def note(self, machine: Machine) -> tuple[bool, bool]:
        """Take in what a machine tells of itself; tell whether it is new, and whether anything is.

        A twentieth of a device's memory is nothing new.
        """
        with self._lock:
            before = self._known.get(machine.address)
            self._known[machine.address] = _Known(machine, time.monotonic())
        return before is None, before is None or before.machine.gist != machine.gist

    def remove(self, address: str) -> Machine | None:
        """Forget a machine that is gone."""
        with self._lock:
            known = self._known.pop(address, None)
        return known.machine if known else None

    def all(self) -> list[Machine]:
        """List all machines, with the time that they have left by now."""
        now_s = time.monotonic()
        with self._lock:
            known = list(self._known.values())
        return [
            one.machine
            if one.machine.left_s is None
            else replace(one.machine, left_s=one.machine.left_s - (now_s - one.heard_s))
            for one in known
        ]

    def addresses(self) -> list[str]:
        """List where Dask reaches them."""
        with self._lock:
            return list(self._known)

    def address_of(self, worker_name: str) -> str | None:
        """Find a machine by the name of its worker."""
        return next((m.address for m in self.all() if m.name == worker_name), None)

    def find(self, device_id: str) -> tuple[Machine, str] | None:
        """Find the machine of a device, and what the device is called there."""
        local_id, _, worker_name = device_id.partition("@")
        found = next((m for m in self.all() if m.name == worker_name), None)
        return None if found is None else (found, local_id)


def _closed_because(known: _Known, now_s: float) -> str:
    machine = known.machine
    if machine.problem:
        return machine.problem
    if machine.closed_because:
        return f"its machine takes nothing more: {machine.closed_because}"
    silent_s = now_s - known.heard_s
    return f"its machine has been silent for {silent_s:.0f} s" if silent_s > _STALE_S else ""
