"""What ``inputInfo_<dataset>.mat`` tells of an input; its counts are not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from lfadsq.datasets.mat_elements import check_mat5
from lfadsq.datasets.matlab import read_hdf5
from lfadsq.files import check_readable
from lfadsq.manager.param_values import DATA_PREFIX
from lfadsq.preflight.input_files import damage_of

__all__ = ["InputInfo", "read_input_info"]

_NAMES = (
    "trainInds",
    "validInds",
    "paramInputDataHash",
    "seq_timeVector",
    "seq_binSizeMs",
    "conditionId",
)


@dataclass(frozen=True, eq=False)
class InputInfo:
    """What is known of an input.

    Attributes
    ----------
    path : Path
    trials : dict of str to numpy.ndarray
        1-based trial numbers of ``train`` and ``valid``, where they are told.
    data_hash : str
        The hash of the parameters it was prepared for; empty if it is not told.
    num_raw_bins : int
        Raw bins of a trial; 0 if they are not told.
    raw_bin_ms : float
        Their width [ms]; 0 if it is not told.
    condition_id : tuple or None
        Condition of each trial, as float or str; None if there are none.
    damage : str
        Why it cannot be read; empty if it can.
    """

    path: Path
    trials: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    data_hash: str = ""
    num_raw_bins: int = 0
    raw_bin_ms: float = 0.0
    condition_id: tuple[float | str, ...] | None = None
    damage: str = ""


def read_input_info(path: Path, *, whole: bool = False) -> InputInfo:
    """Read an ``inputInfo`` file, of MATLAB's version 5 to 7.3.

    Parameters
    ----------
    path : Path
        It must exist; whatever is wrong with it is told in `InputInfo.damage`.
    whole : bool, default False
        Read all of it, to see that it is intact. Its structure is looked at in any case, which
        shows whether it was cut short.
    """
    try:
        check_readable(path)
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as stored:
                return _info_of(path, read_hdf5(stored, _NAMES))
        check_mat5(path, whole=whole)
        return _info_of(path, scipy.io.loadmat(path, appendmat=False, variable_names=list(_NAMES)))
    # The readers raise whatever the damaged bytes make them stumble over.
    except Exception as error:
        return InputInfo(path, damage=damage_of(error))


def _info_of(path: Path, values: dict[str, Any]) -> InputInfo:
    times, widths = _numbers(values.get("seq_timeVector")), _numbers(values.get("seq_binSizeMs"))
    found = {"train": _numbers(values.get("trainInds")), "valid": _numbers(values.get("validInds"))}
    conditions = _plain(values.get("conditionId"))
    return InputInfo(
        path,
        trials={split: inds for split, inds in found.items() if inds is not None},
        data_hash=_text(values.get("paramInputDataHash")).removeprefix(DATA_PREFIX),
        num_raw_bins=0 if times is None else len(times),
        raw_bin_ms=float(widths[0]) if widths is not None and len(widths) else 0.0,
        condition_id=tuple(conditions) or None,
    )


def _numbers(value: Any) -> npt.NDArray[np.float64] | None:
    return None if value is None else np.asarray(value, dtype=np.float64).ravel()


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.ravel()[0]) if value.size else ""
    return str(value or "")


def _plain(value: Any) -> list[float | str]:
    """Give conditions as numbers and text, whatever holds them: rows, columns, or cells."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [_condition(one) for one in value]
    array = np.asarray(value).ravel(order="F")
    return [_condition(one) for one in array]


def _condition(value: Any) -> float | str:
    array = np.asarray(value)
    if array.dtype.kind in "biuf" and array.size == 1:
        return float(array.ravel()[0])
    if array.dtype.kind in "US":
        return str(array.ravel()[0]) if array.size else ""
    if array.size == 0:
        return ""
    if array.dtype.kind == "O":
        return _condition(array.ravel()[0])
    return str(value)
