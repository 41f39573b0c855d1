"""Reading recordings from the file formats that labs keep them in."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsq.datasets.matlab import read_hdf5, read_mat5
from lfadsq.datasets.recording_files import check_recording_file
from lfadsq.errors import DatasetError

__all__ = ["load_recording"]

_log = logging.getLogger(__name__)


def load_recording(path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read the variables of a recording.

    Parameters
    ----------
    path : Path
        A MAT file of any version, another HDF5 file, or ``.npz``. The content decides, not the
        ending.
    names : sequence of str, optional
        Only these, where they are there; by default every variable.

    Returns
    -------
    dict of str to object
        Arrays with the axes that MATLAB or NumPy shows, types unchanged; text as `str`, structs and
        groups as dicts, cells as lists (see `lfadsq.datasets.matlab`). Variables that are Python or
        MATLAB objects are left out with a warning.

    Raises
    ------
    DatasetError
        If the file is missing, truncated, or of another format; an NWB file is one, because what a
        trial is has to be said (see `lfadsq.datasets.nwb.load_nwb`).
    StorageError
        If it cannot be read.
    """
    check_recording_file(path)
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as stored:
                _refuse_nwb(stored, path)
                return read_hdf5(stored, names)
        if zipfile.is_zipfile(path):
            return _from_npz(path, names)
        return read_mat5(path, names)
    except (DatasetError, MemoryError):
        raise
    # The readers raise whatever the damaged bytes make them stumble over.
    except Exception as error:
        raise DatasetError(
            f"the dataset {path} is damaged, truncated, or of a format unknown here ({error})",
            "copy it again, or override load_data in your Dataset class",
        ) from error


def _refuse_nwb(stored: h5py.File, path: Path) -> None:
    if "nwb_version" not in stored.attrs:
        return
    trials = stored.get("intervals/trials")
    columns = [str(name) for name in trials.attrs.get("colnames", ())] if trials is not None else []
    known = f"; its trials table has {', '.join(columns)}" if columns else ""
    raise DatasetError(
        f"{path} is an NWB file, of which it must be said what a trial is{known}",
        "in your Dataset class, let load_data return load_nwb(self.path, event=..., "
        "before_ms=..., after_ms=...), from lfadsq.datasets.nwb",
    )


def _from_npz(path: Path, names: Sequence[str] | None) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        if not any(name.endswith(".npy") for name in archive.namelist()):
            raise DatasetError(
                f"the dataset {path} is a zip file, but holds no NumPy arrays",
                "give the .npz that numpy.savez writes, or override load_data in your Dataset "
                "class",
            )
    variables = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
            if names is not None and name not in names:
                continue
            try:
                value = stored[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                # Unpickling runs code from the file.
                _log.warning(
                    "%s: left out %s, which are Python objects; to use it, save numbers or text, "
                    "or override load_data",
                    path.name,
                    name,
                )
                continue
            if isinstance(value, np.ndarray):
                variables[name] = _text_or_array(value)
    return variables


def _text_or_array(value: np.ndarray[Any, Any]) -> Any:
    if value.dtype.kind == "U" and value.size <= 1:
        return str(value.item()) if value.size else ""
    return value
