"""What TensorBoard's numbers and pictures cost a training.

The same small model is trained for some epochs, in turns: without logging, with the numbers alone,
and with pictures too. A picture of a training and of a validation trial is ordered after every
10th epoch, as at the beginning of a real training. Printed are

- the median time of an epoch, the time of all epochs as a ratio to that without logging (the
  median of the rounds), and how many pictures were drawn meanwhile;
- what an order costs the training, and how long a picture takes to arrive: the first, for which the
  process is started, and later ones;
- the memory of the process that draws.

``--thread`` also measures drawing in a thread of the training's process.

    python benchmarks/logging_cost.py [--epochs 20] [--rounds 3] [--bins 50] [--thread]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
import tensorflow as tf

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import initial_parameters
from lfadsq.training.data import Split
from lfadsq.training.devices import share_threads
from lfadsq.training.example_trials import ExampleTrial
from lfadsq.training.logs import EventLog
from lfadsq.training.pictures import TrialPicture, draw_png
from lfadsq.training.rendering import PictureRenderer
from lfadsq.training.steps import ModelSteps
from lfadsq.training.variables import ModelVariables

BATCH, BATCHES_PER_EPOCH, CHANNELS = 50, 8, 30
EPOCHS_BETWEEN_PICTURES = 10
NUM_SCALARS = 16


class ThreadRenderer:
    """Draws in a thread of this process, for comparison."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def submit(self, key: str, picture: TrialPicture, deliver: Callable[[bytes], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) < 2:
            thread = threading.Thread(target=lambda: deliver(draw_png(picture)))
            self._threads.append(thread)
            thread.start()

    def wait(self, longest_s: float) -> None:
        for thread in self._threads:
            thread.join(longest_s)

    def close(self) -> None:
        self.wait(60.0)


def make_model(num_bins: int) -> tuple[ModelSteps, Split]:
    """Make a small model and the trials of a batch."""
    config = ModelConfig(
        datasets=(DatasetConfig("dataset001.h5", CHANNELS),),
        num_steps=num_bins,
        gen_dim=64,
        ic_enc_dim=64,
        factors_dim=8,
        ic_dim=64,
        co_dim=0,
    )
    counts = np.random.default_rng(0).poisson(0.2, (BATCH, num_bins, CHANNELS)).astype(np.float32)
    variables = ModelVariables.create(config, initial_parameters(config, 0), 0.001)
    empty = np.zeros((BATCH, num_bins, 0), np.float32)
    return ModelSteps(config, variables, 0), Split.of(counts, empty, is_poisson=True)


class Training:
    """Epochs of one model, with or without logging."""

    def __init__(self, num_bins: int, root: Path) -> None:
        self._steps, self._split = make_model(num_bins)
        self._root = root
        trial = self._split.batch(slice(0, 1))
        self._examples = [
            ExampleTrial(f"LFADS/Example_trial_{key}", key, trial, trial.data[0], is_counts=True)
            for key in ("train", "valid")
        ]
        self.order_s: list[float] = []
        self.num_drawn = 0
        self._num_runs = 0

    def run(
        self, num_epochs: int, renderer: PictureRenderer | ThreadRenderer | None, *, logs: bool
    ) -> list[float]:
        """Train and give the time of each epoch [s]."""
        self._num_runs += 1
        events = EventLog(self._root / str(self._num_runs), 0)
        batch, times = self._split.batch(slice(None)), []
        for epoch in range(num_epochs):
            begin = time.perf_counter()
            for _ in range(BATCHES_PER_EPOCH):
                self._steps.train(0, batch)
            self._steps.validate(0, 0, batch)
            if logs:
                events.scalars(epoch, {f"LFADS/{number}": 1.0 for number in range(NUM_SCALARS)})
            if renderer is not None and epoch % EPOCHS_BETWEEN_PICTURES == 0:
                self.show(epoch, renderer, events)
            times.append(time.perf_counter() - begin)
        return times

    def show(
        self, epoch: int, renderer: PictureRenderer | ThreadRenderer, events: EventLog
    ) -> None:
        """Order the pictures of an epoch."""
        begin = time.perf_counter()
        for example in self._examples:
            inferred = self._steps.posterior_means(0, example.trial, BATCH)

            def deliver(png: bytes, tag: str = example.tag) -> None:
                events.image(epoch, tag, png)
                self.num_drawn += 1

            renderer.submit(example.tag, example.picture(inferred, epoch), deliver)
        self.order_s.append(time.perf_counter() - begin)

    def time_to_arrive(self, renderer: PictureRenderer | ThreadRenderer) -> float:
        """Give the time from the order of a picture to its delivery, while nothing trains [s]."""
        inferred = self._steps.posterior_means(0, self._examples[0].trial, BATCH)
        begin = time.perf_counter()
        renderer.submit("one", self._examples[0].picture(inferred, 0), lambda png: None)
        renderer.wait(60.0)
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=20, help="epochs a round (default 20)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--bins", type=int, default=50, help="time bins (default 50)")
    parser.add_argument("--thread", action="store_true", help="also draw in a thread")
    options = parser.parse_args()
    share_threads()
    with tempfile.TemporaryDirectory() as name:
        training = Training(options.bins, Path(name))
        training.run(1, None, logs=False)
        process = PictureRenderer()
        first_s = training.time_to_arrive(process)
        later_s = [training.time_to_arrive(process) for _ in range(5)]
        renderers: dict[str, PictureRenderer | ThreadRenderer | None] = {
            "without logging": None,
            "numbers": None,
            "numbers and pictures": process,
        }
        if options.thread:
            renderers["drawn in a thread"] = ThreadRenderer()
        epochs_s: dict[str, list[float]] = {kind: [] for kind in renderers}
        ratios: dict[str, list[float]] = {kind: [] for kind in renderers}
        num_drawn = dict.fromkeys(renderers, 0)
        orders_s: list[float] = []
        for _ in range(options.rounds):
            for kind, renderer in renderers.items():
                training.num_drawn, training.order_s = 0, []
                times = training.run(options.epochs, renderer, logs=kind != "without logging")
                num_drawn[kind] += training.num_drawn
                if renderer is process:
                    orders_s += training.order_s
                # What is still being drawn must not slow the next kind.
                if renderer is not None:
                    renderer.wait(60.0)
                epochs_s[kind] += times
                ratios[kind].append(sum(times))
        print(
            f"{options.bins} bins, {BATCHES_PER_EPOCH} batches of {BATCH} trials an epoch, "
            f"{len(os.sched_getaffinity(0))} cores, TensorFlow {tf.__version__}"
        )
        alone = ratios["without logging"]
        for kind in renderers:
            ratio = median(t / a for t, a in zip(ratios[kind], alone, strict=True))
            print(
                f"{kind:21s} epoch {median(epochs_s[kind]) * 1e3:7.1f} ms   "
                f"{ratio:5.2f} times as long   {num_drawn[kind]:3d} pictures meanwhile"
            )
        print(f"an order of two pictures {median(orders_s) * 1e3:8.1f} ms of the training")
        print(f"the first picture        {first_s * 1e3:8.1f} ms until it arrives")
        print(f"a later one              {median(later_s) * 1e3:8.1f} ms")
        children = psutil.Process().children()
        memory = sum(child.memory_full_info().uss for child in children)
        print(f"the process that draws   {memory / 1e6:8.1f} MB of its own")
        process.close()


if __name__ == "__main__":
    main()
