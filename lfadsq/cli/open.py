"""``lfadsq open``: a run's folder, log, figure or TensorBoard in what the desktop has for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from lfadsq.cli.run_choice import chosen_logs, target_or_places
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import Target, collection_option
from lfadsq.errors import ResultNotReadyError, RunNotFoundError
from lfadsq.texts import harmless

__all__ = ["open_"]

_WHATS = ("folder", "log", "figure", "tensorboard")


@click.command("open", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN] [WHAT]", shell_complete=suggest_runs)
@click.option("-p", "--print", "only_print", is_flag=True, help="Only print path or address.")
@collection_option
def open_(words: tuple[str, ...], only_print: bool, collection: Path | None) -> None:
    """Open something of a run, or of a collection.

    WHAT is one of: folder (what is opened if nothing is said), log, figure (the newest one),
    tensorboard (of the collection, if one runs).

    A log is shown in $PAGER, an address in $BROWSER, all else by the desktop (xdg-open). The path
    or address is printed too, and where there is no desktop that is all.

    \b
    Examples:
      lfadsq open run003
      lfadsq open run003 log
      lfadsq open ~/runs/my_collection tensorboard
      cd "$(lfadsq open run003 --print)"
    """
    what = "folder"
    if words and words[-1] in _WHATS:
        what, words = words[-1], words[:-1]
    target = target_or_places(collection, words)
    if what == "tensorboard":
        _show_address(_tensorboard_of(target), only_print=only_print)
        return
    path = _path(target, what)
    # A program gets the path as it is, a person what a terminal takes.
    click.echo(harmless(str(path)) if sys.stdout.isatty() else os.fsencode(path))
    if only_print:
        return
    from lfadsq.watching.desktop import opener_command, pager_command, start

    if what == "log" and sys.stdout.isatty() and sys.stdin.isatty():
        pager = pager_command(os.environ)
        if pager is not None:
            subprocess.run([*pager, str(path)], check=False)
            return
    command = opener_command(os.environ)
    if command is not None and not start(command, str(path)):
        click.echo(f"{harmless(command[0])} cannot open it", err=True)


def _path(target: Target, what: str) -> Path:
    from lfadsq.watching.desktop import newest_figure

    logs = chosen_logs(target) if target.words else []
    folders = list(dict.fromkeys(log.run.folder for log in logs)) or [target.collection]
    if len(folders) > 1:
        names = ", ".join(log.name for log in logs[:8])
        raise RunNotFoundError(f"these are {len(folders)} runs: {names}", "name one of them")
    if what == "figure":
        return newest_figure(folders[0])
    path = folders[0]
    if what == "log":
        from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths

        queue_log = ControlPaths(target.collection / FOLDER_NAME).log
        existing = [log.path for log in logs if log.path.exists()] or [log.path for log in logs]
        path = existing[0] if existing else queue_log
    if not path.exists():
        raise ResultNotReadyError(f"there is no {path} yet", "it comes when the run starts")
    return path


def _tensorboard_of(target: Target) -> str:
    import socket

    from lfadsq.queue.tensorboard_claim import live_address

    address = live_address(target.collection)
    if address is None:
        raise ResultNotReadyError(
            f"no TensorBoard of {target.collection} runs",
            "start one, which stays in its terminal: `lfadsq tensorboard`",
        )
    if address.host not in (socket.gethostname(), socket.getfqdn()):
        raise ResultNotReadyError(
            f"TensorBoard runs on {address.host}, port {address.port}",
            "`lfadsq tensorboard` tells the line for ssh that leads there",
        )
    return address.url


def _show_address(url: str, *, only_print: bool) -> None:
    from lfadsq.watching.desktop import browser_command, start

    click.echo(url)
    command = None if only_print else browser_command(os.environ)
    if command is not None and not start(command, url):
        click.echo(f"{harmless(command[0])} cannot open it", err=True)
