"""The file ``model_params``: weights by the names of the trainer's variables (FORMATS.md 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt

from lfadsq.files import check_readable
from lfadsq.hdf5 import hdf5_for_reading

__all__ = ["named_datasets", "read_weights"]

_PREFIX = re.compile(r"^(LFADS_)*")
_SLOTS = ("_Adam", "_Adam_1")
_OF_DATASET = re.compile(r"(?:x_2_infac|glm_fac_2_(?:logrates|means|logvars))_(.+)\.h5_[Wb]")


def read_weights(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what a file of weights holds, but for what only Adam needs.

    Returns
    -------
    dict of str to numpy.ndarray
        By the keys of the file, without their prefix and ``:0``.

    Raises
    ------
    StorageError
        If it cannot be read, or is damaged.
    """
    check_readable(path)
    values = {}
    with hdf5_for_reading(path) as stored:
        for key, value in stored.items():
            name = _PREFIX.sub("", key.removesuffix(":0"))
            if isinstance(value, h5py.Dataset) and not name.endswith(_SLOTS):
                values[name] = value[()]
    return values


def named_datasets(keys: Iterable[str]) -> list[str]:
    """List the datasets of which there are weights, sorted.

    >>> named_datasets(["glm_fac_2_logrates_b.h5_W", "x_2_infac_a.x.h5_b", "z_prior_g0_mean"])
    ['a.x', 'b']
    """
    return sorted({found[1] for key in keys if (found := _OF_DATASET.fullmatch(key))})
