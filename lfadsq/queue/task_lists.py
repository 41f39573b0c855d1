"""Reading the task list of a queue script without running its tasks.

A queue script is a program, and those that MATLAB wrote run their queue as soon as they are read.
So the script is run in a process of its own, where `run_lfads_queue` writes down its arguments and
ends it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lfadsq.errors import ConfigError
from lfadsq.files import check_readable
from lfadsq.queue.failures import last_lines

__all__ = ["DESCRIBE_VARIABLE", "TaskList", "describe_if_asked", "read_task_list"]

DESCRIBE_VARIABLE = "LFADSQ_DESCRIBE"
"""Set to a file's name, it makes `run_lfads_queue` write its arguments there and do nothing."""

_TIMEOUT_S = 60.0
_LINES_SHOWN = 3
_PATH_KEYS = ("outfile", "donefile")


@dataclass(frozen=True)
class TaskList:
    """What a queue script asks for.

    Attributes
    ----------
    script : Path
    queue_name : str
        What displays call the queue.
    tensorboard_script : str or None
    specs : tuple of dict
        The tasks, not checked yet (`lfadsq.queue.tasks.tasks_from_specs`).
    options : dict
        Further arguments of `run_lfads_queue`, by name.
    """

    script: Path
    queue_name: str
    tensorboard_script: str | None
    specs: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]


def describe_if_asked(arguments: Mapping[str, Any]) -> None:
    """Write the arguments of a queue down and end the process, if that is what it was started for.

    Parameters
    ----------
    arguments : dict
        Those of `run_lfads_queue` by name. Objects that JSON cannot hold are left out, or, within
        the task list, become text.

    Raises
    ------
    SystemExit
        With status 0, once it is written. Returns if nobody asked.
    """
    target = os.environ.get(DESCRIBE_VARIABLE)
    if target is None:
        return
    options = {key: value for key, value in arguments.items() if _is_plain(value)}
    options["task_specs"] = _with_full_paths(arguments.get("task_specs"))
    Path(target).write_text(json.dumps(options, default=_plain), encoding="utf-8")
    _end()


def _end() -> NoReturn:
    raise SystemExit(0)


def _with_full_paths(specs: object) -> object:
    # Whoever reads them stands in another folder.
    if isinstance(specs, (str, bytes, Mapping)) or not isinstance(specs, Sequence):
        return specs
    return [
        {key: _full_path(value) if key in _PATH_KEYS else value for key, value in spec.items()}
        if isinstance(spec, Mapping)
        else spec
        for spec in specs
    ]


def _full_path(path: object) -> object:
    if not isinstance(path, (str, Path)) or not str(path).strip():
        return path
    return str(Path(path).expanduser().absolute())


def _plain(value: object) -> object:
    if isinstance(value, (set, frozenset, range)):
        return list(value)
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy, which need not be installed
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return all(map(_is_plain, value))
    simple = isinstance(value, (str, Path, bool, int, float)) or value is None
    return simple or hasattr(value, "tolist")


def read_task_list(script: Path, *, timeout_s: float = _TIMEOUT_S) -> TaskList:
    """Run a queue script as far as its call of `run_lfads_queue`, and give what it asks for.

    Nothing is started and no done-marker is looked at. Relative paths in it start at the script's
    folder.

    Parameters
    ----------
    script : Path
        Written by lfadsq, by MATLAB, or by hand.
    timeout_s : float, default 60
        How long it may take [s]; it is killed then, with all that it started.

    Raises
    ------
    ConfigError
        If it raises, takes too long, or never calls `run_lfads_queue`.
    StorageError
        If it cannot be read.
    """
    script = script.expanduser().absolute()
    check_readable(script)
    with tempfile.TemporaryDirectory(prefix="lfadsq-") as folder:
        target = Path(folder) / "arguments.json"
        status, printed = _run(script, target, timeout_s)
        if target.exists():
            return _task_list_of(script, target.read_text(encoding="utf-8"))
    said = "".join(f"\n  {line}" for line in last_lines(printed, _LINES_SHOWN))
    if status == 0:
        raise ConfigError(
            f"{script} never calls run_lfads_queue, so it has no tasks{said}",
            "name a script that runs a queue",
        )
    raise ConfigError(
        f"{script} ended with exit status {status} before it called run_lfads_queue{said}",
        f"run `python {script}` to see why",
    )


def _run(script: Path, target: Path, timeout_s: float) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=script.parent,
        env={**os.environ, DESCRIBE_VARIABLE: str(target)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    except BaseException as error:
        # Its process is not collected yet, so the id of its group is still its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ConfigError(
                f"{script} did not come to its call of run_lfads_queue within {timeout_s:g} s",
                "take out of it what takes so long, or give the tasks as JSON",
            ) from None
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    return process.returncode, printed.decode("utf-8", errors="replace")


def _task_list_of(script: Path, text: str) -> TaskList:
    try:
        arguments = json.loads(text)
        specs = arguments.pop("task_specs")
        if not isinstance(specs, list):
            raise TypeError(f"task_specs is a {type(specs).__name__}")
        tensorboard_script = arguments.pop("tensorboard_script", None)
        return TaskList(
            script=script,
            queue_name=str(arguments.pop("queue_name", "")),
            tensorboard_script=None if tensorboard_script is None else str(tensorboard_script),
            specs=tuple(specs),
            options=arguments,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{script} calls run_lfads_queue with what is no task list: {error}",
            "correct its task_specs",
        ) from error
