"""How long it takes to have results at hand: of 1,000 runs, of 44 sessions, of one run.

    python benchmarks/open_collection.py [--num-runs 1000] [--num-sessions 44] [--folder FOLDER]

A sweep of 1,000 runs is prepared and each given a log of 200 epochs, weights and posterior means;
and 44 sessions, one run each, of 400 trials x 120 bins x 100 channels with a generator of 128
units (95 MB of float64 each once read, in gzip as the trainer writes them; sessions are links to
one pair of files). Then, each in a process of its own, files in the disk's cache:

open              ``RunCollection.open`` of the sweep, then also what each run has
                  (``run.list_results()``) and the lowest cost of each (``run.load_fit_log()``);
                  beside it, listing the same folders with ``os.scandir`` alone
sessions          ``run.load_posterior_means()`` and ``.to_xarray()`` of all 44, then one trial of
                  the factors of each; beside it, opening the same files with bare h5py and reading
                  the same trial
one run           ``means.rates``, and ``ds.rates[10:12]``; beside it, the same by bare h5py and
                  NumPy

Memory is how far the resident memory grew, over what the process had with everything imported.
Ratios are ours to the bare one. Importing is not in the times: see ``python -X importtime``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsq import Dataset, DatasetCollection, Run, RunCollection, RunParams, RunSpec
from lfadsq.paths import RunPaths

_EPOCHS = 200
_TRIALS, _BINS, _CHANNELS, _UNITS, _FACTORS = 400, 120, 100, 128, 12
_KIND = "posterior_sample_and_average"


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell VmRSS")


def fit_log() -> str:
    gap = " " * 6
    return "".join(
        f"epoch,{epoch}, step,{8 * epoch + 8}, total,300.00,{300 + 50 / (1 + epoch):.2f}, {gap}"
        f"recon,290.00,291.00, kl,9.00,9.00, l2,0.50000, {gap}"
        f"klweight,{min(1, epoch / 99):.2f}, l2weight,1.00\n"
        for epoch in range(_EPOCHS)
    )


def prepare(folder: Path, name: str, num_params: int, num_datasets: int, shape: Any) -> list[Run]:
    datasets = DatasetCollection(folder)
    rng = np.random.default_rng(0)
    for number in range(num_datasets):
        path = folder / f"{name}{number:03d}.npz"
        spikes = rng.poisson(0.2, shape).astype(np.uint8)
        np.savez(path, spikes=spikes, timeMs=10.0 * np.arange(shape[2]))
        Dataset(datasets, path.name)
    runs = RunCollection(folder, name, datasets)
    base = RunParams(spikeBinMs=10, c_batch_size=2)
    runs.add_params(base.generate_sweep(c_gen_dim=range(1, num_params + 1)))
    for number in range(num_datasets):
        runs.add_run_spec(RunSpec(datasets.datasets[number].name, datasets, number))
    runs.prepare_for_lfads()
    return list(runs.runs)


def write_posterior_means(run: Run, num_channels: int, num_bins: int) -> list[Path]:
    paths, (name,) = run.paths, run.dataset_names
    paths.lfads_output.mkdir()
    with h5py.File(paths.input_h5(name)) as stored:
        numbers = {split: len(stored[f"{split}_inds"]) for split in ("train", "valid")}
    shapes = {
        "output_dist_params": (num_bins, num_channels),
        "factors": (num_bins, _FACTORS),
        "gen_states": (num_bins, _UNITS),
        "gen_ics": (_UNITS,),
        **dict.fromkeys(("post_g0_mean", "post_g0_logvar", "prior_g0_mean"), (64,)),
        "prior_g0_logvar": (64,),
        **dict.fromkeys(("costs", "nll_bound_vaes", "nll_bound_iwaes", "train_steps"), ()),
    }
    rng = np.random.default_rng(1)
    written = []
    for split, number in numbers.items():
        written.append(paths.output.posterior_means(name, split, _KIND))
        with h5py.File(written[-1], "w") as stored:
            for key, shape in shapes.items():
                values = np.cumsum(rng.normal(size=(number, *shape)), axis=-1)
                chunks = (1, *shape) if len(shape) == 2 else True
                stored.create_dataset(key, data=values, chunks=chunks, compression="gzip")
    return written


def make_sweep(folder: Path, num_runs: int) -> None:
    first, *others = prepare(folder, "sweep", num_runs, 1, (20, 3, 10))
    files = write_posterior_means(first, 3, 10)
    for path, text in ((first.paths.output.fit_log(), fit_log()), (first.paths.done, "")):
        path.write_text(text, encoding="ascii")
    first.paths.output.model_params.write_bytes(b"")
    for run in others:
        run.paths.lfads_output.mkdir()
        for path in (*files, first.paths.output.fit_log(), first.paths.output.model_params):
            os.link(path, run.paths.lfads_output / path.name)
        run.paths.done.touch()


def make_sessions(folder: Path, num_sessions: int) -> None:
    first, *others = prepare(folder, "lab", 1, num_sessions, (_TRIALS, _CHANNELS, _BINS))
    files = write_posterior_means(first, _CHANNELS, _BINS)
    for run in others:
        run.paths.lfads_output.mkdir()
        for path in files:
            name = path.name.replace(first.dataset_names[0], run.dataset_names[0])
            os.link(path, run.paths.lfads_output / name)


@contextmanager
def told(what: str) -> Iterator[None]:
    before_mb, began, cpu_began = resident_mb(), time.perf_counter(), time.process_time()
    yield
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    print(
        f"  {what:<46}{wall_s:8.3f} s wall {cpu_s:8.3f} s CPU {resident_mb() - before_mb:+8.1f} MB"
    )


def files_of(run_paths: RunPaths, name: str) -> list[Path]:
    output = run_paths.output
    splits = ("train", "valid")
    return [run_paths.input_h5(name), *(output.posterior_means(name, s, _KIND) for s in splits)]


# --- each of these in a process of its own --------------------------------------------------------


def open_ours(folder: Path) -> None:
    with told("RunCollection.open"):
        runs = RunCollection.open(folder / "sweep").runs
    with told(f"what each of {len(runs)} has"):
        listed = [run.list_results() for run in runs]
    assert all(one.is_done and one.posterior_means for one in listed)
    with told("the lowest cost of each"):
        costs = [run.load_fit_log().lowest_total_valid for run in runs]
    assert np.isfinite(costs).all()


def open_bare(folder: Path) -> None:
    with told("bare: os.scandir of the same folders"):
        for param in os.scandir(folder / "sweep"):
            if param.name.startswith("param_"):
                for run in os.scandir(param.path):
                    names = [entry.name for entry in os.scandir(run.path)]
                    names += [entry.name for entry in os.scandir(f"{run.path}/lfadsOutput")]


def sessions_ours(folder: Path) -> None:
    runs = RunCollection.open(folder / "lab").runs
    with told(f"load_posterior_means of {len(runs)} sessions"):
        means = [run.load_posterior_means() for run in runs]
    with told("to_xarray of all"):
        labelled = [one.to_xarray() for one in means]
    with told("one trial of the factors of each"):
        _ = [one.factors[7].values for one in labelled]


def sessions_bare(folder: Path) -> None:
    runs = RunCollection.open(folder / "lab").runs
    paths = [files_of(run.paths, run.dataset_names[0]) for run in runs]
    with told("bare: h5py opens the same files, shapes"):
        for files in paths:
            for path in files:
                with h5py.File(path) as stored:
                    _ = [(stored[key].shape, stored[key].dtype) for key in stored]
    with told("bare: one trial of the factors of each"):
        for _, train, _ in paths:
            with h5py.File(train) as stored:
                _ = stored["factors"][5]


def one_ours(folder: Path) -> None:
    run = RunCollection.open(folder / "lab").runs[0]
    means = run.load_posterior_means()
    labelled = means.to_xarray()
    with told("ds.rates[10:12]"):
        _ = labelled.rates[10:12].values
    with told("means.rates"):
        _ = means.rates


def one_bare(folder: Path) -> None:
    run = RunCollection.open(folder / "lab").runs[0]
    given, *files = files_of(run.paths, run.dataset_names[0])
    with told("bare: h5py, the same two trials"):
        pieces = []
        for path in files:
            with h5py.File(path) as stored:
                pieces.append(stored["output_dist_params"][2:3] * 100.0)
    with told("bare: h5py, put in order, scaled"):
        with h5py.File(given) as stored:
            inds = np.concatenate([stored["train_inds"][()], stored["valid_inds"][()]])
        parts = []
        for path in files:
            with h5py.File(path) as stored:
                parts.append(stored["output_dist_params"][()])
        _ = np.concatenate(parts)[np.argsort(inds)] * 100.0


_PARTS: dict[str, tuple[Callable[[Path], None], ...]] = {
    "open": (open_ours, open_bare),
    "sessions": (sessions_ours, sessions_bare),
    "one run": (one_ours, one_bare),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--num-runs", type=int, default=1000)
    parser.add_argument("--num-sessions", type=int, default=44)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        import xarray  # noqa: F401  its import is not part of a time

        import lfadsq.results.fit_log
        import lfadsq.results.posterior_means  # noqa: F401

        name, place = options.part
        _PARTS[name.rstrip("01")][int(name[-1])](Path(place))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        make_sweep(folder, options.num_runs)
        make_sessions(folder, options.num_sessions)
        for name, calls in _PARTS.items():
            print(name, flush=True)
            for number in range(len(calls)):
                subprocess.run(
                    [sys.executable, __file__, "--part", f"{name}{number}", place], check=True
                )


if __name__ == "__main__":
    main()
