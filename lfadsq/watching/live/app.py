"""The live view of a collection as a program in a terminal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from lfadsq.errors import LfadsqError
from lfadsq.watching.collection_status import CollectionStatus
from lfadsq.watching.live.actions import cancel_run, explain_run, log_of_run, retry_run
from lfadsq.watching.live.board import Board
from lfadsq.watching.live.cost_tails import CostTails
from lfadsq.watching.live.glyphs import BLOCKS, Glyphs
from lfadsq.watching.live.keys import HELP
from lfadsq.watching.live.lines import Line, Span, shown, wrapped
from lfadsq.watching.live.polling import Poller
from lfadsq.watching.live.reading import CollectionReader
from lfadsq.watching.live.screens import LogScreen, QuestionScreen, TextScreen
from lfadsq.watching.machine_gpus import GpuWatch, MachineGpus
from lfadsq.watching.run_status import RunState, RunStatus

__all__ = ["INTERVAL_S", "WatchApp"]

INTERVAL_S = 2.0


class _Seen(NamedTuple):
    status: CollectionStatus
    run_of_task: Mapping[str, str]
    costs: Mapping[str, tuple[float, ...]]


class WatchApp(App[None]):
    """Shows a collection until somebody quits.

    Parameters
    ----------
    collection : Path
        Its folder.
    interval_s : float, default 2
        How often to look [s].
    has_colour : bool, default True
    glyphs : Glyphs
    is_there : callable, optional
        Whether the terminal is there still: if not, it ends.

    Attributes
    ----------
    error : Exception or None
        What ended it, if that was a fault.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; color: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    class Looked(Message):
        """The collection was looked at."""

        def __init__(self, seen: _Seen | Exception) -> None:
            super().__init__()
            self.seen = seen

    class Measured(Message):
        """The GPUs of this machine were measured."""

        def __init__(self, gpus: MachineGpus | Exception) -> None:
            super().__init__()
            self.gpus = gpus

    class Said(Message):
        """There is something to be told."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self,
        collection: Path,
        *,
        interval_s: float = INTERVAL_S,
        has_colour: bool = True,
        glyphs: Glyphs = BLOCKS,
        is_there: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(ansi_color=True)
        # Nothing slides: each step would go over the line.
        self.animation_level = "none"
        self.error: Exception | None = None
        self._collection = collection
        self._has_colour = has_colour
        self._is_there = is_there
        self._reader = CollectionReader(collection)
        self._tails = CostTails(collection)
        self._gpu_watch = GpuWatch()
        self._wanted: tuple[str, ...] = ()
        self._last: _Seen | None = None
        self._names: tuple[CollectionStatus, Mapping[str, str]] | None = None
        self._board = Board(str(collection), has_colour=has_colour, glyphs=glyphs)
        self._looking = Poller(
            self._look, lambda seen: self.tell(self.Looked(seen)), interval_s, "lfadsq-look"
        )
        self._measuring = Poller(
            self._gpu_watch.look,
            lambda gpus: self.tell(self.Measured(gpus)),
            interval_s,
            "lfadsq-gpus",
            self._gpu_watch.close,
        )

    # --- reading, on threads ---------------------------------------------------------------------

    def _look(self) -> _Seen:
        status = self._reader.look()
        if self._names is None or self._names[0].runs is not status.runs:
            self._names = status, {run.task: run.name for run in status.runs if run.task}
        return _Seen(status, self._names[1], self._tails.read(self._wanted))

    # --- its life --------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Begin to look."""
        self.push_screen(self._board)
        self._looking.start()
        self._measuring.start()

    def on_unmount(self) -> None:
        """Stop looking."""
        self._looking.stop(waits=True)
        self._measuring.stop(waits=True)

    def tell(self, message: Message, screen: Screen[Any] | None = None) -> None:
        """Hand on a message from any thread; after the end it is dropped."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            (screen or self).post_message(message)

    def crash(self, error: Exception) -> None:
        """End because of a fault; whoever runs it raises it once the terminal is as it was."""
        self.error = self.error or error
        self.exit()

    def _handle_exception(self, error: Exception) -> None:
        """Take a fault in a widget as any other.

        textual would print every local variable of every frame, some 170 kB. Where it calls this no
        more, it does so again, and `running` still ends as after a fault.
        """
        self.crash(error)

    def on_watch_app_looked(self, message: Looked) -> None:
        """Show what was seen."""
        if not self.is_running:
            return  # it is closing, and has no screen any more
        if not self._is_there():
            self.exit()
            return
        seen = message.seen
        if isinstance(seen, LfadsqError):
            self._board.take_status(None, {}, str(seen))
            return
        if isinstance(seen, Exception):
            self.crash(seen)
            return
        self._board.take_status(seen.status, seen.run_of_task, "")
        if self._last is None or seen.costs != self._last.costs:
            self._board.take_costs(seen.costs)
        self._last = seen

    def on_watch_app_measured(self, message: Measured) -> None:
        """Show this machine's GPUs."""
        if not self.is_running:
            return
        gpus = message.gpus
        if isinstance(gpus, Exception):
            self.crash(gpus)
            return
        self._board.take_gpus(gpus)
        if isinstance(self.screen, TextScreen):
            self.screen.rewrite()

    def on_board_in_sight(self) -> None:
        """Read the costs of the runs that are seen."""
        wanted = self._board.names_in_sight
        if set(wanted) - set(self._wanted):
            self._wanted = wanted
            self._looking.wake()
        self._wanted = wanted

    # --- keys ------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Quit."""
        self.exit()

    def action_look_again(self) -> None:
        """Look at all runs anew."""
        self._reader.forget()
        self._looking.wake()

    def action_help(self) -> None:
        """Show what keys do."""
        lines: list[Line] = [(Span(line),) for line in HELP.splitlines()]
        self.push_screen(
            TextScreen("help", lambda: lines, has_colour=self._has_colour, is_quick=True)
        )

    def action_devices(self) -> None:
        """Show all devices."""
        self.push_screen(
            TextScreen(
                "devices", self._board.device_lines, has_colour=self._has_colour, is_quick=True
            )
        )

    def action_log(self) -> None:
        """Show the log of the run that is picked."""
        run = self._board.hold_picked()
        if run is not None:
            self.push_screen(
                LogScreen(
                    run.name,
                    lambda: log_of_run(self._collection, run),
                    has_colour=self._has_colour,
                )
            )

    def action_explain(self) -> None:
        """Tell everything about the run that is picked."""
        run = self._board.hold_picked()
        if run is None:
            return
        width = self._board.size.width

        def write() -> list[Line]:
            text = explain_run(self._collection, run)
            return [
                (Span(shown(part)),) for line in text.splitlines() for part in _folded(line, width)
            ]

        self.push_screen(TextScreen(f"about {run.name}", write, has_colour=self._has_colour))

    def action_cancel(self) -> None:
        """Cancel the run that is picked, if that is really meant."""
        run = self._board.hold_picked()
        if run is None:
            return
        what = (
            "It is at work: it ends with a checkpoint."
            if run.state is RunState.TRAINING
            else "It will not be started."
        )
        lines: list[Line] = [
            (Span(f"Cancel {shown(run.name)}?", "strong"),),
            (Span(what),),
            (Span("`r` takes it up again, from its last checkpoint."),),
            (),
            (Span("y", "strong"), Span(" cancels it; any other key leaves it as it is")),
        ]

        def answer(is_meant: bool | None) -> None:
            if is_meant:
                self._do(cancel_run, run)

        self.push_screen(QuestionScreen(lines, has_colour=self._has_colour), answer)

    def action_retry(self) -> None:
        """Have the run that is picked tried again."""
        run = self._board.hold_picked()
        if run is not None:
            self._do(retry_run, run)

    def _do(self, act: Callable[[Path, RunStatus], str], run: RunStatus) -> None:
        self._board.say("...")

        def work() -> None:
            try:
                text = act(self._collection, run)
            except LfadsqError as error:
                text = f"error: {error}"
            except Exception as error:
                self.tell(self.Looked(error))
                return
            self.tell(self.Said(text))
            self.action_look_again()

        threading.Thread(target=work, name="lfadsq-act", daemon=True).start()

    def on_watch_app_said(self, message: Said) -> None:
        """Tell it."""
        if self.is_running:
            self._board.say(message.text)


def _folded(line: str, width: int) -> list[str]:
    """Break a long line; what follows stands as far in as it does."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return wrapped(line, width, indent=indent) if len(line) > width else [line]
