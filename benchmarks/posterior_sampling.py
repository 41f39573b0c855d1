"""Time the sampling of posteriors, beside the plain way of the original, in the same run.

    python benchmarks/posterior_sampling.py
    python benchmarks/posterior_sampling.py --bins 500 --controller

The plain way copies each trial once a sample, and encodes and decodes all copies in one pass. Both
ways use the same model code, and each runs in a process of its own, so that peaks of memory can be
told apart. What ours writes to disk, compressed, is in its time; the plain way writes nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

NUM_TRIALS_TO_WARM_UP = 2


def make(arguments: argparse.Namespace, num_bins: int):
    """Give an untrained model as `sampling` takes it, and trials."""
    import tensorflow as tf

    from lfadsq.model.config import DatasetConfig, ModelConfig
    from lfadsq.model.parameters import initial_parameters
    from lfadsq.training.data import Split
    from lfadsq.training.sampling import SAMPLE, Posterior, Trials

    config = ModelConfig(
        datasets=(DatasetConfig("dataset001.h5", arguments.channels),),
        num_steps=num_bins,
        gen_dim=64,
        ic_enc_dim=64,
        factors_dim=8,
        ic_dim=64,
        co_dim=2 if arguments.controller else 0,
        keep_prob=1.0,
    )
    weights = {name: tf.constant(value) for name, value in initial_parameters(config, 0).items()}
    posterior = Posterior(config, weights, 1000, 0, SAMPLE, arguments.samples)
    shape = (arguments.trials + NUM_TRIALS_TO_WARM_UP, num_bins, arguments.channels)
    counts = np.random.default_rng(0).poisson(0.2, shape).astype(np.float32)
    split = Split.of(counts, np.zeros((*shape[:2], 0), np.float32), is_poisson=True)
    return posterior, Trials(0, split, np.arange(len(counts)), "benchmark")


def ours(arguments: argparse.Namespace, num_bins: int) -> list[float]:
    """Give the time for each trial, computed and written [s]."""
    from lfadsq.training.data import Split
    from lfadsq.training.interruption import Interruption
    from lfadsq.training.sampling import Trials, write

    posterior, trials = make(arguments, num_bins)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(arguments.repeats + 1):
            # Other data each time, as complete files are left alone.
            data = np.roll(trials.split.data, repeat, axis=1)
            split = Split.of(data, trials.split.ext_input, is_poisson=True)
            again = Trials(0, split, trials.numbers, trials.title)
            begin = time.perf_counter()
            write(posterior, again, Path(folder) / "means", lambda line: None, Interruption())
            times.append((time.perf_counter() - begin) / len(data))
    return times[1:]


def plain(arguments: argparse.Namespace, num_bins: int) -> list[float]:
    """Give the time for each trial, its copies encoded and decoded in one pass [s]."""
    import tensorflow as tf

    from lfadsq.model.costs import batch_costs, trial_terms
    from lfadsq.model.network import decode, draw_noise, encode, output_dist_params, sample_g0

    posterior, trials = make(arguments, num_bins)
    config, weights = posterior.config, posterior.parameters

    @tf.function(autograph=False)
    def of_copies(data, ext_input, log_factorials, seed):
        data, ext_input = (tf.transpose(tensor, [1, 0, 2]) for tensor in (data, ext_input))
        noise = draw_noise(config, arguments.samples, seed)
        encoding = encode(config, weights, config.datasets[0], data, ext_input)
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
        made = decode(config, weights, config.datasets[0], g0, encoding.ci, ext_input, noise.co)
        terms = trial_terms(config, weights, data, log_factorials, encoding, made, noise.co)
        outputs = [made.gen_states, made.factors, output_dist_params(config, made.heads)]
        if made.controller_outputs is not None:
            outputs.append(made.controller_outputs)
        averages = [tf.reduce_mean(output, 1) for output in outputs]
        return averages, batch_costs(config, weights, terms, tf.constant(1000, tf.int64))

    times = []
    for trial in range(len(trials.split)):
        begin = time.perf_counter()
        copies = [np.repeat(a, arguments.samples, axis=0) for a in trials.split.batch([trial])]
        averages, costs = of_copies(*map(tf.constant, copies), tf.constant([0, trial]))
        for value in (*averages, costs.total):
            value.numpy()
        times.append(time.perf_counter() - begin)
    return times[NUM_TRIALS_TO_WARM_UP:]


def measured(way, arguments: argparse.Namespace, num_bins: int, answer) -> None:
    """Run one way in this process; send its times, and the memory it added [MB]."""
    import tensorflow as tf

    tf.matmul(tf.ones([64, 64]), tf.ones([64, 64]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = way(arguments, num_bins)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer.send((times, (peak - before) / 1024, peak / 1024))


def in_a_process(way, arguments: argparse.Namespace, num_bins: int) -> tuple[float, float, float]:
    """Give the median time of a trial [s], and the memory added and at its peak [MB]."""
    context = multiprocessing.get_context("spawn")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(way, arguments, num_bins, sender))
    process.start()
    sender.close()
    times, added_mb, peak_mb = answer.recv()
    process.join()
    return median(times), added_mb, peak_mb


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bins", type=int, nargs="+", default=[50, 500], help="default 50 500")
    parser.add_argument("--samples", type=int, default=512, help="of each trial (default 512)")
    parser.add_argument("--trials", type=int, default=20, help="trials timed (default 20)")
    parser.add_argument("--channels", type=int, default=30, help="default 30")
    parser.add_argument("--repeats", type=int, default=5, help="passes over them (default 5)")
    parser.add_argument("--controller", action="store_true", help="with 2 inferred inputs")
    arguments = parser.parse_args()
    print(f"{arguments.samples} samples of a trial, {arguments.channels} channels,", end=" ")
    print("with" if arguments.controller else "without", "a controller")
    for num_bins in arguments.bins:
        by_plain = in_a_process(plain, arguments, num_bins)
        by_ours = in_a_process(ours, arguments, num_bins)
        print(f"{num_bins} bins")
        for name, (time_s, added_mb, peak_mb) in (("plain", by_plain), ("ours", by_ours)):
            print(
                f"  {name:6} {1 / time_s:8.2f} trials/s   {added_mb:6.0f} MB above TensorFlow's"
                f" own, peak {peak_mb:.0f} MB"
            )
        print(f"  ours is {by_plain[0] / by_ours[0]:.2f} times as fast")


if __name__ == "__main__":
    main()
