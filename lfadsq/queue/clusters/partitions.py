"""Partitions and queues that a batch system tells of, as a help to who must choose one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["find_partitions", "find_system"]

TIMEOUT_S = 5.0

_LONGEST_OUTPUT = 100_000
_MOST_SHOWN = 40
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]*")

# PBS and Grid Engine both have qstat and qsub; these are theirs alone. Moab comes before what it
# manages, as its commands are only where they are meant to be used.
_PROGRAMS = {
    "moab": "msub",
    "slurm": "sinfo",
    "pbs": "pbsnodes",
    "sge": "qconf",
    "lsf": "bhosts",
    "htcondor": "condor_submit",
    "oar": "oarsub",
}


def find_system() -> str:
    """Name the batch system whose commands are on ``PATH``; empty if there is none."""
    return next((name for name, program in _PROGRAMS.items() if shutil.which(program)), "")


def find_partitions(system: str, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Ask a batch system for its partitions.

    Parameters
    ----------
    system : str
        Its name.
    timeout_s : float, default 5
        How long it may take [s].

    Returns
    -------
    list of str
        A line for each; empty if it cannot be asked, does not answer in time, or answers something
        else.
    """
    question = _QUESTIONS.get(system)
    if question is None:
        return []
    found = filter(None, map(question.read, _output_of(question.command, timeout_s).splitlines()))
    return list(dict.fromkeys(found))[:_MOST_SHOWN]


def _output_of(command: tuple[str, ...], timeout_s: float) -> str:
    # A file and a group of its own: what a wrapper of the command leaves behind holds up nobody.
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError:
            return ""
        try:
            status = process.wait(timeout_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                return ""
            raise
        said.seek(0)
        text = said.read(_LONGEST_OUTPUT).decode("utf-8", errors="replace")
        return text if status == 0 else ""


@dataclass(frozen=True)
class _Question:
    """A command that lists partitions, and how a line of its answer is read."""

    command: tuple[str, ...]
    read: Callable[[str], str]


def _slurm_line(line: str) -> str:
    """Read a line of sinfo.

    >>> _slurm_line("gpu*|infinite|gpu:a100:4"), _slurm_line("short|2:00|(null)"), _slurm_line("?")
    ('gpu (default), GPUs a100:4', 'short, at most 2:00', '')
    """
    words = line.split("|")
    if len(words) != 3 or not _NAME.fullmatch(words[0].removesuffix("*")):
        return ""
    name, limit, resources = words
    gpus = [part[4:].partition("(")[0] for part in resources.split(",") if part.startswith("gpu:")]
    parts = [name.removesuffix("*") + (" (default)" if name.endswith("*") else "")]
    parts += [f"at most {limit}"] if re.fullmatch(r"[0-9:-]+", limit) else []
    parts += [f"GPUs {gpu}" for gpu in gpus if re.fullmatch(r"[A-Za-z0-9_.:-]+", gpu)]
    return ", ".join(parts)


def _first_word(line: str) -> str:
    """Read a line that begins with a name.

    >>> _first_word("workq   0  0 yes yes"), _first_word("Queue   Max  Tot"), _first_word("-----")
    ('workq', '', '')
    """
    word = "".join(line.split()[:1])
    return "" if word in ("Queue", "QUEUE_NAME") or not _NAME.fullmatch(word) else word


_QUESTIONS = {
    "slurm": _Question(("sinfo", "--noheader", "--format=%P|%l|%G"), _slurm_line),
    "pbs": _Question(("qstat", "-Q"), _first_word),
    "sge": _Question(("qconf", "-sql"), _first_word),
    "lsf": _Question(("bqueues",), _first_word),
}
