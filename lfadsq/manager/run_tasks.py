"""Runs as tasks of the queue, and the options of a queue as a script has them."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lfadsq.errors import ConfigError
from lfadsq.manager.duration import estimate_training_s
from lfadsq.manager.inputs import InputShape
from lfadsq.manager.memory import estimate_memory_mb
from lfadsq.manager.param_values import PARAM_PREFIX
from lfadsq.manager.params import RunParams
from lfadsq.manager.runs import Run
from lfadsq.paths import RunPaths

__all__ = [
    "RunTask",
    "checked_gpus",
    "checked_memory",
    "checked_options",
    "list_run_tasks",
    "model_shape",
]

_SHAPE_PARAMS = (
    "c_batch_size",
    "c_ci_enc_dim",
    "c_co_dim",
    "c_con_dim",
    "c_ext_input_dim",
    "c_factors_dim",
    "c_gen_dim",
    "c_ic_dim",
    "c_ic_enc_dim",
    "c_output_dist",
    "num_samples_posterior",
    "posterior_mean_kind",
)


@dataclass(frozen=True)
class RunTask:
    """One task of the queue: a run, what it is called there, and what it needs.

    Attributes
    ----------
    name : str
        ``lfads_param_<HASH>_run<NNN>_<run name>``, dots as underscores.
    paths : RunPaths
        Files of the run.
    memory_mb : int or "auto"
        Memory to reserve on its device [MB]; or let the queue learn it.
    hints : dict
        What else helps the queue (`lfadsq.queue.tasks.OPTIONAL_KEYS`).
    posterior_mean_only : bool
        Whether the run is only to be sampled, not trained.
    """

    name: str
    paths: RunPaths
    memory_mb: int | Literal["auto"]
    hints: Mapping[str, Any] = field(default_factory=dict)
    posterior_mean_only: bool = False

    @property
    def script(self) -> Path:
        """What the task runs."""
        if self.posterior_mean_only:
            return self.paths.posterior_mean_script
        return self.paths.train_script

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.paths.posterior_mean_log if self.posterior_mean_only else self.paths.log

    @property
    def done(self) -> Path:
        """What marks it as done."""
        return self.paths.posterior_mean_done if self.posterior_mean_only else self.paths.done

    def to_spec(self) -> dict[str, Any]:
        """Give the task as `lfadsq.run_lfads_queue` takes it, with the keys of FORMATS.md 5."""
        return {
            "name": self.name,
            "command": f"bash {shlex.quote(str(self.script.absolute()))}",
            "memory_req": self.memory_mb,
            "outfile": str(self.log.absolute()),
            "donefile": str(self.done.absolute()),
        }


def list_run_tasks(
    runs: Sequence[Run],
    shapes: Sequence[Sequence[InputShape]],
    memory_mb: int | Literal["auto"] | None,
    *,
    posterior_mean_only: bool,
    numbers: Sequence[int] | None = None,
) -> list[RunTask]:
    """Make a task of each run.

    Parameters
    ----------
    runs : sequence of Run
    shapes : sequence of sequence of InputShape
        Sizes of the datasets of each run.
    memory_mb : int, "auto" or None
        Device memory to reserve [MB], to be learned, or estimated.
    posterior_mean_only : bool
        Whether they are only to be sampled.
    numbers : sequence of int, optional
        Of the runs in their collection, from 1; by default they are all there are.
    """
    if numbers is None:
        numbers = range(1, len(runs) + 1)
    return [
        RunTask(
            f"lfads_{PARAM_PREFIX}{run.param_hash}_run{number:03d}_{run.name}".replace(".", "_"),
            run.paths,
            estimate_memory_mb(run.params, sizes) if memory_mb is None else memory_mb,
            _hints(run.params, sizes, is_learned=memory_mb == "auto"),
            posterior_mean_only,
        )
        for number, run, sizes in zip(numbers, runs, shapes, strict=True)
    ]


def model_shape(params: RunParams, shapes: Sequence[InputShape]) -> str:
    """Name the shape of a model: what decides how much memory its training takes."""
    values = [getattr(params, name) for name in _SHAPE_PARAMS]
    text = repr((values, [vars(shape) for shape in shapes]))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def checked_options(
    *,
    one_task_per_gpu: bool,
    max_tasks_simultaneously: int | None,
    ignore_donefile: bool,
    max_tasks_per_gpu: int | None,
) -> dict[str, Any]:
    """Check options of the queue, and leave out what says nothing.

    Raises
    ------
    ConfigError
        If one cannot be.
    """
    for option, value in (
        ("one_task_per_gpu", one_task_per_gpu),
        ("ignore_donefile", ignore_donefile),
    ):
        if not isinstance(value, bool):
            raise ConfigError(f"{option} is {value!r}", "give True or False")
    options: dict[str, Any] = {"one_task_per_gpu": one_task_per_gpu}
    for option, number in (
        ("max_tasks_simultaneously", max_tasks_simultaneously),
        ("max_tasks_per_gpu", max_tasks_per_gpu),
    ):
        if number is not None:
            options[option] = whole_number(option, number, smallest=1)
    if max_tasks_per_gpu is not None and one_task_per_gpu:
        raise ConfigError(
            "max_tasks_per_gpu says how many runs share a GPU, and one_task_per_gpu that they do"
            " not",
            "set one_task_per_gpu to False, or leave max_tasks_per_gpu out",
        )
    if ignore_donefile:
        options["ignore_donefile"] = True
    return options


def whole_number(option: str, value: object, *, smallest: int) -> int:
    """Give a plain integer for the script: NumPy's would be written as ``np.int64(1)``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < smallest:
        raise ConfigError(f"{option} is {value!r}", f"give a whole number, {smallest} or more")
    return int(value)


def checked_memory(
    gpu_memory_required: float | Literal["auto"] | None,
) -> int | Literal["auto"] | None:
    """Check an amount of memory [MB], and round it up.

    Raises
    ------
    ConfigError
        If it is no such amount.
    """
    if gpu_memory_required is None:
        return None
    if isinstance(gpu_memory_required, str) and gpu_memory_required == "auto":
        return "auto"
    is_number = isinstance(gpu_memory_required, int | float | np.number)
    if (
        isinstance(gpu_memory_required, bool | str)
        or not is_number
        or not 0 <= gpu_memory_required < math.inf
    ):
        raise ConfigError(
            f"gpu_memory_required is {gpu_memory_required!r}", "give a number of MB, or 'auto'"
        )
    return math.ceil(gpu_memory_required)


def _hints(params: RunParams, shapes: Sequence[InputShape], *, is_learned: bool) -> dict[str, Any]:
    hints: dict[str, Any] = {"expected_s": round(estimate_training_s(params, shapes))}
    if is_learned:
        hints["shape"] = model_shape(params, shapes)
        hints["memory_estimate"] = estimate_memory_mb(params, shapes)
    return hints


def checked_gpus(gpu_list: object) -> list[int | str]:
    """Check a choice of GPUs.

    Raises
    ------
    ConfigError
        If it is no list of indices and names, or empty.
    """
    if isinstance(gpu_list, str) or not isinstance(gpu_list, Iterable):
        raise ConfigError(f"gpu_list is {gpu_list!r}", "give a list, or None for all GPUs")
    gpus = [
        gpu if isinstance(gpu, str) and gpu else whole_number("a GPU in gpu_list", gpu, smallest=0)
        for gpu in gpu_list
    ]
    if not gpus:
        raise ConfigError("gpu_list is empty", "give a list, or None for all GPUs")
    return gpus
