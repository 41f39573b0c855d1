"""Whether the disks have room for what runs will write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import StorageError
from lfadsq.files import storage_errors
from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.model_size import OutputSize

__all__ = [
    "Disk",
    "Outputs",
    "check_disks",
    "disk_text",
    "measure_disks",
    "size_text",
    "try_to_write",
]

_FILES_PER_RUN = 60
_TIGHT = 1.25
_TRIED_BYTES = 2**16
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the disk's own


@dataclass(frozen=True)
class Outputs:
    """What a run that is not done will write.

    Attributes
    ----------
    run : str
    folder : Path
        Where.
    size : OutputSize
    present : float
        What is there already [bytes].
    """

    run: str
    folder: Path
    size: OutputSize
    present: float

    @property
    def missing(self) -> float:
        """What is still to come [bytes]."""
        return max(0.0, self.size.kept - self.present)

    @classmethod
    def of(cls, run: str, folder: Path, size: OutputSize) -> Outputs:
        """Look at what is there."""
        return cls(run, folder, size, _used_bytes(folder))


@dataclass(frozen=True)
class Disk:
    """A disk, and what is to be written to it.

    Attributes
    ----------
    folder : Path
        Where it is mounted.
    free : float
        For this user, as the system tells it; a quota may be smaller [bytes].
    free_files : float
        How many more it can hold; infinite where it does not count them.
    outputs : tuple of Outputs
    """

    folder: Path
    free: float
    free_files: float
    outputs: tuple[Outputs, ...]

    @property
    def needed(self) -> float:
        """What all outputs take, one being put together at a time [bytes]."""
        in_passing = max((one.size.in_passing for one in self.outputs), default=0.0)
        return sum(one.missing for one in self.outputs) + in_passing


def measure_disks(outputs: Iterable[Outputs]) -> list[Disk]:
    """Gather outputs by the disk they go to.

    Parameters
    ----------
    outputs : iterable of Outputs

    Raises
    ------
    StorageError
        If a disk does not answer.
    """
    by_device: dict[int, tuple[Path, list[Outputs]]] = {}
    for one in outputs:
        folder = next(path for path in (one.folder, *one.folder.parents) if path.exists())
        with storage_errors(folder, "read"):
            device = folder.stat().st_dev
            if device not in by_device:
                by_device[device] = (_mount_point(folder), [])
        by_device[device][1].append(one)
    disks = []
    for folder, members in by_device.values():
        with storage_errors(folder, "read"):
            told = os.statvfs(folder)
        free_files = float(told.f_favail) if told.f_files else float("inf")
        disks.append(Disk(folder, told.f_bavail * told.f_frsize, free_files, tuple(members)))
    return disks


def check_disks(disks: Iterable[Disk]) -> Iterator[Finding]:
    """See that outputs will fit."""
    for disk in disks:
        needed, free = disk.needed, disk.free
        run = disk.outputs[0].run if len(disk.outputs) == 1 else ""
        if needed > free:
            yield Finding(
                Severity.ERROR,
                "disk_space",
                "the disk has less room than the outputs will need",
                "free some space, train fewer runs here, or lower c_max_ckpt_to_keep",
                run,
                path=disk.folder,
                detail=_explained(disk),
            )
        elif needed * _TIGHT > free:
            yield Finding(
                Severity.WARNING,
                "disk_space_tight",
                "the disk has hardly more room than the outputs will need",
                "free some space before others fill it",
                run,
                path=disk.folder,
                detail=_explained(disk),
            )
        num_files = len(disk.outputs) * _FILES_PER_RUN
        if num_files > disk.free_files:
            yield Finding(
                Severity.ERROR,
                "disk_files",
                "the disk can hold fewer files than the outputs will be",
                "remove files that nobody needs, or use another disk",
                run,
                path=disk.folder,
                detail=f"{disk.free_files:.0f} more files, about {num_files} are needed",
            )


def disk_text(disks: Sequence[Disk]) -> str:
    """Say what will be needed, and what is free; empty if nothing will be written."""
    return "; ".join(f"{_explained(disk)} on {disk.folder}" for disk in disks)


def try_to_write(folder: Path) -> Iterator[Finding]:
    """Write a small file and remove it: a quota or a read-only disk shows only so."""
    try:
        with (
            storage_errors(folder, "write into"),
            tempfile.TemporaryFile(dir=folder, prefix=".lfadsq-check-") as stream,
        ):
            # File systems of a network may refuse only when it is flushed, or closed.
            stream.write(bytes(_TRIED_BYTES))
            stream.flush()
    except StorageError as error:
        yield Finding(
            Severity.ERROR,
            "cannot_write",
            "nothing can be written into the collection",
            error.remedy,
            path=folder,
            detail=error.problem,
        )


def size_text(num_bytes: float) -> str:
    """Write an amount of data.

    >>> size_text(1.5e9), size_text(2e3), size_text(3.21e7)
    ('1.5 GB', '0.0 MB', '32.1 MB')
    """
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _explained(disk: Disk) -> str:
    sizes = [one.size for one in disk.outputs]
    parts = {
        "posterior means": sum(size.posterior_means for size in sizes),
        "checkpoints": sum(size.checkpoints for size in sizes),
        "logs": sum(size.logs for size in sizes),
        "in passing": max(size.in_passing for size in sizes),
    }
    present = sum(one.present for one in disk.outputs)
    listed = ", ".join(f"{name} {size_text(amount)}" for name, amount in parts.items())
    there = f", {size_text(present)} of it there already" if present else ""
    runs = f"{len(sizes)} run{'' if len(sizes) == 1 else 's'} to train"
    return (
        f"{runs}: about {size_text(disk.needed)} ({listed}{there}); {size_text(disk.free)} are free"
    )


def _mount_point(folder: Path) -> Path:
    folder = Path(os.path.realpath(folder))
    return next(path for path in (folder, *folder.parents) if os.path.ismount(path))


def _used_bytes(folder: Path) -> float:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(path, name).lstat().st_blocks * _BLOCK_BYTES
            except OSError:
                continue
    return float(total)
