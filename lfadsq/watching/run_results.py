"""What a run has come to: what it was trained on, its costs, its files, its arrays.

The dict that `RunResults.to_dict` gives is read by programs. Change `SCHEMA_VERSION` when a key
changes its meaning or goes, not when one is added.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lfadsq.errors import LfadsqError, ResultShapeError
from lfadsq.files import storage_errors
from lfadsq.results.posterior_files import posterior_means_path
from lfadsq.results.scores import r2_of_log_rates

if TYPE_CHECKING:
    from lfadsq.manager.runs import Run
    from lfadsq.results.posterior_means import PosteriorMeans
    from lfadsq.watching.run_status import RunStatus

__all__ = [
    "SCHEMA_VERSION",
    "ArrayInfo",
    "DatasetResults",
    "FileInfo",
    "RunResults",
    "TrainingResults",
    "read_run_results",
]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FileInfo:
    """A file of a run.

    Attributes
    ----------
    what : str
        What it is.
    path : str
    size_bytes : int or None
        None if it is not there.
    """

    what: str
    path: str
    size_bytes: int | None


@dataclass(frozen=True)
class ArrayInfo:
    """An array of posterior means.

    Attributes
    ----------
    name : str
        As of the attribute of `PosteriorMeans`.
    shape : tuple of int
    dtype : str
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class TrainingResults:
    """How far the costs came.

    Attributes
    ----------
    num_epochs, num_steps : int
    lowest_valid_cost : float or None
        Total cost of validation [nats/trial], by the rule of `FitLog`; None if there is none.
    lowest_epoch : int or None
        In which epoch.
    recon_valid, kl_valid : float or None
        What it was made of there [nats/trial].
    """

    num_epochs: int
    num_steps: int
    lowest_valid_cost: float | None = None
    lowest_epoch: int | None = None
    recon_valid: float | None = None
    kl_valid: float | None = None


@dataclass(frozen=True)
class DatasetResults:
    """What there is of one dataset.

    Attributes
    ----------
    name : str
    num_train, num_valid : int or None
        Trials; None if it is not known.
    num_bins, num_channels : int or None
    bin_ms : float
    num_conditions : int or None
        None if the recording has no conditions.
    r2_train, r2_valid : float or None
        R2 of inferred to true log rates; None where the truth is not known, or has zeros.
    arrays : tuple of ArrayInfo
    problem : str
        Why there are no arrays; empty if there are.
    """

    name: str
    bin_ms: float
    num_train: int | None = None
    num_valid: int | None = None
    num_bins: int | None = None
    num_channels: int | None = None
    num_conditions: int | None = None
    r2_train: float | None = None
    r2_valid: float | None = None
    arrays: tuple[ArrayInfo, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class RunResults:
    """What a run has come to.

    Attributes
    ----------
    name : str
        ``param_<HASH>/<run name>``.
    folder : str
    state : str
        As `lfadsq status` says it.
    settings : str
        In what its hyperparameters differ from the defaults.
    training : TrainingResults or None
        None before the first epoch.
    training_problem : str
        Why there is none; empty if there is.
    datasets : tuple of DatasetResults
    files : tuple of FileInfo
    """

    name: str
    folder: str
    state: str
    settings: str
    training: TrainingResults | None
    training_problem: str
    datasets: tuple[DatasetResults, ...]
    files: tuple[FileInfo, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return asdict(self)


def read_run_results(run: Run, status: RunStatus | None) -> RunResults:
    """Look at what a run has written; nothing is changed.

    Parameters
    ----------
    run : Run
        The run, whether or not it has ended.
    status : RunStatus, optional
        Where it stands.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    training, problem = _training(run)
    return RunResults(
        name=f"{run.params.param_hash_string}/{run.name}",
        folder=str(run.path),
        state=status.state.value if status else "done" if run.is_done else "unknown",
        settings=run.params.get_diff_from_default(),
        training=training,
        training_problem=problem,
        datasets=tuple(_dataset(run, name) for name in run.dataset_names),
        files=tuple(_files(run)),
    )


def _training(run: Run) -> tuple[TrainingResults | None, str]:
    try:
        log = run.load_fit_log()
    except LfadsqError as error:
        return None, error.problem
    steps = int(log.step[-1])
    lowest = log.lowest_valid
    if lowest is None:
        return TrainingResults(log.num_epochs, steps), ""
    parts = (_finite(lowest.recon_valid), _finite(lowest.kl_valid))
    return TrainingResults(log.num_epochs, steps, lowest.total_valid, lowest.epoch, *parts), ""


def _dataset(run: Run, name: str) -> DatasetResults:
    bin_ms = float(run.params.spikeBinMs)
    try:
        means = run.load_posterior_means(name)
        return _of_means(means, bin_ms)
    except LfadsqError as error:
        return DatasetResults(name, bin_ms, problem=error.problem)


def _of_means(means: PosteriorMeans, bin_ms: float) -> DatasetResults:
    from lfadsq.results.figures.conditions import sorted_conditions

    arrays = []
    for one in means.variable_names:
        array = means.lazy(one)
        assert array is not None
        arrays.append(ArrayInfo(one, tuple(array.shape), str(array.dtype)))
    ids = means.condition_ids
    _, num_bins, num_channels = next(a.shape for a in arrays if a.name == "output_means")
    r2_train, r2_valid = _r2(means)
    return DatasetResults(
        means.dataset_name,
        bin_ms,
        len(means.train_inds),
        len(means.valid_inds),
        num_bins,
        num_channels,
        None if ids is None else len(sorted_conditions(ids)),
        r2_train,
        r2_valid,
        tuple(arrays),
    )


def _r2(means: PosteriorMeans) -> tuple[float | None, float | None]:
    if means.is_gaussian or means.true_rates is None:
        return None, None
    found: list[float | None] = []
    for trials in (~means.is_valid, means.is_valid):
        try:
            score = r2_of_log_rates(means.true_rates[trials], means.rates[trials])
        except ResultShapeError:  # a true rate of zero has no logarithm
            score = float("nan")
        found.append(_finite(score) if trials.any() else None)
    return found[0], found[1]


def _files(run: Run) -> list[FileInfo]:
    output = run.paths.output
    kind = run.params.posterior_mean_kind
    places = [("fit log", output.fit_log()), ("parameters", output.model_params)]
    for name in run.dataset_names:
        for split in ("train", "valid"):
            path = posterior_means_path(run.paths, name, split, kind)
            places.append((f"posterior means of {name}, {split}", path))
    places.append(("checkpoint of the lowest validation cost", output.checkpoint_lve))
    return [FileInfo(what, str(path), _size(path)) for what, path in places]


def _size(path: Path) -> int | None:
    with storage_errors(path, "read"):
        return path.stat().st_size if path.exists() else None


def _finite(value: float | np.floating[Any]) -> float | None:
    return float(value) if math.isfinite(value) else None
