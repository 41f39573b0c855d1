"""The command ``lfadsq``."""

from __future__ import annotations

import os

import click

from lfadsq.cli.boundary import run_command
from lfadsq.cli.lazy import LazyGroup

__all__ = ["lfadsq", "main"]

_VERBS = {
    "apply": (
        "lfadsq.cli.apply:apply",
        "put new trials through a trained model: rates, factors, inferred inputs",
    ),
    "check": (
        "lfadsq.cli.check:check",
        "find everything in a collection that would fail or mislead, before it is trained",
    ),
    "compare": (
        "lfadsq.cli.compare:compare",
        "the runs of a sweep in one table: the best by cost or score, and those that look broken",
    ),
    "completion": (
        "lfadsq.cli.completion:completion",
        "make bash, zsh or fish complete verbs, options, runs and collections",
    ),
    "delete": (
        "lfadsq.cli.delete:delete",
        "delete what training wrote, so that runs can be trained from scratch",
    ),
    "demo": (
        "lfadsq.cli.demo:demo",
        "make Lorenz data, train a small sweep on it, and show how well rates are inferred",
    ),
    "doctor": (
        "lfadsq.cli.doctor:doctor",
        "see whether a queue would work on this machine or a cluster, and what to do if not",
    ),
    "explain": (
        "lfadsq.cli.explain:explain",
        "everything about one run: why it waits or failed, what was tried, what to do",
    ),
    "export": (
        "lfadsq.cli.export:export",
        "write results for MATLAB, xarray, NWB, or as one zip for a colleague",
    ),
    "gpus": (
        "lfadsq.cli.gpus:gpus",
        "this machine's GPUs: how busy they are, and whose processes are on them",
    ),
    "init": (
        "lfadsq.cli.init:init",
        "begin an experiment of your own; or write cluster.toml: what to ask of a cluster",
    ),
    "logs": (
        "lfadsq.cli.logs:logs",
        "what runs printed, and what they print now",
    ),
    "open": (
        "lfadsq.cli.open:open_",
        "open a run's folder, log, newest figure or TensorBoard",
    ),
    "queue": (
        "lfadsq.cli.queue:queue",
        "see and control the queues of a collection: status, cancel, pause, retry, ...",
    ),
    "report": (
        "lfadsq.cli.report:report",
        "one HTML file on a collection, to read in a browser and to mail",
    ),
    "results": (
        "lfadsq.cli.results:results",
        "what runs have come to: costs, R2 to the truth, arrays, files; and all their figures",
    ),
    "status": (
        "lfadsq.cli.status:status",
        "how a collection stands: what trains where, what failed and why, the best runs",
    ),
    "submit": (
        "lfadsq.cli.submit:submit",
        "run the queue of a collection as a small job of a batch system",
    ),
    "tensorboard": (
        "lfadsq.cli.tensorboard:tensorboard",
        "TensorBoard for a collection, for chosen runs, or for the best ones",
    ),
    "train": (
        "lfadsq.cli.train:train",
        "train one run, or evaluate a trained one (also installed as run_lfads.py)",
    ),
    "watch": (
        "lfadsq.cli.watch:watch",
        "a collection live in the terminal: GPUs, runs, costs, failures, logs, cancel, retry",
    ),
}


@click.group(
    cls=LazyGroup,
    lazy_verbs=_VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lfadsq", message="lfadsq %(version)s")
def lfadsq() -> None:
    """Train LFADS models on every GPU a lab may use.

    \b
    Examples:
      lfadsq demo                     the whole path, on made-up data, in minutes
      lfadsq init reaching            begin an experiment of your own
      lfadsq VERB --help              what a verb does, with examples
      python run_lfadsqueue.py        train a collection that you prepared
      lfadsq status                   how far it is, in another terminal
    """


def main() -> None:
    """Run ``lfadsq`` and end the process."""
    if "_LFADSQ_COMPLETE" in os.environ:  # a shell asks while somebody types
        from lfadsq.cli.shells import complete

        complete(lfadsq)
    run_command(lfadsq)
