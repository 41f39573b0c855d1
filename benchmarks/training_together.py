"""Time a step of several runs trained together, against one after another.

    python benchmarks/training_together.py
    python benchmarks/training_together.py --runs 2 4 8 16 --device /gpu:0

Three ways in turn, in one process: every run's own step, one after another; the same side by side
in threads, as `lfadsq train --together` does on a CPU; and all as one batch of models with a
leading run axis, as it does on a GPU. The model is that of `training_step.py`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import initial_parameters
from lfadsq.training.data import Batch, Split
from lfadsq.training.devices import choose_device, share_threads
from lfadsq.training.joint_steps import JointSteps, RunOfMany
from lfadsq.training.steps import ModelSteps
from lfadsq.training.variables import ModelVariables


def runs_of(config: ModelConfig, num_runs: int) -> list[RunOfMany]:
    """Give runs that differ in their seeds."""
    return [
        RunOfMany(
            config, ModelVariables.create(config, initial_parameters(config, seed), 0.01), seed
        )
        for seed in range(num_runs)
    ]


def milliseconds(run: Callable[[], object]) -> float:
    """Time one call [ms]."""
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


def measure(config: ModelConfig, num_runs: int, batch: Batch, repeats: int, device: str) -> None:
    """Print a line for a number of runs."""
    alone = [ModelSteps(r.config, r.variables, r.seed) for r in runs_of(config, num_runs)]
    joint = JointSteps(runs_of(config, num_runs))
    pool = ThreadPoolExecutor(num_runs)

    def one_after_another() -> None:
        for steps in alone:
            steps.train(0, batch)

    def in_thread(steps: ModelSteps) -> None:
        with tf.device(device):
            steps.train(0, batch)

    ways = {
        "one after another": one_after_another,
        "side by side": lambda: list(pool.map(in_thread, alone)),
        "one batch of models": lambda: joint.train(0, [batch] * num_runs),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 2):
        for name, way in ways.items():
            elapsed = milliseconds(way)
            if repeat >= 2:
                times[name].append(elapsed)
    pool.shutdown()
    reference = median(times["one after another"])
    for name, all_of_them in times.items():
        taken = median(all_of_them)
        print(
            f"{num_runs:3d} runs  {name:20s} {taken / num_runs:8.1f} ms a run and step   "
            f"{reference / taken:.2f} times the throughput of one after another"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[2, 4, 8], help="(default 2 4 8)")
    parser.add_argument("--steps", type=int, default=50, help="time bins (default 50)")
    parser.add_argument("--batch", type=int, default=150, help="trials (default 150)")
    parser.add_argument("--repeats", type=int, default=15, help="steps timed (default 15)")
    parser.add_argument("--device", default="/gpu:0", help="the CPU is used if there is no GPU")
    arguments = parser.parse_args()
    device = choose_device(arguments.device, allow_gpu_growth=True, say=print)
    if device == "/cpu:0":
        share_threads()
    config = ModelConfig(
        datasets=(DatasetConfig("dataset001.h5", 30),),
        num_steps=arguments.steps,
        gen_dim=64,
        ic_enc_dim=64,
        factors_dim=8,
        ic_dim=64,
        co_dim=0,
    )
    shape = (arguments.batch, arguments.steps, 30)
    counts = np.random.default_rng(0).poisson(0.2, shape).astype(np.float32)
    empty = np.zeros((*shape[:2], 0), np.float32)
    batch = Split.of(counts, empty, is_poisson=True).batch(slice(None))
    print(f"{arguments.steps} bins, {arguments.batch} trials, 30 channels, on {device}")
    with tf.device(device):
        for num_runs in arguments.runs:
            measure(config, num_runs, batch, arguments.repeats, device)


if __name__ == "__main__":
    main()
