"""How much device memory tasks of each shape take, learned from those that ran.

What a shape needs is, in this order of trust:

1. The highest peak of those that finished, and a margin.
2. While none has: what it was estimated to need, and never less than what one was seen to take.
3. Without an estimate, nobody knows: the task gets a device for itself. What a running one has
   taken so far says nothing of what it will take.

Running out of memory teaches that a shape needs more than it had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lfadsq.queue.devices import Device
from lfadsq.queue.places import Reservation
from lfadsq.queue.tasks import Task

__all__ = ["MemoryNeed", "PeakBook", "taken_by_task", "with_margin"]

# A peak is the highest of samples, and a spike between two of them is not seen: cuDNN tries its
# algorithms with workspaces of up to some hundred MB. And equal models differ: TensorFlow's
# allocator grows in steps, and a CUDA context takes a little more on one GPU than on another.
_MARGIN = 0.10
_LEAST_MARGIN_MB = 256.0


class MemoryNeed(NamedTuple):
    """What to reserve for a task.

    Attributes
    ----------
    memory_mb : float
        [MB]
    is_alone : bool
        Whether it shall have a device for itself, since it may take more than that.
    """

    memory_mb: float
    is_alone: bool


def with_margin(peak_mb: float) -> float:
    """Give what to reserve for what took so much at most: a tenth more, and at least 256 MB.

    >>> with_margin(1000), with_margin(20000)
    (1256.0, 22000.0)
    """
    return peak_mb + max(_MARGIN * peak_mb, _LEAST_MARGIN_MB)


class PeakBook:
    """What was learned of the memory of tasks, by shape.

    Tasks without a shape (``""``) teach nothing of others and learn nothing from them.
    """

    def __init__(self) -> None:
        self._seen_by_name: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._peaks: dict[str, float] = {}
        self._shortages: dict[str, float] = {}

    def note_sample(self, name: str, shape: str, taken_mb: float) -> None:
        """Note what a running task is seen to take now.

        Parameters
        ----------
        name, shape : str
            Of the task.
        taken_mb : float
            [MB]
        """
        self._seen_by_name[name] = max(taken_mb, self._seen_by_name.get(name, 0.0))
        if shape:
            _raise_to(self._seen, shape, taken_mb)

    def peak_of(self, name: str) -> float | None:
        """Give the most a task was seen to take since it was last forgotten; None if never [MB]."""
        return self._seen_by_name.get(name)

    def forget(self, name: str) -> None:
        """Begin anew for a task: its next attempt has a peak of its own. The shape's stays."""
        self._seen_by_name.pop(name, None)

    def learn(self, shape: str, peak_mb: float) -> None:
        """Learn from an attempt that finished, now or in an earlier session.

        Parameters
        ----------
        shape : str
        peak_mb : float
            The most it took [MB].
        """
        _raise_to(self._peaks, shape, peak_mb)

    def learn_shortage(self, shape: str, had_mb: float) -> None:
        """Learn from an attempt that ran out of memory.

        Parameters
        ----------
        shape : str
        had_mb : float
            What was reserved for it, or what it had taken if that was more [MB].
        """
        _raise_to(self._shortages, shape, had_mb)

    def need_of(self, task: Task, largest_mb: float = math.inf) -> MemoryNeed:
        """Tell what to reserve for a task.

        Parameters
        ----------
        task : Task
        largest_mb : float, optional
            Memory of the largest device [MB]. A margin alone never makes a task too large for it:
            then the task gets such a device for itself, and all the margin that is there.

        Returns
        -------
        MemoryNeed
            What the task itself asks for if it does not learn.
        """
        if not task.learns_memory:
            return MemoryNeed(task.memory_mb, is_alone=False)
        peak_mb = self._peaks.get(task.shape)
        shortage_mb = self._shortages.get(task.shape, 0.0)
        took_mb = max(peak_mb or 0.0, self._seen.get(task.shape, 0.0), shortage_mb)
        need_mb = with_margin(took_mb) if took_mb else 0.0
        if peak_mb is None:
            need_mb = max(need_mb, task.memory_mb)
            took_mb = max(took_mb, task.memory_mb)
        if need_mb > largest_mb >= took_mb:
            return MemoryNeed(took_mb, is_alone=True)
        is_unknown = peak_mb is None and (not task.memory_mb or bool(shortage_mb))
        return MemoryNeed(need_mb, is_unknown)


def taken_by_task(
    devices: Sequence[Device], running: Mapping[str, Reservation]
) -> dict[str, float]:
    """Tell what running tasks take of their GPUs now, as far as that can be seen.

    Where the driver does not show our processes (in a container) or their memory, what a GPU has
    more in use than before is put down to the only task of ours on it, unless it shows that
    somebody else computes there.

    Parameters
    ----------
    devices : sequence of Device
        As measured now, with the sessions of `running`.
    running : dict of str to Reservation
        Our running tasks by name.

    Returns
    -------
    dict of str to float
        By the name of the task [MB]; tasks of which nothing is known are not in it.
    """
    on_device: dict[str, list[str]] = {}
    for name, reservation in running.items():
        on_device.setdefault(reservation.device_id, []).append(name)
    taken: dict[str, float] = {}
    for device in devices:
        names = on_device.get(device.device_id, []) if device.is_gpu else []
        for name in names:
            taken_mb = device.taken_mb_by_session.get(running[name].session or 0)
            if taken_mb is not None:
                taken[name] = taken_mb
            elif len(names) == 1 and not device.num_others:
                used_mb = device.memory_total_mb - device.memory_free_mb
                grown_mb = used_mb - running[name].used_before_mb
                if grown_mb > 0:
                    taken[name] = grown_mb
    return taken


def _raise_to(book: dict[str, float], shape: str, mb: float) -> None:
    if shape and mb > 0:
        book[shape] = max(mb, book.get(shape, 0.0))
