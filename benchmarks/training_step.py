"""Time one training step, beside two references measured in the same run.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --steps 500 --controller

References: the arithmetic alone (the matrix products and elementwise functions of forward and
backward pass, and nothing else, as a lower limit) and the same model written plainly, with
automatic differentiation of a loop over time (as a peer; not with a controller). Times are medians;
the first call builds the graph. Memory is the most the process has had, TensorFlow itself included,
before the references begin.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import initial_parameters
from lfadsq.training.data import Split
from lfadsq.training.devices import share_threads
from lfadsq.training.steps import ModelSteps
from lfadsq.training.variables import ModelVariables


def timed(run: Callable[[], object], repeats: int) -> tuple[float, list[float]]:
    """Give the time of the first call, and those of `repeats` later ones [s]."""
    times = []
    for _ in range(repeats + 3):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return times[0], times[3:]


def our_step(config: ModelConfig, counts: np.ndarray) -> Callable[[], object]:
    """Give one update of our trainer, from NumPy arrays to costs as numbers."""
    empty = np.zeros((*counts.shape[:2], 0), np.float32)
    batch = Split.of(counts, empty, is_poisson=True).batch(slice(None))
    variables = ModelVariables.create(config, initial_parameters(config, 0), 0.01)
    steps = ModelSteps(config, variables, 0)
    return lambda: steps.train(0, batch)


def plain_step(config: ModelConfig, counts: np.ndarray) -> Callable[[], object]:
    """Give an update of a model without controller, written plainly over `tf.while_loop`."""
    values = initial_parameters(config, 0)
    v = {name: tf.Variable(value) for name, value in values.items()}
    optimizer_state = {name: (tf.Variable(x * 0), tf.Variable(x * 0)) for name, x in values.items()}
    num_steps, batch_size = config.num_steps, len(counts)
    data = tf.constant(counts.transpose(1, 0, 2))

    def cell(x: tf.Tensor | None, h: tf.Tensor, scope: str, names: tuple[str, str]) -> tf.Tensor:
        gates, candidate = (f"LFADS/{scope}/{name}" for name in names)
        xh = h if x is None else tf.concat([x, h], 1)
        r, u = tf.split(tf.matmul(xh, v[f"{gates}/W"]) + v[f"{gates}/b"], 2, 1)
        r, u = tf.sigmoid(r), tf.sigmoid(u + 1.0)
        xrh = r * h if x is None else tf.concat([x, r * h], 1)
        c = tf.tanh(tf.matmul(xrh, v[f"{candidate}/W"]) + v[f"{candidate}/b"])
        return tf.clip_by_value(u * h + (1.0 - u) * c, -5.0, 5.0)

    def loop(step: Callable, state: tf.Tensor, size: int) -> tf.Tensor:
        array = tf.TensorArray(tf.float32, num_steps, element_shape=(batch_size, size))
        array = tf.while_loop(
            lambda t, *_: t < num_steps,
            lambda t, h, a: (t + 1, (new := step(t, h)), a.write(t, new)),
            (0, state, array),
        )[2]
        return array.stack()

    def encoder(direction: str, x: tf.Tensor) -> tf.Tensor:
        scope = f"ic_enc_{direction}"
        h = tf.tile(v[f"LFADS/{scope}/ic_enc_t0_{direction}"], [batch_size, 1])
        names = ("GRU/Gates/xh_2_ru", "GRU/Candidate/xrh_2_c")
        return loop(lambda t, h: cell(x[t], h, scope, names), h, config.ic_enc_dim)[-1]

    def linear(x: tf.Tensor, scope: str) -> tf.Tensor:
        return tf.matmul(x, v[f"LFADS/{scope}/W"]) + v[f"LFADS/{scope}/b"]

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            dropped = tf.nn.dropout(data, 0.05)
            code = tf.concat([encoder("fwd", dropped), encoder("rev", tf.reverse(dropped, [0]))], 1)
            code = tf.nn.dropout(code, 0.05)
            mean = linear(code, "z/ic_enc_2_post_g0/mean")
            logvar = tf.math.log(tf.exp(linear(code, "z/ic_enc_2_post_g0/logvar")) + 1e-4)
            g0 = mean + tf.exp(0.5 * logvar) * tf.random.normal(tf.shape(mean))
            names = ("GenGRU/Gates/h_2_ru", "GenGRU/Candidate/rh_2_c")
            states = loop(lambda _, h: cell(None, h, "gen", names), g0, config.gen_dim)
            w_fac = tf.math.l2_normalize(v["LFADS/gen/gen_2_fac/W"], 0)
            factors = tf.matmul(tf.nn.dropout(states, 0.05), w_fac)
            rates = linear(factors, f"glm/fac_2_logrates_{config.datasets[0].name}")
            recon = tf.nn.log_poisson_loss(data, rates, compute_full_loss=False)
            kl = 0.5 * tf.reduce_sum(tf.exp(logvar) / 0.1 + mean**2 / 0.1 - logvar)
            cost = (tf.reduce_sum(recon) + kl) / batch_size
        gradients, _ = tf.clip_by_global_norm(tape.gradient(cost, list(v.values())), 200.0)
        for (name, variable), gradient in zip(v.items(), gradients, strict=True):
            if gradient is not None:
                m, s = optimizer_state[name]
                m.assign(0.9 * m + 0.1 * gradient)
                s.assign(0.999 * s + 0.001 * gradient**2)
                variable.assign_sub(0.01 * m / (tf.sqrt(s) + 0.1))
        return cost

    return lambda: step().numpy()


def arithmetic_alone(config: ModelConfig, batch_size: int) -> Callable[[], object]:
    """Give the products and functions of one update, and nothing else.

    A controller's products with its inputs are taken for all bins at once, though these depend on
    the bin before. No draws, no dropout, no costs, nothing kept for the backward pass.
    """
    num_steps, channels = config.num_steps, config.datasets[0].num_channels
    rows = num_steps * batch_size
    stream = np.random.default_rng(0)

    def draw(*shape: int) -> tf.Variable:
        return tf.Variable(stream.standard_normal(shape, dtype=np.float32) * 0.1)

    def layer(size: int, inputs: int) -> Callable[[], list[tf.Tensor]]:
        h0, w_ru, w_c = draw(batch_size, size), draw(size, 2 * size), draw(size, size)
        x, w_x, d_x = draw(rows, inputs), draw(inputs, 3 * size), draw(rows, 3 * size)
        states, d_ru, d_c = draw(rows, size), draw(rows, 2 * size), draw(rows, size)

        def run() -> list[tf.Tensor]:
            h, d, ru, c = h0 + 0.0, h0 + 0.0, h0, h0
            for _ in range(num_steps):
                ru = tf.sigmoid(tf.matmul(h, w_ru))
                c = tf.tanh(tf.matmul(h * ru[:, :size], w_c))
                h = c + ru[:, size:] * (h - c)
            for _ in range(num_steps):
                d = tf.matmul(d * c, w_c, transpose_b=True) * c
                d += tf.matmul(ru * tf.tile(d, [1, 2]), w_ru, transpose_b=True)
            products = [tf.matmul(states, by, transpose_a=True) for by in (d_ru, d_c)]
            if inputs:
                products += [tf.matmul(x, w_x), tf.matmul(x, d_x, transpose_a=True)]
            return [h, d, *products]

        return run

    layers = [layer(config.ic_enc_dim, channels) for _ in range(2)]
    layers.append(layer(config.gen_dim, config.gen_input_dim))
    if config.has_controller:
        layers += [layer(config.ci_enc_dim, channels) for _ in range(2)]
        layers.append(layer(config.con_dim, config.ci_code_dim + config.feedback_dim))
    states, w_fac = draw(rows, config.gen_dim), draw(config.gen_dim, config.factors_dim)
    w_out = draw(config.factors_dim, channels)

    @tf.function(autograph=False)
    def run() -> tf.Tensor:
        factors = tf.matmul(states, w_fac)
        rates = tf.exp(tf.matmul(factors, w_out))
        d_factors = tf.matmul(rates, w_out, transpose_b=True)
        results = [
            tf.matmul(factors, rates, transpose_a=True),
            tf.matmul(states, d_factors, transpose_a=True),
            tf.matmul(d_factors, w_fac, transpose_b=True),
        ]
        for one in layers:
            results += one()
        return tf.add_n([result[0, 0] for result in results])

    return lambda: run().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=50, help="time bins (default 50)")
    parser.add_argument("--batch", type=int, default=150, help="trials (default 150)")
    parser.add_argument("--channels", type=int, default=30, help="channels (default 30)")
    parser.add_argument("--repeats", type=int, default=40, help="steps timed (default 40)")
    parser.add_argument("--threads", type=int, default=0, help="threads (default: all cores)")
    parser.add_argument(
        "--controller", action="store_true", help="with a controller of 128 and 2 inferred inputs"
    )
    arguments = parser.parse_args()
    share_threads()
    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    config = ModelConfig(
        datasets=(DatasetConfig("dataset001.h5", arguments.channels),),
        num_steps=arguments.steps,
        gen_dim=64,
        ic_enc_dim=64,
        factors_dim=8,
        ic_dim=64,
        co_dim=2 if arguments.controller else 0,
        ci_enc_dim=128,
        con_dim=128,
    )
    shape = (arguments.batch, arguments.steps, arguments.channels)
    counts = np.random.default_rng(0).poisson(0.2, shape).astype(np.float32)
    threads = arguments.threads or len(os.sched_getaffinity(0))
    print(
        f"{arguments.steps} bins, {arguments.batch} trials, {arguments.channels} channels,", end=" "
    )
    print(f"{threads} thread(s), TensorFlow {tf.__version__}")
    first, ours = timed(our_step(config, counts), arguments.repeats)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"our step         {median(ours) * 1e3:8.1f} ms   "
        f"(first call {first:.1f} s, {memory_mb:.0f} MB)"
    )
    _, alone = timed(arithmetic_alone(config, arguments.batch), arguments.repeats)
    ratio = median(ours) / median(alone)
    print(f"arithmetic alone {median(alone) * 1e3:8.1f} ms   ours takes {ratio:.2f} times as long")
    if arguments.controller:
        return
    first, plain = timed(plain_step(config, counts), max(5, arguments.repeats // 4))
    ratio = median(ours) / median(plain)
    print(f"plain while_loop {median(plain) * 1e3:8.1f} ms   ours takes {ratio:.2f} times as long")
    print(f"                                (its first call {first:.1f} s)")


if __name__ == "__main__":
    main()
