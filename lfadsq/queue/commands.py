"""What a task's command line means: plain argument list or shell text, and how success shows.

Scripts that LFADS Run Manager wrote in MATLAB pipe the command into ``tee``, so its exit status
says nothing (FORMATS.md 5). The queue keeps the log itself: the pipe is taken off, and success is
told by the line the trainer prints.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from lfadsq.queue.tasks import Task

__all__ = ["SUCCESS_LINE", "Invocation", "digest_of", "invocation_of", "missing_script"]

SUCCESS_LINE = "Stopping optimization"
"""The trainer prints a line with this when its learning rate has become small enough."""

# Only what means the same to exec and to every shell: safe characters and 'quoted' text. A first
# word with "=" would be an assignment, one that begins with "~" a home folder.
_PLAIN = re.compile(r"(?:[\w@%+:,./=-]|'[^']*'|[ \t])+", re.ASCII)
_INTERPRETERS = {"bash", "sh", "zsh", "python", "python3"}
_MOST_OF_A_SCRIPT_BYTES = 2**20
_PIPED = re.compile(r"^(?P<body>.*\S)\s+2>&1\s*\|\s*tee(?:\s+-a)?\s+(?P<log>\S.*?)\s*$", re.DOTALL)


@dataclass(frozen=True)
class Invocation:
    """How to start a task.

    Attributes
    ----------
    argv : tuple of str
        Program and arguments.
    success_line : str or None
        If not None, success is a line holding this in what the task printed, whatever the exit
        status; otherwise it is exit status 0.
    """

    argv: tuple[str, ...]
    success_line: str | None


def invocation_of(task: Task) -> Invocation:
    """Read a task's command.

    A task written by MATLAB that only samples posterior means never prints the line of a finished
    training; with its pipe taken off, its exit status counts.

    Examples
    --------
    >>> task = Task("a", "bash '/my runs/lfads_train.sh'", 0, Path("/o"), Path("/lfads.done"))
    >>> invocation_of(task)
    Invocation(argv=('bash', '/my runs/lfads_train.sh'), success_line=None)
    >>> task = Task("a", "bash t.sh 2>&1 | tee /o", 0, Path("/o"), Path("/lfads.done"))
    >>> invocation_of(task)
    Invocation(argv=('bash', 't.sh'), success_line='Stopping optimization')
    """
    piped = _PIPED.match(task.command)
    log = _single_path(piped["log"]) if piped else None
    if piped is None or log is None:
        return Invocation(_argv_of(task.command), None)
    body = piped["body"] if _same_file(log, task.outfile) else task.command
    trains = not task.files.record.suffix.endswith("posteriorMeanOnly")
    return Invocation(_argv_of(body), SUCCESS_LINE if trains else None)


def missing_script(invocation: Invocation) -> Path | None:
    """Give the script that an interpreter is to run, if it is not there.

    >>> missing_script(Invocation(("bash", "/nowhere/lfads_train.sh"), None))
    PosixPath('/nowhere/lfads_train.sh')
    """
    script = _script_of(invocation)
    return script if script is not None and not script.exists() else None


def digest_of(invocation: Invocation) -> str:
    """Digest a command and the script it runs: the same again does the same again.

    Settings stand in the script, and the seed is one of them. What else the command reads is
    not looked at.
    """
    digest = hashlib.sha256("\0".join(invocation.argv).encode("utf-8", "surrogateescape"))
    script = _script_of(invocation)
    if script is not None:
        try:
            with script.open("rb") as file:
                digest.update(file.read(_MOST_OF_A_SCRIPT_BYTES))
        except OSError:
            pass  # it cannot run either
    return digest.hexdigest()[:16]


def _script_of(invocation: Invocation) -> Path | None:
    argv = invocation.argv
    if len(argv) > 1 and not argv[1].startswith("-") and Path(argv[0]).name in _INTERPRETERS:
        return Path(argv[1])
    return None


def _argv_of(command: str) -> tuple[str, ...]:
    if _PLAIN.fullmatch(command):
        argv = tuple(shlex.split(command))
        if argv and "=" not in argv[0]:
            return argv
    # bash, not sh: that is what the scripts of LFADS Run Manager were written for.
    return ("bash", "-c", command)


def _single_path(text: str) -> Path | None:
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if len(words) != 1 or (any(c in text for c in "|;&<>()$`") and words[0] == text):
        return None
    return Path(words[0]).expanduser().absolute()


def _same_file(one: Path, other: Path) -> bool:
    return one == other or one.resolve() == other.resolve()
