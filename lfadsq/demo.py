"""The whole path on made-up data: recordings, a small sweep of runs, and how well they did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.datasets.lorenz import generate_demo_datasets, true_rates_per_trial
from lfadsq.files import storage_errors
from lfadsq.manager.collection import RunCollection
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.params import RunParams
from lfadsq.manager.runs import Run, RunSpec
from lfadsq.results.figures import plot_rates
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.scores import r2_of_log_rates

__all__ = ["DemoScore", "draw_rates", "make_collection", "make_params", "score_run"]

COLLECTION_NAME = "lorenz"
VERSION = 20180131
SWEPT = ("c_co_dim", "c_gen_dim")


@dataclass(frozen=True)
class DemoScore:
    """How one run of the demonstration did.

    Attributes
    ----------
    run : str
        Parameters and run specification: ``param_<HASH>/<run name>``.
    differences : str
        Hyperparameters that this run does not share with the others.
    num_epochs : int
        Epochs trained.
    best_valid_cost : float
        Lowest validation cost with full weights [nats/trial].
    r2_valid : float
        R2 of inferred against true log rates, on validation trials.
    """

    run: str
    differences: str
    num_epochs: int
    best_valid_cost: float
    r2_valid: float


def make_params() -> list[RunParams]:
    """Give the sweep: with and without inferred inputs, sized for minutes on two cores."""
    params = RunParams(
        name="demo",
        spikeBinMs=25,
        c_batch_size=65,
        c_factors_dim=8,
        c_ic_enc_dim=64,
        c_ci_enc_dim=24,
        c_con_dim=24,
        c_keep_prob=0.98,
        c_kl_increase_steps=300,
        c_l2_increase_steps=300,
        c_learning_rate_init=0.015,
        c_learning_rate_decay_factor=0.8,
        c_learning_rate_stop=0.008,
        num_samples_posterior=32,
    )
    return params.generate_sweep(c_co_dim=[0, 1], c_gen_dim=[48, 64])


def make_collection(root: Path, on_dataset: Callable[[Path], None] | None = None) -> RunCollection:
    """Make the recordings and describe the runs; what is already on disk is kept.

    Parameters
    ----------
    root : Path
        Folder of the demonstration.
    on_dataset : callable, optional
        Told of each recording when it is complete.

    Returns
    -------
    RunCollection
        Not yet prepared: call its `prepare_for_lfads`.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    recordings = root / "datasets"
    generate_demo_datasets(recordings, on_written=on_dataset)
    datasets = DatasetCollection(recordings)
    datasets.name = "lorenz_example"
    for path in sorted(recordings.glob("dataset*.mat")):
        Dataset(datasets, path.name)
    collection = RunCollection(root / "runs", COLLECTION_NAME, datasets, version=VERSION)
    collection.add_params(make_params())
    first = datasets.datasets[0]
    collection.add_run_spec(RunSpec(first.get_single_run_name(), datasets, [first.name]))
    return collection


def score_run(run: Run) -> DemoScore:
    """Compare what a run inferred with the truth, on validation trials.

    Raises
    ------
    ResultNotReadyError
        If the run has not ended.
    """
    means, true_rates = _means_and_truth(run)
    fit_log = run.load_fit_log()
    valid = means.valid_inds
    return DemoScore(
        run=f"{run.params.param_hash_string}/{run.name}",
        differences=" ".join(f"{name}={getattr(run.params, name)}" for name in SWEPT),
        num_epochs=fit_log.num_epochs,
        best_valid_cost=fit_log.lowest_total_valid,
        r2_valid=r2_of_log_rates(true_rates[valid], means.rates[valid]),
    )


def draw_rates(run: Run, path: Path, *, num_trials: int = 4, num_channels: int = 4) -> None:
    """Draw true and inferred rates of a few validation trials of a run.

    Parameters
    ----------
    run : Run
        A finished run.
    path : Path
        Where the picture goes.
    num_trials, num_channels : int, default 4
        How many to draw: the first validation trials, and the channels that vary most.

    Raises
    ------
    ResultNotReadyError
        If the run has not ended.
    StorageError
        If the picture cannot be written.
    """
    means, true_rates = _means_and_truth(run)
    most_varying = np.argsort(np.log(true_rates).std(axis=(0, 1)))[::-1]
    plot_rates(
        path,
        true_rates=true_rates,
        inferred_rates=means.rates,
        counts=_counts_in_trial_order(run, means),
        bin_ms=run.params.spikeBinMs,
        trials=means.valid_inds[:num_trials].tolist(),
        channels=most_varying[:num_channels].tolist(),
        title=f"Validation trials of {run.params.param_hash_string}/{run.name}",
    )


def _means_and_truth(run: Run) -> tuple[PosteriorMeans, npt.NDArray[np.float64]]:
    means = run.load_posterior_means()
    (dataset,) = run.datasets
    return means, true_rates_per_trial(dataset.path, run.params.spikeBinMs)


def _counts_in_trial_order(run: Run, means: PosteriorMeans) -> npt.NDArray[np.float64]:
    path = run.paths.input_h5(means.dataset_name)
    counts = np.empty(means.rates.shape)
    with storage_errors(path, "read"), h5py.File(path) as stored:
        counts[means.train_inds] = stored["train_data"][()]
        counts[means.valid_inds] = stored["valid_data"][()]
    return counts
