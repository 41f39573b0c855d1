"""Runs in lines: where each stands, how far it is, how its cost goes, and what is to be said."""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lfadsq.texts import short_duration
from lfadsq.watching.live.glyphs import BLOCKS, Glyphs, bar, sparkline
from lfadsq.watching.live.head_lines import STYLES
from lfadsq.watching.live.lines import (
    Line,
    Span,
    clipped,
    cut_middle,
    fitted,
    shown,
    width_of,
    wrapped,
)
from lfadsq.watching.live.listing import fraction_done, short_name
from lfadsq.watching.run_status import Phase, RunState, RunStatus

__all__ = ["RunColumns", "detail_lines", "facts_of"]

_STATE_WIDTH = 9
_NUMBERS_WIDTH = 7 + 16 + 9
_LEAST_NAME, _MOST_NAME = 16, 60
_SHORT_STATES = {RunState.NOT_PREPARED: "not prep."}
_HAVE_COSTS = (RunState.TRAINING, RunState.DONE, RunState.TRAINED)
_NARROW, _WIDE = 80, 110


@dataclass(frozen=True)
class RunColumns:
    """How wide the columns are.

    Attributes
    ----------
    name, bar, spark, place : int
        Of those that take what room there is.
    has_best, has_rates : bool
        Whether there is room for the lowest cost, and for learning rate and steps a second.
    width : int
        Of all together.
    """

    name: int
    bar: int
    spark: int
    place: int
    has_best: bool
    has_rates: bool
    width: int

    @classmethod
    def for_runs(cls, runs: Sequence[RunStatus], width: int) -> RunColumns:
        """Share the columns of a terminal out.

        Parameters
        ----------
        runs : sequence of RunStatus
            Those that are shown.
        width : int
            Of the terminal [columns].
        """
        has_best, has_rates = width >= _WIDE, width >= _WIDE + 20
        bar_width, spark, place = (5, 8, 7) if width < _NARROW + 8 else (10, 16, 12)
        fixed = 1 + _STATE_WIDTH + 1 + _NUMBERS_WIDTH + bar_width + spark + place
        left = width - fixed - (10 if has_best else 0) - (17 if has_rates else 0)
        longest = max((width_of(shown(short_name(run.name))) for run in runs), default=0)
        name = min(max(_LEAST_NAME, min(longest, left)), _MOST_NAME)
        if left > name:
            spare = left - name
            more = min(spare // 2, 30)
            spark, place = spark + more, place + spare - more
        return cls(name, bar_width, spark, place, has_best, has_rates, width)

    def heading(self, where: str = "") -> Line:
        """Name the columns, and say which of the runs is picked."""
        parts = [
            f" {'state':<{_STATE_WIDTH}} {fitted(f'run {where}', self.name)}",
            f"{'epoch':>5}",
            f"{fitted('done', self.bar)} {'':4}",
            f"{'valid':>9}",
        ]
        if self.has_best:
            parts.append(f"{'lowest':>9}")
        parts.append(fitted("cost", self.spark))
        if self.has_rates:
            parts.append(f"{'rate':>8} {'steps/s':>7}")
        parts += [f"{'left':>7}", "on"]
        return clipped([Span(" ".join(parts), "strong")], self.width)

    def line(
        self,
        run: RunStatus,
        costs: Sequence[float],
        *,
        is_picked: bool = False,
        glyphs: Glyphs = BLOCKS,
    ) -> Line:
        """Write a run.

        Parameters
        ----------
        run : RunStatus
        costs : sequence of float
            Its last validation costs.
        is_picked : bool, default False
            Whether keys are about it: told by a sign too.
        glyphs : Glyphs
        """
        state = _SHORT_STATES.get(run.state, str(run.state.value))
        spans = [
            Span(">" if is_picked else " ", "strong"),
            Span(f"{state:<{_STATE_WIDTH}} ", STYLES.get(run.state, "")),
            Span(fitted(cut_middle(shown(short_name(run.name)), self.name), self.name)),
        ]
        told = _why(run)
        if told and run.state not in _HAVE_COSTS:
            epoch = f"{run.num_epochs or '-':>5}"
            spans += [Span(f" {epoch} "), Span(told, STYLES.get(run.state, ""))]
        else:
            spans += self._numbers(run, costs, glyphs)
        line = clipped(spans, self.width)
        return tuple(span._replace(style="picked") for span in line) if is_picked else line

    def _numbers(self, run: RunStatus, costs: Sequence[float], glyphs: Glyphs) -> list[Span]:
        fraction = fraction_done(run) if run.state is RunState.TRAINING else None
        percent = "" if fraction is None else f"{math.floor(100 * fraction):d}%"
        # An upper limit of what is done, where the time left is a lower one.
        percent = f"<{percent}" if percent and run.is_lower_bound else percent
        spans = [
            Span(f" {run.num_epochs or '-':>5} "),
            Span(bar(fraction, self.bar, glyphs), "good"),
            Span(f" {percent:>4} {_cost(run.valid_cost):>9} "),
        ]
        if self.has_best:
            spans.append(Span(f"{_cost(run.lowest_valid_cost):>9} "))
        spans.append(Span(fitted(sparkline(costs, self.spark, glyphs), self.spark)))
        if self.has_rates:
            rate, pace = _number(run.learning_rate), _number(run.steps_per_s)
            spans.append(Span(f" {rate:>8} {pace:>7}"))
        spans.append(Span(f" {_left(run):>7} {_place(run, self.place)}"))
        return spans


def detail_lines(
    run: RunStatus | None, settings: Mapping[str, str], num_lines: int, width: int
) -> list[Line]:
    """Write about the run that is picked.

    Parameters
    ----------
    run : RunStatus or None
    settings : dict of str to str
        Its hyperparameters in which runs differ.
    num_lines, width : int
        At most so many lines, and columns.
    """
    if run is None:
        return []
    told = " ".join(f"{name.removeprefix('c_')}={value}" for name, value in settings.items())
    texts = [f"{shown(run.name)}  {shown(told)}".rstrip()]
    why = _why(run)
    if run.remedy:
        why = f"{why}. What to do: {shown(run.remedy)}"
    if why:
        texts += wrapped(why, width)
    else:
        texts.append(", ".join(_facts(run)))
    lines = [clipped([Span(text)], width) for text in texts[:num_lines]]
    if len(texts) > num_lines:
        lines[-1] = clipped([*lines[-1][:1]], width - 10) + (Span(" (e: more)", "faint"),)
    return lines


def facts_of(run: RunStatus) -> list[str]:
    """List everything that is known of a run, a line each."""
    told = {
        "state": " ".join(filter(None, [run.state.value, run.phase.value if run.phase else ""])),
        "why": _why(run),
        "what to do": shown(run.remedy),
        "on": " of ".join(filter(None, [shown(run.device), shown(run.host)])),
        "since": shown(run.since),
        "so far": ", ".join(_facts(run)),
    }
    return [f"  {key + ':':<16} {value}" for key, value in told.items() if value]


def _facts(run: RunStatus) -> list[str]:
    facts = []
    if run.num_epochs:
        facts.append(f"epoch {run.num_epochs}")
    for what, cost in (("train", run.train_cost), ("valid", run.valid_cost)):
        if cost is not None:
            facts.append(f"{what} {cost:.2f}")
    if run.lowest_valid_cost is not None:
        facts.append(f"lowest {run.lowest_valid_cost:.2f}")
    if run.learning_rate is not None:
        facts.append(f"learning rate {run.learning_rate:.3g}")
    if run.steps_per_s is not None:
        facts.append(f"{run.steps_per_s:.3g} steps/s")
    if run.remaining_s is not None:
        least = "at least " if run.is_lower_bound else ""
        facts.append(f"{least}{short_duration(run.remaining_s)} left")
    return facts


def _why(run: RunStatus) -> str:
    told = [run.cause, run.reason if run.reason != run.cause else ""]
    return shown(": ".join(filter(None, told)))


def _left(run: RunStatus) -> str:
    if run.state is not RunState.TRAINING:
        return ""
    if run.phase is Phase.STARTING:
        return "starts"
    if run.phase is Phase.SAMPLING:
        return "samples"
    if run.remaining_s is None:
        return "-"
    return f"{'>' if run.is_lower_bound else ''}{short_duration(run.remaining_s)}"


def _place(run: RunStatus, width: int) -> str:
    if run.state is not RunState.TRAINING:
        return ""
    device = run.device.partition(" (")[0].partition(" of ")[0].replace("GPU ", "GPU")
    host = "" if run.host == socket.gethostname() else run.host.partition(".")[0]
    if not device:
        return fitted(shown(host or ("here" if run.host else "")), width).rstrip()
    place = f"{device}@{host}" if host else device
    # Which machine it is matters more than that it is a GPU.
    place = place if len(place) <= width else place.removeprefix("GPU")
    return fitted(shown(place), width).rstrip()


def _cost(value: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:.2f}"
    return text if len(text) <= 9 else f"{value:.3e}"


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3g}"
