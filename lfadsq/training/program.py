"""The trainer as one function: flags in, exit status out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import tensorflow as tf

from lfadsq.paths import OutputPaths
from lfadsq.training.devices import choose_device, share_threads
from lfadsq.training.export import write_model_params
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import noted_interruptions
from lfadsq.training.locks import training_lock
from lfadsq.training.posterior import write_posterior_means, write_prior_sample
from lfadsq.training.session import Say, open_trained
from lfadsq.training.together import Outcome, train_together
from lfadsq.training.trainer import train

__all__ = ["run", "run_together"]


def run(values: Mapping[str, Any], say: Say) -> int:
    """Do what the flag ``kind`` says.

    Parameters
    ----------
    values : mapping of str to object
        Flags by name; those missing or None are at their defaults.
    say : callable
        Is given every line meant for standard output.

    Returns
    -------
    int
        Exit status: 0, or 128 plus the number of the signal that stopped it.

    Raises
    ------
    LfadsqError
        If it cannot be done.
    """
    flags = TrainerFlags.from_values(**values)
    device = choose_device(flags["device"], allow_gpu_growth=flags["allow_gpu_growth"], say=say)
    if flags["kind"] == "train" and device == "/cpu:0":
        share_threads()
    with tf.device(device):
        if flags["kind"] == "train":
            with training_lock(flags.save_dir), noted_interruptions() as interruption:
                return train(flags, say, interruption)
        if flags["kind"] == "write_model_params":
            path = OutputPaths(flags.save_dir).model_params
            write_model_params(path, open_trained(flags).variables)
            say(f"Wrote {path}")
        elif flags["kind"] == "prior_sample":
            write_prior_sample(flags, say)
        else:
            with noted_interruptions() as interruption:
                return write_posterior_means(flags, say, interruption)
    return 0


def run_together(
    runs: Sequence[tuple[str, Mapping[str, Any]]], device: str | None, say: Say
) -> list[Outcome]:
    """Train several runs in this process.

    Parameters
    ----------
    runs : sequence of (name, mapping of str to object)
        Flags by name, as for `run`.
    device : str, optional
        In place of that of the flags.
    say : callable
        Is given every line meant for standard output.

    Returns
    -------
    list of Outcome
        In the order of the runs.

    Raises
    ------
    LfadsqError
        If they cannot be trained together, or one of them cannot begin.
    """
    given = {} if device is None else {"device": device}
    described = [(name, TrainerFlags.from_values(**{**values, **given})) for name, values in runs]
    first = described[0][1]
    chosen = choose_device(first["device"], allow_gpu_growth=first["allow_gpu_growth"], say=say)
    if chosen == "/cpu:0":
        share_threads()
    with ExitStack() as locks, tf.device(chosen), noted_interruptions() as interruption:
        for folder in sorted({flags.save_dir.resolve() for _, flags in described}):
            locks.enter_context(training_lock(folder))
        return train_together(
            described, say, interruption, device=chosen, stacked=chosen != "/cpu:0"
        )
