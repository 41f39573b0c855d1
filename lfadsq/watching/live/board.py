"""The main screen: a collection, its devices, its best runs, and the list of its runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from lfadsq.watching.collection_status import CollectionStatus
from lfadsq.watching.live.glyphs import Glyphs
from lfadsq.watching.live.gpu_lines import all_device_lines, device_lines
from lfadsq.watching.live.gpus import LiveDevice, live_devices
from lfadsq.watching.live.head_lines import best_lines, head_lines
from lfadsq.watching.live.keys import BOARD_KEYS, Keys, key_line
from lfadsq.watching.live.layout import Layout
from lfadsq.watching.live.lines import Line, Span, clipped, shown
from lfadsq.watching.live.listing import Listing
from lfadsq.watching.live.run_lines import detail_lines
from lfadsq.watching.live.run_list import RunList
from lfadsq.watching.live.widgets import Lines
from lfadsq.watching.machine_gpus import MachineGpus
from lfadsq.watching.run_status import RunStatus

if TYPE_CHECKING:
    from lfadsq.watching.live.app import WatchApp

__all__ = ["Board"]


class Board(Screen[None]):
    """Shows a collection, and knows which of its runs is picked.

    Parameters
    ----------
    collection : str
        Its folder, for displays.
    has_colour : bool
    glyphs : Glyphs
    """

    app: WatchApp

    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    Board { background: ansi_default; color: ansi_default; }
    Board Input {
        border: none; height: 1; padding: 0; display: none;
        background: ansi_default; color: ansi_default;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "pick(-1)", show=False),
        Binding("down,j", "pick(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home", "pick(-1000000000)", show=False),
        Binding("end,G", "pick(1000000000)", show=False),
        Binding("l,enter", "app.log", show=False),
        Binding("e", "app.explain", show=False),
        Binding("c", "app.cancel", show=False),
        Binding("r", "app.retry", show=False),
        Binding("g", "app.devices", show=False),
        Binding("u", "app.look_again", show=False),
        Binding("question_mark,h", "app.help", show=False),
        Binding("q", "app.quit", show=False),
        Binding("slash", "find", show=False),
        Binding("f", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("S", "turn_around", show=False),
        Binding("escape", "show_all", show=False),
    ]

    class InSight(Message):
        """Other runs are seen now."""

    def __init__(self, collection: str, *, has_colour: bool, glyphs: Glyphs) -> None:
        super().__init__()
        self._folder = shown(collection)
        self._glyphs = glyphs
        self._state: CollectionStatus | None = None
        self._problem = ""
        self._here: MachineGpus | None = None
        self._told = ""
        self._run_of_task: Mapping[str, str] = {}
        self._top_part = Lines(has_colour=has_colour, id="head")
        self._devices_part = Lines(has_colour=has_colour, id="devices")
        self._best_part = Lines(has_colour=has_colour, id="best")
        self._list = RunList(has_colour=has_colour, glyphs=glyphs, id="runs")
        self._detail_part = Lines(has_colour=has_colour, id="detail")
        self._find_part = Input(placeholder="words to find in runs", id="find", compact=True)
        self._foot_part = Lines(has_colour=has_colour, id="keys")
        self.listing = Listing()
        self.devices: tuple[LiveDevice, ...] = ()

    # --- what it is told -------------------------------------------------------------------------

    @property
    def picked(self) -> RunStatus | None:
        """The run that keys are about."""
        return self._list.picked

    def hold_picked(self) -> RunStatus | None:
        """Give the run that keys are about, which stays picked wherever it goes."""
        return self._list.hold()

    @property
    def names_in_sight(self) -> tuple[str, ...]:
        """The runs whose costs are to be read."""
        return tuple(run.name for run in self._list.in_sight)

    def take_status(
        self, status: CollectionStatus | None, run_of_task: Mapping[str, str], problem: str
    ) -> None:
        """Show how the collection stands now.

        Parameters
        ----------
        status : CollectionStatus or None
            None if nothing new is known.
        run_of_task : dict of str to str
            Names of runs by those of their tasks.
        problem : str
            Why nothing new is known; empty if it is.
        """
        if status is None and problem == self._problem:
            return
        is_new = status is not None and status is not self._state
        self._problem = problem
        if status is not None and is_new:
            has_other_runs = self._state is None or status.runs is not self._state.runs
            self._state, self._run_of_task = status, run_of_task
            if has_other_runs:
                self._list_runs()
        self._show_all()

    def take_costs(self, costs: Mapping[str, tuple[float, ...]]) -> None:
        """Show courses of costs."""
        self._list.take_costs(costs)

    def take_gpus(self, here: MachineGpus) -> None:
        """Show this machine's GPUs."""
        self._here = here
        self._show_devices()

    def say(self, text: str) -> None:
        """Tell something until the next key."""
        self._told = shown(text)
        self._show_foot()

    # --- showing ---------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield self._top_part
        yield self._devices_part
        yield self._best_part
        yield self._list
        yield self._detail_part
        yield self._find_part
        yield self._foot_part

    def on_mount(self) -> None:
        """Show that there is something to come."""
        self._show_all()

    def on_resize(self) -> None:
        """Share the new size out."""
        self.call_after_refresh(self._show_all)

    def _show_all(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        width, layout, state = self.size.width, Layout.of(self.size.height), self._state
        if state is None:
            told = self._problem or "looking at its runs ..."
            head: list[Line] = [
                clipped([Span(self._folder, "strong")], width),
                clipped([Span(shown(told), "bad" if self._problem else "")], width),
            ]
            best: list[Line] = []
        else:
            head = head_lines(state, width, self._problem)[: layout.head]
            best = best_lines(state, layout.best, width)
        self._top_part.show(head)
        self._best_part.show(best)
        self._show_devices()
        self._show_detail()
        self._show_foot()

    def _show_devices(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        queues = self._state.queues if self._state is not None else ()
        self.devices = live_devices(queues, self._here, self._run_of_task, time.time())
        this_host = self._here.host if self._here is not None else socket.gethostname()
        most = Layout.of(self.size.height).devices
        lines = device_lines(self.devices, this_host, most, self.size.width, self._glyphs)
        if not self.devices and self._here is not None and self._here.problem and most:
            lines = [clipped([Span(shown(self._here.problem), "faint")], self.size.width)]
        self._devices_part.show(lines)

    def device_lines(self) -> list[Line]:
        """Write all devices, for a screen of their own."""
        return all_device_lines(self.devices, self.size.width, self._glyphs)

    def _show_detail(self) -> None:
        run, state = self.picked, self._state
        settings = state.settings.values(run.param_hash) if run is not None and state else {}
        most = Layout.of(self.size.height).detail
        lines = detail_lines(run, settings, most, self.size.width)
        # Always as many, so that the list stays where it is.
        self._detail_part.show([*lines, *[()] * (most - len(lines))])

    def _show_foot(self) -> None:
        width = self.size.width
        if self._told:
            self._foot_part.show([clipped([Span(self._told, "strong")], width)])
            return
        order = self.listing.order
        told = [self.listing.text()] if self.listing.is_filtered else []
        if order is not type(order).STATE or self.listing.is_reversed:
            told.append(f"by {order.value}{', turned' if self.listing.is_reversed else ''}")
        keys: Keys = BOARD_KEYS
        if told:
            # There is no room for all keys and what is left out; the help names them.
            keys = (("Esc", "all runs"), ("?", "help"), ("q", "quit"))
        self._foot_part.show([key_line(keys, width, shown(" ".join(told)))])

    def _list_runs(self) -> None:
        if self._state is None:
            return
        runs = self.listing.choose(self._state.runs, self._settings_of())
        nothing = (
            f"no run {self.listing.text()} (Esc: all)" if self.listing.is_filtered else "no runs"
        )
        self._list.take(runs, shown(nothing))
        self._show_detail()
        self._show_foot()
        self.post_message(self.InSight())

    def _settings_of(self) -> Callable[[RunStatus], Mapping[str, str]]:
        state = self._state
        known: dict[str, Mapping[str, str]] = {}

        def settings_of(run: RunStatus) -> Mapping[str, str]:
            if state is None:
                return {}
            if run.param_hash not in known:
                known[run.param_hash] = state.settings.values(run.param_hash)
            return known[run.param_hash]

        return settings_of

    def _list_by(self, listing: Listing) -> None:
        self.listing = listing
        self._told = ""
        self._list_runs()

    # --- keys ------------------------------------------------------------------------------------

    def on_run_list_moved(self) -> None:
        """Tell about the run that is picked now."""
        self._told = ""
        self._show_detail()
        self._show_foot()
        self.post_message(self.InSight())

    def on_run_list_resized(self) -> None:
        """Say which runs are seen now; what was told stays."""
        self.post_message(self.InSight())

    def action_pick(self, down: int) -> None:
        """Pick another run."""
        self._list.move(down)

    def action_page(self, number: int) -> None:
        """Pick a run on another page."""
        self._list.page(number)

    def action_sort(self) -> None:
        """Sort by something else."""
        self._list_by(self.listing.with_next_order())

    def action_turn_around(self) -> None:
        """Turn the order around."""
        self._list_by(replace(self.listing, is_reversed=not self.listing.is_reversed))

    def action_filter(self) -> None:
        """Show only runs in one state."""
        if self._state is not None:
            self._list_by(self.listing.with_next_state(self._state.counts))

    def action_show_all(self) -> None:
        """Show all runs again."""
        self._find_part.display = False
        self._find_part.value = ""
        self.set_focus(None)
        self._list_by(replace(self.listing, state=None, words=""))

    def action_find(self) -> None:
        """Ask for words."""
        self._find_part.display = True
        self._find_part.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find while somebody types."""
        event.stop()
        if event.value != self.listing.words:
            self._list_by(replace(self.listing, words=event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go back to the list."""
        event.stop()
        self._find_part.display = False
        self.set_focus(None)
