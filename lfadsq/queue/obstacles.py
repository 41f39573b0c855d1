"""Why a waiting task does not start, told from what a live queue shows of its devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lfadsq.queue.clusters.jobs import JobState, JobStatus
from lfadsq.queue.records import iso_time
from lfadsq.queue.status import DeviceStatus, Snapshot, TaskStatus

__all__ = ["Obstacle", "obstacles", "obstacles_text"]


@dataclass(frozen=True)
class Obstacle:
    """Why a waiting task does not start on a device.

    Attributes
    ----------
    device_id, device_name : str
        Of the device, or of the batch job that is to bring one.
    left_mb : float
        Memory that could be promised there [MB].
    lacks_mb : float
        How much is missing to what the task needs [MB]; 0 if that is not the reason.
    since : str
        When so much was last left, ISO 8601; empty if that is not the reason, or it never was.
    kind : str
        The reason in a few words, the same for all devices with the same reason.
    reason : str
        In full.
    """

    device_id: str
    device_name: str
    left_mb: float
    lacks_mb: float
    since: str
    kind: str
    reason: str


def obstacles(task: TaskStatus, queue: Snapshot) -> tuple[Obstacle, ...]:
    """Say for each device of a queue, and each job to come, why a task does not start there."""
    pending = [job for job in queue.jobs if job.state is JobState.PENDING]
    return (
        *(_obstacle(task, device, queue) for device in queue.devices),
        *(_still_to_come(job) for job in pending),
    )


def _still_to_come(job: JobStatus) -> Obstacle:
    since = iso_time(job.since_s)
    reason = f"it is {job.words or job.state.value}, since {since}"
    return Obstacle(job.job_id, f"job {job.job_id}", 0.0, 0.0, "", "still to come", reason)


def _obstacle(task: TaskStatus, device: DeviceStatus, queue: Snapshot) -> Obstacle:
    need_mb, left_mb = task.memory_mb, device.left_mb
    lacks_mb, since = 0.0, ""
    busy_with = f"{_listed(device.tasks)} {'runs' if len(device.tasks) == 1 else 'run'} there"
    if device.closed_because:
        kind, reason = "closed", device.closed_because
    elif need_mb > device.memory_total_mb:
        lacks_mb = need_mb - left_mb
        kind = "too small"
        reason = f"it never can: the device has {device.memory_total_mb:.0f} MB in all"
    elif lone := [one.name for one in queue.tasks if one.is_alone and one.name in device.tasks]:
        kind, reason = "kept by one task for itself", f"{lone[0]} runs there, and is to be alone"
    elif len(device.tasks) >= device.max_tasks:
        kind, reason = "full", f"no more than {device.max_tasks} at a time: {busy_with}"
    elif task.is_alone and device.tasks:
        kind, reason = "not free for it alone", f"it is to be alone there: {busy_with}"
    elif need_mb > left_mb:
        lacks_mb = need_mb - left_mb
        since = device.since_when_below(need_mb)
        used_mb = device.memory_total_mb - device.memory_free_mb
        promised_mb = device.memory_free_mb - left_mb
        kind = "short of memory"
        reason = (
            f"{lacks_mb:.0f} MB are missing: {left_mb:.0f} of {device.memory_total_mb:.0f} MB are"
            f" left, {used_mb:.0f} MB are in use"
        )
        if promised_mb >= 0.5:
            reason += f", {promised_mb:.0f} MB are reserved and not taken yet"
        if device.tasks:
            reason += f", {busy_with}"
    elif device.kept_for not in ("", task.name):
        kind, reason = "being freed for another", f"it is kept for {device.kept_for}, which is next"
    elif sum(len(one.tasks) for one in queue.devices) >= queue.max_tasks:
        kind = "not to be used by more tasks"
        reason = f"there is room, but {queue.max_tasks} tasks run, the most at a time"
    else:
        kind = "ready for it, or for others before it"
        reason = "there is room: others are before it, or it starts in a moment"
    return Obstacle(device.device_id, device.name, left_mb, lacks_mb, since, kind, reason)


def obstacles_text(found: Sequence[Obstacle]) -> str:
    """Sum up why a task starts on none of the devices, in a line.

    >>> full = Obstacle("a", "GPU 0", 0.0, 0.0, "", "full", "no more than 1 at a time")
    >>> short = Obstacle("b", "GPU 1", 0.0, 300.0, "", "short of memory", "300 MB are missing")
    >>> obstacles_text([full, short, full])
    '2 devices are full, 1 is short of memory (300 MB at least)'
    """
    texts: list[str] = []
    for kind, number in Counter(one.kind for one in found).most_common():
        noun = "" if texts else " device" if number == 1 else " devices"
        lacks_mb = min(one.lacks_mb for one in found if one.kind == kind)
        missing = f" ({lacks_mb:.0f} MB at least)" if lacks_mb else ""
        texts.append(f"{number}{noun} {'is' if number == 1 else 'are'} {kind}{missing}")
    return ", ".join(texts)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
