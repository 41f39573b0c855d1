"""How long preparing a sweep of 1,000 RunParams takes, and how much memory.

    python benchmarks/prepare_sweep.py [--num-params 1000] [--folder FOLDER]

One dataset of 1820 trials x 30 channels x 1000 bins of 1 ms, in a MAT file. "The dataset's memory"
is that of its spikes as they are loaded: uint8, one byte a bin. The peak is how far the resident
memory of the process grew while it prepared, over what it had with everything imported and nothing
loaded; so it includes the loaded dataset itself.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy.io

from lfadsq import Dataset, DatasetCollection, DatasetCounts, Run, RunCollection, RunParams, RunSpec

_SHAPE = (1820, 30, 1000)
_MEAN_COUNT = 0.03
_BYTES_PER_MB = 2**20
_FILE_NAME = "dataset001.mat"


class CountingRun(Run):
    num_loads = 0

    def generate_counts_for_dataset(self, dataset: Dataset) -> DatasetCounts:
        CountingRun.num_loads += 1
        return super().generate_counts_for_dataset(dataset)


def write_dataset(path: Path) -> None:
    spikes = np.random.default_rng(0).poisson(_MEAN_COUNT, _SHAPE).astype(np.uint8)
    content = {"spikes": spikes, "timeMs": np.arange(_SHAPE[2]), "conditionId": np.ones(_SHAPE[0])}
    scipy.io.savemat(path, content, do_compression=True)


def resident_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / _BYTES_PER_MB
    raise SystemExit(f"this system does not tell {field}")


def measure(folder: Path, num_params: int) -> None:
    # The dataset is made elsewhere, so that making it does not count in the peak.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(write_dataset, folder / _FILE_NAME).result()

    datasets = DatasetCollection(folder)
    Dataset(datasets, _FILE_NAME)
    before_mb = resident_mb("VmRSS")

    start = time.perf_counter()
    runs = RunCollection(folder, "sweep", datasets, run_class=CountingRun)
    runs.add_params(RunParams(c_batch_size=150).generate_sweep(c_gen_dim=range(1, num_params + 1)))
    runs.add_run_spec(RunSpec("single_dataset001", datasets, 0))
    described = time.perf_counter()
    runs.prepare_for_lfads()
    prepared = time.perf_counter()
    runs.write_run_queue_script()
    queued = time.perf_counter()
    runs.prepare_for_lfads()
    again = time.perf_counter()

    dataset_mb = np.prod(_SHAPE) / _BYTES_PER_MB
    peak_mb = resident_mb("VmHWM") - before_mb
    written = [path for path in runs.path.rglob("*.h5") if not path.is_symlink()]
    num_files = sum(1 for _ in runs.path.rglob("*"))
    print(f"settings                       {runs.num_params}")
    print(f"add_params, add_run_spec       {described - start:.2f} s")
    print(f"prepare_for_lfads              {prepared - described:.2f} s   (aim: below 10)")
    print(f"write_run_queue_script         {queued - prepared:.2f} s")
    print(f"prepare_for_lfads again        {again - queued:.2f} s")
    print(f"peak memory                    {peak_mb:.0f} MB")
    print(f"the dataset's memory           {dataset_mb:.0f} MB")
    print(f"peak / dataset                 {peak_mb / dataset_mb:.2f}   (aim: below 3)")
    print(f"dataset loaded and binned      {CountingRun.num_loads} times   (aim: 1)")
    print(f"lfads_*.h5 written             {len(written)}   (aim: 1)")
    print(f"files, folders and links       {num_files}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-params", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder), options.num_params)


if __name__ == "__main__":
    main()
