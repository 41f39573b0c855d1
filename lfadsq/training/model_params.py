"""Models in files ``model_params`` (FORMATS.md 6): reading what the original or we have written.

Keys are names of variables with ``/`` replaced by ``_``, which cannot be undone by rule, as names
hold ``_`` themselves. But for the datasets' names they are the same in every model, so they are
looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfadsq.errors import CheckpointError
from lfadsq.files import check_readable
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import describe_parameters
from lfadsq.training.checkpoints import Checkpoint
from lfadsq.training.variables import ModelVariables

__all__ = ["complete_model_params", "read_model_params", "variable_name"]

_SCALARS = ("learning_rate", "beta1_power", "beta2_power", "global_step")
_OF_DATASETS = (
    (re.compile(r"x_2_infac_(.+)_([Wb])"), r"LFADS/x_2_infac_\1/\2"),
    (re.compile(r"glm_fac_2_((?:logrates|means|logvars)_.+)_([Wb])"), r"LFADS/glm/fac_2_\1/\2"),
)


def variable_name(key: str) -> str | None:
    """Give the name of the variable that a key stands for; None if it is of no model.

    Examples
    --------
    >>> variable_name("LFADS_gen_gen_2_fac_W:0")
    'LFADS/gen/gen_2_fac/W'
    >>> variable_name("LFADS_x_2_infac_day_2.h5_W:0")
    'LFADS/x_2_infac_day_2.h5/W'
    >>> variable_name("LFADS_LFADS_con_c0_Adam_1:0")
    'LFADS/con/c0/Adam_1'
    """
    # The original puts Adam's variables into a scope of their own.
    tail = re.sub(r"^(LFADS_)*", "", key.removesuffix(":0"))
    found = re.fullmatch(r"(.*?)(?:_(Adam(?:_1)?))?", tail)
    assert found is not None
    tail, slot = found[1], found[2]
    name = _fixed_names().get(tail)
    for pattern, replacement in _OF_DATASETS:
        if name is None and pattern.fullmatch(tail):
            name = pattern.sub(replacement, tail)
    return f"{name}/{slot}" if name and slot else name


@cache
def _fixed_names() -> Mapping[str, str]:
    """Give the names that are the same in every model, by their keys without prefix."""
    everything = ModelConfig(
        (DatasetConfig("", 1),), num_steps=1, co_dim=1, ext_input_dim=1, ic_dim=1, gen_dim=2
    )
    names = [spec.name for spec in describe_parameters(everything) if "/glm/" not in spec.name]
    names += [f"LFADS/{scalar}" for scalar in _SCALARS]
    return {name.removeprefix("LFADS/").replace("/", "_"): name for name in names}


def read_model_params(path: Path) -> Checkpoint:
    """Read a model from a file of its parameters.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Checkpoint
        Of what the file holds; it need not be complete (see `complete_model_params`).

    Raises
    ------
    StorageError
        If it cannot be read.
    CheckpointError
        If it is damaged, or not a file of parameters.
    """
    check_readable(path)
    try:
        with h5py.File(path, "r") as file:
            values = dict(_values(file))
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}",
            "give --model_params a file that kind=write_model_params wrote, or write it again",
        ) from error
    if "LFADS/gen/gen_2_fac/W" not in values:
        raise CheckpointError(
            f"{path} holds no LFADS_gen_gen_2_fac_W:0, so it is no file of an LFADS model",
            "give --model_params a file that kind=write_model_params wrote",
        )
    return Checkpoint(path, values, progress=None)


def _values(file: h5py.File) -> Iterator[tuple[str, NDArray[Any]]]:
    for key, stored in file.items():
        name = variable_name(key)
        if name is not None and isinstance(stored, h5py.Dataset) and stored.dtype.kind in "iuf":
            value = np.asarray(stored[()])
            yield name, value.reshape(()) if value.size == 1 and name.endswith(_SCALARS) else value


def complete_model_params(checkpoint: Checkpoint, variables: ModelVariables) -> Checkpoint:
    """Add what a file of parameters may lack beside the parameters, as an untrained model has it.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `read_model_params`.
    variables : ModelVariables
        Of an untrained model.

    Returns
    -------
    Checkpoint
        With learning rate, global step and the powers of Adam's β. Where there is nothing else of
        Adam the powers are those of its first step too, as it begins anew.
    """
    named = variables.on_disk()
    values = dict(checkpoint.values)
    if not any(name.endswith("/Adam") for name in values):
        values = {name: v for name, v in values.items() if not name.endswith("_power")}
    for scalar in _SCALARS:
        initial = named[f"LFADS/{scalar}"].numpy()
        value = values.get(f"LFADS/{scalar}", initial)
        values[f"LFADS/{scalar}"] = np.asarray(value).astype(initial.dtype)
    return Checkpoint(checkpoint.prefix, values, checkpoint.progress)
