"""The variables of a model in training, and their names on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.model.config import ModelConfig
from lfadsq.model.optimizer import ADAM_BETA1, ADAM_BETA2, AdamState
from lfadsq.model.parameters import trained_names

__all__ = ["ModelVariables"]

Values = Mapping[str, NDArray[np.float32]]

_SCALARS = ("learning_rate", "beta1_power", "beta2_power", "global_step")


@dataclass(frozen=True)
class ModelVariables:
    """Parameters, the state of Adam, and the counters that are stored with them.

    Attributes
    ----------
    parameters : dict of str to tf.Variable
        Every variable of the model.
    adam : AdamState
    global_step : tf.Variable, int64
        Updates done.
    learning_rate : tf.Variable, float32
    """

    parameters: dict[str, tf.Variable]
    adam: AdamState
    global_step: tf.Variable
    learning_rate: tf.Variable

    @classmethod
    def create(cls, config: ModelConfig, values: Values, learning_rate: float) -> ModelVariables:
        """Make the variables of an untrained model."""
        trained = trained_names(config)
        return cls(
            {name: tf.Variable(value) for name, value in values.items()},
            AdamState(
                {name: tf.Variable(np.zeros_like(values[name])) for name in trained},
                {name: tf.Variable(np.zeros_like(values[name])) for name in trained},
                tf.Variable(np.float32(ADAM_BETA1)),
                tf.Variable(np.float32(ADAM_BETA2)),
            ),
            tf.Variable(0, dtype=tf.int64),
            tf.Variable(np.float32(learning_rate)),
        )

    @property
    def trained(self) -> dict[str, tf.Variable]:
        """The variables that the optimiser changes."""
        return {name: self.parameters[name] for name in self.adam.first}

    def on_disk(self) -> dict[str, tf.Variable]:
        """Give every variable under the name the original stores it by."""
        named = dict(self.parameters)
        for name in self.adam.first:
            named[f"{name}/Adam"] = self.adam.first[name]
            named[f"{name}/Adam_1"] = self.adam.second[name]
        scalars = (
            self.learning_rate,
            self.adam.beta1_power,
            self.adam.beta2_power,
            self.global_step,
        )
        named.update(zip((f"LFADS/{name}" for name in _SCALARS), scalars, strict=True))
        return named
