"""What the GPUs of a collection did while its queues ran, from the files of `lfadsq.queue.gpu_log`.

Samples of seconds where they are still kept, means over minutes before. A device is told by its
UUID: what several queues and jobs noted of the same one is put together. Half records, which
processes that were killed leave behind, are left out and counted.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfadsq.files import storage_errors
from lfadsq.queue.control_paths import (
    FOLDER_NAME,
    MINUTES_SUFFIX,
    SAMPLES_SUFFIX,
    ControlPaths,
)
from lfadsq.queue.gpu_log import MINUTE_S, SCHEMA_VERSION

__all__ = ["DeviceHistory", "GpuHistory", "RunOnDevice"]

_Array = NDArray[np.float64]

_LONGEST_GAP = 3.0
"""A sample stands for the time until the next one. If that comes later than so many times the usual
distance, nobody looked in between."""


@dataclass(frozen=True)
class RunOnDevice:
    """A run on a device, from its start to its end.

    Attributes
    ----------
    name : str
        Of its task.
    began_s, ended_s : float
        [s since 1970]; the end is the last that is known, if the queue died or it still runs.
    has_end : bool
        Whether it was seen to end.
    queue_id : str
    """

    name: str
    began_s: float
    ended_s: float
    has_end: bool
    queue_id: str


@dataclass(frozen=True)
class DeviceHistory:
    """What one device did.

    Attributes
    ----------
    device_id : str
        UUID of a GPU or MIG device.
    name : str
        For displays, such as ``GPU 0 (NVIDIA A100)``.
    host : str
        Of the queue that noted it; the name tells where workers of a cluster are others.
    memory_mb : float
        Memory that tasks could have [MB].
    times_s : array, shape (sample,), float64 [s since 1970]
        Ascending.
    covers_s : array, shape (sample,), float64 [s]
        How long each sample stands for; less than to the next one where nobody looked.
    utilisation_percent, used_mb, power_w : array, shape (sample,), float64 [%, MB, W]
        NaN where the device did not tell.
    runs : tuple of RunOnDevice
        In the order of their starts.
    """

    device_id: str
    name: str
    host: str
    memory_mb: float
    times_s: _Array
    covers_s: _Array
    utilisation_percent: _Array
    used_mb: _Array
    power_w: _Array
    runs: tuple[RunOnDevice, ...] = ()

    @property
    def watched_s(self) -> float:
        """How long somebody looked, in all [s]."""
        return float(self.covers_s.sum())

    @cached_property
    def idle_share(self) -> float:
        """Share of the time that was looked at in which no run was on it; NaN if there is none.

        What others do there, and how hard a run uses it, does not count here
        (`mean_utilisation_percent`).
        """
        if not self.watched_s:
            return float("nan")
        at_s, busy_s = _busy_until([(run.began_s, run.ended_s) for run in self.runs])
        busy = np.interp(self.times_s + self.covers_s, at_s, busy_s) - np.interp(
            self.times_s, at_s, busy_s
        )
        return float(1 - busy.sum() / self.watched_s)

    @property
    def mean_utilisation_percent(self) -> float:
        """Over the time that was looked at [%]; NaN if the device never told."""
        return self._mean(self.utilisation_percent)

    @property
    def energy_kwh(self) -> float:
        """What it took while somebody looked [kWh]; NaN if the device never told."""
        return self._mean(self.power_w) * self.watched_s / 3.6e6

    def _mean(self, values: _Array) -> float:
        told = ~np.isnan(values)
        weights = np.where(told, self.covers_s, 0.0)
        if not weights.sum():
            return float("nan")
        return float(np.sum(np.where(told, values, 0.0) * weights) / weights.sum())


@dataclass(frozen=True)
class GpuHistory:
    """What all devices of a collection did.

    Attributes
    ----------
    devices : dict of str to DeviceHistory
        By UUID, in the order of their names.
    num_damaged : int
        Records that could not be read, such as the half one that a killed queue leaves.
    problems : tuple of str
        Files that could not be read at all, and why.
    """

    devices: dict[str, DeviceHistory] = field(default_factory=dict)
    num_damaged: int = 0
    problems: tuple[str, ...] = ()

    @property
    def idle_share(self) -> float:
        """Share of the time of all devices in which no run was on them; NaN if nobody looked."""
        watched_s = [device.watched_s for device in self.devices.values()]
        if not sum(watched_s):
            return float("nan")
        shares = [device.idle_share for device in self.devices.values()]
        return float(
            sum(w * s for w, s in zip(watched_s, shares, strict=True) if w) / sum(watched_s)
        )

    def of_run(self, name: str) -> list[tuple[DeviceHistory, RunOnDevice]]:
        """Find where and when a run was, in the order of time."""
        found = [
            (device, run)
            for device in self.devices.values()
            for run in device.runs
            if run.name == name
        ]
        return sorted(found, key=lambda one: one[1].began_s)

    @classmethod
    def load(cls, folder: Path) -> GpuHistory:
        """Read the history of a collection; also while its queues write.

        Parameters
        ----------
        folder : Path
            Of the collection.

        Returns
        -------
        GpuHistory
            Empty if no queue ran there on GPUs.

        Raises
        ------
        StorageError
            If the system does not let us look into the folder.
        QueueError
            If strangers could have written what is there.
        """
        paths = ControlPaths(Path(folder) / FOLDER_NAME)
        if not paths.exists():
            return cls()
        reading = _Reading()
        for _, files in _files_by_queue(paths.gpu_history):
            # Minutes first: they tell how far back what is no longer kept in seconds goes.
            for path in sorted(files, key=lambda file: file.suffix != MINUTES_SUFFIX):
                reading.read(path)
            reading.end_queue()
        devices = {one.device_id: one for one in reading.devices()}
        return cls(devices, reading.num_damaged, tuple(reading.problems))


def _files_by_queue(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    by_queue: dict[str, list[Path]] = {}
    with storage_errors(folder, "read"):
        try:
            found = sorted(folder.iterdir())
        except FileNotFoundError:
            return
    for path in found:
        if path.suffix == MINUTES_SUFFIX:
            by_queue.setdefault(path.stem, []).append(path)
        elif path.suffix == SAMPLES_SUFFIX:
            by_queue.setdefault(Path(path.stem).stem, []).append(path)
    yield from by_queue.items()


@dataclass
class _Device:
    """What was read of a device so far."""

    name: str
    host: str
    memory_mb: float
    rows: list[_Array] = field(default_factory=list)
    runs: list[RunOnDevice] = field(default_factory=list)


_Rows = dict[str, "array[float]"]
"""By device, one after the other: time, interval (in the end the time that it covers), utilisation,
used, power. Lists of numbers would take ten times the memory."""

_NUM_COLUMNS = 5


class _Reading:
    """Puts the files of queues together."""

    def __init__(self) -> None:
        self.num_damaged = 0
        self.problems: list[str] = []
        self._devices: dict[str, _Device] = {}
        # Of the queue that is being read.
        self._queue_id = ""
        self._last_s = float("-inf")
        self._minutes: _Rows = {}
        self._samples: _Rows = {}
        self._began: dict[tuple[str, str], float] = {}

    def read(self, path: Path) -> None:
        """Read a file of a queue."""
        try:
            with storage_errors(path, "read"):
                text = path.read_text(encoding="ascii", errors="replace")
        except OSError as error:  # StorageError among them
            if not isinstance(error.__cause__, FileNotFoundError):  # a queue has removed it
                self.problems.append(str(error))
            return
        lines = iter(text.splitlines())
        ids: dict[int, str] = {}
        try:
            head = json.loads(next(lines, ""))
            self._queue_id, host = str(head["queue_id"]), str(head["host"])
            interval_s, version = float(head["interval_s"]), int(head["schema_version"])
        except (ValueError, TypeError, KeyError):
            self.num_damaged += 1
            return
        if version > SCHEMA_VERSION:
            self.problems.append(
                f"{path} was written by a newer lfadsq (schema {version}, here {SCHEMA_VERSION}):"
                " upgrade lfadsq on this machine"
            )
            return
        rows = self._minutes if interval_s >= MINUTE_S else self._samples
        for line in filter(None, lines):
            try:
                self._take(json.loads(line), ids, host, interval_s, rows)
            except (ValueError, TypeError, LookupError, OverflowError):
                self.num_damaged += 1

    def _take(
        self,
        record: Any,
        ids: dict[int, str],
        host: str,
        interval_s: float,
        rows: _Rows,
    ) -> None:
        if isinstance(record, list):
            at_s = _finite(record[0])
            taken = [
                (ids[number], (at_s, interval_s, *map(_number, values)))
                for number, *values in record[1:]
            ]
            if any(len(row) != _NUM_COLUMNS for _, row in taken):
                raise ValueError("no sample")
            for device_id, row in taken:
                rows.setdefault(device_id, array("d")).extend(row)
            self._last_s = max(self._last_s, at_s)
        elif "device" in record:
            device_id = _uuid(record["id"])
            ids[int(record["device"])] = device_id
            device = self._device(device_id, host)
            device.name, device.memory_mb = str(record["name"]), float(record["memory_mb"])
            device.host = host
        else:
            self._take_run(record, host)

    def _take_run(self, record: Any, host: str) -> None:
        name, device_id = str(record["run"]), _uuid(record["id"])
        at_s = _finite(record["began"] if "began" in record else record["ended"])
        self._last_s = max(self._last_s, at_s)
        if "began" in record:
            self._began.setdefault((name, device_id), at_s)
            return
        began_s = self._began.pop((name, device_id), None)
        if began_s is not None:
            run = RunOnDevice(name, began_s, max(began_s, at_s), True, self._queue_id)
            self._device(device_id, host).runs.append(run)

    def _device(self, device_id: str, host: str) -> _Device:
        return self._devices.setdefault(device_id, _Device(device_id, host, float("nan")))

    def end_queue(self) -> None:
        """Take what was read of a queue as all there is."""
        for device_id in {**self._minutes, **self._samples}:
            samples = _table(self._samples.get(device_id))
            minutes = _table(self._minutes.get(device_id))
            first_s = samples[:, 0].min(initial=np.inf)
            before = minutes[minutes[:, 0] + MINUTE_S / 2 <= first_s]
            rows = _in_order(np.concatenate([before, samples]))
            rows[:, 1] = _covers_s(rows[:, 0], rows[:, 1], self._last_s)
            self._devices[device_id].rows.append(rows)
        for (name, device_id), began_s in self._began.items():
            run = RunOnDevice(name, began_s, max(began_s, self._last_s), False, self._queue_id)
            self._device(device_id, "").runs.append(run)
        self._minutes, self._samples, self._began = {}, {}, {}
        self._last_s = float("-inf")

    def devices(self) -> Iterable[DeviceHistory]:
        """Give the devices, by name."""
        for device_id, device in sorted(
            self._devices.items(), key=lambda one: (one[1].host, one[1].name, one[0])
        ):
            rows = _in_order(np.concatenate([_table(None), *device.rows]))
            # Two queues may have looked at the same time.
            covers_s = np.minimum(rows[:, 1], np.diff(rows[:, 0], append=np.inf))
            yield DeviceHistory(
                device_id,
                device.name,
                device.host,
                device.memory_mb,
                rows[:, 0],
                covers_s,
                rows[:, 2],
                rows[:, 3],
                rows[:, 4],
                tuple(sorted(device.runs, key=lambda run: (run.began_s, run.name))),
            )


def _table(rows: array[float] | None) -> _Array:
    return np.array(rows if rows is not None else (), dtype=float).reshape(-1, _NUM_COLUMNS)


def _in_order(rows: _Array) -> _Array:
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _covers_s(times_s: _Array, intervals_s: _Array, end_s: float) -> _Array:
    """Compute how long each sample of a queue stands for [s]; it looked until `end_s`."""
    # One that was killed after its last sample does not tell when.
    end_s = end_s if end_s > times_s[-1] else np.inf
    until_next_s = np.diff(times_s, append=end_s)
    is_gap = until_next_s > intervals_s * _LONGEST_GAP
    covers_s: _Array = np.where(is_gap, intervals_s, until_next_s)
    return covers_s


def _number(value: Any) -> float:
    return math.nan if value is None else _finite(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no measurement")
    return number


def _uuid(device_id: Any) -> str:
    """Give the UUID in an id: workers of a cluster have theirs behind it."""
    return str(device_id).partition("@")[0]


def _busy_until(spans: Sequence[tuple[float, float]]) -> tuple[_Array, _Array]:
    """Give breakpoints, and how long any of the spans lasted before each, for interpolation."""
    at_s, busy_s, total_s = [0.0], [0.0], 0.0
    for began_s, ended_s in sorted(spans):
        began_s = max(began_s, at_s[-1])
        if ended_s <= began_s:
            continue
        at_s += [began_s, ended_s]
        busy_s += [total_s, total_s + ended_s - began_s]
        total_s = busy_s[-1]
    return np.array(at_s), np.array(busy_s)
