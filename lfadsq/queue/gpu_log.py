"""What the GPUs of a queue did while it ran, kept with the collection.

Each queue appends to files of its own, so that nobody has to wait for a lock, and a queue that is
killed loses its last record at most. They hold a JSON value a line, in ASCII:

=========================================================== ===================================
``{"schema_version": 1, "queue_id", "host", "interval_s"}``  the first line
``{"device": 0, "id", "name", "memory_mb"}``                 before the first sample of a device
``[time, [0, utilisation, used, power], ...]``               [s since 1970], [%], [MB], [W]
``[time]``                                                   the end: nobody looked after it
``{"run", "id", "began"}``, ``{"run", "id", "ended"}``       a run on a device [s since 1970]
=========================================================== ===================================

What a device does not tell is null. Samples of every few seconds begin a new file each day, and
are removed after three; means over minutes, and the runs, are kept. So weeks stay small.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from lfadsq.errors import LfadsqError
from lfadsq.queue.control_paths import MINUTES_SUFFIX, SAMPLES_SUFFIX, ControlPaths
from lfadsq.queue.devices import Device, is_cpu
from lfadsq.queue.places import Reservation

__all__ = ["MINUTE_S", "SAMPLE_S", "SCHEMA_VERSION", "GpuLog"]

SCHEMA_VERSION = 1
"""Raised when a line changes its meaning; with it `lfadsq.watching.gpu_history`, which reads it."""

SAMPLE_S, MINUTE_S = 5.0, 60.0

_LOOK_FOR_GPUS_S = 1.0
_DAY_S = 86400.0
_KEEP_SAMPLES_S = 3 * _DAY_S
_MOST_BYTES = 64 * 1024 * 1024
_MOST_UNWRITTEN = 10_000

_logger = logging.getLogger(__name__)


class GpuLog:
    """Notes what GPUs do, and which runs are on them.

    Nothing that is wrong with the disk disturbs the queue: it is a warning, once.

    Parameters
    ----------
    paths : ControlPaths or None
        None to note nothing.
    queue_id : str
    sample_s : float, default 5
        How often [s].
    wall_s, steady_s : callable
        Clocks: the time of day [s since 1970], and one that never goes back [s].
    """

    def __init__(
        self,
        paths: ControlPaths | None,
        queue_id: str,
        *,
        sample_s: float = SAMPLE_S,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = paths
        self._queue_id = queue_id
        self._sample_s = sample_s
        self._wall_s = wall_s
        self._steady_s = steady_s
        self._next_s = float("-inf")
        self._running: dict[str, str] = {}
        self._known: dict[str, tuple[int, Device]] = {}
        self._minute = _Minute()
        self._samples: _Lines | None = None
        self._minutes: _Lines | None = None
        self._unwritten: list[str] = []
        self._num_files = 0
        self._new_file_s = 0.0
        self._has_complained = False

    @property
    def patience_s(self) -> float | None:
        """How long until devices should be measured for it [s]; None for never."""
        return None if self._paths is None else max(0.0, self._next_s - self._steady_s())

    def follow(self, devices: Sequence[Device], running: Mapping[str, Reservation]) -> None:
        """Note which runs have begun and ended on GPUs, and, if it is time, what the GPUs do.

        Parameters
        ----------
        devices : sequence of Device
            As measured last.
        running : dict of str to Reservation
            What runs now, by name.
        """
        if self._paths is None:
            return
        # A GPU that has fallen off the bus still has its runs.
        self._follow_runs(
            {name: r.device_id for name, r in running.items() if not is_cpu(r.device_id)}
        )
        if self.patience_s == 0:
            gpus = [device for device in devices if device.is_gpu]
            # Machines of a cluster come when they come.
            wait_s = self._sample_s if gpus else min(self._sample_s, _LOOK_FOR_GPUS_S)
            self._next_s = self._steady_s() + wait_s
            if gpus:
                self._sample(gpus)
        if self._unwritten:
            self._try(self._write_minutes)

    def close(self) -> None:
        """Write what is left; runs that go on without their queue are followed no longer."""
        if self._paths is None:
            return
        self._follow_runs({})
        if self._known:
            self._unwritten += [*self._minute.lines(), json.dumps([round(self._wall_s(), 1)])]
        if self._unwritten:
            self._try(self._write_minutes)
        for file in (self._samples, self._minutes):
            if file is not None:
                file.close()
        self._paths = None

    def _follow_runs(self, running: dict[str, str]) -> None:
        if running == self._running:
            return
        now_s = round(self._wall_s(), 1)
        old, new = self._running.items(), running.items()
        for name, device_id in old - new:
            self._unwritten.append(json.dumps({"run": name, "id": device_id, "ended": now_s}))
        for name, device_id in new - old:
            self._unwritten.append(json.dumps({"run": name, "id": device_id, "began": now_s}))
        self._running = running

    def _sample(self, gpus: Sequence[Device]) -> None:
        now_s = round(self._wall_s(), 1)
        values = {self._number(gpu): _values(gpu) for gpu in gpus}
        self._unwritten += self._minute.add(now_s, values)
        rows = [[number, *map(_rounded, row)] for number, row in values.items()]
        line = json.dumps([now_s, *rows], separators=(",", ":"))
        self._try(lambda: self._write_samples(line))

    def _number(self, gpu: Device) -> int:
        return self._known.setdefault(gpu.device_id, (len(self._known), gpu))[0]

    # --- files -----------------------------------------------------------------------------------

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (OSError, LfadsqError) as error:
            if not self._has_complained:
                _logger.warning("what the GPUs do cannot be kept: %s", error)
            self._has_complained = True

    def _write_samples(self, line: str) -> None:
        assert self._paths is not None
        if self._samples is None or self._steady_s() >= self._new_file_s:
            if self._samples is not None:
                self._samples.close()
                self._samples = None
            self._paths.make_gpu_history()
            _forget_old(self._paths, self._queue_id, self._wall_s())
            path = self._paths.gpu_samples(self._queue_id, self._num_files + 1)
            self._samples = self._open(path, self._sample_s)
            self._num_files += 1
            self._new_file_s = self._steady_s() + _DAY_S
        self._samples.define(self._known.values())
        self._samples.write([line])

    def _write_minutes(self) -> None:
        del self._unwritten[:-_MOST_UNWRITTEN]
        assert self._paths is not None
        if self._minutes is None:
            self._paths.make_gpu_history()
            self._minutes = self._open(self._paths.gpu_minutes(self._queue_id), MINUTE_S)
        self._minutes.define(self._known.values())
        self._minutes.write(self._unwritten)
        self._unwritten.clear()

    def _open(self, path: Path, interval_s: float) -> _Lines:
        assert self._paths is not None
        head = {
            "schema_version": SCHEMA_VERSION,
            "queue_id": self._queue_id,
            "host": socket.gethostname(),
            "interval_s": interval_s,
        }
        return _Lines(path, self._paths.file_mode, json.dumps(head))


class _Lines:
    """A file to which lines are added, each at once as a whole."""

    def __init__(self, path: Path, mode: int, head: str) -> None:
        # What is there could only be the half of our own first line, from when the disk was full.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._is_torn = False
        self._num_defined = 0
        try:
            os.fchmod(self._descriptor, mode)  # the umask has no say
            self.write([head])
        except BaseException:
            self.close()
            raise

    def define(self, known: Collection[tuple[int, Device]]) -> None:
        """Say what the numbers of devices mean, once; they are in the order of their numbers."""
        new = list(known)[self._num_defined :] if len(known) > self._num_defined else []
        if new:
            self.write(
                [
                    json.dumps(
                        {
                            "device": number,
                            "id": gpu.device_id,
                            "name": gpu.name,
                            "memory_mb": round(gpu.memory_total_mb),
                        }
                    )
                    for number, gpu in new
                ]
            )
            self._num_defined = len(known)

    def write(self, lines: Sequence[str]) -> None:
        text = ("\n" if self._is_torn else "") + "".join(f"{line}\n" for line in lines)
        data = text.encode("ascii")
        # A disk that is full takes a part: what comes next begins a line of its own.
        self._is_torn = True
        if os.write(self._descriptor, data) < len(data):
            raise OSError("the disk took only a part of it")
        self._is_torn = False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class _Minute:
    """Adds up the samples of a minute."""

    def __init__(self) -> None:
        self._number = 0
        self._began_s: float | None = None
        self._rows: dict[int, list[Sequence[float | None]]] = {}

    def add(self, now_s: float, values: Mapping[int, Sequence[float | None]]) -> list[str]:
        """Take samples in; give the line of the minute before, if this is another."""
        number = int(now_s // MINUTE_S)
        lines = self.lines() if number != self._number else []
        self._number = number
        if self._began_s is None:
            self._began_s = now_s
        for device, row in values.items():
            self._rows.setdefault(device, []).append(row)
        return lines

    def lines(self) -> list[str]:
        """Give the line of what was added, and begin anew."""
        if self._began_s is None:
            return []
        rows = [
            [device, *(_rounded(_mean(column)) for column in zip(*rows, strict=True))]
            for device, rows in self._rows.items()
        ]
        line = json.dumps([self._began_s, *rows], separators=(",", ":"))
        self._began_s, self._rows = None, {}
        return [line]


def _values(gpu: Device) -> tuple[float | None, ...]:
    used_mb = gpu.memory_total_mb - gpu.memory_free_mb
    return gpu.utilisation_percent, used_mb, gpu.power_w


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _mean(values: Sequence[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) / len(told) if told else None


def _forget_old(paths: ControlPaths, queue_id: str, now_s: float) -> None:
    """Remove old samples, of whichever queue; and if all is still too large, the oldest files."""
    found: list[tuple[bool, float, int, os.DirEntry[str]]] = []
    with contextlib.suppress(OSError), os.scandir(paths.gpu_history) as entries:
        for entry in entries:
            if entry.name.endswith((SAMPLES_SUFFIX, MINUTES_SUFFIX)):
                with contextlib.suppress(FileNotFoundError):  # another queue was quicker
                    stat = entry.stat(follow_symlinks=False)
                    is_minutes = entry.name.endswith(MINUTES_SUFFIX)
                    found.append((is_minutes, stat.st_mtime, stat.st_size, entry))
    num_bytes = sum(size for _, _, size, _ in found)
    for is_minutes, changed_s, size, entry in sorted(found, key=lambda one: one[:2]):
        age_s = now_s - changed_s
        is_old = not is_minutes and age_s > _KEEP_SAMPLES_S
        # Whoever wrote within a day may live, and what he writes must not vanish.
        is_too_much = num_bytes > _MOST_BYTES and age_s > _DAY_S
        if (is_old or is_too_much) and not entry.name.startswith(f"{queue_id}{MINUTES_SUFFIX}"):
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()
                num_bytes -= size
