"""``lfadsq gpus``: the GPUs of this machine, and whose processes are on them."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from lfadsq.cli.targets import json_option

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lfadsq.texts import StyledLine
    from lfadsq.watching.machine_gpus import GpuWatch, MachineGpus

__all__ = ["gpus"]

_WATCH_S = 2.0
_TERMINATED = 128 + signal.SIGTERM


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--watch",
    "every_s",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=_WATCH_S,
    metavar="[SECONDS]",
    help=f"Keep it up to date, every {_WATCH_S:.0f} s or as often as you say, until Ctrl-C.",
)
@click.option("--uuid", "with_uuids", is_flag=True, help="Show the UUID of each GPU.")
@json_option
def gpus(every_s: float | None, with_uuids: bool, as_json: bool) -> None:
    """Show this machine's GPUs, how busy they are, and whose processes are on them.

    No queue is needed, and queues are not asked. All GPUs are shown; those that
    CUDA_VISIBLE_DEVICES hides from programs started here are marked. Processes that train a run of
    lfadsq are shown by their run. A dash is what a GPU, a MIG device or a container does not tell.

    \b
    Examples:
      lfadsq gpus
      lfadsq gpus --watch                 every 2 s, until Ctrl-C
      lfadsq gpus --watch 10 >> gpus.log  without a terminal: plain text again and again
      lfadsq gpus --json | jq '.gpus[] | select(.memory_used_mb < 1000) | .index'
      lfadsq gpus --watch --json          a line of JSON each time

    \b
    Exit status: 0, also on a machine without a GPU; 2 if the command line is wrong; 130 after
    Ctrl-C and 143 after SIGTERM, which end --watch.
    """
    from lfadsq.watching.machine_gpus import GpuWatch

    with contextlib.closing(GpuWatch()) as watch:
        machine = watch.look()
        if every_s is None or machine.problem:
            # Without a driver there is nothing to watch.
            _print(machine, with_uuids, as_json, indent=2)
        else:
            with _ended_by_sigterm():
                _watch(watch, every_s, with_uuids, as_json)


def _watch(watch: GpuWatch, every_s: float, with_uuids: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    if as_json or not console.is_terminal or console.is_dumb_terminal:
        while True:
            _print(watch.look(), with_uuids, as_json)
            time.sleep(every_s)
    # The other screen of the terminal: what was there before is there again at the end.
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = _lines(watch.look(), with_uuids)
            live.update(_picture(lines, console, every_s), refresh=True)
            time.sleep(every_s)


def _print(
    machine: MachineGpus, with_uuids: bool, as_json: bool, indent: int | None = None
) -> None:
    from rich.console import Console
    from rich.text import Text

    if as_json:
        click.echo(json.dumps(machine.to_dict(), indent=indent))
        return
    lines = _lines(machine, with_uuids)
    console = Console(highlight=False)
    if indent is None:
        lines.insert(0, _time_line(machine))
    for line in lines:
        if console.is_terminal:
            console.print(Text(_cut(line.text, console.width), style=line.style))
        else:
            click.echo(line.text)  # whoever reads a pipe breaks lines as they like


def _lines(machine: MachineGpus, with_uuids: bool) -> list[StyledLine]:
    from lfadsq.watching.gpu_text import gpu_lines

    return list(gpu_lines(machine, with_uuids=with_uuids))


def _time_line(machine: MachineGpus) -> StyledLine:
    from lfadsq.texts import StyledLine

    return StyledLine(f"--- {machine.at}")


def _picture(lines: list[StyledLine], console: Console, every_s: float) -> RenderableType:
    from rich.text import Text

    room = max(1, console.height - 1)
    shown = lines[:room]
    left = len(lines) - len(shown)
    more = f"{left} more lines need a higher terminal; " if left else ""
    foot = f"{more}{time.strftime('%H:%M:%S')}, every {every_s:g} s; Ctrl-C ends"
    width = console.width
    return Text("\n").join(
        [
            *(Text(_cut(line.text, width), style=line.style) for line in shown),
            Text(_cut(foot, width), style="dim"),
        ]
    )


def _cut(text: str, width: int) -> str:
    """Cut a line to the width of a terminal; rich's ellipsis is not in every encoding."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, max(0, width - 3))}..."


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind what is open, so that it leaves the terminal as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
