"""Trained models as their folders hold them, without the data they were trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfadsq.errors import CheckpointError, DatasetError
from lfadsq.files import storage_errors
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import readin_scope
from lfadsq.paths import RunPaths
from lfadsq.training.checkpoints import LOWEST_VALIDATION, ROLLING, Checkpoint, load_newest
from lfadsq.training.compatibility import check_fits
from lfadsq.training.flags import TrainerFlags, flag_specs

__all__ = ["POINTERS", "TrainedModel", "open_model"]

POINTERS: Mapping[str, str] = {"lve": LOWEST_VALIDATION, "last": ROLLING}
"""Which checkpoint, as people say it."""

_READOUT = re.compile(r"LFADS/glm/fac_2_(?:logrates|means)_(.*)/W")


@dataclass(frozen=True)
class TrainedModel:
    """A trained model.

    Attributes
    ----------
    checkpoint : Checkpoint
    flags : TrainerFlags
        Those it was trained with.
    datasets : tuple of DatasetConfig
        In the order of their names.
    trained_steps : int, optional
        Time bins of the trials it was trained on, if known.
    """

    checkpoint: Checkpoint
    flags: TrainerFlags
    datasets: tuple[DatasetConfig, ...]
    trained_steps: int | None

    def config(self, num_steps: int) -> ModelConfig:
        """Describe the model for trials of some length, without dropout.

        Raises
        ------
        CheckpointError
            If the checkpoint does not fit its own flags.
        """
        names = {field.name for field in fields(ModelConfig)} - {"datasets", "num_steps"}
        values = {name: self.flags[name] for name in names} | {"keep_prob": 1.0}
        config = ModelConfig(datasets=self.datasets, num_steps=num_steps, **values)
        check_fits(self.checkpoint, config, self.flags.recorded())
        return config

    @property
    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """The weights, without the state of the optimiser."""
        return {
            name: value
            for name, value in self.checkpoint.values.items()
            if name.startswith("LFADS/") and not name.endswith(("/Adam", "/Adam_1"))
            if value.ndim
        }

    def dataset_index(self, name: str | None) -> int:
        """Find a dataset by name; the only one if none is given.

        Raises
        ------
        DatasetError
            Listing the datasets of the model.
        """
        names = [dataset.name.removesuffix(".h5") for dataset in self.datasets]
        if name is None and len(names) == 1:
            return 0
        if name is not None and name.removesuffix(".h5") in names:
            return names.index(name.removesuffix(".h5"))
        problem = (
            f"the model has {len(names)} datasets"
            if name is None
            else f"the model has no dataset {name}"
        )
        raise DatasetError(
            f"{problem}: {', '.join(names)}", "say whose read-in and read-out to use: --dataset"
        )


def open_model(folder: Path, which: str = "lve") -> TrainedModel:
    """Open the model in a folder; nothing is changed there.

    Parameters
    ----------
    folder : Path
        ``lfadsOutput`` of a run, or the run's folder. It may have been moved.
    which : {"lve", "last"}
        The checkpoint with the lowest validation error, or the last.

    Raises
    ------
    CheckpointError
        If it holds no such checkpoint, or none that can be read or that says how it was trained.
    StorageError
        If the folder cannot be read.
    """
    inside = RunPaths(folder).lfads_output
    with storage_errors(folder, "read"):
        if not folder.is_dir():
            raise CheckpointError(f"there is no folder {folder}", "correct the path of the model")
        if inside.is_dir():
            folder = inside
    checkpoint = load_newest(folder, POINTERS[which])
    if checkpoint is None:
        has_other = which == "lve" and (folder / ROLLING).exists()
        raise CheckpointError(
            f"{folder} holds no {POINTERS[which]}",
            "the costs never reached their full weights, or there were no validation trials: "
            "take the last one with --checkpoint last"
            if has_other
            else "name the lfadsOutput of a trained run, or the run's folder",
        )
    recorded = {**_newest_record(folder, checkpoint.step), **checkpoint.flags}
    if not recorded:
        raise CheckpointError(
            f"{folder} holds no hyperparameters-<step>.txt, and {checkpoint.prefix.name} does not "
            "say how it was trained",
            "copy the file from where the model was trained",
        )
    flags = _flags(recorded, folder)
    datasets = _datasets(checkpoint, recorded)
    if not datasets:
        raise CheckpointError(
            f"{folder} does not say which datasets the model has",
            "copy hyperparameters-<step>.txt from where it was trained",
        )
    num_steps = recorded.get("num_steps")
    return TrainedModel(checkpoint, flags, datasets, int(num_steps) if num_steps else None)


def _newest_record(folder: Path, step: int) -> dict[str, Any]:
    """Read the flags of the process that trained the model of that step."""
    by_step: dict[int, Path] = {}
    with storage_errors(folder, "read"):
        for path in folder.iterdir():
            if found := re.fullmatch(r"hyperparameters-(\d+)\.txt", path.name):
                by_step[int(found[1])] = path
    # A process writes its flags when it begins: those begun at a later step are not meant.
    for begun in sorted(by_step, key=lambda begun: (begun <= step, begun), reverse=True):
        with storage_errors(by_step[begun], "read"):
            text = by_step[begun].read_text(encoding="utf-8", errors="replace")
        try:
            recorded = json.loads(text)
        except ValueError:
            continue
        if isinstance(recorded, dict):
            return recorded
    return {}


def _flags(recorded: Mapping[str, Any], folder: Path) -> TrainerFlags:
    values: dict[str, Any] = {}
    for spec in flag_specs():
        value = recorded.get(spec.name)
        if isinstance(value, str) and spec.type is bool:
            value = value.lower() == "true"
        values[spec.name] = value
    values |= {"lfads_save_dir": str(folder), "data_dir": values["data_dir"] or str(folder)}
    return TrainerFlags.from_values(**values)


def _datasets(checkpoint: Checkpoint, recorded: Mapping[str, Any]) -> tuple[DatasetConfig, ...]:
    stored = checkpoint.values
    channels = {
        found[1]: int(value.shape[1])
        for name, value in stored.items()
        if (found := _READOUT.fullmatch(name))
    }
    if not channels:
        # Factors are log rates, so no variable bears the name of the dataset.
        names = recorded.get("dataset_names") or []
        num_factors = int(stored["LFADS/gen/gen_2_fac/W"].shape[1])
        channels = {str(name): num_factors for name in names[:1]}
    return tuple(
        DatasetConfig(name, channels[name], f"{readin_scope(name)}/W" in stored)
        for name in sorted(channels)
    )
