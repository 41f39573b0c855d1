"""The version of a run collection: it freezes layout and hashes to what they were at a date.

Only one date changed anything. From 20171107 on,

- data lie in ``data_<HASH>/<run name>``, not all side by side in ``data_<HASH>``,
- ``c_factors_dim`` enters the data hash, as it shapes the alignment matrices, and
- ``useSingleDatasetAlignmentMatrix`` has an effect.
"""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

from lfadsq.errors import ConfigError
from lfadsq.files import storage_errors
from lfadsq.paths import LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA, input_file_name

__all__ = ["DEFAULT_VERSION", "check_layout", "check_version"]

_log = logging.getLogger(__name__)

DEFAULT_VERSION = LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA + 1
"""Of collections whose drive script names none."""

_FIRST_VERSION = 5
_FIRST_DATE = 1000_00_00


def check_version(version: object) -> int:
    """Refuse a version that cannot be, and warn of one that is probably a mistake.

    Parameters
    ----------
    version : int
        The date of the drive script, YYYYMMDD. Smaller numbers are those of the first versions.

    Returns
    -------
    int
        The same.

    Raises
    ------
    ConfigError
        If it is no whole number, or of a layout that is not known here.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < _FIRST_VERSION:
        raise ConfigError(
            f"version {version!r} of a run collection is unknown", "give a date as YYYYMMDD"
        )
    today = int(date.today().strftime("%Y%m%d"))
    if _FIRST_DATE <= version > today:
        _log.warning(
            "version %d of a run collection lies in the future: what changes until then would "
            "change its layout and hashes; give the date on which the drive script was written",
            version,
        )
    elif _FIRST_VERSION < version < _FIRST_DATE:
        _log.warning(
            "version %d of a run collection is no date: it counts as before %d, with the layout "
            "and hashes of that time; dates are written YYYYMMDD",
            version,
            DEFAULT_VERSION,
        )
    return version


def check_layout(folder: Path, version: int) -> None:
    """Refuse a collection on disk that was prepared with a version of another layout.

    Parameters
    ----------
    folder : Path
        Of the collection; it may be missing.
    version : int
        That the collection has now.

    Raises
    ------
    ConfigError
        If its data lie as those of other versions do.
    StorageError
        If the folder cannot be read.
    """
    pattern = input_file_name("*")
    with storage_errors(folder, "read"):
        side_by_side = next(folder.glob(f"data_*/{pattern}"), None)
        by_run = next(folder.glob(f"data_*/*/{pattern}"), None)
    is_old = version <= LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA
    mine, other = (side_by_side, by_run) if is_old else (by_run, side_by_side)
    if other is None or mine is not None:
        return
    when, remedy = (
        (f"{DEFAULT_VERSION} or later", f"{DEFAULT_VERSION}, or the date of its drive script")
        if is_old
        else (
            f"before {DEFAULT_VERSION}",
            f"{LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA}, or what its drive script says",
        )
    )
    raise ConfigError(
        f"{folder} was prepared with a version {when} ({other.relative_to(folder)} is there), but "
        f"the version of the run collection is {version}",
        f"set version = {remedy}; or choose another name for the collection",
    )
