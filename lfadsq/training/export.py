"""Writing the trained parameters as ``model_params`` (FORMATS.md 6)."""

from __future__ import annotations

from pathlib import Path

from lfadsq.files import make_folder
from lfadsq.hdf5 import hdf5_written_aside
from lfadsq.training.variables import ModelVariables

__all__ = ["write_model_params"]


def write_model_params(path: Path, variables: ModelVariables) -> None:
    """Write every variable, with Adam's, to a flat HDF5 file.

    Keys are the names of the variables with ``/`` replaced by ``_``, ending in ``:0``.

    Raises
    ------
    StorageError
        If it cannot be written; an older file is then untouched.
    """
    make_folder(path.parent)
    with hdf5_written_aside(path) as file:
        for name, variable in variables.on_disk().items():
            file[f"{name.replace('/', '_')}:0"] = variable.numpy()
