"""What stands above the list of runs: the collection, its queues, counts, failures, best runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from lfadsq.texts import count_text, short_duration
from lfadsq.watching.collection_status import BestRun, CollectionStatus, last_words
from lfadsq.watching.live.lines import Line, Span, clipped, cut_middle, fitted, shown, width_of
from lfadsq.watching.live.listing import short_name
from lfadsq.watching.run_status import RunState

__all__ = ["STYLES", "best_lines", "head_lines"]

STYLES = {
    RunState.TRAINING: "good",
    RunState.FAILED: "bad",
    RunState.UNKNOWN: "bad",
    RunState.STOPPED: "warn",
    RunState.PAUSED: "warn",
    RunState.CANCELLED: "faint",
    RunState.DONE: "faint",
}
_MOST_CAUSES = 3
_MOST_WARNINGS = 2


def head_lines(status: CollectionStatus, width: int, problem: str = "") -> list[Line]:
    """Write how a collection stands.

    Parameters
    ----------
    status : CollectionStatus
    width : int
        Of the terminal [columns].
    problem : str
        Why it cannot be looked at any more; empty if it can.
    """
    lines = [_title(status, width)]
    if problem:
        lines.append(clipped([Span(f"what follows is old: {shown(problem)}", "bad")], width))
    lines += [clipped(spans, width) for spans in _counts(status, width)]
    if status.is_paused:
        lines.append(clipped([Span("all is paused (`lfadsq queue resume`)", "warn")], width))
    for warning in status.warnings[:_MOST_WARNINGS]:
        lines.append(clipped([Span(f"warning: {shown(warning.text)}", "warn")], width))
    if len(status.warnings) > _MOST_WARNINGS:
        more = count_text(len(status.warnings) - _MOST_WARNINGS, "more warning")
        lines.append(clipped([Span(f"and {more}: `lfadsq status --all`", "warn")], width))
    lines += [clipped([Span(text)], width) for text in _pages(status)]
    lines += [clipped(spans, width) for spans in _failures(status)]
    return lines


def _title(status: CollectionStatus, width: int) -> Line:
    told = _queue_text(status)
    path = cut_middle(shown(str(status.path)), max(width // 3, width - width_of(told) - 1))
    return clipped([Span(path, "strong"), Span(" "), Span(told, _queue_style(status))], width)


def _queue_text(status: CollectionStatus) -> str:
    if not status.queues:
        said = last_words(status.last)
        return shown(f"no queue runs{f'; {said}' if said else ''}")
    first, *others = status.queues
    where = "" if first.host == socket.gethostname() else f" on {first.host}"
    more = f" and {count_text(len(others), 'more queue')}" if others else ""
    return shown(f"queue {first.queue_name}{where} {first.state.value}{more}")


def _queue_style(status: CollectionStatus) -> str:
    return "" if status.queues else "warn"


def _counts(status: CollectionStatus, width: int) -> list[list[Span]]:
    """Write how many runs are in which state, and what is left of those at work."""
    num = len(status.runs)
    spans = [Span(f"{num:,} run{'s' * (num != 1)}", "strong")]
    for number, (state, count) in enumerate(status.counts.items()):
        spans += [Span(", " if number else ": "), Span(f"{count:,} {state.value}")]
        spans[-1] = spans[-1]._replace(style=STYLES.get(state, ""))
    longest = max((run.remaining_s or 0.0 for run in status.at_work), default=0.0)
    if not longest:
        return [spans]
    sign = ">" if any(run.is_lower_bound for run in status.at_work) else ""
    left = Span(f"those at work need {sign}{short_duration(longest)} more")
    if sum(width_of(span.text) for span in spans) + width_of(left.text) + 2 <= width:
        return [[*spans, Span("; "), left]]
    return [spans, [left]]


def _pages(status: CollectionStatus) -> Iterator[str]:
    """Name the pages that queues show, with the lines that lead there from another computer."""
    told: set[str] = set()
    for queue in status.queues:
        for what, address, tunnel in (
            ("TensorBoard", queue.tensorboard, queue.tensorboard_tunnel),
            ("Dask dashboard", queue.dashboard, queue.dashboard_tunnel),
        ):
            if address and address not in told:
                told.add(address)
                yield shown(f"{what}: {address}")
                if tunnel:
                    yield shown(f"  from your own computer: {tunnel}")


def _failures(status: CollectionStatus) -> Iterator[list[Span]]:
    groups = status.failures
    if not groups:
        return
    causes = [f"{len(group.runs):,} {group.cause}" for group in groups[:_MOST_CAUSES]]
    if len(groups) > _MOST_CAUSES:
        causes.append(count_text(len(groups) - _MOST_CAUSES, "other cause"))
    num = sum(len(group.runs) for group in groups)
    yield [Span(f"{num:,} failed", "bad"), Span(shown(f": {', '.join(causes)}"))]


def best_lines(status: CollectionStatus, num_lines: int, width: int) -> list[Line]:
    """Write which runs came to the lowest validation cost on each kind of data.

    Parameters
    ----------
    status : CollectionStatus
    num_lines : int
        At most so many; with one kind of data so many of the best, with several the best of each.
    width : int
        Of the terminal [columns].
    """
    if num_lines <= 0:
        return []
    best = status.best(num_lines)
    kinds = list(dict.fromkeys(one.data for one in best))
    if len(kinds) > 1:
        best = tuple(one for one in best if one.rank == 1)
    lines = [clipped(_best(one, width, is_only=len(kinds) == 1), width) for one in best[:num_lines]]
    if len(best) > num_lines and len(kinds) > 1:
        more = count_text(len(best) - num_lines + 1, "more kind")
        lines[-1] = clipped([Span(f"best of {more} of data: `lfadsq status`", "faint")], width)
    return lines


def _best(one: BestRun, width: int, *, is_only: bool) -> list[Span]:
    number = f"best {one.rank}" if is_only else "best"
    cost = f"{one.run.lowest_valid_cost:.2f}"
    settings = " ".join(
        f"{name.removeprefix('c_')}={value}" for name, value in one.settings.items()
    )
    name_width = min(max(20, width // 3), 60)
    return [
        Span(f"{number}: "),
        Span(fitted(cost, 10, to_right=True), "strong"),
        Span(f" {cut_middle(shown(short_name(one.run.name)), name_width)} "),
        Span(shown(settings), "faint"),
    ]
