"""Reading ``inputInfo_<dataset>.mat``: what is known about the trainer's input of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lfadsq.errors import ConfigError
from lfadsq.files import storage_errors
from lfadsq.manager.recordings import load_recording

__all__ = ["read_input_info"]

_VECTORS = ("trainInds", "validInds", "seq_timeVector", "conditionId")


def read_input_info(path: Path) -> dict[str, Any]:
    """Read all that the file holds.

    Parameters
    ----------
    path : Path
        Written by lfadsq or MATLAB.

    Returns
    -------
    dict of str to object
        Variables by name; lists of numbers have shape (n,), whichever way MATLAB laid them.

    Raises
    ------
    ConfigError
        If it is not there.
    DatasetError
        If it is damaged.
    StorageError
        If it cannot be read.
    """
    with storage_errors(path, "read"):
        if not path.exists():
            raise ConfigError(f"there is no {path}", "call prepare_for_lfads first")
    info = load_recording(path)
    return info | {
        name: np.ravel(info[name]) for name in _VECTORS if isinstance(info.get(name), np.ndarray)
    }
