"""Files of recordings, before anything is known of their content."""

from __future__ import annotations

from pathlib import Path

from lfadsq.errors import DatasetError
from lfadsq.files import check_readable, storage_errors

__all__ = ["check_recording_file"]


def check_recording_file(path: Path) -> None:
    """See that a recording is there and may be read.

    Raises
    ------
    DatasetError
        If there is no such file.
    StorageError
        If it cannot be read.
    """
    with storage_errors(path, "read"):
        is_file = path.is_file()
    if not is_file:
        raise DatasetError(
            f"there is no dataset {path}", "check the path, and that its disk is mounted"
        )
    check_readable(path)
