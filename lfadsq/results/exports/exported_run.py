"""`ExportedRun`: which run, and which of its results, are exported.

Nothing here knows of run collections: the manager fills it from a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lfadsq.files import storage_errors
from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.fit_log import FitLog
from lfadsq.results.model_trained_params import ModelTrainedParams
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import TrialValues

__all__ = ["ExportedRun", "InputInfoReader", "trial_blocks"]

InputInfoReader: TypeAlias = Callable[[str, Sequence[str] | None], Mapping[str, Any]]

_BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class ExportedRun:
    """A run whose results are exported.

    Attributes
    ----------
    paths : RunPaths
        Its files.
    data_paths : DataPaths
        Its prepared data.
    dataset_names : tuple of str
        All its datasets, in its order.
    chosen : tuple of str
        Those to export.
    kind : str
        ``posterior_sample_and_average`` or ``posterior_push_mean``.
    bin_ms : float [ms]
        Width of the bins that the model saw.
    hyperparams : mapping of str to object
        Values of all hyperparameters, by name.
    load_input_info : callable
        Reads ``inputInfo_<dataset>.mat``: given a dataset and the variables wanted (None for all),
        it returns those that are there by name, as MATLAB shows them.
    """

    paths: RunPaths
    data_paths: DataPaths
    dataset_names: tuple[str, ...]
    chosen: tuple[str, ...]
    kind: str
    bin_ms: float
    hyperparams: Mapping[str, Any] = field(repr=False, default_factory=dict)
    load_input_info: InputInfoReader = field(repr=False, default=lambda _, __: {})

    @property
    def title(self) -> str:
        """What messages call it: ``param_<HASH>/<run name>``."""
        return f"{self.paths.folder.parent.name}/{self.paths.folder.name}"

    @property
    def export_folder(self) -> Path:
        """Where its exports go by default."""
        return self.paths.export

    def load_means(self, dataset_name: str) -> PosteriorMeans:
        """Find the posterior means of a dataset, without reading them.

        Raises
        ------
        ResultNotReadyError, ResultShapeError, StorageError
            As `PosteriorMeans.load` does.
        """
        return PosteriorMeans.load(
            self.paths, dataset_name, self.kind, self.bin_ms, self.data_paths
        )

    def means_once(self, dataset_name: str) -> Callable[[], PosteriorMeans]:
        """Give what finds the posterior means of a dataset when it is first called, and then not.

        So what it has to say about them is said once, although they are checked before anything is
        written.
        """

        @cache
        def find() -> PosteriorMeans:
            means = self.load_means(dataset_name)
            # Read from inputInfo, so that a damaged one is found out here, too.
            means.condition_ids  # noqa: B018
            return means

        return find

    def load_params(self) -> ModelTrainedParams:
        """Read the trained parameters.

        Raises
        ------
        ResultNotReadyError, ResultShapeError, StorageError
            As `ModelTrainedParams.load` does.
        """
        return ModelTrainedParams.load(self.paths.output.model_params, self.dataset_names)

    def load_fit_log(self) -> FitLog:
        """Read the costs, epoch by epoch.

        Raises
        ------
        ResultNotReadyError, ResultShapeError, StorageError
            As `FitLog.load` does.
        """
        return FitLog.load(self.paths.output.fit_log())

    def provenance(self, dataset_name: str = "") -> dict[str, str]:
        """Say where results come from: texts for the head of a file."""
        folder = self.paths.folder
        told = {
            "run": folder.name,
            "param_hash": folder.parent.name.removeprefix("param_"),
            "data_hash": self._data_hash(),
            "kind": self.kind,
            "dataset": dataset_name,
            "lfadsq_version": version("lfadsq"),
        }
        return {key: encodable(text) for key, text in told.items() if text}

    def has_input_info(self, dataset_name: str) -> bool:
        """Tell whether ``inputInfo`` of a dataset is there."""
        places = (self.data_paths.input_info(dataset_name), self.paths.input_info(dataset_name))
        with storage_errors(places[0], "read"):
            return any(place.exists() for place in places)

    def _data_hash(self) -> str:
        names = (self.data_paths.folder.name, self.data_paths.folder.parent.name)
        found = next((name for name in names if name.startswith("data_")), "")
        return found.removeprefix("data_")


def encodable(text: str) -> str:
    """Give text that is UTF-8: names of files may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def trial_blocks(array: TrialValues, multiple: int = 1) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Read an array in the order of the trials, as many at a time as fit into 16 MB.

    Parameters
    ----------
    array : TrialArray or numpy.ndarray, shape (trial, ...)
        What to read.
    multiple : int, default 1
        All blocks but the last have a multiple of so many trials, and at least so many.

    Yields
    ------
    slice
        Which trials.
    numpy.ndarray, shape (trial, ...)
        Their values.
    """
    num_trials, *rest = array.shape
    trial_bytes = max(int(np.prod(rest, dtype=np.int64)) * array.dtype.itemsize, 1)
    step = max(_BLOCK_BYTES // trial_bytes // multiple, 1) * multiple
    for first in range(0, num_trials, step):
        part = slice(first, min(first + step, num_trials))
        yield part, np.asarray(array[part])
