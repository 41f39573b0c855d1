"""``lfadsq tensorboard``: TensorBoard for a collection, or for some of its runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.run_choice import best_among, best_option, chosen_logs, target_or_places
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import Target, collection_option
from lfadsq.texts import harmless

if TYPE_CHECKING:
    from lfadsq.queue.events import Noted

__all__ = ["tensorboard"]

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_LOG = "tensorboard.log"
_RUNS = "runs"
_LINES_SHOWN = 15


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@best_option
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="PORT", help="By default any that is free."
)
@click.option(
    "--host",
    default="localhost",
    metavar="ADDRESS",
    help="Listen there, for example 0.0.0.0: whoever reaches it sees your data. By default this"
    " machine alone.",
)
@collection_option
def tensorboard(
    words: tuple[str, ...],
    best: int | None,
    port: int | None,
    host: str,
    collection: Path | None,
) -> int:
    """Show trainings in TensorBoard, until Ctrl-C.

    All runs of the collection, or only those that are named; with --best the ones of the lowest
    validation cost among these. If a queue runs the TensorBoard of the whole collection already,
    its address is told, unless a port or address is asked for. It comes with the line for ssh that
    brings it to your own computer.

    \b
    Examples:
      lfadsq tensorboard
      lfadsq tensorboard ~/runs/my_collection --port 6006
      lfadsq tensorboard run003 run007
      lfadsq tensorboard '*_param_Yw0JcR_*'
      lfadsq tensorboard --best 5
    """
    from lfadsq.queue.failures import last_lines, log_tail
    from lfadsq.queue.tensorboard import Serving, TensorBoard
    from lfadsq.watching.link_folder import LinkFolder

    target = target_or_places(collection, words)
    links = _links(target, best)
    if host not in _THIS_MACHINE:
        click.echo(
            f"warning: whoever can reach {harmless(host)} sees these trainings: TensorBoard asks"
            " for no password",
            err=True,
        )
    warnings: list[Noted] = []

    def tell(noted: Noted) -> None:
        if noted.is_warning:
            warnings.append(noted)
        # The log goes with its folder, so that it is no use to say where it is.
        text = noted.text.removesuffix(f" (see {serving.log})")
        click.echo(harmless(text), err=noted.is_warning)

    with ExitStack() as stack:
        # Its log goes there too: the collection may be somebody else's.
        private = stack.enter_context(LinkFolder((f"{_RUNS}/{name}", to) for name, to in links))
        shown = private / _RUNS if links else target.collection
        is_whole = not links and port is None and host in _THIS_MACHINE
        serving = Serving(
            # Looking for news every 5 s, as it would by itself, keeps the disk of a thousand runs
            # busy.
            ("tensorboard", f"--logdir={shown}", f"--host={host}", "--reload_interval=30"),
            log=private / _LOG,
            collection=target.collection if is_whole else None,
            port=port,
            host=host,
        )
        board = stack.enter_context(TensorBoard(serving, tell))
        board.wait()
        if warnings:
            for line in last_lines(log_tail(serving.log), _LINES_SHOWN):
                click.echo(harmless(f"| {line}"), err=True)
    return 1 if warnings else 0


def _links(target: Target, best: int | None) -> list[tuple[str, Path]]:
    """Name the runs that are meant, and where their events are; none for all of the collection."""
    from lfadsq.paths import RunPaths
    from lfadsq.watching.link_folder import link_names

    if not target.words and best is None:
        return []
    # Training and sampling of one run are two tasks.
    folders = list(dict.fromkeys(log.run.folder for log in chosen_logs(target)))
    if best is not None:
        found = best_among(target.collection, folders if target.words else None, best)
        folders = [target.collection / one.run.name for one in found]
        for one in found:
            click.echo(f"validation cost {one.run.lowest_valid_cost:.6g}: {harmless(one.run.name)}")
    return [
        (name, RunPaths(folder).output.log_dir.absolute())
        for name, folder in zip(link_names(folders), folders, strict=True)
    ]
