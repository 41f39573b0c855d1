"""What training reports: the log of costs, the record of flags, TensorBoard's events."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from lfadsq.files import make_folder, storage_errors, write_text

__all__ = ["EpochReport", "EventLog", "FitLogFile", "example_image", "write_hyperparameters"]


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

    Parameters
    ----------
    folder : Path
        ``lfads_log``; made if missing.
    first_step : int
        Events of later steps, from a process that was stopped, are not shown any more.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._writer = EventFileWriter(str(make_folder(folder)))
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(session_log=start, step=first_step))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers by tag."""
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        )
        self._writer.add_event(Event(summary=summary, step=step))

    def image(self, step: int, tag: str, png: bytes, shape: tuple[int, int]) -> None:
        """Add a picture of `shape` (height, width)."""
        picture = Summary.Image(
            height=shape[0], width=shape[1], colorspace=1, encoded_image_string=png
        )
        summary = Summary(value=[Summary.Value(tag=tag, image=picture)])
        self._writer.add_event(Event(summary=summary, step=step))

    def flush(self) -> None:
        """Write what is pending."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._writer.close()


def example_image(
    data: NDArray[np.float32], rates: NDArray[np.float32], factors: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Draw one trial: data, rates and factors above one another, time to the right.

    Parameters
    ----------
    data, rates : ndarray, shape (time, channel), float32
    factors : ndarray, shape (time, factor), float32

    Returns
    -------
    ndarray, shape (height, width), uint8
        Each part scaled from black (its least) to white (its largest value).
    """
    scale = max(1, 600 // len(data))
    parts = []
    for part in (data, rates, factors):
        low, high = float(part.min()), float(part.max())
        levels = (part - low) / (high - low) if high > low else np.zeros_like(part)
        pixels = np.rint(levels.T * 255).astype(np.uint8)
        parts += [pixels.repeat(6, axis=0).repeat(scale, axis=1)]
        parts += [np.full((4, len(data) * scale), 255, np.uint8)]
    return np.concatenate(parts[:-1])
