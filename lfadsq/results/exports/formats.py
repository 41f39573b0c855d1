"""The formats that results are exported to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.results.exports.export_files import ExportFile
from lfadsq.results.exports.exported_run import ExportedRun

__all__ = ["SUFFIXES", "plan_files"]

SUFFIXES: Mapping[str, str] = {
    "h5": ".h5",
    "mat": ".mat",
    "netcdf": ".nc",
    "nwb": ".nwb",
    "zip": ".zip",
}
"""The formats, and how names of their files end."""


def plan_files(run: ExportedRun, to: str, folder: Path, options: Any = None) -> list[ExportFile]:
    """Say which files an export of a run writes.

    Parameters
    ----------
    run : ExportedRun
        The run.
    to : {"h5", "mat", "netcdf", "nwb", "zip"}
        The format.
    folder : Path
        Where they go.
    options : ArchiveOptions or NwbOptions, optional
        For ``zip`` and ``nwb``.

    Returns
    -------
    list of ExportFile

    Raises
    ------
    ConfigError
        If there is no such format.
    """
    # Imported here, as each takes libraries that the others do not need.
    if to == "h5":
        from lfadsq.results.exports.matlab_h5 import h5_files

        return h5_files(run, folder)
    if to == "mat":
        from lfadsq.results.exports.matlab_mat import mat_files

        return mat_files(run, folder)
    if to == "netcdf":
        from lfadsq.results.exports.netcdf import netcdf_files

        return netcdf_files(run, folder)
    if to == "zip":
        from lfadsq.results.exports.archive import archive_files

        return archive_files(run, folder, options)
    if to == "nwb":
        from lfadsq.results.exports.nwb import nwb_files

        return nwb_files(run, folder, options)
    raise ConfigError(
        f"results cannot be exported to {to!r}", f"choose one of {', '.join(SUFFIXES)}"
    )
