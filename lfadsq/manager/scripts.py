"""The text of every generated script: how runs are trained, queued and watched (FORMATS.md 5)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lfadsq.manager.params import RunParams
from lfadsq.manager.run_tasks import RunTask
from lfadsq.manager.templating import ShellText, render
from lfadsq.manager.trainer_commands import OUR_TRAINER, TrainerCommands
from lfadsq.paths import INPUT_FILE_STEM, CollectionPaths, RunPaths

__all__ = [
    "flag_text",
    "render_queue_script",
    "render_run_scripts",
    "render_tensorboard_script",
    "trainer_flags",
]

_SCALED_BY_DATASETS = {
    "c_kl_increase_steps": "scaleIncreaseStepsWithDatasets",
    "c_l2_increase_steps": "scaleIncreaseStepsWithDatasets",
    "c_kl_start_step": "scaleStartStepWithDatasets",
    "c_l2_start_step": "scaleStartStepWithDatasets",
}
_BATCH_SIZE_FLAG = "batch_size"
_CONTINUED = " \\\n    "
_LOADED = {"checkpoint_pb_load_name": "checkpoint_lve"}


def flag_text(value: Any) -> str:
    """Write a value as the trainer's command line takes it.

    Doubles have six decimals, as in scripts that MATLAB wrote, but more where six would change the
    value: MATLAB turned a learning rate of 1e-8 into 0.

    >>> [flag_text(value) for value in (64, True, 0.95, 1e-5, 1e-8, 1 / 3, "poisson")]
    ['64', 'true', '0.950000', '0.000010', '1e-08', '0.3333333333333333', 'poisson']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = f"{value:f}"
        return text if float(text) == value else repr(value)
    if isinstance(value, tuple):
        return ",".join(map(flag_text, value))
    return str(value)


def trainer_flags(params: RunParams, num_datasets: int) -> dict[str, str]:
    """Give the trainer's flags for a setting.

    Parameters
    ----------
    params : RunParams
        The hyperparameters.
    num_datasets : int
        Number of datasets in the run, by which increase steps and start steps are multiplied
        where the hyperparameters say so.

    Returns
    -------
    dict of str to str
        Text of each flag, in the order of displays. Empty values are left out.
    """
    flags = {}
    for hyper in params.hyperparams():
        if not hyper.passed_to_trainer:
            continue
        value = getattr(params, hyper.name)
        scaling = _SCALED_BY_DATASETS.get(hyper.name)
        if scaling is not None and getattr(params, scaling):
            value *= num_datasets
        text = flag_text(value)
        if text:
            flags[hyper.flag] = text
    return flags


def render_run_scripts(
    paths: RunPaths,
    params: RunParams,
    num_datasets: int,
    trainer: TrainerCommands = OUR_TRAINER,
) -> dict[Path, str]:
    """Give the text of the three scripts of a run.

    Parameters
    ----------
    paths : RunPaths
        Files of the run. No text depends on where the run lies.
    params : RunParams
        Its hyperparameters.
    num_datasets : int
        Its number of datasets.
    trainer : TrainerCommands
        What the scripts call; by default our own trainer.

    Returns
    -------
    dict of Path to str
        The text by the file it belongs into.
    """
    model_flags = trainer_flags(params, num_datasets)
    batch_size = model_flags.pop(_BATCH_SIZE_FLAG)
    num_samples = f"{params.num_samples_posterior:.0f}"
    if not trainer.is_ours:
        calls = {
            "train": {"kind": "train", "batch_size": batch_size},
            "posterior_mean": {
                "kind": params.posterior_mean_kind,
                "batch_size": num_samples,
                **_LOADED,
            },
            "write_model_params": {
                "kind": "write_model_params",
                "batch_size": batch_size,
                **_LOADED,
            },
        }
        return _render_other_scripts(paths, trainer, model_flags, calls)
    common = {
        "input_folder": paths.lfads_input.name,
        "input_stem": INPUT_FILE_STEM,
        "output_folder": paths.lfads_output.name,
        "model_flags": list(model_flags.items()),
    }
    sampling = {
        "posterior_mean_kind": params.posterior_mean_kind,
        "num_samples_posterior": num_samples,
    }
    batch = {"batch_size": batch_size}
    values_of = {
        paths.train_script: {**common, **sampling, **batch},
        paths.posterior_mean_script: {**common, **sampling},
        paths.write_model_params_script: {**common, **batch},
    }
    return {path: render(path.name, **values) for path, values in values_of.items()}


def _render_other_scripts(
    paths: RunPaths,
    trainer: TrainerCommands,
    model_flags: Mapping[str, str],
    calls: Mapping[str, Mapping[str, str]],
) -> dict[Path, str]:
    """Give the scripts for a trainer that is not ours; `calls` are the flags of each command."""
    output_folder = paths.lfads_output.name
    places = {
        "run_dir": '"$run_dir"',
        "data_dir": f'"$run_dir"/{shlex.quote(paths.lfads_input.name)}',
        "lfads_save_dir": f'"$run_dir"/{shlex.quote(output_folder)}',
    }
    files = [
        f"--data_dir={places['data_dir']}",
        f"--data_filename_stem={INPUT_FILE_STEM}",
        f"--lfads_save_dir={places['lfads_save_dir']}",
    ]

    def quoted(flags: Mapping[str, str]) -> list[str]:
        known = {flag: text for flag, text in flags.items() if flag not in trainer.omitted_flags}
        return [f"--{flag}={shlex.quote(text)}" for flag, text in known.items()]

    hyperparams = quoted(model_flags)

    def command(name: str) -> ShellText:
        values = {flag: shlex.quote(text) for flag, text in calls[name].items()}
        return trainer.fill_in(
            name,
            {
                **places,
                **values,
                "model_flags": _CONTINUED.join(hyperparams),
                "flags": _CONTINUED.join([*files, *hyperparams, *quoted(calls[name])]),
            },
        )

    def script(template: str, training: Sequence[str], evaluation: Sequence[str]) -> str:
        program = trainer.needed_program
        return render(
            template,
            setup=[ShellText(lines) for lines in trainer.setup],
            needed_program=program,
            missing_program=f"{program} is not on PATH; install it, or let the setup lines of the"
            " trainer activate its environment",
            training=[command(name) for name in training],
            promised_files=list(trainer.promised_files),
            output_folder=output_folder,
            evaluation=[command(name) for name in evaluation],
        )

    return {
        paths.train_script: script(
            "lfads_train.other.sh", ["train"], ["posterior_mean", "write_model_params"]
        ),
        paths.posterior_mean_script: script(
            "lfads_posterior_mean_sample.other.sh", [], ["posterior_mean"]
        ),
        paths.write_model_params_script: script(
            "lfads_write_model_params.other.sh", [], ["write_model_params"]
        ),
    }


def render_tensorboard_script() -> str:
    """Give the text of ``launch_tensorboard.sh``."""
    return render("launch_tensorboard.sh")


def render_queue_script(
    script: Path,
    collection: CollectionPaths,
    queue_name: str,
    tasks: Sequence[RunTask],
    *,
    gpu_list: Sequence[int | str] | None,
    options: dict[str, Any],
) -> str:
    """Give the text of ``run_lfadsqueue.py``.

    Parameters
    ----------
    script : Path
        The file it belongs into.
    collection : CollectionPaths
        Files of the collection.
    queue_name : str
        What the queue calls itself.
    tasks : sequence of RunTask
        At least one; all of one kind.
    gpu_list : sequence of int or str, or None
        GPUs to use; None for all there are.
    options : dict
        Further arguments of `lfadsq.run_lfads_queue`.

    Returns
    -------
    str
    """
    first = tasks[0]
    return render(
        "run_lfadsqueue.py",
        script_name=script.name,
        queue_name=queue_name,
        tensorboard_script=collection.tensorboard_script.name,
        gpu_list=None if gpu_list is None else list(gpu_list),
        task_script=first.script.name,
        outfile=first.log.name,
        donefile=first.done.name,
        tasks=[
            (
                task.name,
                str(task.paths.folder.relative_to(collection.folder)),
                task.memory_mb,
                list(task.hints.items()),
            )
            for task in tasks
        ],
        options=list(options.items()),
    )
