"""Reading and writing HDF5 files so that what is wrong with them, or the disk, is an error of ours.

When HDF5 cannot write what it has buffered, it can neither close the file nor forget it, and ends
the process with a segmentation fault later on. So a file is built in memory, where that cannot
happen, and its bytes are then written as those of any other file. One too large for that goes
through a stream that takes everything HDF5 writes, also when the disk takes no more, so that HDF5
can finish and the error is told afterwards.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from lfadsq.errors import LfadsqError, StorageError
from lfadsq.files import storage_errors, written_aside

__all__ = ["AsideStream", "hdf5_for_reading", "hdf5_written_aside", "stream_aside"]

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


class AsideStream(io.RawIOBase):
    """A file for HDF5 to write into, which never fails while HDF5 is at work.

    Parameters
    ----------
    path : Path
        What is written; it exists.
    shown : Path
        What errors call it.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR)
        self._shown = shown
        self._position = 0
        self._end = 0
        self._error: OSError | None = None
        # What the disk did not take. HDF5 reads its own records again before it closes.
        self._not_taken: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Tell whether the disk took everything so far; call it between large writes.

        Raises
        ------
        StorageError
            If it did not.
        """
        if self._error is not None:
            with storage_errors(self._shown, "write"):
                raise self._error

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def seekable(self) -> bool:
        """Tell that any place in it can be written."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Give the current place."""
        return self._position

    def write(self, data: object, /) -> int:
        """Write at the current place; `check` tells if the disk did not take it."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        written = 0
        try:
            while self._error is None and written < len(view):
                written += os.pwrite(self._descriptor, view[written:], self._position + written)
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._not_taken.append((self._position + written, bytes(view[written:])))
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: object, /) -> int:
        """Read from the current place."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        first, last = self._position, min(self._position + len(view), self._end)
        length = max(last - first, 0)
        view[:length] = b"\0" * length
        stored = os.pread(self._descriptor, length, first)
        view[: len(stored)] = stored
        for place, data in self._not_taken:
            begin, end = max(place, first), min(place + len(data), last)
            if begin < end:
                view[begin - first : end - first] = data[begin - place : end - place]
        self._position += length
        return length

    def truncate(self, size: int | None = None) -> int:
        """Make it as long as `size`; `check` tells if the disk did not let it."""
        self._end = self._position if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._descriptor, self._end)
            except OSError as error:
                self._error = error
        return self._end

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@contextmanager
def stream_aside(path: Path) -> Iterator[AsideStream]:
    """Give a stream to write an HDF5 file of any size into, which becomes `path` if all went well.

    Parameters
    ----------
    path : Path
        The final name. Its folder must exist. An existing file is replaced in one step.

    Yields
    ------
    AsideStream
        For ``h5py.File(stream, "w")`` and for libraries on top of it. Close these in the block, and
        call `AsideStream.check` between large writes: a full disk is found out there at the latest
        when the block ends.

    Raises
    ------
    StorageError
        If the file cannot be written. The old file, if any, is then untouched, and the new one is
        gone; so it is when the block raises.
    """
    with written_aside(path) as aside:
        with storage_errors(path, "write"):
            stream = AsideStream(aside, path)
        try:
            yield stream
            stream.check()
        except StorageError:
            raise
        except Exception:
            # What HDF5 stumbles over after the disk was full is not what is to be told.
            stream.check()
            raise
        finally:
            stream.close()
