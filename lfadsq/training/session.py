"""A model made ready: flags, data, configuration and variables together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from lfadsq.errors import CheckpointError
from lfadsq.model.config import ModelConfig
from lfadsq.model.parameters import initial_parameters
from lfadsq.training.checkpoints import Checkpoint, load_newest
from lfadsq.training.compatibility import check_fits
from lfadsq.training.data import InputFile, read_inputs
from lfadsq.training.flags import TrainerFlags
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
        What the variables were restored from.
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
        If the checkpoint is of another model, or none can be read.
    """
    inputs = read_inputs(flags)
    config = model_config(flags, inputs)
    alignments = {item.name: item.alignment for item in inputs if item.alignment is not None}
    values = initial_parameters(config, seed, alignments)
    variables = ModelVariables.create(config, values, flags["learning_rate_init"])
    checkpoint = load_newest(flags.save_dir, flags["checkpoint_pb_load_name"])
    if checkpoint is not None:
        check_fits(checkpoint, config, flags.recorded())
        _restore(variables, checkpoint)
    return Session(flags, inputs, config, variables, checkpoint)


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
            "weights, and only with validation trials",
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
