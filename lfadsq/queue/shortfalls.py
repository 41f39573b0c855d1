"""Why a waiting task does not start on a device now, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lfadsq.queue.places import Place
from lfadsq.queue.waiting import Need

__all__ = ["Shortfall", "shortfalls_on"]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What one device lacks for one task now.

    Attributes
    ----------
    device_id, device_name : str
    left_mb : float
        What it can still promise [MB]; never below 0.
    lacks_mb : float
        What is missing [MB]; 0 if it is not memory that the task waits for.
    reason : str
        In words; empty if the task could start there.
    """

    device_id: str
    device_name: str
    left_mb: float
    lacks_mb: float
    reason: str


def shortfalls_on(
    places: Iterable[Place],
    need: Need,
    *,
    num_free: int,
    max_tasks: int,
    kept: tuple[str | None, str | None] = (None, None),
) -> tuple[Shortfall, ...]:
    """Say for each place why a task does not start there now.

    Parameters
    ----------
    places : iterable of Place
    need : Need
    num_free, max_tasks : int
        How many more tasks may start, and how many may run at once in all.
    kept : tuple of str or None
        Id of the device that is kept, and for which task.
    """
    everywhere = ""
    if num_free <= 0:
        everywhere = f"as many tasks run as may at once in all ({max_tasks})"
    shortfalls = []
    for place in places:
        lacks_mb = max(0.0, need.memory_mb - place.left_mb)
        reason = _reason(place, need, kept, lacks_mb) or everywhere
        device = place.device
        left_mb = max(0.0, place.left_mb)
        shortfalls.append(Shortfall(device.device_id, device.name, left_mb, lacks_mb, reason))
    return tuple(shortfalls)


def _reason(place: Place, need: Need, kept: tuple[str | None, str | None], lacks_mb: float) -> str:
    device = place.device
    if need.memory_mb > device.memory_total_mb:
        return f"has {device.memory_total_mb:.0f} MB in all, and {need.memory_mb:.0f} MB are wanted"
    if device.closed_because:
        return device.closed_because
    if place.is_exclusive:
        return f"runs {_names(place)}, which keeps it for itself"
    if place.num_tasks >= device.max_tasks:
        return f"has {place.num_tasks} of {device.max_tasks} tasks"
    if need.is_alone and place.num_tasks:
        return f"runs {_names(place)}, and the task wants to be alone"
    if lacks_mb:
        others_mb = place.used_by_others_mb
        by_whom = f", of which others use {others_mb:.0f} MB" if others_mb >= 1 else ""
        left = f"{max(0.0, place.left_mb):.0f} MB left of {device.memory_total_mb:.0f} MB"
        return f"has {left}{by_whom}, and {need.memory_mb:.0f} MB are wanted"
    kept_device, kept_for = kept
    if kept_device == device.device_id and kept_for != need.name:
        return f"is kept for task {kept_for}"
    if device.device_id in need.avoids:
        return "failed with this task before, which waits for another"
    return ""


def _names(place: Place) -> str:
    names = list(place.running)
    return names[0] if len(names) == 1 else f"{len(names)} tasks"
