"""What training reports: the log of costs, the record of flags, TensorBoard's events."""

from __future__ import annotations

import io
import itertools
import json
import logging
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from lfadsq.errors import StorageError
from lfadsq.files import make_folder, storage_errors, write_text

__all__ = ["EpochReport", "EventLog", "FitLogFile", "write_hyperparameters"]

logger = logging.getLogger(__name__)

_NUMBERS = itertools.count()


class EpochReport(NamedTuple):
    """The costs of one epoch; pairs are (train, valid).

    Attributes
    ----------
    epoch : int
        From 0.
    step : int
        Updates done after the epoch.
    total, recon, kl : tuple of float
        Means over batches; kl before its weight. Not a number without validation trials.
    l2 : float
        Before its weight.
    kl_weight, l2_weight : float
    """

    epoch: int
    step: int
    total: tuple[float, float]
    recon: tuple[float, float]
    kl: tuple[float, float]
    l2: float
    kl_weight: float
    l2_weight: float

    def csv_line(self) -> str:
        """Give the line of ``fitlog.csv``.

        >>> report = EpochReport(3, 32, (9.5, 8.25), (7, 6), (1, 2), 0.5, 1, 0.25)
        >>> report.csv_line()[:52]
        'epoch,3, step,32, total,9.50,8.25,       recon,7.00,'
        """
        gap = " " * 6
        return (
            f"epoch,{self.epoch}, step,{self.step}, total,{_pair(self.total)}, {gap}"
            f"recon,{_pair(self.recon)}, kl,{_pair(self.kl)}, l2,{self.l2:.5f}, {gap}"
            f"klweight,{self.kl_weight:.2f}, l2weight,{self.l2_weight:.2f}"
        )

    def text(self) -> str:
        """Give the line for people."""
        total, recon, kl = (_pair(pair, ", ") for pair in (self.total, self.recon, self.kl))
        return (
            f"Epoch:{self.epoch}, step:{self.step} (TRAIN, VALID): total: {total}, "
            f"recon: {recon}, kl: {kl}, l2: {self.l2:.5f}, "
            f"kl weight: {self.kl_weight:.2f}, l2 weight: {self.l2_weight:.2f}"
        )


def _pair(pair: tuple[float, float], separator: str = ",") -> str:
    return separator.join(f"{value:.2f}" for value in pair)


class FitLogFile:
    """``fitlog.csv``: one line an epoch, each epoch once.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, report: EpochReport) -> None:
        """Add the line of an epoch.

        Raises
        ------
        StorageError
            If the disk is full; half a line may then be left, which `drop_after` removes.
        """
        with storage_errors(self._path, "write"), self._path.open("a", encoding="ascii") as file:
            file.write(report.csv_line() + "\n")

    def sync(self) -> None:
        """See that what was appended survives a loss of power.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        if self._path.exists():
            with storage_errors(self._path, "write"), self._path.open("ab") as file:
                os.fsync(file.fileno())

    def drop_after(self, step: int) -> int:
        """Remove the lines of epochs that ended after `step`, and half-written ones.

        They are of epochs that a process finished after its last checkpoint and that are trained
        again; the original leaves both in the log.

        Returns
        -------
        int
            How many lines are left.
        """
        if not self._path.exists():
            return 0
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and _step_of(line) <= step]
        if kept != lines:
            write_text(self._path, "".join(kept))
        return len(kept)

    def last_epoch(self) -> int:
        """Give the number of the last epoch in the log; -1 if there is none."""
        if not self._path.exists():
            return -1
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        return int(lines[-1].split(",")[1]) if lines else -1


def _step_of(line: str) -> float:
    fields = line.split(",")
    try:
        return int(fields[3]) if len(fields) >= 15 else math.inf
    except ValueError:
        return math.inf


def write_hyperparameters(path: Path, recorded: Mapping[str, Any]) -> None:
    """Write the record of all flags: JSON on one line."""
    write_text(path, json.dumps(dict(recorded), sort_keys=True) + "\n")


class EventLog:
    """TensorBoard's events of one process, under the original's tags.

    What was added is in the file at once, whole: nothing is lost if the process is killed. What
    cannot be written is left out, with one warning: training does not depend on it.

    Parameters
    ----------
    folder : Path
        ``lfads_log``; made if missing.
    first_step : int
        Events of later steps, from a process that was stopped, are not shown any more.

    Raises
    ------
    StorageError
        If the file cannot be made.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        now_s = time.time()
        # The names that TensorBoard looks for; files are shown in the order of their names.
        stem = f"events.out.tfevents.{int(now_s):010d}.{socket.gethostname()}.{os.getpid()}"
        self._path = make_folder(folder) / f"{stem}.{next(_NUMBERS)}"
        # TensorBoard's own writer ends its thread with a traceback when the disk is full.
        with storage_errors(self._path, "write"):
            self._file = self._path.open("xb", buffering=0)
        # Pictures arrive from another thread.
        self._lock = threading.Lock()
        self._has_warned = False
        self._add(Event(wall_time=now_s, file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._add(Event(wall_time=now_s, session_log=start, step=first_step))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers by tag."""
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )
        self._add(Event(wall_time=time.time(), summary=summary, step=step))

    def image(self, step: int, tag: str, png: bytes) -> None:
        """Add a picture; from any thread."""
        width, height = struct.unpack(">II", png[16:24])
        picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        summary = Summary(value=[Summary.Value(tag=tag, image=picture)])
        self._add(Event(wall_time=time.time(), summary=summary, step=step))

    def close(self) -> None:
        """Close the file; what is added later is left out."""
        with self._lock:
            self._file.close()

    def _add(self, event: Event) -> None:
        framed = io.BytesIO()
        RecordWriter(framed).write(event.SerializeToString())
        with self._lock:
            if self._file.closed:
                return
            try:
                with storage_errors(self._path, "write"):
                    self._append(framed.getvalue())
            except StorageError as error:
                if not self._has_warned:
                    logger.warning("TensorBoard lacks some of this training: %s", error)
                self._has_warned = True

    def _append(self, record: bytes) -> None:
        before = self._file.tell()
        try:
            rest = memoryview(record)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            # Readers stop at half a record, and would show nothing that comes after it.
            with suppress(OSError):
                self._file.truncate(before)
            self._file.seek(before)
            raise
