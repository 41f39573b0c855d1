"""Reading ``inputInfo_<dataset>.mat``: what is known about the trainer's input of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lfadsq.errors import ConfigError
from lfadsq.files import storage_errors
from lfadsq.manager.recordings import load_recording

__all__ = ["read_input_info"]

_VECTORS = ("trainInds", "validInds", "seq_timeVector", "conditionId")


def read_input_info(path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read what the file holds.

    Parameters
    ----------
    path : Path
        Written by lfadsq or MATLAB.
    names : sequence of str, optional
        Only these variables, where they are there; by default all. Counts can be large.

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
    info = load_recording(path, names)
    return info | {
        name: np.ravel(info[name]) for name in _VECTORS if isinstance(info.get(name), np.ndarray)
    }
