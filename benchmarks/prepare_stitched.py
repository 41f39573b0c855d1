"""How long preparing one stitched run of many sessions takes, and how much memory.

    python benchmarks/prepare_stitched.py [--num-sessions 44] [--num-conditions 8] [--folder FOLDER]

Sessions of 2,000 trials x 100 channels x 1,000 bins of 1 ms, which share their dynamics, made when
they are loaded. "A session's memory" is that of its spikes: uint8, one byte a bin. The peak is how
far the resident memory of the process grew while it prepared; the averages that must be kept of
every session for the alignment, and the covariance of all channels, are named beside it.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec

_SHAPE = (2000, 100, 1000)
_SPIKE_BIN_MS = 2
_BYTES_PER_MB = 2**20
_TRIALS_AT_A_TIME = 100


class SimulatedDataset(Dataset):
    num_conditions = 8

    def load_data(self) -> dict[str, Any]:
        num_trials, num_channels, num_bins = _SHAPE
        conditions = np.arange(num_trials) % self.num_conditions
        shared = np.random.default_rng(0).normal(size=(self.num_conditions, 5, num_bins))
        shared = shared.cumsum(axis=2) / np.sqrt(num_bins)
        rng = np.random.default_rng(int(self.name.removeprefix("session")))
        weights = rng.normal(size=(5, num_channels))
        # Of 256: a spike in 4 % of the bins at most times.
        levels = np.exp(np.einsum("cdt,dn->cnt", shared, weights).clip(-2, 2)) * 10
        levels = levels.astype(np.uint8)
        spikes = np.empty(_SHAPE, np.uint8)
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


def measure(folder: Path, num_sessions: int, num_conditions: int) -> None:
    SimulatedDataset.num_conditions = num_conditions
    datasets = DatasetCollection(folder)
    for number in range(num_sessions):
        SimulatedDataset(datasets, f"session{number:02d}.none")
    runs = RunCollection(folder, "stitched", datasets)
    runs.add_params(
        RunParams(
            spikeBinMs=_SPIKE_BIN_MS,
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

    num_trials, num_channels, num_bins = _SHAPE
    session_mb = num_trials * num_channels * num_bins / _BYTES_PER_MB
    num_values = num_conditions * (num_bins // _SPIKE_BIN_MS) * num_channels
    averages_mb = num_sessions * num_values * 8 / _BYTES_PER_MB
    covariance_mb = (num_sessions * num_channels) ** 2 * 8 / _BYTES_PER_MB
    print(f"sessions                       {num_sessions}")
    print(f"prepare_for_lfads              {wall_s:.1f} s, {wall_s / num_sessions:.1f} s each")
    print(f"peak memory                    {peak_mb:.0f} MB")
    print(f"a session's memory             {session_mb:.0f} MB")
    print(f"averages of all sessions       {averages_mb:.0f} MB")
    print(f"covariance of all channels     {covariance_mb:.0f} MB")
    print(f"peak / session                 {peak_mb / session_mb:.2f}")
    print(f"(peak - averages) / session    {(peak_mb - averages_mb) / session_mb:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-sessions", type=int, default=44)
    parser.add_argument("--num-conditions", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options.num_sessions, options.num_conditions)


if __name__ == "__main__":
    main()
