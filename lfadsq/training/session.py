"""A model made ready: flags, data, configuration and variables together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lfadsq.errors import CheckpointError, ConfigError
from lfadsq.model.config import ModelConfig
from lfadsq.model.parameters import initial_parameters
from lfadsq.training.checkpoints import LOWEST_VALIDATION, ROLLING, Checkpoint, load_newest
from lfadsq.training.compatibility import check_fits
from lfadsq.training.data import InputFile, read_inputs
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.model_params import complete_model_params, read_model_params
from lfadsq.training.variables import ModelVariables

__all__ = ["Say", "Session", "model_config", "open_session", "open_trained"]

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
"""Shows one line to people."""


@dataclass(frozen=True)
class Session:
    """What every kind of call needs.

    Attributes
    ----------
    flags : TrainerFlags
    inputs : list of InputFile
    config : ModelConfig
    variables : ModelVariables
    checkpoint : Checkpoint, optional
        What the variables were restored from; also a file of parameters.
    """

    flags: TrainerFlags
    inputs: Sequence[InputFile]
    config: ModelConfig
    variables: ModelVariables
    checkpoint: Checkpoint | None

    def recorded(self) -> dict[str, Any]:
        """Give what ``hyperparameters-<step>.txt`` holds."""
        return self.flags.recorded(
            _clip_value=80,
            dataset_names=[item.name for item in self.inputs],
            dataset_dims={item.name: item.config.num_channels for item in self.inputs},
            num_steps=self.config.num_steps,
            ndatasets=len(self.inputs),
        )


def model_config(flags: TrainerFlags, inputs: Sequence[InputFile]) -> ModelConfig:
    """Describe the model that flags and data ask for.

    Raises
    ------
    ConfigError
        If they contradict themselves.
    """
    names = {field.name for field in fields(ModelConfig)} - {"datasets", "num_steps"}
    return ModelConfig(
        datasets=tuple(item.config for item in inputs),
        num_steps=inputs[0].num_steps,
        **{name: flags[name] for name in names},
    )


def open_session(flags: TrainerFlags, seed: int) -> Session:
    """Read the data and make the model, restored from a checkpoint if there is one.

    Without any checkpoint it is restored from the file that the flag ``model_params`` names. A
    checkpoint comes first, so that the same command goes on with what it began, and the calls of
    one script evaluate what it trained. To train on where ``checkpoint_pb_load_name`` names one
    that is not there (``checkpoint_lve`` may not be yet), the rolling one is taken.

    Parameters
    ----------
    flags : TrainerFlags
    seed : int
        Of the initial parameters.

    Raises
    ------
    DatasetError, ConfigError
        If data or flags cannot be.
    CheckpointError
        If the checkpoint or file is of another model, or none can be read.
    """
    inputs = read_inputs(flags)
    config = model_config(flags, inputs)
    alignments = {item.name: item.alignment for item in inputs if item.alignment is not None}
    values = initial_parameters(config, seed, alignments)
    variables = ModelVariables.create(config, values, flags["learning_rate_init"])
    checkpoint = _load_checkpoint(flags)
    if checkpoint is not None:
        check_fits(checkpoint, config, flags.recorded())
    elif flags["model_params"] and (flags["kind"] == "train" or not _has_checkpoint(flags)):
        stored = read_model_params(Path(flags["model_params"]))
        check_fits(stored, config, flags.recorded(), chosen_by="--model_params")
        checkpoint = complete_model_params(stored, variables)
        _check_can_train(flags, checkpoint)
    if checkpoint is not None:
        _restore(variables, checkpoint)
    return Session(flags, inputs, config, variables, checkpoint)


def _load_checkpoint(flags: TrainerFlags) -> Checkpoint | None:
    folder, pointer = flags.save_dir, flags["checkpoint_pb_load_name"]
    checkpoint = load_newest(folder, pointer)
    if checkpoint is None and flags["kind"] == "train" and pointer != ROLLING:
        checkpoint = load_newest(folder, ROLLING)
        if checkpoint is not None:
            logger.warning("there is no %s: going on from %s", folder / pointer, checkpoint.prefix)
    if checkpoint is not None and flags["model_params"]:
        logger.warning(
            "%s is not read, as %s has a checkpoint already", flags["model_params"], folder
        )
    return checkpoint


def _has_checkpoint(flags: TrainerFlags) -> bool:
    pointers = (flags["checkpoint_pb_load_name"], ROLLING, LOWEST_VALIDATION)
    return any((flags.save_dir / pointer).exists() for pointer in pointers)


def _check_can_train(flags: TrainerFlags, checkpoint: Checkpoint) -> None:
    rate, least = float(checkpoint.values["LFADS/learning_rate"]), flags["learning_rate_stop"]
    if flags["kind"] == "train" and rate < least and not flags["do_reset_learning_rate"]:
        raise ConfigError(
            f"{checkpoint.prefix} was trained to its end: its learning rate {rate:g} is below "
            f"learning_rate_stop {least:g}",
            "train on with --do_reset_learning_rate=true, or with a lower --learning_rate_stop",
        )


def open_trained(flags: TrainerFlags) -> Session:
    """Open a trained model for evaluation: without dropout.

    Raises
    ------
    CheckpointError
        If there is no checkpoint (see also `open_session`).
    """
    session = open_session(flags, seed=0)
    if session.checkpoint is None:
        pointer = flags.save_dir / flags["checkpoint_pb_load_name"]
        raise CheckpointError(
            f"there is no {pointer}",
            "train the model first; checkpoint_lve appears once the costs have reached their full "
            "weights, and only with validation trials. A file of parameters (--model_params) is "
            "evaluated where lfads_save_dir holds no checkpoint",
        )
    return replace(session, config=replace(session.config, keep_prob=1.0))


def _restore(variables: ModelVariables, checkpoint: Checkpoint) -> None:
    for name, variable in variables.on_disk().items():
        stored = checkpoint.values.get(name)
        if stored is not None and stored.shape == tuple(variable.shape):
            variable.assign(stored)
        elif not name.endswith(("/Adam", "/Adam_1")):
            raise CheckpointError(
                f"{checkpoint.prefix} lacks {name}", "it is damaged or of another program"
            )
        else:
            # Not trained when the checkpoint was written, for example with do_train_io_only.
            logger.info("%s does not hold %s, which starts at zero", checkpoint.prefix, name)
