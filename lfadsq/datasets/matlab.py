"""Variables of MAT files as Python objects, the same from v5 to v7 as from v7.3.

SciPy reads v5 to v7. v7.3 is HDF5 with MATLAB's own marks, which are resolved here on top of h5py,
because the readers there are lose what a recording needs: pymatreader drops axes of length one, so
one trial or one channel comes out with two axes; mat73 (GPL-3) forgets the shape of what is empty.

==================  ==================================================================
MATLAB              here
==================  ==================================================================
numbers, logical    numpy.ndarray with MATLAB's shape; a scalar is 1 x 1
complex             numpy.ndarray, complex
char                str; several rows are a numpy.ndarray of str
cell                list, in column-major order
struct              dict; a struct array is a list of dicts, in column-major order
sparse              scipy.sparse.csc_array
empty               numpy.ndarray with MATLAB's shape and class, "", or []
string, table, ...  left out with a warning
==================  ==================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import scipy.sparse
from scipy.io.matlab import MatlabFunction, MatlabOpaque

__all__ = ["read_hdf5", "read_mat5"]

_log = logging.getLogger(__name__)

_CLASS = "MATLAB_class"
_SPARSE = "MATLAB_sparse"
_EMPTY = "MATLAB_empty"
_DTYPES = {
    "double": np.float64,
    "single": np.float32,
    "logical": np.bool_,
    **{
        f"{sign}int{bits}": np.dtype(f"{sign}int{bits}")
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
_LEFT_OUT = object()
"""Stands for a value of a class that only MATLAB understands."""


def read_mat5(path: Path, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Read the variables of a MAT file of version 4 to 7.

    Parameters
    ----------
    path : Path
        The file.
    names : iterable of str, optional
        Only these, as far as they are there; by default all. The others are passed over.

    Returns
    -------
    dict of str to object
        As the table above says.

    Raises
    ------
    Exception
        Of whatever type SciPy raises on what is no MAT file, or a damaged one.
    """
    chosen = None if names is None else list(names)
    loaded = scipy.io.loadmat(path, appendmat=False, variable_names=chosen)
    values = {name: _from_scipy(value) for name, value in loaded.items() if name[:2] != "__"}
    return _without_left_out(values, path.name)


def read_hdf5(stored: h5py.File, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Read the variables of a MAT file of version 7.3, or of another HDF5 file.

    Parameters
    ----------
    stored : h5py.File
        The open file.
    names : iterable of str, optional
        Only these, as far as they are there; by default all.

    Returns
    -------
    dict of str to object
        As the table above says. What MATLAB's ``save`` did not write is given as stored, its axes
        unchanged: groups as dicts, text as `str`.

    Raises
    ------
    OSError, RuntimeError, KeyError, ValueError
        If the file is damaged.
    """
    there = [name for name in stored if not name.startswith("#")]
    if names is not None:
        there = [name for name in names if name in there]
    return _without_left_out(
        {name: _from_hdf5(stored[name]) for name in there}, Path(stored.filename).name
    )


def _without_left_out(values: dict[str, Any], where: str) -> dict[str, Any]:
    for name in [name for name, value in values.items() if value is _LEFT_OUT]:
        _log.warning(
            "%s: left out %s, an object that only MATLAB can read; to use it here, save it as "
            "numbers, char, cell or struct",
            where,
            name,
        )
        del values[name]
    return values


# --- version 7 and older --------------------------------------------------------------------------


def _from_scipy(value: Any) -> Any:
    if isinstance(value, MatlabOpaque | MatlabFunction):
        return _LEFT_OUT
    if scipy.sparse.issparse(value):
        return scipy.sparse.csc_array(value)
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is not None:
        return _one_or_list(
            {name: _from_scipy(element[name]) for name in value.dtype.names}
            for element in value.ravel(order="F")
        )
    if value.dtype.kind == "O":
        return _list_of(_from_scipy(element) for element in value.ravel(order="F"))
    if value.dtype.kind == "U" and value.size <= 1:
        return str(value.item()) if value.size else ""
    return value


def _one_or_list(structs: Iterable[dict[str, Any]]) -> Any:
    """Give a 1 x 1 struct as a dict, a struct array as a list of dicts."""
    dicts = [
        {name: value for name, value in fields.items() if value is not _LEFT_OUT}
        for fields in structs
    ]
    return dicts[0] if len(dicts) == 1 else dicts


def _list_of(elements: Iterable[Any]) -> list[Any]:
    """Keep the places of a cell: what cannot be read is None."""
    return [None if element is _LEFT_OUT else element for element in elements]


# --- version 7.3, and other HDF5 ------------------------------------------------------------------


def _from_hdf5(node: Any) -> Any:
    matlab_class = node.attrs.get(_CLASS)
    if isinstance(matlab_class, bytes):
        matlab_class = matlab_class.decode("ascii", errors="replace")
    if "MATLAB_object_decode" in node.attrs and matlab_class not in ("logical", "char"):
        return _LEFT_OUT
    if isinstance(node, h5py.Group):
        return _from_group(node, matlab_class)
    if h5py.check_string_dtype(node.dtype):
        return node.asstr()[()]
    if matlab_class is None:
        return node[()]
    if matlab_class == "cell":
        return [] if _EMPTY in node.attrs else _list_of(_referenced(node))
    if matlab_class == "struct":  # without fields, or without elements: its lengths are stored
        return {} if np.all(node[()] == 1) else []
    if matlab_class == "char":
        return "" if _EMPTY in node.attrs else _text(node[()].T)
    if matlab_class not in _DTYPES:
        return _LEFT_OUT
    if _EMPTY in node.attrs:
        return np.empty(tuple(int(length) for length in node[()]), _DTYPES[matlab_class])
    array = node[()].T  # MATLAB writes column-major
    if array.dtype.names == ("real", "imag"):
        return array["real"] + 1j * array["imag"]
    return array.astype(bool) if matlab_class == "logical" else array


def _from_group(group: h5py.Group, matlab_class: str | None) -> Any:
    if _SPARSE in group.attrs:
        return _from_sparse(group)
    if matlab_class not in (None, "struct"):
        return _LEFT_OUT
    # Each field of a struct array is a dataset of references; a cell in a struct bears its class.
    is_array = len(group) > 0 and all(
        isinstance(field, h5py.Dataset)
        and h5py.check_ref_dtype(field.dtype) is h5py.Reference
        and _CLASS not in field.attrs
        for field in group.values()
    )
    if not is_array:
        return _one_or_list([{name: _from_hdf5(group[name]) for name in group}])
    columns = {name: _referenced(field) for name, field in group.items()}
    return _one_or_list(
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    )


def _referenced(node: h5py.Dataset) -> list[Any]:
    # Stored with axes reversed, so that row-major order here is column-major order there.
    return [_from_hdf5(node.file[reference]) for reference in node[()].ravel()]


def _from_sparse(group: h5py.Group) -> Any:
    starts = group["jc"][()].astype(np.int64)
    shape = (int(group.attrs[_SPARSE]), len(starts) - 1)
    if "data" not in group:  # no element differs from zero
        return scipy.sparse.csc_array(shape)
    values = group["data"][()]
    if values.dtype.names == ("real", "imag"):
        values = values["real"] + 1j * values["imag"]
    if group.attrs.get(_CLASS) == b"logical":
        values = values.astype(bool)
    return scipy.sparse.csc_array((values, group["ir"][()].astype(np.int64), starts), shape)


def _text(code_units: Any) -> Any:
    rows = [row.astype("<u2").tobytes().decode("utf-16-le", errors="replace") for row in code_units]
    return rows[0] if len(rows) == 1 else np.array(rows)
