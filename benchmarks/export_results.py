"""How long exports of a large run take, and how much memory, beside a bare copy with h5py.

    python benchmarks/export_results.py                  # 2,000 trials x 500 bins x 200 channels
    python benchmarks/export_results.py --trials 200     # in a minute

A run is made up on the disk, with posterior means compressed as the trainer's are. Each format is
written by a process of its own. Of it are told the time, the size of what it read per second
(before compression), processor time (which others on the machine change little), the most memory
it took beyond that of importing, what it wrote, and both times as multiples of the bare copy: h5py
reads the same arrays a few trials at a time, in the order in which they lie, and writes them
uncompressed. That is the limit for an export that writes all values; h5, mat and nwb leave some
out, and netcdf writes expected counts and rates.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.exports.exported_run import ExportedRun

KIND = "posterior_sample_and_average"
FORMATS = ("copy", "h5", "mat", "netcdf", "nwb", "zip")
NUM_FACTORS, GEN_DIM, BIN_MS, RATIO = 8, 64, 10.0, 4
_G0 = ("mean", "logvar")


def make_run(folder: Path, num_trials: int, num_bins: int, num_channels: int) -> None:
    """Write the files of a run that exports read."""
    paths = RunPaths(folder / "param_Bench0" / "large")
    paths.lfads_input.mkdir(parents=True)
    paths.lfads_output.mkdir()
    rng = np.random.default_rng(0)
    valid = np.arange(0, num_trials, RATIO + 1)
    inds = {"valid": valid, "train": np.setdiff1d(np.arange(num_trials), valid)}
    shapes = {"output_dist_params": num_channels, "factors": NUM_FACTORS, "gen_states": GEN_DIM}
    with h5py.File(paths.input_h5("day"), "w") as stored:
        for split, rows in inds.items():
            stored[f"{split}_inds"] = rows + 1.0
            shape = (len(rows), num_bins, num_channels)
            data = stored.create_dataset(
                f"{split}_data", shape, "i8", chunks=(1, *shape[1:]), compression=1, shuffle=True
            )
            for row in range(len(rows)):
                data[row] = rng.poisson(0.1, shape[1:])
    for split, rows in inds.items():
        path = paths.output.posterior_means("day", split, KIND)
        with h5py.File(path, "w") as stored:
            for key, num_units in shapes.items():
                shape = (len(rows), num_bins, num_units)
                data = stored.create_dataset(
                    key, shape, "f8", chunks=(1, *shape[1:]), compression=4
                )
                smooth = rng.random(shape[1:])
                for row in range(len(rows)):
                    data[row] = smooth * (1 + 0.1 * rng.random(num_units))
            for key in ("costs", "nll_bound_vaes", "nll_bound_iwaes", "train_steps"):
                stored[key] = rng.random(len(rows))
            g0 = [
                f"{which}_g0_{what}" for which in ("post", "prior") for what in ("mean", "logvar")
            ]
            for key in ("gen_ics", *g0):
                stored[key] = rng.random((len(rows), GEN_DIM))
    with h5py.File(paths.output.model_params, "w") as stored:
        stored["LFADS_gen_gen_2_fac_W:0"] = rng.random((GEN_DIM, NUM_FACTORS), dtype=np.float32)
        stored["LFADS_glm_fac_2_logrates_day.h5_W:0"] = np.ones((NUM_FACTORS, num_channels), "f4")
    paths.output.fit_log().write_text(
        "epoch,1, step,6, total,1.00,1.00,       recon,1.00,1.00, kl,1.00,1.00, l2,1.00000, "
        "      klweight,1.00, l2weight,1.00\n"
    )


def results_in(folder: Path) -> ExportedRun:
    """Describe the run that was made."""
    paths = RunPaths(folder / "param_Bench0" / "large")
    return ExportedRun(
        paths=paths,
        data_paths=DataPaths(paths.lfads_input),
        dataset_names=("day",),
        chosen=("day",),
        kind=KIND,
        bin_ms=BIN_MS,
    )


def export(folder: Path, to: str) -> None:
    """Export once, and tell seconds and memory [MB]."""
    run = results_in(folder)
    target = folder / "out"
    target.mkdir(exist_ok=True)
    # Import everything first, so that memory is that of the export.
    import h5netcdf  # noqa: F401
    import pynwb  # noqa: F401
    import xarray  # noqa: F401

    from lfadsq.results.exports.archive import ArchiveOptions
    from lfadsq.results.exports.export_files import write_files
    from lfadsq.results.exports.formats import plan_files
    from lfadsq.results.exports.session_times import NwbOptions, Recording

    means = run.load_means("day")
    options = {
        "zip": ArchiveOptions("bench", lambda: ""),
        "nwb": NwbOptions(
            lambda _: Recording(Path("day.mat")),
            session_start="2018-01-31T00:00:00+00:00",
            event_times=np.arange(means.num_trials) * 10.0,
        ),
    }.get(to)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    if to == "copy":
        copy(run, target / "copy.h5")
    else:
        write_files(plan_files(run, to, target, options))
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before_mb
    written_mb = sum(path.stat().st_size for path in target.iterdir()) / 1e6
    print(took_s, cpu_s, memory_mb, written_mb)


def copy(run: ExportedRun, path: Path) -> None:
    """Copy what a netCDF holds, uncompressed."""
    with h5py.File(path, "w") as target:
        for name, source in sources(run):
            with h5py.File(source) as stored:
                for key, values in stored.items():
                    copied = target.create_dataset(f"{name}/{key}", values.shape, values.dtype)
                    for first in range(0, len(values), 16):
                        copied[first : first + 16] = values[first : first + 16]


def sources(run: ExportedRun) -> Iterator[tuple[str, Path]]:
    """Give the files that hold the values."""
    for split in ("train", "valid"):
        yield split, run.paths.output.posterior_means("day", split, KIND)
    yield "input", run.paths.input_h5("day")


def main() -> None:
    """Measure every format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--bins", type=int, default=500)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where files go; some GB are needed")
    parser.add_argument("--export", nargs=2, metavar=("FOLDER", "FORMAT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.export:
        export(Path(given.export[0]), given.export[1])
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        make_run(folder, given.trials, given.bins, given.channels)
        num_values = given.trials * given.bins * (given.channels + NUM_FACTORS + GEN_DIM)
        print(
            f"{given.trials} trials x {given.bins} bins x {given.channels} channels: "
            f"{num_values * 8 / 1e6:.0f} MB of posterior means"
        )
        print(
            f"{'format':8} {'time':>8} {'MB/s':>7} {'processor':>9} {'memory':>9} {'written':>10}"
            "  of a bare copy: time, processor"
        )
        copy_s = copy_cpu_s = float("nan")
        for to in FORMATS:
            command = [sys.executable, __file__, "--export", str(folder), to]
            told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            took_s, cpu_s, memory_mb, written_mb = map(float, told.split())
            if to == "copy":
                copy_s, copy_cpu_s = took_s, cpu_s
            print(
                f"{to:8} {took_s:6.1f} s {num_values * 8 / 1e6 / took_s:7.0f} {cpu_s:7.1f} s "
                f"{memory_mb:6.0f} MB {written_mb:7.0f} MB  "
                f"{took_s / copy_s:.2f} x, {cpu_s / copy_cpu_s:.2f} x",
                flush=True,
            )
            for path in (folder / "out").iterdir():
                path.unlink()


if __name__ == "__main__":
    main()
