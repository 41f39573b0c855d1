"""Why a task failed, and what to do about it: told from its exit status and the end of its log."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lfadsq.queue.devices import CPU, Device
from lfadsq.queue.events import Failure
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.tasks import Task

__all__ = [
    "REMEDIES",
    "Ending",
    "cause_of",
    "current_folder",
    "ending_of_status",
    "failure_of",
    "last_lines",
    "log_tail",
    "remedy_of",
    "unplaceable",
]

REMEDIES = {
    Cause.GPU_MEMORY: "raise gpu_memory_required (memory_req), run fewer tasks on one GPU, or lower"
    " c_batch_size or c_gen_dim",
    Cause.NOT_A_NUMBER: "the same seed and settings will do it again: the end of the log names what"
    " became infinite first, and what to change; `lfadsq queue retry` tries it all the same",
    Cause.IMPORT_ERROR: "install what is missing into the environment that runs the queue",
    Cause.MISSING_PROGRAM: "install what the end of the log names, or put its folder on PATH; then"
    " start the queue again",
    Cause.MISSING_SCRIPT: "prepare_for_lfads writes the scripts of a run again; then"
    " `lfadsq queue retry`",
    Cause.NO_GPU: "see that `nvidia-smi` lists the GPU and that TensorFlow was installed with CUDA"
    " (pip install 'lfadsq[gpu]')",
    Cause.STORAGE: "make room, or see that the folder exists and may be written, then start the"
    " queue again",
    Cause.KILLED_BY_SIGNAL: "SIGKILL without a word is often the kernel short of memory (see"
    " `dmesg`); otherwise look at the end of the log",
    Cause.KILLED_BY_USER: "somebody ended it: start the queue again to go on",
    Cause.NOT_CONVERGED: "the training ended without the line that tells its success: look at the"
    " log",
    Cause.REFUSED: "the end of the log says what is wrong and what to do; without that, the same"
    " would happen again",
    Cause.FITS_NOWHERE: "lower gpu_memory_required (memory_req), or use a device with more memory",
    Cause.CANCELLED: "`lfadsq queue retry` takes it up again",
    Cause.PAUSED: "`lfadsq queue resume` lets it go on",
    Cause.QUEUE_STOPPED: "start the queue again to go on",
    Cause.LOST: "start the queue again to go on",
    Cause.WALLTIME: "it goes on from its checkpoint in another job",
    Cause.PREEMPTED: "it goes on from its checkpoint in another job",
    Cause.NODE_LOST: "see the log of its job, and whether --memory-per-job is enough",
    Cause.UNKNOWN: "look at the end of the log, or run the command by hand",
}
"""What to do next, for every cause."""

_TOO_LARGE = (
    "it had a GPU to itself: lower c_batch_size, c_gen_dim or num_samples_posterior, or use a GPU"
    " with more memory"
)
_BY_USER = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    # What batch systems announce an end with; our trainer takes them like SIGTERM.
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
}
_SHELL_NOT_FOUND = 127
_SHELL_NOT_EXECUTABLE = 126
# How our own trainer ends on an error that it expected (lfadsq.cli.boundary), and what it prints.
_EXPECTED_ERROR = 1
_REFUSAL = re.compile(r"^error: ")

# In the order of trust: an exhausted GPU also makes TensorFlow print many a later error.
_SIGNS: tuple[tuple[Cause, re.Pattern[str]], ...] = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        (
            Cause.GPU_MEMORY,
            r"ResourceExhaustedError|CUDA_ERROR_OUT_OF_MEMORY|CUDA out of memory"
            r"|OOM when allocating|RESOURCE_EXHAUSTED: Out of memory",
        ),
        (
            Cause.NOT_A_NUMBER,
            r"NonFiniteCostError|(?:cost|loss|gradient)\b.{0,40}\b(?:NaN|not a number|not finite)\b"
            r"|Tensor had (?:NaN|Inf)|contains? NaN",
        ),
        (Cause.STORAGE, r"No space left on device|Disk quota exceeded|Read-only file system"),
        # Our own words (lfadsq.files), whatever the system's reason.
        (Cause.STORAGE, r"^error: cannot (?:write|make the folder) "),
        (Cause.IMPORT_ERROR, r"^\s*(?:ModuleNotFoundError|ImportError)\b"),
        (Cause.IMPORT_ERROR, r"No module named \S+\s*$"),
        (Cause.IMPORT_ERROR, r"^error: .* cannot be imported"),
    )
)
# TensorFlow prints CUDA_ERROR_NO_DEVICE as a mere note wherever there is no GPU.
_NO_GPU_ON_A_GPU = re.compile(
    r"no CUDA-capable device|CUDA_ERROR_NO_DEVICE|CUDA driver version is insufficient"
    r"|Cannot assign a device for operation",
    re.IGNORECASE,
)
_NO_GPU_ANYWHERE = re.compile(r"Cannot assign a device for operation", re.IGNORECASE)

_TAIL_BYTES = 64 * 1024
_LINES_THAT_TELL = 100
_LINES_SHOWN = 15

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes
    ----------
    exit_status : int or None
        Its own status; None if a signal ended it.
    signal : str or None
        Name of that signal.
    """

    exit_status: int | None
    signal: str | None

    @property
    def succeeded(self) -> bool:
        """Whether the exit status is 0."""
        return self.exit_status == 0

    def __str__(self) -> str:
        return f"signal {self.signal}" if self.signal else f"exit status {self.exit_status}"


def ending_of_status(status: int) -> Ending:
    """Tell exit status from signal, as shells (128 + n) and as Python (-n) report it.

    >>> ending_of_status(137)
    Ending(exit_status=None, signal='SIGKILL')
    >>> str(ending_of_status(3))
    'exit status 3'
    """
    number = -status if status < 0 else status - 128
    if number > 0:
        try:
            return Ending(None, signal.Signals(number).name)
        except ValueError:
            pass
    return Ending(status, None)


def cause_of(ending: Ending, log: str, *, on_gpu: bool) -> Cause:
    """Find why a task did not succeed.

    Parameters
    ----------
    ending : Ending
        How its command ended.
    log : str
        The end of what it printed.
    on_gpu : bool
        Whether it had been given a GPU.

    Returns
    -------
    Cause
        `Cause.UNKNOWN` if nothing tells.
    """
    if ending.signal is not None and signal.Signals[ending.signal] in _BY_USER:
        return Cause.KILLED_BY_USER
    lines = log.splitlines()[-_LINES_THAT_TELL:]
    for cause, sign in _SIGNS:
        if any(sign.search(line) for line in lines):
            return cause
    if ending.signal is not None:
        return Cause.KILLED_BY_SIGNAL
    if ending.exit_status in (_SHELL_NOT_FOUND, _SHELL_NOT_EXECUTABLE):
        return Cause.MISSING_PROGRAM
    if ending.exit_status == _EXPECTED_ERROR and any(_REFUSAL.search(line) for line in lines):
        return Cause.REFUSED
    no_gpu = _NO_GPU_ON_A_GPU if on_gpu else _NO_GPU_ANYWHERE
    if any(no_gpu.search(line) for line in lines):
        return Cause.NO_GPU
    return Cause.UNKNOWN


def log_tail(path: Path, *, since: int = 0, max_bytes: int = _TAIL_BYTES) -> str:
    """Read the end of a log.

    Parameters
    ----------
    path : Path
        The log.
    since : int, default 0
        Nothing before this place [bytes].
    max_bytes : int
        At most so much [bytes].

    Returns
    -------
    str
        Empty if the log cannot be read: this is for people, after something else went wrong.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A log that got shorter was emptied by its own command: all of it is new.
            begin = since if since <= size else 0
            file.seek(max(begin, size - max_bytes))
            return file.read(max_bytes).decode("utf-8", errors="replace")
    except OSError:
        return ""


def last_lines(log: str, num_lines: int) -> list[str]:
    r"""Give the last lines as a terminal would show them, without colours and overwritten text.

    >>> last_lines("begin\n10 %\r90 %\n\x1b[31mred\x1b[0m\n\n", 2)
    ['90 %', 'red']
    """
    lines = (line.rstrip().rpartition("\r")[2] for line in log.split("\n"))
    shown = [_CONTROLS.sub("", _ESCAPES.sub("", line)) for line in lines if line.strip()]
    return shown[-num_lines:]


def failure_of(task: Task, attempt: Attempt | None, problem: str = "") -> Failure:
    """Gather what people need to look into a task that did not succeed.

    Parameters
    ----------
    task : Task
    attempt : Attempt or None
        None if it never came to one.
    problem : str
        What went wrong outside the command, if anything.
    """
    cause = (attempt.cause if attempt else None) or Cause.UNKNOWN
    ran = attempt is not None and (attempt.exit_status is not None or attempt.signal is not None)
    tail = log_tail(task.outfile, since=attempt.log_offset) if attempt and ran else ""
    return Failure(
        name=task.name,
        cause=cause,
        ending=str(Ending(attempt.exit_status, attempt.signal)) if attempt and ran else "",
        remedy=remedy_of(cause, attempt),
        device_name=attempt.device_name if attempt else "",
        log=task.outfile,
        log_tail="\n".join(last_lines(tail, _LINES_SHOWN)),
        command_by_hand=_command_by_hand(
            task, _device_here(attempt), attempt.folder if attempt else ""
        ),
        problem=problem,
    )


def remedy_of(cause: Cause, attempt: Attempt | None) -> str:
    """Say what to do next about a cause, as far as the attempt that it ended is known."""
    if cause is Cause.GPU_MEMORY and attempt is not None and attempt.is_alone:
        return _TOO_LARGE
    return REMEDIES[cause]


def unplaceable(task: Task, devices: Sequence[Device]) -> Failure:
    """Say that a task needs more memory than any device has."""
    largest = max(devices, key=lambda device: device.memory_total_mb)
    return Failure(
        name=task.name,
        cause=Cause.FITS_NOWHERE,
        ending="",
        remedy=REMEDIES[Cause.FITS_NOWHERE],
        device_name="",
        log=task.outfile,
        log_tail="",
        command_by_hand=_command_by_hand(task, CPU, ""),
        problem=f"it needs {task.memory_mb:.0f} MB, and the largest device, {largest.name}, has"
        f" {largest.memory_total_mb:.0f} MB in all",
    )


def _device_here(attempt: Attempt | None) -> str:
    """Give the device of an attempt, if it is one of this machine."""
    return attempt.device if attempt and attempt.host == socket.gethostname() else CPU


def _command_by_hand(task: Task, device: str, folder: str) -> str:
    settings = []
    if device != CPU:
        settings.append(f"CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={shlex.quote(device)}")
    programs = str(Path(sys.executable).parent)
    # Whoever pastes it may have activated nothing; the system's folders every shell has.
    if programs not in os.defpath.split(":") + ["/usr/local/bin"]:
        settings.append(f"PATH={shlex.quote(programs)}:$PATH")
    # A shell of its own: the command may join several programs, and may say `exit`.
    line = ["cd", shlex.quote(folder or current_folder()), "&&", *settings]
    return " ".join([*line, "bash -c", shlex.quote(task.command)])


def current_folder() -> str:
    """Give the folder in which commands start now."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # somebody removed it under our feet
        return "/"
