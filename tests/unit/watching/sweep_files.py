"""Sweeps as a queue and a trainer leave them, with chosen rates, and without training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lfadsq import Dataset, DatasetCollection, Run, RunCollection, RunParams, RunSpec
from lfadsq.queue.records import Attempt, AttemptState, Outcome, Record

NUM_TRIALS, NUM_BINS, NUM_CHANNELS, NUM_HELD_OUT = 30, 20, 4, 3
BIN_MS = 10
KIND = "posterior_sample_and_average"


def make_recording(path: Path, *, seed: int = 0, held_out: bool = False) -> None:
    """Write true rates of three conditions, spikes drawn from them, and held-out spikes."""
    rng = np.random.default_rng(seed)
    num_channels = NUM_CHANNELS + NUM_HELD_OUT
    condition = np.arange(NUM_TRIALS) % 3
    wave = np.sin(np.arange(NUM_BINS) / 3 + np.arange(num_channels)[:, None])
    gain = 1 + np.arange(3)[:, None, None]
    rates_hz = (60 * np.exp(0.5 * gain * wave))[condition]  # (trial, channel, time)
    spikes = rng.poisson(rates_hz * BIN_MS / 1000)
    variables = {
        "spikes": spikes[:, :NUM_CHANNELS].astype(np.uint8),
        "true_rates": rates_hz[:, :NUM_CHANNELS],
        "conditionId": condition + 1.0,
        "timeMs": np.arange(NUM_BINS) * float(BIN_MS),
    }
    if held_out:
        variables["heldoutSpikes"] = spikes[:, NUM_CHANNELS:].astype(np.uint8)
    np.savez(path, **variables)


def make_sweep(
    root: Path, settings: list[dict[str, Any]], *, names: tuple[str, ...] = ("ds1",), **made: Any
) -> RunCollection:
    """Prepare a collection with a run for each setting, on each dataset alone."""
    folder = root / "datasets"
    folder.mkdir(parents=True)
    datasets = DatasetCollection(folder)
    for seed, name in enumerate(names):
        make_recording(folder / f"{name}.npz", seed=seed, **made)
        Dataset(datasets, f"{name}.npz")
    collection = RunCollection(root, "sweep", datasets)
    given = {"spikeBinMs": BIN_MS, "c_batch_size": 4, "c_co_dim": 0, **(settings[0] or {})}
    base = {name: value for name, value in given.items() if name not in settings[0]}
    collection.add_params([RunParams(**{**base, **one}) for one in settings])
    collection.add_run_spec([RunSpec(f"single_{name}", datasets, [name]) for name in names])
    collection.prepare_for_lfads()
    return collection


def inputs_of(run: Run, name: str) -> dict[str, Any]:
    """Read counts and true expected counts of each split straight from the trainer's input."""
    with h5py.File(run.data_paths.input_h5(name)) as stored:
        return {
            split: {
                "counts": stored[f"{split}_data"][()],
                "true": stored[f"{split}_truth"][()] / 1000 * BIN_MS,
                "inds": stored[f"{split}_inds"][()].astype(int) - 1,
            }
            for split in ("train", "valid")
        }


def write_posterior(run: Run, expected_of: Any, **changed: Any) -> None:
    """Write posterior means of all datasets, with expected counts as `expected_of` makes them.

    Parameters
    ----------
    expected_of : callable
        Of true expected counts and counts.
    **changed
        Other variables, as functions of the number of trials.
    """
    run.paths.lfads_output.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    for name in run.dataset_names:
        for split, given in inputs_of(run, name).items():
            num = len(given["inds"])
            logs = np.log(given["true"])
            arrays = {
                "output_dist_params": expected_of(given["true"], given["counts"]),
                "factors": logs[..., :2],
                "post_g0_mean": rng.standard_normal((num, 3)),
                "post_g0_logvar": np.full((num, 3), -4.0),
                "prior_g0_mean": np.zeros((num, 3)),
                "prior_g0_logvar": np.full((num, 3), np.log(0.1)),
                **{key: make(num) for key, make in changed.items()},
            }
            with h5py.File(run.paths.output.posterior_means(name, split, KIND), "w") as stored:
                for key, values in arrays.items():
                    stored[key] = values


def fit_log_text(
    valid: list[float], *, train: list[float] | None = None, kl: float = 8.0, weight: float = 1.0
) -> str:
    """Write a log of costs; reconstruction is the total less KL and an L2 cost of 0.5."""
    gap, lines = " " * 6, []
    for epoch, (cost, other) in enumerate(zip(valid, train or valid, strict=True)):
        lines.append(
            f"epoch,{epoch}, step,{8 * epoch + 8}, total,{other:.2f},{cost:.2f}, {gap}"
            f"recon,{other - kl - 0.5:.2f},{cost - kl - 0.5:.2f}, kl,{kl:.2f},{kl:.2f}, "
            f"l2,0.50000, {gap}klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
        )
    return "".join(lines)


def write_costs(run: Run, *args: Any, **kwargs: Any) -> None:
    run.paths.lfads_output.mkdir(exist_ok=True)
    run.paths.output.fit_log().write_text(fit_log_text(*args, **kwargs))


def write_record(run: Run, *, seconds: tuple[float, ...], peak_mb: float | None) -> None:
    """Write attempts that took so long, and the done-marker."""
    record = Record("task")
    for number, took in enumerate(seconds, start=1):
        began = Attempt(
            number=number,
            command="bash x",
            host="node1",
            device="GPU-1",
            device_name="GPU 0",
            started_at="2018-01-31T00:00:00.000+00:00",
            log_offset=0,
        )
        minutes, rest = divmod(took, 60)
        ended = f"2018-01-31T00:{int(minutes):02d}:{rest:06.3f}+00:00"
        record = record.with_attempt(
            replace(
                began,
                state=AttemptState.ENDED,
                outcome=Outcome.SUCCEEDED,
                ended_at=ended,
                peak_memory_mb=peak_mb,
            )
        )
    record.write(run.path / "lfads.record.json", durable=False)
    run.paths.done.touch()


def write_all(run: Run, cost: float, expected_of: Any) -> None:
    """Let a run be done."""
    write_costs(run, [cost + 5, cost, cost + 1])
    write_posterior(run, expected_of)
    write_record(run, seconds=(30.0,), peak_mb=500.0)


def copied_tree(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to, symlinks=True)
    return to
