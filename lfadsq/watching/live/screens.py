"""Whole screens of text: a log, an explanation, all GPUs, the help, and a question."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from lfadsq.errors import LfadsqError
from lfadsq.watching.live.keys import PAGER_KEYS, key_line
from lfadsq.watching.live.lines import Line, Span, clipped, shown
from lfadsq.watching.live.log_feed import LogFeed
from lfadsq.watching.live.polling import Poller
from lfadsq.watching.live.widgets import Lines, Pager
from lfadsq.watching.run_logs import RunLog

if TYPE_CHECKING:
    from lfadsq.watching.live.app import WatchApp

__all__ = ["LogScreen", "QuestionScreen", "TextScreen"]

_LOG_S = 0.5


class _PagerScreen(Screen[None]):
    """Text that can be looked through.

    Parameters
    ----------
    title : str
    has_colour : bool
    follows : bool
        Stay at the end.
    """

    app: WatchApp

    DEFAULT_CSS = """
    _PagerScreen { background: ansi_default; color: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,left_square_bracket", "back", show=False),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,b", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home", "move(-1000000000)", show=False),
        Binding("end,G", "move(1000000000)", show=False),
        Binding("left", "sideways(-20)", show=False),
        Binding("right", "sideways(20)", show=False),
    ]

    def __init__(self, title: str, *, has_colour: bool, follows: bool = False) -> None:
        super().__init__()
        self._heading = shown(title)
        self._note = ""
        self._head = Lines(has_colour=has_colour)
        self._pager = Pager(has_colour=has_colour, follows=follows)
        self._foot = Lines(has_colour=has_colour)

    @property
    def pager(self) -> Pager:
        """What shows the text."""
        return self._pager

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield self._head
        yield self._pager
        yield self._foot

    def on_mount(self) -> None:
        """Show what there is."""
        self._update()

    def on_resize(self) -> None:
        """Fill the new size."""
        self.call_after_refresh(self._update)

    def say(self, note: str) -> None:
        """Show a word beside the title."""
        self._note = shown(note)
        self._update()

    def _update(self) -> None:
        width = self.size.width
        note = f"  {self._note}" if self._note else ""
        self._head.show([clipped([Span(self._heading, "strong"), Span(note, "warn")], width)])
        self._foot.show([key_line(PAGER_KEYS, width, self._pager.where)])

    def action_back(self) -> None:
        """Go back to the list."""
        self.dismiss()

    def action_move(self, down: int) -> None:
        """Scroll by lines."""
        self._pager.move(down)
        self._update()

    def action_page(self, number: int) -> None:
        """Scroll by screens."""
        self.action_move(number * max(1, self._pager.size.height - 1))

    def action_sideways(self, right: int) -> None:
        """Scroll by columns."""
        self._pager.move(right=right)


class TextScreen(_PagerScreen):
    """A text that may take a while to write.

    Parameters
    ----------
    title : str
    write : callable
        Gives the lines; called on a thread unless they are quick.
    has_colour : bool
    is_quick : bool, default False
    """

    class Written(Message):
        """The text is there."""

        def __init__(self, lines: Sequence[Line] | Exception) -> None:
            super().__init__()
            self.lines = lines

    def __init__(
        self,
        title: str,
        write: Callable[[], Sequence[Line]],
        *,
        has_colour: bool,
        is_quick: bool = False,
    ) -> None:
        super().__init__(title, has_colour=has_colour)
        self._write = write
        self._is_quick = is_quick

    def on_mount(self) -> None:
        """Begin to write."""
        if self._is_quick:
            self.rewrite()
            return
        self.say("...")
        # On a thread, a screen that was left has no app any more.
        arguments = (self.app.tell,)
        threading.Thread(target=self._work, args=arguments, name="lfadsq-text", daemon=True).start()

    def rewrite(self) -> None:
        """Write it anew, if it is quick."""
        if self._is_quick:
            self._pager.replace(self._write())
            self._update()

    def _work(self, tell: Callable[[Message, Screen[Any]], None]) -> None:
        try:
            tell(self.Written(self._write()), self)
        except Exception as error:
            tell(self.Written(error), self)

    def on_text_screen_written(self, message: Written) -> None:
        """Show it."""
        if isinstance(message.lines, LfadsqError):
            lines: Sequence[Line] = [(Span(shown(str(message.lines)), "bad"),)]
        elif isinstance(message.lines, Exception):
            self.app.crash(message.lines)
            return
        else:
            lines = message.lines
        self._pager.replace(lines)
        self.say("")


class LogScreen(_PagerScreen):
    """A log, as it grows.

    Parameters
    ----------
    name : str
        Of the run.
    find : callable
        Gives its log; called on a thread.
    has_colour : bool
    """

    class Grown(Message):
        """There are new lines, or the log cannot be read."""

        def __init__(self, lines: list[str] | Exception) -> None:
            super().__init__()
            self.lines = lines

    def __init__(self, name: str, find: Callable[[], RunLog], *, has_colour: bool) -> None:
        super().__init__(f"log of {name}", has_colour=has_colour, follows=True)
        self._find = find
        self._feed: LogFeed | None = None
        self._poller: Poller[list[str]] | None = None

    def on_mount(self) -> None:
        """Begin to read."""
        self._update()
        # On a thread, a screen that was left has no app any more.
        tell = self.app.tell
        self._poller = Poller(
            self._news,
            lambda told: tell(self.Grown(told), self),
            _LOG_S,
            "lfadsq-log",
            self._close,
        )
        self._poller.start()

    def on_unmount(self) -> None:
        """Stop reading."""
        if self._poller is not None:
            self._poller.stop()

    def _news(self) -> list[str]:
        if self._feed is None:
            self._feed = LogFeed(self._find().path)
        return self._feed.news()

    def _close(self) -> None:
        if self._feed is not None:
            self._feed.close()

    def on_log_screen_grown(self, message: Grown) -> None:
        """Show what is new."""
        told = message.lines
        if isinstance(told, Exception) and not isinstance(told, LfadsqError):
            self.app.crash(told)
            return
        if isinstance(told, LfadsqError):
            note = str(told)
        else:
            exists = self._feed is not None and self._feed.exists
            note = "" if exists else "there is none yet: waiting for it"
            if told:
                self._pager.append([(Span(line),) for line in told])
        if note != self._note or told:
            self.say(note)


class QuestionScreen(Screen[bool]):
    """A question that only ``y`` answers with yes.

    Parameters
    ----------
    lines : sequence of Line
    has_colour : bool
    """

    DEFAULT_CSS = """
    QuestionScreen { background: ansi_default; color: ansi_default; }
    """

    def __init__(self, lines: Sequence[Line], *, has_colour: bool) -> None:
        super().__init__()
        self._text = lines
        self._box = Lines(has_colour=has_colour)

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield self._box

    def on_mount(self) -> None:
        """Ask."""
        self._box.show(self._text)

    def on_key(self, event: events.Key) -> None:
        """Take the answer."""
        event.stop()
        event.prevent_default()
        if event.key != "ctrl+c":
            self.dismiss(event.key == "y")
        else:
            self.app.exit()
