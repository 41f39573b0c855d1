"""Whose processes are on a GPU, and which of them train a run of ours."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lfadsq.queue.machine import session_of_gpu_process
from lfadsq.queue.nvml import GpuProcess
from lfadsq.queue.processes import JOURNAL_DESCRIPTOR, TOKEN_VARIABLE

__all__ = ["GpuUser", "is_trainer", "run_of_command", "user_of"]

_OUTPUT_FLAG = "--lfads_save_dir"
_OUTPUT_FOLDER = "lfadsOutput"
_LOCK_NAME = "lfads.lock"
_OUR_PROGRAM = re.compile(r"(.*/)?(lfadsq|run_lfads\.py)")
_PYTHON = re.compile(r"(.*/)?python[\d.]*")


@dataclass(frozen=True)
class GpuUser:
    """A process that computes on a GPU.

    Attributes
    ----------
    pid : int
        As the driver counts.
    memory_mb : float or None
        GPU memory that it has taken [MB]; None if the driver does not tell.
    user : str
        Whose it is; empty if that is not to be seen, as in a container.
    command : tuple of str
        Its command line; empty if it is not to be seen.
    is_lfadsq : bool
        Whether a queue of lfadsq started it, or it is a trainer of ours.
    run : str
        The run directory that it works on; empty if that is not known.
    """

    pid: int
    memory_mb: float | None = None
    user: str = ""
    command: tuple[str, ...] = ()
    is_lfadsq: bool = False
    run: str = ""

    @property
    def run_name(self) -> str:
        """The run as displays call it: its directory in that of its hyperparameters."""
        return "/".join(Path(self.run).parts[-2:]) if self.run else ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {**vars(self), "command": list(self.command)}


def user_of(process: GpuProcess) -> GpuUser:
    """Find out about a process that the driver says uses a GPU; never fails.

    Parameters
    ----------
    process : GpuProcess

    Returns
    -------
    GpuUser
        With nothing but its pid and memory if it is gone, or cannot be seen from here.
    """
    import psutil

    found = GpuUser(process.pid, process.taken_mb)
    # In a container the driver's number may be that of another process.
    if session_of_gpu_process(process.pid) is None:
        return found
    with contextlib.suppress(psutil.Error, OSError):
        one = psutil.Process(process.pid)
        with one.oneshot():
            # A user without a name is told by number.
            found = replace(found, user=one.username(), command=tuple(one.cmdline()))
            with contextlib.suppress(psutil.Error, OSError):  # those of others hide the rest
                found = replace(found, is_lfadsq=TOKEN_VARIABLE in one.environ())
            folder = _run_of_lock(process.pid)
            if not folder:
                with contextlib.suppress(psutil.Error, OSError):
                    folder = run_of_command(found.command, one.cwd())
                folder = folder or run_of_command(found.command)
            is_lfadsq = found.is_lfadsq or is_trainer(found.command)
            found = replace(found, is_lfadsq=is_lfadsq, run=folder if is_lfadsq else "")
    return found


def is_trainer(command: Sequence[str]) -> bool:
    """Tell whether a command line is that of our trainer.

    >>> is_trainer(["python", "-m", "lfadsq", "train"]), is_trainer(["/opt/bin/lfadsq", "train"])
    (True, True)
    >>> is_trainer(["python3.11", "/opt/bin/run_lfads.py"]), is_trainer(["vim", "lfadsq"])
    (True, False)
    """
    words = list(command)
    if words and _PYTHON.fullmatch(words[0]):
        words = words[1:]
        if words[:1] == ["-m"]:
            return words[1:2] == ["lfadsq"]
    return bool(words) and _OUR_PROGRAM.fullmatch(words[0]) is not None


def run_of_command(command: Sequence[str], folder: str = "") -> str:
    """Find the run directory in the command line of a trainer; empty if there is none.

    Parameters
    ----------
    command : sequence of str
    folder : str, optional
        Where it was started; without it, relative paths tell nothing.

    Examples
    --------
    >>> run_of_command(["lfadsq", "train", "--lfads_save_dir=/runs/param_Yw0JcR/all/lfadsOutput"])
    '/runs/param_Yw0JcR/all'
    """
    for word, after in zip(command, (*command[1:], ""), strict=False):
        flag, has_value, value = word.partition("=")
        if flag.replace("--", "", 1) == _OUTPUT_FLAG.removeprefix("--"):
            path = Path(folder, value if has_value else after)
            if path.is_absolute():
                path = Path(os.path.normpath(path))
                return str(path.parent if path.name == _OUTPUT_FOLDER else path)
    return ""


def _run_of_lock(pid: int) -> str:
    """Find the run of a task by the lock that a queue lets all its processes inherit."""
    with contextlib.suppress(OSError):
        held = Path(f"/proc/{pid}/fd/{JOURNAL_DESCRIPTOR}").readlink()
        if held.name == _LOCK_NAME:
            return str(held.parent)
    return ""
