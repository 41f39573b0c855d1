"""Opening files and addresses in what a desktop has for them, where there is one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lfadsq.errors import ResultNotReadyError
from lfadsq.paths import RunPaths

__all__ = ["browser_command", "newest_figure", "opener_command", "pager_command", "start"]

_FIGURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")
_PATIENCE_S = 2.0


def _has_desktop(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def opener_command(environment: Mapping[str, str]) -> list[str] | None:
    """Give the program that opens files as the desktop would; None where there is no desktop.

    >>> opener_command({"PATH": "/usr/bin"}) is None
    True
    """
    path = environment.get("PATH", os.defpath)
    programs = ("xdg-open", "gio") if _has_desktop(environment) else ()
    for program in programs:
        found = shutil.which(program, path=path)
        if found:
            return [found] if program == "xdg-open" else [found, "open"]
    return None


def browser_command(environment: Mapping[str, str]) -> list[str] | None:
    """Give the program that opens addresses: the first of ``$BROWSER``, or the desktop's.

    Where somebody set ``$BROWSER``, as editors do that reach a machine over ssh, it counts without
    a desktop too.
    """
    for entry in filter(None, environment.get("BROWSER", "").split(":")):
        words = _words(entry)
        found = shutil.which(words[0], path=environment.get("PATH")) if words else None
        if found:
            return [found, *words[1:]]
    return opener_command(environment)


def pager_command(environment: Mapping[str, str]) -> list[str] | None:
    """Give ``$PAGER``, or less or more; None if there is none."""
    for entry in (environment.get("PAGER", ""), "less", "more"):
        words = _words(entry)
        found = shutil.which(words[0], path=environment.get("PATH")) if words else None
        if found:
            return [found, *words[1:]]
    return None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quote
        return []


def start(command: Sequence[str], target: str) -> bool:
    """Start a program of the desktop, which outlives us, and tell whether it seems to work.

    Parameters
    ----------
    command : sequence of str
    target : str
        A path or an address, its last argument, or in the place of ``%s``.

    Returns
    -------
    bool
        False if it cannot be started, or ends soon with an error.
    """
    words = [target if word == "%s" else word for word in command]
    if "%s" not in command:
        words.append(target)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return process.wait(_PATIENCE_S) == 0
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it goes on without us, and Python is not to complain
        return True


def newest_figure(folder: Path) -> Path:
    """Find the figure that was written last in a run directory or collection.

    Parameters
    ----------
    folder : Path
        Looked into are it and its folders, but not the events of TensorBoard.

    Raises
    ------
    ResultNotReadyError
        If there is none.
    """
    log_dir = RunPaths(folder).output.log_dir.name
    newest: tuple[float, Path] | None = None
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != log_dir and not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if path.suffix.lower() in _FIGURES and path.is_file():
                newest = max(newest or (0.0, path), (path.stat().st_mtime, path))
    if newest is None:
        raise ResultNotReadyError(
            f"there is no figure in {folder}",
            "trainings show theirs in TensorBoard: `lfadsq tensorboard` or"
            " `lfadsq open RUN tensorboard`",
        )
    return newest[1]
