"""Signs that something is about to go wrong: trainings that fall silent, disks that fill up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lfadsq.texts import duration_text
from lfadsq.watching.run_status import RunStatus

__all__ = ["Disk", "Warned", "measure_disk", "warnings_of"]

_STALE_AFTER_S = 900.0
_STALE_AFTER_EPOCHS = 5
_LITTLE_MB = 2000.0
_LITTLE_SHARE = 0.01
_MUCH_MB = 50_000.0
_FEW_FILES = 1000


@dataclass(frozen=True)
class Disk:
    """The disk a collection is on.

    Attributes
    ----------
    free_mb, total_mb : float
        For this user, as the system tells it; a quota may be smaller [MB].
    free_files : int or None
        How many more it can hold; None where it does not count them.
    """

    free_mb: float
    total_mb: float
    free_files: int | None = None

    @property
    def is_nearly_full(self) -> bool:
        """Whether a few models more may fill it."""
        share = self.free_mb / self.total_mb if self.total_mb else 1.0
        is_short = self.free_mb < _LITTLE_MB or (share < _LITTLE_SHARE and self.free_mb < _MUCH_MB)
        return is_short or (self.free_files is not None and self.free_files < _FEW_FILES)


@dataclass(frozen=True)
class Warned:
    """Something that a person should look at, though no run failed of it.

    Attributes
    ----------
    kind : {"stale", "disk"}
    text : str
    run : str
        The run it is about; empty for the collection.
    """

    kind: str
    text: str
    run: str = ""


def warnings_of(at_work: Iterable[RunStatus], disk: Disk | None, now_s: float) -> Iterator[Warned]:
    """Tell what a person should look at.

    Parameters
    ----------
    at_work : iterable of RunStatus
        The runs at work.
    disk : Disk or None
    now_s : float
        The time [s since 1970].

    Yields
    ------
    Warned
        For each training that has said nothing for 15 minutes and 5 of its epochs; and for a disk
        with less than 2 GB, or 1 % and 50 GB, or room for fewer than 1000 files.
    """
    for run in at_work:
        silent_s = run.silent_s(now_s)
        patience_s = max(_STALE_AFTER_S, _STALE_AFTER_EPOCHS * (run.epoch_s or 0.0))
        if silent_s is not None and silent_s > patience_s:
            where = f" on {run.host}" if run.host else ""
            text = f"{run.name}{where}: no progress for {duration_text(silent_s)}"
            yield Warned("stale", text, run.name)
    if disk is not None and disk.is_nearly_full:
        files = disk.free_files
        few = f" and room for {files} files" if files is not None and files < _FEW_FILES else ""
        yield Warned("disk", f"the disk is nearly full: {disk.free_mb:.0f} MB left{few}")


def measure_disk(folder: Path) -> Disk | None:
    """Measure the disk that a folder is on; None if the system does not tell."""
    try:
        told = os.statvfs(folder)
    except OSError:
        return None
    bytes_per_mb = 1e6
    return Disk(
        told.f_bavail * told.f_frsize / bytes_per_mb,
        told.f_blocks * told.f_frsize / bytes_per_mb,
        told.f_favail if told.f_files else None,
    )
