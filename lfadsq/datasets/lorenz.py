"""Spikes of made-up neurons that follow the Lorenz attractor, with their true firing rates.

The classic test of LFADS: a chaotic three-dimensional system stands for the dynamics that neurons
share, and a good model finds the smooth rates behind the spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.io
from scipy.integrate import solve_ivp

from lfadsq.errors import ConfigError
from lfadsq.files import make_folder, storage_errors, written_aside

__all__ = [
    "LorenzDataset",
    "generate_demo_datasets",
    "lorenz_trajectories",
    "make_dataset",
    "true_rates_per_trial",
]

SUBJECT = "lorenz_example"

_SIGMA, _RHO, _BETA = 10.0, 28.0, 8.0 / 3.0  # the chaotic regime (lorenz1963)
_TRAJECTORY_TIME = 3.0  # of Lorenz, in a trial: two to four turns around the attractor
_BURN_IN_TIME = 5.0  # by then every start lies on the attractor
_BASE_RATE_HZ = (10.0, 20.0)
_PEAK_RATE_HZ = (60.0, 200.0)


@dataclass(frozen=True, eq=False)
class LorenzDataset:
    """One simulated recording.

    Attributes
    ----------
    spikes : numpy.ndarray, shape (trial, channel, time), uint8 [spikes/bin]
        Poisson counts in bins of `bin_ms`.
    condition_id : numpy.ndarray, shape (trial,), uint16
        Condition of each trial, from 1.
    condition_rates : numpy.ndarray, shape (condition, channel, time), float32 [spikes/s]
        True rates, which all trials of a condition share.
    bin_ms : float
        Bin width [ms].
    """

    spikes: npt.NDArray[np.uint8]
    condition_id: npt.NDArray[np.uint16]
    condition_rates: npt.NDArray[np.float32]
    bin_ms: float


def lorenz_trajectories(
    num_conditions: int, num_bins: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Integrate the Lorenz system from random starts on its attractor.

    Parameters
    ----------
    num_conditions : int
        Number of starts.
    num_bins : int
        Points in time at which each trajectory is given.
    rng : numpy.random.Generator
        Source of the starts.

    Returns
    -------
    numpy.ndarray, shape (condition, dimension, time), float64
        Each of the three dimensions has mean zero over all conditions, and is divided by its
        largest absolute value: all values lie in [-1, 1].

    Notes
    -----
    dx/dt = sigma (y - x), dy/dt = x (rho - z) - y, dz/dt = x y - beta z, with sigma = 10, rho = 28,
    beta = 8/3 (lorenz1963).
    """

    def derivative(_time: float, state: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y, z = state.reshape(3, num_conditions)
        return np.concatenate([_SIGMA * (y - x), x * (_RHO - z) - y, x * y - _BETA * z])

    start = rng.normal(scale=5.0, size=(3, num_conditions)) + np.array([[0.0], [0.0], [25.0]])
    times = _BURN_IN_TIME + np.linspace(0.0, _TRAJECTORY_TIME, num_bins)
    solution = solve_ivp(
        derivative, (0.0, times[-1]), start.ravel(), t_eval=times, rtol=1e-6, atol=1e-6
    )
    states = solution.y.reshape(3, num_conditions, num_bins).transpose(1, 0, 2)
    centred = states - states.mean(axis=(0, 2), keepdims=True)
    scaled: npt.NDArray[np.float64] = centred / np.abs(centred).max(axis=(0, 2), keepdims=True)
    return scaled


def make_dataset(
    trajectories: npt.NDArray[np.float64],
    rng: np.random.Generator,
    *,
    num_channels: int,
    num_trials_per_condition: int,
    bin_ms: float = 1.0,
) -> LorenzDataset:
    """Simulate one recording of neurons that follow the given trajectories.

    Parameters
    ----------
    trajectories : numpy.ndarray, shape (condition, dimension, time), float64
        Shared dynamics, as `lorenz_trajectories` gives them.
    rng : numpy.random.Generator
        Source of the read-out, the order of trials, and the spikes.
    num_channels : int
        Number of neurons.
    num_trials_per_condition : int
        Trials of each condition. All trials are then put in random order.
    bin_ms : float, default 1
        Bin width [ms].

    Returns
    -------
    LorenzDataset

    Notes
    -----
    log rate = W^T x + b: the columns of W point in random directions, and are scaled so that each
    neuron's rate rises from a base of 10 to 20 spikes/s to a peak of 60 to 200 spikes/s, as rates
    of cortex do.
    """
    num_conditions, num_dims, _ = trajectories.shape
    readout = rng.normal(size=(num_dims, num_channels))
    log_gain = np.einsum("kdt,dn->knt", trajectories, readout)
    base_hz = rng.uniform(*_BASE_RATE_HZ, size=num_channels)
    peak_hz = rng.uniform(*_PEAK_RATE_HZ, size=num_channels)
    log_gain *= (np.log(peak_hz / base_hz) / log_gain.max(axis=(0, 2)))[:, np.newaxis]
    rates_hz = (base_hz[:, np.newaxis] * np.exp(log_gain)).astype(np.float32)

    condition = rng.permutation(np.repeat(np.arange(num_conditions), num_trials_per_condition))
    spikes = np.empty((condition.size, *rates_hz.shape[1:]), np.uint8)
    for trial, which in enumerate(condition):
        spikes[trial] = rng.poisson(rates_hz[which] * (bin_ms / 1000.0))
    return LorenzDataset(spikes, (condition + 1).astype(np.uint16), rates_hz, bin_ms)


def generate_demo_datasets(
    folder: str | Path,
    num_datasets: int = 3,
    *,
    num_conditions: int = 65,
    num_trials_per_condition: tuple[int, int] = (20, 30),
    num_channels: tuple[int, int] = (25, 35),
    duration_ms: int = 1000,
    seed: int = 20180131,
    on_written: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Write Lorenz datasets, ``dataset001.mat`` and on: the same trajectories in every one.

    Parameters
    ----------
    folder : str or Path
        Where to; made if missing.
    num_datasets : int, default 3
        Number of recordings.
    num_conditions : int, default 65
        Number of initial conditions of the Lorenz system.
    num_trials_per_condition, num_channels : tuple of int
        Smallest and largest number; each dataset draws its own.
    duration_ms : int, default 1000
        Length of a trial, in bins of 1 ms.
    seed : int, default 20180131
        The same seed gives the same files.
    on_written : callable, optional
        Told of each file when it is complete.

    Returns
    -------
    list of Path
        The files, in MAT v5 format (readable by MATLAB's ``load``), with fields ``spikes`` (trial,
        channel, time; uint8), ``timeMs``, ``conditionId`` (from 1), ``conditionRates`` (condition,
        channel, time; spikes/s), which `Run` takes for the truth, ``subject``, ``saveTags``,
        ``datetime``. Files that exist are kept as they are.

    Raises
    ------
    ConfigError
        If a number is not positive.
    StorageError
        If a file cannot be written; no half-written file is left under its name.
    """
    if min(num_datasets, num_conditions, *num_trials_per_condition, *num_channels) < 1:
        raise ConfigError("every number of datasets, conditions, trials and channels must be >= 1")
    folder = make_folder(Path(folder))
    paths = [folder / f"dataset{number:03d}.mat" for number in range(1, num_datasets + 1)]
    shared_seed, *seeds = np.random.SeedSequence(seed).spawn(1 + num_datasets)
    trajectories = lorenz_trajectories(
        num_conditions, duration_ms, np.random.default_rng(shared_seed)
    )

    def write(path: Path, own_seed: np.random.SeedSequence) -> None:
        if path.exists():
            return
        rng = np.random.default_rng(own_seed)
        dataset = make_dataset(
            trajectories,
            rng,
            num_channels=int(rng.integers(*num_channels, endpoint=True)),
            num_trials_per_condition=int(rng.integers(*num_trials_per_condition, endpoint=True)),
        )
        _write_mat(path, dataset)
        if on_written is not None:
            on_written(path)

    # NumPy and zlib let other threads run while they work: two cores make it twice as fast.
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(write, paths, seeds))
    return paths


def true_rates_per_trial(path: Path, bin_ms: float) -> npt.NDArray[np.float64]:
    """Read the true rates of a Lorenz dataset in wider bins.

    Parameters
    ----------
    path : Path
        A file of `generate_demo_datasets`.
    bin_ms : float
        Bin width wanted [ms]; leftover time is cut, as for the counts.

    Returns
    -------
    numpy.ndarray, shape (trial, time, channel), float64 [spikes/s]
        Mean rate in each bin.

    Raises
    ------
    StorageError
        If the file cannot be read.
    """
    with storage_errors(path, "read"):
        content = scipy.io.loadmat(path, variable_names=["conditionRates", "conditionId", "timeMs"])
    rates = content["conditionRates"]
    time_ms = content["timeMs"].ravel()
    factor = round(bin_ms / (time_ms[1] - time_ms[0]))
    num_bins = rates.shape[2] // factor
    binned = rates[:, :, : num_bins * factor].reshape(*rates.shape[:2], num_bins, factor)
    mean_rates = binned.mean(axis=3, dtype=np.float64).transpose(0, 2, 1)
    per_trial: npt.NDArray[np.float64] = mean_rates[content["conditionId"].ravel() - 1]
    return per_trial


def _write_mat(path: Path, dataset: LorenzDataset) -> None:
    content = {
        "spikes": dataset.spikes,
        "timeMs": np.arange(dataset.spikes.shape[2]) * dataset.bin_ms,
        "conditionId": dataset.condition_id,
        "conditionRates": dataset.condition_rates,
        "subject": SUBJECT,
        "saveTags": "1",
        "datetime": "31-Jan-2018 00:00:00",
    }
    with written_aside(path) as aside, aside.open("wb") as stream:
        scipy.io.savemat(stream, content, do_compression=True)
