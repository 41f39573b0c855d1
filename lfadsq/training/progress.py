"""Where a training stands: what a checkpoint holds beside the variables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["CostSums", "TrainingProgress"]

_VERSION = 1
"""Of the text in checkpoints. Raise it with any change of the fields below, and keep reading
older ones: a training may be resumed by a newer lfadsq."""


@dataclass
class CostSums:
    """Sums of costs over the batches of an epoch.

    Attributes
    ----------
    num_batches : int
    total, recon, kl, l2, corr, grad_norm : float
    kl_weight, l2_weight : float
        Of the last batch, not summed.
    """

    num_batches: int = 0
    total: float = 0.0
    recon: float = 0.0
    kl: float = 0.0
    l2: float = 0.0
    corr: float = 0.0
    grad_norm: float = 0.0
    kl_weight: float = 0.0
    l2_weight: float = 0.0

    def add(self, **costs: float) -> None:
        """Add the costs of one batch."""
        self.num_batches += 1
        for name, value in costs.items():
            before = 0.0 if name.endswith("_weight") else getattr(self, name)
            setattr(self, name, before + value)

    def mean(self, name: str) -> float:
        """Give the unweighted mean over batches; not a number if there were none."""
        return getattr(self, name) / self.num_batches if self.num_batches else math.nan


@dataclass
class TrainingProgress:
    """Everything needed to go on as if training had never stopped.

    Random draws follow from `seed` and the counters alone, so they are the whole random state.

    Attributes
    ----------
    seed : int
    epoch : int
        The epoch in progress, counted from 0.
    sums : CostSums
        Of the training batches done in that epoch.
    history : list of float
        Stored training costs of earlier epochs (see `schedule.decide_learning_rate`).
    lowest_valid_total : float
        See `schedule.is_lowest_validation`.
    """

    seed: int
    epoch: int = 0
    sums: CostSums = field(default_factory=CostSums)
    history: list[float] = field(default_factory=list)
    lowest_valid_total: float = math.inf

    def to_json(self, flags: Mapping[str, Any]) -> str:
        """Give the text a checkpoint holds, with the flags the model was trained with."""
        return json.dumps({"version": _VERSION, "progress": asdict(self), "flags": dict(flags)})

    @classmethod
    def from_json(cls, text: str) -> TrainingProgress:
        """Read the text of a checkpoint."""
        stored = json.loads(text)["progress"]
        return cls(**{**stored, "sums": CostSums(**stored["sums"])})
