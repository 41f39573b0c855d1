"""Reading recordings from the file formats that labs keep them in."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from lfadsq.errors import DatasetError
from lfadsq.files import check_readable, storage_errors

__all__ = ["load_recording"]

_MATLAB_CLASS = "MATLAB_class"


def load_recording(path: Path) -> dict[str, Any]:
    """Read every variable of a recording.

    Parameters
    ----------
    path : Path
        A MAT file (v5 to v7 by SciPy, v7.3 by h5py), another HDF5 file, or ``.npz``. The content
        decides, not the ending.

    Returns
    -------
    dict of str to object
        Arrays with the axes that MATLAB or NumPy shows; text as `str`; structs of v7.3 as dicts,
        cells as lists.

    Raises
    ------
    DatasetError
        If the file is missing, truncated, or of another format.
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
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as stored:
                return {name: _from_hdf5(stored[name]) for name in stored if name[0] != "#"}
        if zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as stored:
                return {name: _text_or_array(stored[name]) for name in stored.files}
        loaded = scipy.io.loadmat(path)
        return {name: _text_or_array(value) for name, value in loaded.items() if name[:2] != "__"}
    except MemoryError:
        raise
    # The readers raise whatever the damaged bytes make them stumble over.
    except Exception as error:
        raise DatasetError(
            f"the dataset {path} is damaged, truncated, or of a format unknown here ({error})",
            "copy it again, or override load_data in your Dataset class",
        ) from error


def _text_or_array(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size <= 1:
        return str(value.item()) if value.size else ""
    return value


def _from_hdf5(node: Any) -> Any:
    if isinstance(node, h5py.Group):
        return {name: _from_hdf5(node[name]) for name in node}
    if h5py.check_string_dtype(node.dtype):
        return node.asstr()[()]
    matlab_class = node.attrs.get(_MATLAB_CLASS)
    if matlab_class is None:
        return node[()]
    if matlab_class == b"cell":
        return [_from_hdf5(node.file[reference]) for reference in node[()].T.ravel(order="F")]
    if "MATLAB_empty" in node.attrs:
        return "" if matlab_class == b"char" else np.empty(tuple(node[()]))
    array = node[()].T  # MATLAB writes column-major
    if matlab_class == b"char":
        return array.astype("<u2").tobytes(order="C").decode("utf-16-le")
    return array.astype(bool) if matlab_class == b"logical" else array
