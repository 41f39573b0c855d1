"""A model on the disk as training leaves it, without the time that training takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfadsq.paths import OutputPaths
from lfadsq.training.checkpoints import LOWEST_VALIDATION, ROLLING, CheckpointStore
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.logs import write_hyperparameters
from lfadsq.training.progress import TrainingProgress
from lfadsq.training.session import open_session

__all__ = ["save_untrained"]

_STEP = 30


def save_untrained(values: Mapping[str, Any]) -> None:
    """Write both checkpoints and the record of flags, with the weights as they are drawn."""
    flags = TrainerFlags.from_values(**values)
    session = open_session(flags, flags["seed"])
    session.variables.global_step.assign(_STEP)
    progress = TrainingProgress(seed=flags["seed"]).to_json(session.recorded())
    for pointer in (ROLLING, LOWEST_VALIDATION):
        store = CheckpointStore(flags.save_dir, pointer, "lfads_vae", 1)
        store.save(_STEP, session.variables.on_disk(), progress)
    write_hyperparameters(OutputPaths(flags.save_dir).hyperparameters(0), session.recorded())
