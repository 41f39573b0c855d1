"""How long it takes to compare a sweep: 1,000 runs by their costs, and 20 with all scores.

    python benchmarks/compare_sweep.py [--num-quick 1000] [--num-full 20] [--num-trials 500]
                                       [--num-bins 100] [--num-channels 100] [--folder FOLDER]

Made up are collections as a queue and our trainer leave them, each run with a ``fitlog.csv`` of 200
epochs, ``progress.json`` and a record; the second also with posterior means, compressed as the
trainer writes them. Then is timed, in this process and with the files in the disk's cache:

- ``RunCollection.open(...).compare(quick=True)`` of the first;
- ``compare()`` of the second: bits per spike, PSTH R2, R2 of true rates, spike following;
- ``compare()`` with 25 held-out channels, which fits Poisson read-outs for co-smoothing.

Beside them the peers: reading the bytes of the same logs, records and progress files, and reading
the same arrays (rates, factors, counts, truth) with bare h5py, which is the least it can take.
Ratios are ours to theirs. The most memory that NumPy arrays took in ``compare()`` is told too,
beside the size of the rates of one run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsq import Dataset, DatasetCollection, Run, RunCollection, RunParams, RunSpec
from lfadsq.queue.records import Attempt, AttemptState, Outcome, Record

_NUM_EPOCHS = 200
_BIN_MS = 10
_NUM_FACTORS = 20
_NUM_HELD_OUT = 25
_PER_TRIAL = ("costs", "nll_bound_vaes", "nll_bound_iwaes", "train_steps")
_KIND = "posterior_sample_and_average"


def make_collection(root: Path, num_runs: int, shape: tuple[int, int, int]) -> RunCollection:
    num_trials, num_bins, num_channels = shape
    folder = root / "datasets"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    condition = np.arange(num_trials) % 8
    rates_hz = rng.gamma(4.0, 5.0, (8, num_channels, num_bins))[condition]
    np.savez(
        folder / "ds.npz",
        spikes=rng.poisson(rates_hz * _BIN_MS / 1000).astype(np.uint8),
        true_rates=rates_hz,
        conditionId=condition + 1.0,
        timeMs=np.arange(num_bins) * float(_BIN_MS),
    )
    datasets = DatasetCollection(folder)
    Dataset(datasets, "ds.npz")
    collection = RunCollection(root, "sweep", datasets)
    base = RunParams(spikeBinMs=_BIN_MS, c_batch_size=4, c_factors_dim=_NUM_FACTORS)
    rates = [0.01 / (1 + at) for at in range(-(-num_runs // 50))]
    dims = list(range(50, 50 + min(num_runs, 50)))
    collection.add_params(base.generate_sweep(c_learning_rate_init=rates, c_gen_dim=dims))
    collection.add_run_spec(RunSpec("single_ds", datasets, ["ds"]))
    collection.prepare_for_lfads()
    for number, run in enumerate(collection.runs):
        write_logs(run, number)
    return collection


def write_logs(run: Run, number: int) -> None:
    output = run.paths.lfads_output
    output.mkdir()
    gap, lines = " " * 6, []
    for epoch in range(_NUM_EPOCHS):
        cost, weight = 300 + 50 / (1 + epoch) + number % 97 / 10, min(1.0, epoch / 100)
        lines.append(
            f"epoch,{epoch}, step,{8 * epoch + 8}, total,{cost:.2f},{cost + 2:.2f}, {gap}"
            f"recon,{cost - 9:.2f},{cost - 7:.2f}, kl,9.00,9.00, l2,0.50000, {gap}"
            f"klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
        )
    run.paths.output.fit_log().write_text("".join(lines), encoding="ascii")
    told = {"version": 1, "state": "finished", "num_epochs": _NUM_EPOCHS, "epoch_s": 0.3}
    run.paths.output.progress.write_text(json.dumps(told), encoding="ascii")
    attempt = Attempt(
        number=1,
        command="bash x",
        host="node1",
        device="GPU-1",
        device_name="GPU 0",
        started_at="2018-01-31T00:00:00.000+00:00",
        log_offset=0,
        state=AttemptState.ENDED,
        ended_at="2018-01-31T01:00:00.000+00:00",
        outcome=Outcome.SUCCEEDED,
        peak_memory_mb=700.0,
    )
    Record("task", (attempt,)).write(run.path / "lfads.record.json", durable=False)
    run.paths.done.touch()


def write_posterior(run: Run, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with h5py.File(run.data_paths.input_h5("ds")) as stored:
        shapes = {split: stored[f"{split}_data"].shape for split in ("train", "valid")}
    for split, shape in shapes.items():
        arrays = {
            "output_dist_params": rng.gamma(4.0, 0.05, shape),
            "factors": rng.standard_normal((*shape[:2], _NUM_FACTORS)),
            "gen_states": np.zeros((*shape[:2], 1)),
            "gen_ics": np.zeros((shape[0], 1)),
            **{key: np.zeros(shape[0]) for key in _PER_TRIAL},
            "post_g0_mean": rng.standard_normal((shape[0], 64)),
            "post_g0_logvar": np.full((shape[0], 64), -4.0),
            "prior_g0_mean": np.zeros((shape[0], 64)),
            "prior_g0_logvar": np.full((shape[0], 64), -2.3),
        }
        with h5py.File(run.paths.output.posterior_means("ds", split, _KIND), "w") as stored:
            for key, values in arrays.items():
                stored.create_dataset(key, data=values, compression="gzip")


def read_texts(collection: RunCollection) -> None:
    for run in collection.runs:
        output = run.paths.output
        for path in (output.fit_log(), output.progress, run.path / "lfads.record.json"):
            path.read_bytes()


def read_arrays(collection: RunCollection) -> None:
    for run in collection.runs:
        for split in ("train", "valid"):
            with h5py.File(run.paths.output.posterior_means("ds", split, _KIND)) as stored:
                for key in ("output_dist_params", "factors"):
                    stored[key][()]
            with h5py.File(run.data_paths.input_h5("ds")) as stored:
                for key in (f"{split}_data", f"{split}_truth"):
                    stored[key][()]


def timed(work: Callable[[], Any], num_repeats: int = 2) -> float:
    times = []
    for _ in range(num_repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (
        ("quick", 1000),
        ("full", 20),
        ("trials", 500),
        ("bins", 100),
        ("channels", 100),
    ):
        parser.add_argument(f"--num-{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    shape = (given.num_trials, given.num_bins, given.num_channels)
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        many = make_collection(Path(made) / "many", given.num_quick, (20, 10, 3))
        ours = timed(lambda: RunCollection.open(many.path).compare(quick=True))
        opening = timed(lambda: RunCollection.open(many.path))
        peer = timed(lambda: read_texts(many))
        print(f"{given.num_quick} runs, costs only {ours:7.2f} s, opening of these {opening:.2f} s")
        print(f"  reading the bytes of their files {peer:7.2f} s: ratio {ours / peer:.1f}")

        few = make_collection(Path(made) / "few", given.num_full, shape)
        for number, run in enumerate(few.runs):
            write_posterior(run, number)
        ours = timed(few.compare, 1)
        peer = timed(lambda: read_arrays(few), 1)
        sizes = " x ".join(map(str, shape))
        print(f"{given.num_full} runs of {sizes}, all scores {ours:7.2f} s")
        print(f"  reading their arrays with h5py   {peer:7.2f} s: ratio {ours / peer:.1f}")
        held_out = np.random.default_rng(1).poisson(0.2, (*shape[:2], _NUM_HELD_OUT))
        with_fits = timed(lambda: few.compare(held_out={"ds": held_out}), 1)
        print(f"  with co-smoothing of {_NUM_HELD_OUT} channels   {with_fits:7.2f} s")
        tracemalloc.start()
        few.compare(runs=few.runs[:1])
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        rates_mb = np.prod(shape) * 8 / 1e6
        print(f"  memory for one run at most {peak_mb:.0f} MB; its rates have {rates_mb:.0f} MB")


if __name__ == "__main__":
    main()
