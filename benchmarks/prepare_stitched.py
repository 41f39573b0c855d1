"""How long preparing one stitched run of many sessions takes, and how much memory.

    python benchmarks/prepare_stitched.py [--num-sessions 44] [--num-trials 2000]
        [--num-conditions 8] [--folder FOLDER]

Sessions of 2,000 trials x 100 channels x 1,000 bins of 1 ms, which share their dynamics, made when
they are loaded. "A session's memory" is that of its spikes: uint8, one byte a bin. The peak is how
far the resident memory of the process grew while it prepared. Named beside it are what alignment
needs at the end, when no session is in memory any more: the averages of every session, which wait
in files that are mapped into memory, and the covariance of all channels. So is the peak until the
third session and until the last: what came between grew with the number of sessions.

The peer is the plain way to write the files of one session, without checks and alignment: NumPy
sums the bins of all trials at once, and h5py (at our level) and `scipy.io.savemat` compress them.
It runs in a process of its own, so that its memory is not in the peak.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec

_NUM_CHANNELS, _NUM_BINS = 100, 1000
_SPIKE_BIN_MS = 2
_BYTES_PER_MB = 2**20
_TRIALS_AT_A_TIME = 100


class SimulatedDataset(Dataset):
    trials_per_session = 2000
    num_conditions = 8
    loading_s = 0.0
    peaks_mb: list[float] = []  # noqa: RUF012 - of all sessions together

    def load_data(self) -> dict[str, Any]:
        SimulatedDataset.peaks_mb.append(resident_mb("VmHWM"))
        start = time.perf_counter()
        made = self._make()
        SimulatedDataset.loading_s += time.perf_counter() - start
        return made

    def _make(self) -> dict[str, Any]:
        num_trials, num_channels, num_bins = shape = (
            self.trials_per_session,
            _NUM_CHANNELS,
            _NUM_BINS,
        )
        conditions = np.arange(num_trials) % self.num_conditions
        shared = np.random.default_rng(0).normal(size=(self.num_conditions, 5, num_bins))
        shared = shared.cumsum(axis=2) / np.sqrt(num_bins)
        rng = np.random.default_rng(int(self.name.removeprefix("session")))
        weights = rng.normal(size=(5, num_channels))
        # Of 256: a spike in 4 % of the bins at most times.
        levels = np.exp(np.einsum("cdt,dn->cnt", shared, weights).clip(-2, 2)) * 10
        levels = levels.astype(np.uint8)
        spikes = np.empty(shape, np.uint8)
        for first in range(0, num_trials, _TRIALS_AT_A_TIME):
            block = slice(first, first + _TRIALS_AT_A_TIME)
            drawn = rng.integers(0, 256, spikes[block].shape, dtype=np.uint8)
            spikes[block] = drawn < levels[conditions[block]]
        return {"spikes": spikes, "timeMs": np.arange(num_bins), "conditionId": conditions + 1}


def resident_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / _BYTES_PER_MB
    raise SystemExit(f"this system does not tell {field}")


def write_plainly(folder: Path, num_trials: int, num_conditions: int) -> tuple[float, float]:
    """Write one session as a script would, and give the time [s] and the memory it took [MB]."""
    SimulatedDataset.trials_per_session = num_trials
    SimulatedDataset.num_conditions = num_conditions
    datasets = DatasetCollection(folder)
    data = SimulatedDataset(datasets, "session00.none").load_data()
    spikes = data["spikes"]
    before_mb = resident_mb("VmRSS") - spikes.nbytes / _BYTES_PER_MB
    start = time.perf_counter()
    num_trials, num_channels, num_bins = spikes.shape
    grouped = spikes.reshape(num_trials, num_channels, num_bins // _SPIKE_BIN_MS, _SPIKE_BIN_MS)
    counts = grouped.sum(axis=3, dtype=np.int64).transpose(0, 2, 1)
    with h5py.File(folder / "plain.h5", "w") as stored:
        stored.create_dataset(
            "train_data",
            data=counts,
            chunks=(1, *counts.shape[1:]),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
    scipy.io.savemat(folder / "plain.mat", {"counts": spikes.T}, do_compression=True)
    return time.perf_counter() - start, resident_mb("VmHWM") - before_mb


def measure(folder: Path, num_sessions: int, num_trials: int, num_conditions: int) -> None:
    SimulatedDataset.trials_per_session = num_trials
    SimulatedDataset.num_conditions = num_conditions
    datasets = DatasetCollection(folder)
    for number in range(num_sessions):
        SimulatedDataset(datasets, f"session{number:02d}.none")
    runs = RunCollection(folder, "stitched", datasets)
    runs.add_params(
        RunParams(
            spikeBinMs=_SPIKE_BIN_MS,
            c_batch_size=10,
            c_factors_dim=8,
            useAlignmentMatrix=True,
            alignmentApproach="ridgeRegressGlobalPCs",
        )
    )
    runs.add_run_spec(RunSpec("all", datasets, range(num_sessions)))
    before_mb = resident_mb("VmRSS")
    start = time.perf_counter()
    runs.prepare_for_lfads()
    wall_s = time.perf_counter() - start
    peak_mb = resident_mb("VmHWM") - before_mb

    session_mb = num_trials * _NUM_CHANNELS * _NUM_BINS / _BYTES_PER_MB
    num_values = num_conditions * (_NUM_BINS // _SPIKE_BIN_MS) * _NUM_CHANNELS
    averages_mb = num_sessions * num_values * 8 / _BYTES_PER_MB
    covariance_mb = (num_sessions * _NUM_CHANNELS) ** 2 * 8 / _BYTES_PER_MB
    print(f"sessions                       {num_sessions}")
    own_s = (wall_s - SimulatedDataset.loading_s) / num_sessions
    loading_mb = [one - before_mb for one in SimulatedDataset.peaks_mb]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        plain_s, plain_mb = pool.apply(write_plainly, (folder, num_trials, num_conditions))
    print(f"prepare_for_lfads              {wall_s:.1f} s, {wall_s / num_sessions:.1f} s each")
    print(f"  of it, beside making spikes  {own_s:.1f} s each")
    print(f"plain h5py and savemat         {plain_s:.1f} s each, {plain_mb:.0f} MB")
    print(f"peak memory                    {peak_mb:.0f} MB")
    if num_sessions > 3:
        print(f"  until the third session      {loading_mb[2]:.0f} MB")
        print(f"  until the last session       {loading_mb[-1]:.0f} MB")
    print(f"a session's memory             {session_mb:.0f} MB")
    print(f"averages of all sessions       {averages_mb:.0f} MB")
    print(f"covariance of all channels     {covariance_mb:.0f} MB")
    print(f"peak / session                 {peak_mb / session_mb:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-sessions", type=int, default=44)
    parser.add_argument("--num-trials", type=int, default=2000, help="in a session")
    parser.add_argument("--num-conditions", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        numbers = (options.num_sessions, options.num_trials, options.num_conditions)
        measure(Path(folder), *numbers)


if __name__ == "__main__":
    main()
