"""Which run was on which device when, and when a device had none though it could have.

A device idles while it could have had a run and had none. When it could is known where a queue kept
a GPU history (`lfadsq.queue.gpu_log`): while somebody looked. Without one only the time between the
first and the last run that one queue had there counts: before and after, the device may not have
been ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lfadsq.watching.gpu_history import DeviceHistory, GpuHistory
from lfadsq.watching.report.attempts import Stay
from lfadsq.watching.report.spans import Span, common, joined, left_of, rows_of, total_s

__all__ = ["Lane", "Timeline", "timeline_of"]

_LOOKS_ON_S = 0.5
"""Samples tell for how long they stand to a tenth of a second: smaller gaps are none."""


@dataclass(frozen=True)
class Lane:
    """What was on one device.

    Attributes
    ----------
    host, device, name : str
    is_gpu : bool
    stays : tuple of Stay
        In the order of their beginnings.
    rows : tuple of int
        For each stay its row: those in one row do not overlap.
    could_run : tuple of (float, float)
        When the device is known to have been there for runs.
    has_history : bool
        Whether a GPU history tells so.
    """

    host: str
    device: str
    name: str
    is_gpu: bool
    stays: tuple[Stay, ...]
    rows: tuple[int, ...]
    could_run: tuple[Span, ...]
    has_history: bool

    @cached_property
    def busy(self) -> list[Span]:
        """When at least one run was on it."""
        return joined((stay.began_s, stay.ended_s) for stay in self.stays)

    @cached_property
    def idle(self) -> list[Span]:
        """When none was, though one could have been."""
        return left_of(self.could_run, self.busy)


@dataclass(frozen=True)
class Timeline:
    """What was on all devices.

    Attributes
    ----------
    lanes : tuple of Lane
        GPUs first, by host and name.
    """

    lanes: tuple[Lane, ...] = ()

    @property
    def span(self) -> Span | None:
        """From the first beginning to the last end of all that is known; None if nothing is."""
        spans = [span for lane in self.lanes for span in (*lane.busy, *lane.could_run)]
        points = [stay.began_s for lane in self.lanes for stay in lane.stays]
        if not spans and not points:
            return None
        begins = [*points, *(began_s for began_s, _ in spans)]
        return min(begins), max([*points, *(ended_s for _, ended_s in spans)])

    @property
    def gpu_s(self) -> float:
        """For how long GPUs had a run, of all GPUs together [s]."""
        return total_s(span for lane in self.lanes if lane.is_gpu for span in lane.busy)

    @property
    def run_s(self) -> float:
        """For how long runs were at work, of all together, on GPUs or not [s]."""
        return sum(stay.ended_s - stay.began_s for lane in self.lanes for stay in lane.stays)

    @property
    def has_gpus(self) -> bool:
        """Whether one of the devices is a GPU."""
        return any(lane.is_gpu for lane in self.lanes)

    @property
    def idle_share(self) -> float | None:
        """Share of the time in which devices could have had a run and had none; None if unknown.

        Of GPUs, if there are any.
        """
        lanes = [lane for lane in self.lanes if lane.is_gpu or not self.has_gpus]
        could_s = sum(total_s(lane.could_run) for lane in lanes)
        return sum(total_s(lane.idle) for lane in lanes) / could_s if could_s else None


def timeline_of(stays: Iterable[Stay], history: GpuHistory) -> Timeline:
    """Put runs on their devices.

    Parameters
    ----------
    stays : iterable of Stay
    history : GpuHistory
        Its devices are there too if no run was ever on them.
    """
    by_device: dict[tuple[str, str], list[Stay]] = {}
    for stay in stays:
        # The UUID of a GPU is unique, and its host is told in several ways; processors have none.
        place = ("", stay.device) if stay.is_gpu else (stay.host, stay.device)
        by_device.setdefault(place, []).append(stay)
    for device_id in history.devices:
        by_device.setdefault(("", device_id), [])
    lanes = [
        _lane(device, found, history.devices.get(device))
        for (_, device), found in by_device.items()
    ]
    return Timeline(tuple(sorted(lanes, key=lambda one: (not one.is_gpu, one.host, one.name))))


def _lane(device: str, stays: list[Stay], seen: DeviceHistory | None) -> Lane:
    stays = sorted(stays, key=lambda stay: (stay.began_s, stay.ended_s, stay.name))
    first = stays[0] if stays else None
    watched = _watched(seen) if seen is not None else []
    return Lane(
        host=first.host if first else seen.host if seen else "",
        device=device,
        name=(first.device_name if first else "") or (seen.name if seen else "") or device,
        is_gpu=first.is_gpu if first else True,
        stays=tuple(stays),
        rows=tuple(rows_of([(stay.began_s, stay.ended_s) for stay in stays])),
        could_run=tuple(_could_run(stays, watched)),
        has_history=bool(watched),
    )


def _watched(seen: DeviceHistory) -> list[Span]:
    ends_s = seen.times_s + seen.covers_s
    return joined(zip(seen.times_s.tolist(), ends_s.tolist(), strict=True), _LOOKS_ON_S)


def _could_run(stays: Sequence[Stay], watched: Sequence[Span]) -> list[Span]:
    sessions: dict[str, Span] = {}
    for stay in stays:
        began_s, ended_s = sessions.get(stay.queue_id, (stay.began_s, stay.ended_s))
        sessions[stay.queue_id] = (min(began_s, stay.began_s), max(ended_s, stay.ended_s))
    of_nobody = "" in sessions
    sessions.pop("", None)
    spans = list(sessions.values())
    if of_nobody:  # records that tell no queue: nothing is known of the time between
        spans += [(stay.began_s, stay.ended_s) for stay in stays if not stay.queue_id]
    if not watched:
        return joined(spans)
    # Queues whose history was lost, or that kept none, count as they would without one.
    unseen = [span for span in joined(spans) if not common([span], watched)]
    return joined([*watched, *unseen])
