"""Widgets that draw lines, and of them only those that have changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from lfadsq.watching.live.lines import Line, Span

__all__ = ["Lines", "Pager"]

# The sixteen colours that every terminal has as its owner likes them; nothing is told by them.
_COLOURED = {
    "": Style(),
    "strong": Style(bold=True),
    "faint": Style(dim=True),
    "good": Style(color="green"),
    "warn": Style(color="yellow"),
    "bad": Style(color="red", bold=True),
    "picked": Style(reverse=True),
}
_WITHOUT_COLOUR = {
    **_COLOURED,
    "good": Style(),
    "warn": Style(),
    "bad": Style(bold=True),
}


class Lines(Widget):
    """Lines of text as high as there are, each drawn anew only if it has changed.

    Parameters
    ----------
    has_colour : bool
    fits : bool, default True
        Its height is that of its lines; else it is what the layout gives it.
    id : str, optional
    """

    DEFAULT_CSS = """
    Lines { width: 1fr; height: auto; background: ansi_default; color: ansi_default; }
    """

    def __init__(self, *, has_colour: bool, fits: bool = True, id: str | None = None) -> None:
        super().__init__(id=id)
        self._looks = _COLOURED if has_colour else _WITHOUT_COLOUR
        self._fits = fits
        self._lines: list[Line] = []
        if fits:
            self.styles.height = 0

    @property
    def lines(self) -> Sequence[Line]:
        """What it shows."""
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Show other lines."""
        old, self._lines = self._lines, list(lines)
        if self._fits and len(old) != len(self._lines):
            self.styles.height = len(self._lines)
            self.refresh(layout=True)
            return
        width = self.size.width
        most = max(len(old), len(self._lines))
        changed = [
            Region(0, at, width, 1)
            for at in range(most)
            if _line_at(old, at) != _line_at(self._lines, at)
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Draw one."""
        line = _line_at(self._lines, y)
        strip = Strip([Segment(text, self._looks[style]) for text, style in line])
        return strip.adjust_cell_length(self.size.width, Style())


def _line_at(lines: Sequence[Line], at: int) -> Line:
    return lines[at] if at < len(lines) else ()


class Pager(Lines):
    """More lines than there is room for, of which a part is shown.

    Parameters
    ----------
    has_colour : bool
    follows : bool, default False
        Stay at the end while lines are added, until somebody looks further above.
    max_lines : int, default 10,000
        The oldest are dropped beyond.
    id : str, optional
    """

    DEFAULT_CSS = """
    Pager { height: 1fr; }
    """

    def __init__(
        self,
        *,
        has_colour: bool,
        follows: bool = False,
        max_lines: int = 10_000,
        id: str | None = None,
    ) -> None:
        super().__init__(has_colour=has_colour, fits=False, id=id)
        self._all: list[Line] = []
        self._max_lines = max_lines
        self._top = self._left = 0
        self.follows = follows

    @property
    def all_lines(self) -> Sequence[Line]:
        """What it holds."""
        return self._all

    @property
    def where(self) -> str:
        """Which lines are shown, in words."""
        last = min(self._top + self.size.height, len(self._all))
        return f"{self._top + 1 if self._all else 0}-{last} of {len(self._all):,}"

    def replace(self, lines: Sequence[Line]) -> None:
        """Show other lines, at the same place."""
        self._all = list(lines)
        self._show_part()

    def append(self, lines: Sequence[Line]) -> None:
        """Add lines at the end."""
        self._all += lines
        num_dropped = max(0, len(self._all) - self._max_lines)
        if num_dropped:
            del self._all[:num_dropped]
            self._top = max(0, self._top - num_dropped)
        self._show_part()

    def move(self, down: int = 0, right: int = 0) -> None:
        """Look at another part, so many lines and columns from here."""
        last_top = max(0, len(self._all) - self.size.height)
        self._top = min(max(0, self._top + down), last_top)
        self._left = max(0, self._left + right)
        if down < 0:
            self.follows = False
        elif down > 0 and self._top == last_top:
            self.follows = True
        self._show_part()

    def on_resize(self) -> None:
        """Fill the new size."""
        self._show_part()

    def _show_part(self) -> None:
        height = self.size.height
        last_top = max(0, len(self._all) - height)
        self._top = last_top if self.follows else min(self._top, last_top)
        part = self._all[self._top : self._top + height]
        self.show([_without_head(line, self._left) for line in part])


def _without_head(line: Line, num: int) -> Line:
    if not num:
        return line
    spans: list[Span] = []
    for span in line:
        if num < len(span.text):
            spans.append(span._replace(text=span.text[num:]))
        num = max(0, num - len(span.text))
    return tuple(spans)
