"""The status of a collection in words, on one screen however many runs it has."""

from __future__ import annotations

import math
import shlex
import socket
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lfadsq.paths import RunPaths
from lfadsq.texts import StyledLine, count_text, printable, short_duration
from lfadsq.watching.collection_status import (
    BestRun,
    CollectionStatus,
    FailureGroup,
    last_words,
)
from lfadsq.watching.run_status import Phase, RunState, RunStatus

__all__ = ["failed_lines", "status_lines"]

_LEAST_HEIGHT = 24
_FIXED_LINES = 18
_NARROWEST = 40
_NARROWEST_NAME = 20
_LINES_OF_LOG = 3
_STYLES = {RunState.FAILED: "bold red", RunState.TRAINING: "green"}


def status_lines(
    status: CollectionStatus, *, num_best: int, show_all: bool, width: int, height: int
) -> list[StyledLine]:
    """Write a status for people.

    Parameters
    ----------
    status : CollectionStatus
    num_best : int
        So many of the best runs of each kind of data.
    show_all : bool
        Every run at work and every warning, not only as many as there is room for.
    width, height : int
        Of the terminal [columns, lines]; where there is none, as wide as any line.
    """
    room = max(4, max(height, _LEAST_HEIGHT) - _FIXED_LINES)
    lines = [*_head(status)]
    lines += _warning_lines(status, None if show_all else 2)
    lines += _at_work_lines(status.at_work, None if show_all else room, width)
    lines += _failure_lines(status.failures, None if show_all else max(2, room // 3), width)
    lines += _best_lines(status, num_best, None if show_all else max(1, room // 6), width)
    return [_printable(line) for line in lines]


def failed_lines(status: CollectionStatus) -> list[StyledLine]:
    """Write of every failed run why, what to do, where its log is, and how that ends."""
    from lfadsq.queue.failures import last_lines, log_tail

    lines = []
    for group in status.failures:
        lines += [
            StyledLine(f"{len(group.runs)} failed: {group.cause}", "bold red"),
            StyledLine(f"  what to do: {group.remedy}"),
        ]
        for run in group.runs:
            where = _where(run)
            reason = f": {run.reason}" if run.reason else ""
            log = status.log_of(run)
            lines.append(StyledLine(f"  {run.name}{f' on {where}' if where else ''}{reason}"))
            lines.append(StyledLine(f"    log: {log}"))
            tail = last_lines(log_tail(log, max_bytes=4096), _LINES_OF_LOG)
            lines += [StyledLine(f"    | {line}", "dim") for line in tail]
    return [_printable(line) for line in lines or [StyledLine("no run failed")]]


def _printable(line: StyledLine) -> StyledLine:
    return line._replace(text=printable(line.text))


def _head(status: CollectionStatus) -> Iterator[StyledLine]:
    yield StyledLine(str(status.path), "bold")
    for queue in status.queues:
        yield StyledLine(
            f"queue {queue.queue_name} on {queue.host} (process {queue.pid}) is"
            f" {queue.state.value}; `lfadsq queue status` tells more"
        )
        if queue.dashboard:
            yield StyledLine(f"  Dask dashboard: {queue.dashboard}")
            yield StyledLine(f"    from your own computer: {queue.dashboard_tunnel}")
    if not status.queues:
        said = last_words(status.last)
        yield StyledLine(f"no queue runs here{f'; {said}' if said else ''}", "yellow")
    if status.is_paused:
        yield StyledLine("all is paused: `lfadsq queue resume` lets it go on", "yellow")
    counts = ", ".join(f"{number:,} {state.value}" for state, number in status.counts.items())
    told = f": {counts}" if counts else ""
    yield StyledLine(f"{len(status.runs):,} run{'s' * (len(status.runs) != 1)}{told}", "bold")
    left = sum(status.counts.get(state, 0) for state in (RunState.WAITING, RunState.STOPPED))
    if left and not status.queues and status.script is not None:
        yield StyledLine(f"`python {_shown_path(status.script)}` trains those that are left")


def _shown_path(path: Path) -> str:
    with suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def _warning_lines(status: CollectionStatus, num_shown: int | None) -> Iterator[StyledLine]:
    for one in status.warnings[:num_shown]:
        yield StyledLine(f"warning: {one.text}", "yellow")
    yield from _and_more(len(status.warnings), num_shown, "warning", indent="")


def _at_work_lines(
    runs: Sequence[RunStatus], num_shown: int | None, width: int
) -> Iterator[StyledLine]:
    if not runs:
        return
    shown = runs[:num_shown]
    rows = [
        (
            run.name,
            _where(run),
            str(run.num_epochs or "-"),
            _cost(run.valid_cost),
            _number(run.learning_rate),
            _number(run.steps_per_s),
            _left(run),
        )
        for run in shown
    ]
    headings = (f"{len(runs):,} at work", "on", "epoch", "valid", "rate", "steps/s", "left")
    for number, text in enumerate(_table([headings, *rows], width)):
        yield StyledLine(text, "" if number else "bold")
    yield from _and_more(len(runs), num_shown, "run")


def _failure_lines(
    groups: Sequence[FailureGroup], num_shown: int | None, width: int
) -> Iterator[StyledLine]:
    if not groups:
        return
    num = sum(len(group.runs) for group in groups)
    hint = "--failed lists them, `lfadsq explain RUN` tells all"
    yield StyledLine(f"{num:,} failed ({hint})", "bold red")
    for group in groups[:num_shown]:
        log = RunPaths(Path(group.runs[0].name)).log
        num_more = len(group.runs) - 1
        rest = f" and {num_more:,} more" if num_more else ""
        yield StyledLine(f"  {group.cause}: see {log}{rest}")
        for text in textwrap.wrap(group.remedy, max(_NARROWEST, width - 4)):
            yield StyledLine(f"    {text}")
    yield from _and_more(len(groups), num_shown, "cause")


def _best_lines(
    status: CollectionStatus, num_best: int, num_data: int | None, width: int
) -> Iterator[StyledLine]:
    best = status.best(num_best) if num_best else ()
    by_data: dict[str, list[BestRun]] = {}
    for one in best:
        by_data.setdefault(one.data, []).append(one)
    for data, members in list(by_data.items())[:num_data]:
        rows = [
            (f"  {one.run.name}", _cost(one.run.lowest_valid_cost), _settings_of(one))
            for one in members
        ]
        yield StyledLine(f"lowest validation cost on {data}", "bold")
        for text in _table(rows, width, numbers=(1,)):
            yield StyledLine(text)
    yield from _and_more(len(by_data), num_data, "other dataset")


def _settings_of(one: BestRun) -> str:
    told = [f"{name.removeprefix('c_')}={value}" for name, value in one.settings.items()]
    state = "" if one.run.state is RunState.DONE else f"({one.run.state.value})"
    return " ".join(filter(None, [*told, state]))


def _table(
    rows: Sequence[Sequence[str]], width: int, numbers: Sequence[int] = (2, 3, 4, 5, 6)
) -> list[str]:
    """Align columns; names are cut in their middle where the terminal is too narrow."""
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if len(rows[0]) > 3:
        others = sum(widths[1:]) + len(widths) - 1
        widths[0] = min(widths[0], max(_NARROWEST_NAME, width - others))
    lines = []
    for row in rows:
        cells = [_cut(row[0], widths[0]).ljust(widths[0])]
        for at, cell in enumerate(row[1:], start=1):
            cells.append(cell.rjust(widths[at]) if at in numbers else cell.ljust(widths[at]))
        lines.append(" ".join(cells).rstrip())
    return lines


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    # Names of a sweep differ at both ends.
    head = width // 2 - 1
    return f"{text[:head]}..{text[len(text) - (width - head - 2) :]}"


def _where(run: RunStatus) -> str:
    device = run.device.partition(" (")[0].partition(" of ")[0]
    host = "" if run.host == socket.gethostname() else run.host.partition(".")[0]
    return "@".join(filter(None, [device, host])) if device else host or "here" * bool(run.host)


def _left(run: RunStatus) -> str:
    if run.phase is not None and run.phase is not Phase.TRAINING:
        return str(run.phase.value)
    if run.remaining_s is None:
        return "-"
    return f"{'>' if run.is_lower_bound else ''}{short_duration(run.remaining_s)}"


def _cost(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3g}"


def _and_more(
    num: int, num_shown: int | None, noun: str, indent: str = "  "
) -> Iterator[StyledLine]:
    if num_shown is not None and num > num_shown:
        yield StyledLine(f"{indent}and {count_text(num - num_shown, f'more {noun}')} (--all)")
