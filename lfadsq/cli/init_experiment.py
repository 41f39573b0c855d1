"""A new experiment of one's own: what ``lfadsq init NAME`` does."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import click

from lfadsq.errors import ConfigError
from lfadsq.files import make_folder, storage_errors, write_text
from lfadsq.paths import CollectionPaths
from lfadsq.texts import harmless

__all__ = ["ask_to_replace", "begin_experiment", "holds_collection"]


_ANSWER = "answer on a terminal, or choose another name for the experiment"


def holds_collection(folder: Path, *others: str) -> bool:
    """Tell whether a folder is that of a collection.

    Parameters
    ----------
    folder : Path
        It need not exist.
    *others : str
        Names of further files that only a collection has.
    """
    paths = CollectionPaths(folder)
    signs = (paths.queue_script, paths.summary, *(folder / name for name in others))
    return any(sign.exists() for sign in signs)


def ask_to_replace(path: Path, remedy: str) -> bool:
    """Ask whether to replace a file.

    Parameters
    ----------
    path : Path
        What is there.
    remedy : str
        What to do where nobody can answer.

    Raises
    ------
    ConfigError
        If nobody answers.
    """
    try:
        return click.confirm(f"{path} is there already. Replace it?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question has no end of line
        raise ConfigError(
            f"{path} is there already, and nobody answered, so it was left as it is", remedy
        ) from None


def begin_experiment(folder: Path, *, force: bool, as_json: bool) -> None:
    """Write the files of a new experiment, and tell what to do next.

    Parameters
    ----------
    folder : Path
        Where to; made if missing.
    force : bool
        Whether it may hold other files. Those that would be replaced are asked about, all before
        anything is written, and kept if the answer is no.
    as_json : bool
        Whether to tell as JSON.

    Raises
    ------
    ConfigError
        If something else is there, or nobody answers; nothing was written.
    StorageError
        If a file cannot be written.
    """
    # Imported here: the templates need what reading options for a cluster does not.
    from lfadsq.manager.names import check_name
    from lfadsq.manager.starter import render_starter

    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 (without "..", links stay)
    check_name(folder.name, "experiment")
    _check_free(folder, force=force)
    texts = render_starter(folder)
    with storage_errors(folder, "read"):
        waiting = {path: text for path, text in texts.items() if not _holds(path, text)}
        in_the_way = [path for path in waiting if os.path.lexists(path)]
    kept = [path for path in in_the_way if not ask_to_replace(path, _ANSWER)]
    for path in kept:
        del waiting[path]
    for path, text in waiting.items():
        make_folder(path.parent)
        write_text(path, text)
    package = next(path.parent.name for path in texts if path.name == "__init__.py")
    go = [] if folder == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    steps = [*go, "python drive_single.py"]
    if as_json:
        files = sorted(str(path) for path in waiting)
        result = {"folder": str(folder), "package": package, "files": files, "next": steps}
        click.echo(json.dumps(result, indent=2))
        return
    lines = [f"wrote an experiment with the package {package} into {folder}"]
    lines += [f"left as it is: {path}" for path in kept]
    lines += ["next:", *(f"  {step}" for step in steps)]
    lines += [
        "It runs as it is, on made-up recordings; README.md there tells how to make it yours."
    ]
    click.echo(harmless("\n".join(lines)))


def _check_free(folder: Path, *, force: bool) -> None:
    with storage_errors(folder, "read"):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file", "choose another name for the experiment")
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise ConfigError(
                f"{folder} is not empty",
                "choose another name for a new experiment, or say --force to write its files there"
                " all the same; for cluster.toml say --cluster NAME as well",
            )


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text
