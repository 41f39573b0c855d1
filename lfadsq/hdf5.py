"""Reading and writing HDF5 files so that what is wrong with them, or the disk, is an error of ours.

When HDF5 cannot write what it has buffered, it can neither close the file nor forget it, and ends
the process with a segmentation fault later on. So a file is built in memory, where that cannot
happen, and its bytes are then written as those of any other file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from lfadsq.errors import LfadsqError, StorageError
from lfadsq.files import storage_errors, written_aside

__all__ = ["hdf5_for_reading", "hdf5_written_aside"]

_GROWTH_BYTES = 2**22


@contextmanager
def hdf5_for_reading(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file to be read.

    Parameters
    ----------
    path : Path
        The file; it must exist.

    Yields
    ------
    h5py.File
        What it raises while it is read is told as below.

    Raises
    ------
    StorageError
        If it cannot be read, or is damaged.
    """
    try:
        with storage_errors(path, "read"), h5py.File(path, "r") as stored:
            yield stored
    except LfadsqError:
        raise
    # Of damage within the file, h5py raises whatever it stumbles over.
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise StorageError(
            f"cannot read {path}: {error}", "it is damaged or incomplete: make it again"
        ) from error


@contextmanager
def hdf5_written_aside(path: Path) -> Iterator[h5py.File]:
    """Give an empty HDF5 file to fill, which becomes `path` when the block ends well.

    Parameters
    ----------
    path : Path
        The final name. Its folder must exist. An existing file is replaced in one step.

    Yields
    ------
    h5py.File
        In memory: compress what is large. At the end the file is there twice for a moment.

    Raises
    ------
    StorageError
        If the file cannot be written. The old file, if any, is then untouched; so it is when the
        block raises.
    """
    with h5py.File(
        path, "w", driver="core", backing_store=False, block_size=_GROWTH_BYTES
    ) as stored:
        yield stored
        stored.flush()
        image = stored.id.get_file_image()
    with written_aside(path) as aside:
        aside.write_bytes(image)
