"""How long `lfadsq check` takes: a sweep of 1,000 runs by headers, and the data of stitched runs.

    python benchmarks/check_collection.py [--num-runs 1000] [--num-sessions 4] [--folder FOLDER]

The sweep is looked at with ``--quick``, as the queue does when it starts, in a process of its own,
whose start counts. The sessions have 2,000 trials x 100 channels x 1,000 ms in bins of 2 ms each;
their data are read from the disk's cache. The peak is how far the resident memory of the process
grew while it read them. Beside it, the same data are read by h5py and summed, which is the least
that a scan can take.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from lfadsq import Dataset, DatasetCollection, DatasetCounts, Run, RunCollection, RunParams, RunSpec

_SHAPE = (2000, 100, 1000)
_SMALL = (100, 5, 50)
_MEAN_COUNT = 0.02
_BYTES_PER_MB = 1e6


class MadeUpRun(Run):
    def generate_counts_for_dataset(self, dataset: Dataset) -> DatasetCounts:
        rng = np.random.default_rng(abs(hash(dataset.name)) % 2**32)
        shape = _SMALL if dataset.name.startswith("small") else _SHAPE
        counts = rng.poisson(_MEAN_COUNT, shape).astype(np.uint8)
        return DatasetCounts(counts, bin_ms=1.0, condition_id=np.arange(len(counts)) % 8)


class MadeUpDataset(Dataset):
    def load_data(self) -> dict[str, object]:
        return {}


def resident_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / _BYTES_PER_MB
    raise SystemExit(f"this system does not tell {field}")


def measure_sweep(folder: Path, num_runs: int) -> None:
    datasets = DatasetCollection(folder)
    MadeUpDataset(datasets, "small.mat")
    runs = RunCollection(folder, "sweep", datasets, run_class=MadeUpRun)
    runs.add_params(RunParams(c_batch_size=20).generate_sweep(c_gen_dim=range(1, num_runs + 1)))
    runs.add_run_spec(RunSpec("single_small", datasets, 0))
    runs.prepare_for_lfads()
    words = [sys.executable, "-m", "lfadsq", "check", "--quick", str(runs.path)]
    start = time.perf_counter()
    # Not every disk has room for what 1,000 models write: then the status is 1.
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL)
    print(
        f"{num_runs} runs, --quick            {time.perf_counter() - start:.2f} s   (aim: below 3)"
    )


def measure_sessions(folder: Path, num_sessions: int) -> None:
    from lfadsq.preflight.examination import check_collection

    datasets = DatasetCollection(folder)
    for number in range(num_sessions):
        MadeUpDataset(datasets, f"session{number:03d}.mat")
    runs = RunCollection(folder, "stitched", datasets, run_class=MadeUpRun)
    runs.add_params(RunParams(c_batch_size=150))
    runs.add_run_spec(RunSpec("all", datasets, range(num_sessions)))
    runs.prepare_for_lfads()
    files = [runs.runs[0].data_paths.input_h5(one.name) for one in datasets]

    start = time.perf_counter()
    num_bytes = 0
    for path in files:
        with h5py.File(path) as stored:
            for name in ("train_data", "valid_data"):
                for first in range(0, len(stored[name]), 64):
                    block = stored[name][first : first + 64]
                    block.sum()
                    num_bytes += block.nbytes
    read_s = time.perf_counter() - start

    # What was needed to prepare the data must not count: the peak is begun anew.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before_mb = resident_mb("VmRSS")
    start = time.perf_counter()
    report = check_collection(runs.path)
    check_s = time.perf_counter() - start
    peak_mb = resident_mb("VmHWM") - before_mb
    size_mb = num_bytes / _BYTES_PER_MB
    stored_mb = sum(path.stat().st_size for path in files) / _BYTES_PER_MB
    print(f"{num_sessions} sessions                     {size_mb:.0f} MB, {stored_mb:.0f} on disk")
    print(f"all of the check               {check_s:.1f} s, {size_mb / check_s:.0f} MB/s")
    print(f"reading and summing alone      {read_s:.1f} s, {size_mb / read_s:.0f} MB/s")
    print(f"check / reading alone          {check_s / read_s:.2f}")
    print(f"peak memory                    {peak_mb:.0f} MB   (aim: below 200)")
    print(f"errors found                   {not report.is_ok}   (aim: False)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-runs", type=int, default=1000)
    parser.add_argument("--num-sessions", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure_sweep(Path(folder), options.num_runs)
        measure_sessions(Path(folder), options.num_sessions)


if __name__ == "__main__":
    main()
