"""Results of trials in a file that may end anywhere, so that a process may be killed anywhere.

A line of JSON says what the results are of. Then comes one record a trial: the length of its
contents, their checksum, and the contents, which are pieces of bytes, each after its length. What
follows the last whole record is dropped on opening.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from lfadsq.files import storage_errors
from lfadsq.training.locks import take_lock

__all__ = ["TrialJournal", "journal_path"]

_RECORD = struct.Struct("<QI")
_PIECE = struct.Struct("<Q")
_LONGEST_SHOWN_BYTES = 180


class TrialJournal:
    """The results so far, one record a trial, in order.

    Close it, or use it as a context. Only one process can have it open.

    Parameters
    ----------
    target : Path
        The file that the results are for; the journal lies beside it, hidden.
    header : mapping of str to object
        What the results are of, for JSON.
    compared : sequence of str
        The keys of the header that decide: a journal in which they differ is begun anew.

    Attributes
    ----------
    header : dict
        Of the journal that is continued, else as given.
    num_trials : int
        Records.
    num_bytes : int
        Length of the file.

    Raises
    ------
    RunError
        If another process has it open.
    StorageError
        If it cannot be read or written.
    """

    def __init__(self, target: Path, header: Mapping[str, Any], *, compared: Sequence[str]) -> None:
        self.path = journal_path(target)
        self.header = dict(header)
        self.num_trials = 0
        self.num_bytes = 0
        with storage_errors(self.path, "write"):
            self._file: BinaryIO = self.path.open("a+b", buffering=0)
            try:
                take_lock(self._file, f"computing {target}")
                self._go_on_or_begin(compared)
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> TrialJournal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, pieces: Sequence[bytes]) -> None:
        """Add the record of the next trial.

        Raises
        ------
        StorageError
            If the disk is full; the record is then not counted.
        """
        contents = b"".join(_PIECE.pack(len(piece)) + piece for piece in pieces)
        record = memoryview(_RECORD.pack(len(contents), zlib.crc32(contents)) + contents)
        with storage_errors(self.path, "write"):
            written = 0
            while written < len(record):
                written += self._file.write(record[written:])
        self.num_bytes += len(record)
        self.num_trials += 1

    def flush(self) -> None:
        """See that all records survive a loss of power."""
        with storage_errors(self.path, "write"):
            os.fsync(self._file.fileno())

    def records(self) -> Iterator[list[bytes]]:
        """Read every record, in order.

        Raises
        ------
        StorageError
            If the file cannot be read.
        """
        with storage_errors(self.path, "read"), self.path.open("rb") as file:
            file.readline()
            for _ in range(self.num_trials):
                contents = _next_contents(file)
                if contents is None:
                    raise OSError(f"{self.path} was changed by another program")
                yield _pieces(contents)

    def remove(self) -> None:
        """Remove the file, as its results are safe elsewhere."""
        with suppress(FileNotFoundError), storage_errors(self.path, "remove"):
            self.path.unlink()

    def close(self) -> None:
        """Close the file; it stays, to be continued, if it holds any record."""
        if not self.num_trials:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._file.close()

    def _go_on_or_begin(self, compared: Sequence[str]) -> None:
        with self.path.open("rb") as file:
            known = _header(file.readline())
            if known is not None and all(known.get(k) == self.header.get(k) for k in compared):
                self.header = known
                end = file.tell()
                while _next_contents(file) is not None:
                    self.num_trials += 1
                    end = file.tell()
                self._file.truncate(end)
                self.num_bytes = end
                return
        self._file.truncate(0)
        text = json.dumps(self.header).encode() + b"\n"
        self.num_bytes = self._file.write(b"%08x " % zlib.crc32(text) + text)


def _header(line: bytes) -> dict[str, Any] | None:
    try:
        checksum, _, text = line.partition(b" ")
        header = json.loads(text) if int(checksum, 16) == zlib.crc32(text) else None
    except ValueError:
        return None
    return header if isinstance(header, dict) and line.endswith(b"\n") else None


def _next_contents(file: BinaryIO) -> bytes | None:
    start = file.read(_RECORD.size)
    if len(start) < _RECORD.size:
        return None
    length, checksum = _RECORD.unpack(start)
    if length > os.fstat(file.fileno()).st_size:
        return None
    contents = file.read(length)
    return contents if len(contents) == length and zlib.crc32(contents) == checksum else None


def _pieces(contents: bytes) -> list[bytes]:
    pieces, begin = [], 0
    while begin < len(contents):
        (length,) = _PIECE.unpack_from(contents, begin)
        begin += _PIECE.size
        pieces.append(contents[begin : begin + length])
        begin += length
    return pieces


def journal_path(target: Path) -> Path:
    """Name the journal of a file; a shortened name carries a hash of the whole."""
    name = os.fsencode(target.name)
    shown = name[:_LONGEST_SHOWN_BYTES].decode("utf-8", errors="ignore")
    if len(name) > _LONGEST_SHOWN_BYTES:
        shown += f".{blake2b(name, digest_size=6).hexdigest()}"
    return target.with_name(f".{shown}.partial")
