"""Train LFADS models on every GPU a lab may use.

The names below are loaded when they are first used, so that ``import lfadsq`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lfadsq.errors import LfadsqError as LfadsqError
    from lfadsq.manager.collection import RunCollection as RunCollection
    from lfadsq.manager.counts import DatasetCounts as DatasetCounts
    from lfadsq.manager.datasets import Dataset as Dataset
    from lfadsq.manager.datasets import DatasetCollection as DatasetCollection
    from lfadsq.manager.hyperparams import hyperparam as hyperparam
    from lfadsq.manager.params import RunParams as RunParams
    from lfadsq.manager.runs import Run as Run
    from lfadsq.manager.runs import RunSpec as RunSpec
    from lfadsq.manager.trainer_commands import TrainerCommands as TrainerCommands
    from lfadsq.queue import run_lfads_queue as run_lfads_queue
    from lfadsq.results.fit_log import FitLog as FitLog
    from lfadsq.results.model_trained_params import ModelTrainedParams as ModelTrainedParams
    from lfadsq.results.posterior_means import PosteriorMeans as PosteriorMeans

_HOMES = {
    "Dataset": "lfadsq.manager.datasets",
    "DatasetCollection": "lfadsq.manager.datasets",
    "DatasetCounts": "lfadsq.manager.counts",
    "FitLog": "lfadsq.results.fit_log",
    "LfadsqError": "lfadsq.errors",
    "ModelTrainedParams": "lfadsq.results.model_trained_params",
    "PosteriorMeans": "lfadsq.results.posterior_means",
    "Run": "lfadsq.manager.runs",
    "RunCollection": "lfadsq.manager.collection",
    "RunParams": "lfadsq.manager.params",
    "RunSpec": "lfadsq.manager.runs",
    "TrainerCommands": "lfadsq.manager.trainer_commands",
    "hyperparam": "lfadsq.manager.hyperparams",
    "run_lfads_queue": "lfadsq.queue",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
