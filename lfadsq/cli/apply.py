"""``lfadsq apply``: put new trials through a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lfadsq.errors import ConfigError

__all__ = ["apply"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA")
@click.option("--dataset", help="Whose read-in and read-out to use, if the model has several.")
@click.option(
    "--kind",
    type=click.Choice(["sample", "mean"]),
    default="sample",
    show_default=True,
    help="Average samples of the posterior, or push its mean through once.",
)
@click.option(
    "--samples",
    "num_samples",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Samples of each trial.",
)
@click.option(
    "--checkpoint",
    type=click.Choice(["lve", "last"]),
    default="lve",
    show_default=True,
    help="The model with the lowest validation error, or the last.",
)
@click.option(
    "--trials",
    "which",
    type=click.Choice(["all", "train", "valid"]),
    default="all",
    show_default=True,
    help="Which trials of a file with train_data and valid_data.",
)
@click.option("--key", help="The array to take, where DATA holds several.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; by default <name of DATA>_posterior_....h5 in the current folder.",
)
@click.option("--seed", type=click.IntRange(min=0), help="By default that of the training.")
@click.option(
    "--device", default="/gpu:0", show_default=True, help="The CPU is taken if there is no GPU."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def apply(
    model: Path,
    data: Path,
    dataset: str | None,
    kind: str,
    num_samples: int,
    checkpoint: str,
    which: str,
    key: str | None,
    out: Path | None,
    seed: int | None,
    device: str,
    as_json: bool,
) -> int:
    """Put new trials through a trained model.

    MODEL is the lfadsOutput of a run, or the run's folder, wherever it is now; nothing is changed
    in it, and how the model was trained is read from it. DATA holds spike counts in bins as wide as
    in training, with the axes (trial, time, channel): an HDF5, MAT, .npz or .npy file with one such
    array or one called data, or an input file of the trainer. External inputs, if the model has
    any, are called ext_input. The file written is one of posterior means, as the run's own are.

    Interrupted, the same command goes on where it was.

    \b
    Examples:
      lfadsq apply param_YOs74u/single_dataset001 new_trials.npy
      lfadsq apply lfadsOutput day2.mat --dataset dataset002 --out day2_rates.h5
      lfadsq apply lfadsOutput lfads_dataset001.h5 --trials valid --samples 1024
      lfadsq apply lfadsOutput new_trials.npz --kind mean --checkpoint last --json
    """
    # Imported here, as TensorFlow takes seconds to load and --help needs none of it.
    from lfadsq.training.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    import tensorflow as tf

    from lfadsq.training.apply import KINDS, Application
    from lfadsq.training.devices import choose_device
    from lfadsq.training.interruption import noted_interruptions
    from lfadsq.training.new_trials import read_trials

    target = _target(model, data, KINDS[kind], out)

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    chosen = choose_device(device, allow_gpu_growth=True, say=say)
    with noted_interruptions() as interruption, tf.device(chosen):
        application = Application.of(
            model,
            read_trials(data, which, key),
            data.name,
            dataset=dataset,
            kind=kind,
            num_samples=num_samples,
            checkpoint=checkpoint,
            seed=seed,
            say=say,
        )
        status = application.write(target, say, interruption)
    if as_json and not status:
        posterior, trials = application.posterior, application.trials
        summary = {
            "out": str(target),
            "kind": posterior.kind,
            "dataset": application.model.datasets[trials.dataset].name.removesuffix(".h5"),
            "num_trials": len(trials.split),
            "num_bins": posterior.config.num_steps,
            "num_samples": posterior.num_samples,
            "checkpoint_step": posterior.step,
            "seed": posterior.seed,
        }
        click.echo(json.dumps(summary, indent=2))
    return status


def _target(model: Path, data: Path, kind: str, out: Path | None) -> Path:
    """Decide which file to write: one in the model's folder only if it was asked for.

    Raises
    ------
    ConfigError
        If it is DATA itself, or would lie in the model's folder by default.
    """
    target = Path.cwd() / f"{data.stem}_{kind}.h5" if out is None else out
    if target.resolve() == data.resolve():
        raise ConfigError(f"{target} is the data themselves", "name another file with --out")
    if out is None and target.resolve().is_relative_to(model.resolve()):
        raise ConfigError(
            "the current folder is the model's, where nothing is written unasked",
            "say where to write with --out",
        )
    return target
