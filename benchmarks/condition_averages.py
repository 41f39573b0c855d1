"""How long averages by condition take, and how much memory, beside bare NumPy and h5py.

    python benchmarks/condition_averages.py [--num-trials 2000] [--num-bins 500]
        [--num-units 200] [--num-conditions 32] [--num-repeats 5] [--in-files]

Posterior means of 2,000 trials x 500 bins x 200 units (1.6 GB of float64). In memory, each way in a
process of its own:

bare         ``rates.mean(axis=0)``: one average over all trials, which is the least that reading
             every number once can take; it knows of no conditions
ours         ``means.condition_averages("output_means")``
by masks     ``[rates[conditions == one].mean(axis=0) for one in ...]``, as one writes it by hand
by xarray    ``means.to_xarray().output_means.groupby("condition").mean()``

With ``--in-files``, the same arrays in two files as the trainer writes them (gzip, a chunk a
trial), read and averaged: ours reads in pieces; h5py reads all, then the masks. The file is in the
disk's cache. Peaks are the largest resident memory of the process, over what it had with the
libraries (and, in memory, the array) loaded. Times are the best of some repeats; ratios are to the
first line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr  # noqa: F401  so that its import is not part of a time

from lfadsq.paths import RunPaths
from lfadsq.results.posterior_means import PosteriorMeans

_KIND = "posterior_sample_and_average"
_IN_MEMORY = ("bare", "ours", "by masks", "by xarray")
_IN_FILES = ("h5py, by masks", "ours from files")


def resident_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"this system does not tell {field}")


def rates_of(shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """Make smooth rates, a little different in each trial, without a second array of the size."""
    rng = np.random.default_rng(1)
    base = np.exp(np.cumsum(rng.normal(0, 0.05, shape[1:]), axis=0))
    rates = np.empty(shape)
    for trial in rates:
        np.multiply(base, rng.uniform(0.5, 1.5, shape[2]), out=trial)
    return rates


def conditions_of(num_trials: int, num_conditions: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).integers(0, num_conditions, num_trials)


def means_of(rates: np.ndarray[Any, Any], conditions: np.ndarray[Any, Any]) -> PosteriorMeans:
    return PosteriorMeans.from_arrays(
        bin_ms=10.0,
        output_means=rates,
        factors=rates[:, :, :1],
        condition_ids=conditions,
        valid_inds=np.arange(0, len(rates), 5),
    )


def write_files(folder: Path, rates: np.ndarray[Any, Any]) -> None:
    """Write what the trainer writes of it, and the numbers of the trials."""
    paths = RunPaths(folder)
    paths.lfads_input.mkdir()
    paths.lfads_output.mkdir()
    is_valid = np.arange(len(rates)) % 5 == 0
    shape = rates.shape[1:]
    with h5py.File(paths.input_h5("d"), "w") as stored:
        stored.create_dataset("train_data", (int((~is_valid).sum()), *shape), np.int64, chunks=True)
        stored.create_dataset("valid_data", (int(is_valid.sum()), *shape), np.int64, chunks=True)
        stored["train_inds"] = np.flatnonzero(~is_valid) + 1.0
        stored["valid_inds"] = np.flatnonzero(is_valid) + 1.0
    for split, chosen in (("train", ~is_valid), ("valid", is_valid)):
        with h5py.File(paths.output.posterior_means("d", split, _KIND), "w") as stored:
            stored["factors"] = np.zeros((int(chosen.sum()), shape[0], 1))
            output = stored.create_dataset(
                "output_dist_params",
                (int(chosen.sum()), *shape),
                chunks=(1, *shape),
                compression="gzip",
            )
            for row, trial in enumerate(np.flatnonzero(chosen)):
                output[row] = rates[trial]


def by_masks(rates: np.ndarray[Any, Any], conditions: np.ndarray[Any, Any]) -> Any:
    return np.stack([rates[conditions == one].mean(axis=0) for one in np.unique(conditions)])


def by_h5py(folder: Path, conditions: np.ndarray[Any, Any]) -> Any:
    paths = RunPaths(folder)
    with h5py.File(paths.input_h5("d")) as stored:
        inds = np.concatenate([stored["train_inds"][()], stored["valid_inds"][()]])
    parts = []
    for split in ("train", "valid"):
        with h5py.File(paths.output.posterior_means("d", split, _KIND)) as stored:
            parts.append(stored["output_dist_params"][()])
    rates = np.concatenate(parts)[np.argsort(inds)]
    return by_masks(rates, conditions)


def measure(way: str, args: argparse.Namespace) -> None:
    """Print the best time and the peak of one way, in this process."""
    shape = (args.num_trials, args.num_bins, args.num_units)
    conditions = conditions_of(args.num_trials, args.num_conditions)
    calls: dict[str, Callable[[], Any]]
    if way in _IN_MEMORY:
        rates = rates_of(shape)
        means = means_of(rates, conditions)
        calls = {
            "bare": lambda: rates.mean(axis=0),
            "ours": lambda: means.condition_averages("output_means"),
            "by masks": lambda: by_masks(rates, conditions),
            "by xarray": lambda: means.to_xarray().output_means.groupby("condition").mean(),
        }
    else:
        folder = Path(args.folder)
        calls = {
            "h5py, by masks": lambda: by_h5py(folder, conditions),
            "ours from files": lambda: PosteriorMeans.load(
                RunPaths(folder), "d", _KIND, 10.0
            ).condition_averages("output_means", conditions=conditions),
        }
    before_mb = resident_mb("VmRSS")
    times = []
    for _ in range(args.num_repeats):
        began = time.perf_counter()
        calls[way]()
        times.append(time.perf_counter() - began)
    print(min(times), resident_mb("VmHWM") - before_mb)


def compare(ways: tuple[str, ...], arguments: list[str]) -> None:
    first_s = None
    for way in ways:
        command = [sys.executable, __file__, "--way", way, *arguments]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        best_s, peak_mb = map(float, told)
        first_s = first_s or best_s
        print(f"  {way:<16}{best_s:8.3f} s  {best_s / first_s:6.2f} x  peak +{peak_mb:7.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--num-trials", type=int, default=2000)
    parser.add_argument("--num-bins", type=int, default=500)
    parser.add_argument("--num-units", type=int, default=200)
    parser.add_argument("--num-conditions", type=int, default=32)
    parser.add_argument("--num-repeats", type=int, default=5)
    parser.add_argument("--in-files", action="store_true")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        measure(args.way, args)
        return
    shape = (args.num_trials, args.num_bins, args.num_units)
    print(f"{' x '.join(map(str, shape))}, {args.num_conditions} conditions")
    sizes = [
        f"--{name}={getattr(args, name.replace('-', '_'))}"
        for name in ("num-trials", "num-bins", "num-units", "num-conditions", "num-repeats")
    ]
    print("in memory")
    compare(_IN_MEMORY, sizes)
    if args.in_files:
        print("in files")
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), rates_of(shape))
            compare(_IN_FILES, [*sizes, f"--folder={folder}"])


if __name__ == "__main__":
    main()
