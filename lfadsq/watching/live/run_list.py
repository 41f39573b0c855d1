"""The list of runs: any number of them, of which only what is seen is written and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.message import Message

from lfadsq.watching.live.glyphs import Glyphs
from lfadsq.watching.live.lines import Line, Span, clipped
from lfadsq.watching.live.run_lines import RunColumns
from lfadsq.watching.live.widgets import Lines
from lfadsq.watching.run_status import RunStatus

__all__ = ["RunList"]


class RunList(Lines):
    """Runs, one of which is picked.

    Parameters
    ----------
    has_colour : bool
    glyphs : Glyphs
    id : str, optional
    """

    DEFAULT_CSS = """
    RunList { height: 1fr; }
    """

    class Moved(Message):
        """Another run is picked."""

    class Resized(Message):
        """Other runs may be in sight."""

    def __init__(self, *, has_colour: bool, glyphs: Glyphs, id: str | None = None) -> None:
        super().__init__(has_colour=has_colour, fits=False, id=id)
        self._glyphs = glyphs
        self._runs: Sequence[RunStatus] = ()
        self._costs: Mapping[str, Sequence[float]] = {}
        self._columns = RunColumns.for_runs((), 80)
        self._at = self._top = 0
        self._stays_first = True
        self._nothing = ""

    @property
    def picked(self) -> RunStatus | None:
        """The run that keys are about; None if there is none."""
        return self._runs[self._at] if self._runs else None

    @property
    def in_sight(self) -> list[RunStatus]:
        """The runs that are seen now."""
        return list(self._runs[self._top : self._top + self._room])

    @property
    def where(self) -> str:
        """Which of how many runs is picked; empty if all are seen."""
        return f"{self._at + 1}/{len(self._runs)}" if len(self._runs) > self._room else ""

    def take(self, runs: Sequence[RunStatus], nothing: str) -> None:
        """Show other runs; what a person picked stays so wherever it is now.

        The first one is picked by nobody: whatever is first then, is.

        Parameters
        ----------
        runs : sequence of RunStatus
        nothing : str
            What to say if there is none.
        """
        picked = self.picked
        self._runs, self._nothing = runs, nothing
        if self._stays_first:
            self._at = 0
        elif picked is not None:
            names = [run.name for run in runs]
            self._at = names.index(picked.name) if picked.name in names else self._at
        self._at = min(self._at, max(0, len(runs) - 1))
        self._share_columns()
        self._update()

    def take_costs(self, costs: Mapping[str, Sequence[float]]) -> None:
        """Show other courses of costs."""
        self._costs = costs
        self._update()

    def move(self, down: int) -> None:
        """Pick another run, so many further down."""
        if self._runs:
            self._at = min(max(0, self._at + down), len(self._runs) - 1)
            self._stays_first = self._at == 0
            self._update()
            self.post_message(self.Moved())

    def hold(self) -> RunStatus | None:
        """Give the run that is picked, which stays so: somebody does something to it."""
        self._stays_first = False
        return self.picked

    def page(self, number: int) -> None:
        """Pick a run so many screens further down."""
        self.move(number * max(1, self._room - 1))

    def on_resize(self) -> None:
        """Fill the new size."""
        self._share_columns()
        self._update()
        self.post_message(self.Resized())

    @property
    def _room(self) -> int:
        return max(1, self.size.height - 1)

    def _share_columns(self) -> None:
        self._columns = RunColumns.for_runs(self._runs, max(20, self.size.width))

    def _update(self) -> None:
        room = self._room
        self._top = min(self._top, self._at, max(0, len(self._runs) - room))
        self._top = max(self._top, self._at - room + 1, 0)
        lines: list[Line] = [self._columns.heading(self.where)]
        lines += [
            self._columns.line(
                run,
                self._costs.get(run.name, ()),
                is_picked=at == self._at,
                glyphs=self._glyphs,
            )
            for at, run in enumerate(self.in_sight, start=self._top)
        ]
        if not self._runs:
            lines.append(clipped([Span(f" {self._nothing}")], self.size.width))
        self.show(lines)
