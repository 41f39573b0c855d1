"""A comparison of runs in words: for terminals of any width, and for notebooks."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from lfadsq.html import display, folded, line, table
from lfadsq.results.comparison import SweepComparison
from lfadsq.results.comparison_rows import COLUMNS, Column, RunRow
from lfadsq.texts import StyledLine, count_text, printable, short_duration

__all__ = ["comparison_html", "comparison_lines"]

_WIDE = 10_000
_MOST_SETTING = 14
_MOST_BEST = 3
_PRIORITY = (
    "valid_cost",
    "co_bits_per_spike",
    "truth_r2",
    "psth_r2",
    "bits_per_spike",
    "kl_valid",
    "recon_gap",
    "bits_per_spike_gap",
    "recon_valid",
    "spike_following",
    "time_s",
    "memory_mb",
    "num_epochs",
    "truth_log_r2",
    "valid_bound",
)
"""Which numbers stay where there is no room for all."""


def comparison_lines(
    comparison: SweepComparison,
    *,
    rows: Sequence[RunRow] | None = None,
    width: int = _WIDE,
    most_rows: int | None = None,
    most_signs: int | None = None,
) -> list[StyledLine]:
    """Write a comparison for people.

    Parameters
    ----------
    comparison : SweepComparison
    rows : sequence of RunRow, optional
        In another order than by rank, or only some.
    width : int
        Of the terminal [columns]: numbers for which there is no room are left out.
    most_rows, most_signs : int, optional
        At most so many runs in the table, and among those that look broken.
    """
    shown = list(comparison.rows if rows is None else rows)
    by = next(column for column in COLUMNS if column.name == comparison.rule)
    head = f"{comparison.title}: " if comparison.title else ""
    title = f"{head}{count_text(len(shown), 'run')}, by {by.name}: {by.about}"
    lines = list(_wrapped(title, width))
    lines += _table_lines(comparison, shown, by, width, most_rows)
    lines += _best_lines(comparison, by, width)
    lines += _sign_lines([row for row in shown if row.signs], most_signs, width)
    for note in comparison.notes:
        lines += _wrapped(f"note: {note}", width, "dim")
    return [StyledLine(printable(line.text), line.style) for line in lines]


def comparison_html(comparison: SweepComparison) -> str:
    """Show a comparison in a notebook."""
    by = next(column for column in COLUMNS if column.name == comparison.rule)
    columns = comparison.columns
    headings = ("rank", "run", "state", *comparison.varying, *(c.name for c in columns), "signs")
    rows = (
        (
            str(comparison.ranks.get(row.name, "")),
            row.name,
            row.state,
            *(_setting_text(row.settings.get(name)) for name in comparison.varying),
            *(_number_text(column, row) for column in columns),
            "; ".join(sign.kind for sign in row.signs),
        )
        for row in comparison.rows
    )
    parts = [
        line(f"by {by.name}: {by.about}"),
        *(line(one.text) for one in _best_lines(comparison, by)),
        table(headings, rows, len(comparison)),
    ]
    if comparison.suspects:
        signs = [
            line(f"{row.name}: {sign}") for row in comparison.suspects[:50] for sign in row.signs
        ]
        title = f"{count_text(len(comparison.suspects), 'run')} with signs of trouble"
        parts.append(folded(title, "".join(signs), is_open=len(signs) <= 5))
    parts += [line(f"note: {note}") for note in comparison.notes]
    title = f"{type(comparison).__name__} of {count_text(len(comparison), 'run')}"
    return display(f"{title}, {comparison.title}" if comparison.title else title, *parts)


def _table_lines(
    comparison: SweepComparison,
    rows: list[RunRow],
    by: Column,
    width: int,
    most_rows: int | None,
) -> Iterator[StyledLine]:
    num_shown = len(rows) if most_rows is None else min(most_rows, len(rows))
    groups: dict[str, list[RunRow]] = {}
    for row in rows[:num_shown]:
        groups.setdefault(row.data_label, []).append(row)
    columns = _fitting_columns(comparison, rows[:num_shown], by, width)
    for label, group in groups.items():
        yield StyledLine("")
        if len({row.data_label for row in comparison.rows}) > 1:
            yield StyledLine(label, "bold")
        cells = [[heading for heading, _ in columns]]
        cells += [[cell(row) for _, cell in columns] for row in group]
        widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
        for number, texts in enumerate(cells):
            is_best = bool(number) and comparison.ranks.get(group[number - 1].name) == 1
            is_suspect = bool(number) and bool(group[number - 1].signs)
            # Names to the left, numbers to the right.
            padded = (
                text.ljust(size) if at == 1 else text.rjust(size)
                for at, (text, size) in enumerate(zip(texts, widths, strict=True))
            )
            style = "dim" if not number else "yellow" if is_suspect else "bold" if is_best else ""
            yield StyledLine("  ".join(padded).rstrip(), style)
    if num_shown < len(rows):
        yield StyledLine(f"and {count_text(len(rows) - num_shown, 'run')} more: --all", "dim")
    headings = {heading for heading, _ in columns}
    left_out = [name for name in comparison.varying if name not in headings]
    left_out += [column.name for column in comparison.columns if column.heading not in headings]
    if left_out:
        yield from _wrapped(f"no room for {', '.join(left_out)}: --csv, --json", width, "dim")


def _fitting_columns(
    comparison: SweepComparison, rows: list[RunRow], by: Column, width: int
) -> list[tuple[str, Any]]:
    """Choose what there is room for: heading, and what gives the text of a row's cell."""
    ranks = comparison.ranks
    fixed: list[tuple[str, Any]] = [
        ("", lambda row: f"{'!' if row.signs else ''}{ranks.get(row.name, '-')}"),
        ("run", _run_text),
    ]
    states = {row.state for row in rows}
    if states != {"done"}:
        fixed.append(("state", lambda row: row.state))
    fixed.append((by.heading, lambda row: _number_text(by, row)))
    room = width - sum(_width(heading, cell, rows) for heading, cell in fixed)
    settings: list[tuple[str, Any]] = []
    for name in comparison.varying:

        def setting(row: RunRow, name: str = name) -> str:
            return _setting_text(row.settings.get(name))

        room -= _width(name, setting, rows)
        if room < 0:
            break
        settings.append((name, setting))
    chosen = {by.name}
    present = {column.name: column for column in comparison.columns}
    for name in _PRIORITY:
        if name in chosen or name not in present:
            continue
        column = present[name]
        size = _width(column.heading, lambda row, one=column: _number_text(one, row), rows)
        if size <= room:
            room -= size
            chosen.add(name)
    numbers = [column for column in COLUMNS if column.name in chosen and column.name in present]
    if by.name not in present:
        numbers.insert(0, by)
    cells = [(column.heading, lambda row, one=column: _number_text(one, row)) for column in numbers]
    return [*fixed[:-1], *settings, *cells]


def _width(heading: str, cell: Any, rows: list[RunRow]) -> int:
    return 2 + max([len(heading), *(len(cell(row)) for row in rows)])


def _run_text(row: RunRow) -> str:
    # The run's name stands above, or is the same for all, unless two runs of a kind differ in it.
    folder, _, name = row.name.rpartition("/")
    return folder if folder and row.data_label.startswith(name) else row.name


def _setting_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = "-" if value is None else str(value)
    return text if len(text) <= _MOST_SETTING else f"{text[: _MOST_SETTING - 1]}…"


def _number_text(column: Column, row: RunRow) -> str:
    value = column.of(row)
    if math.isnan(value):
        return "-"
    return short_duration(value) if column.name == "time_s" else f"{value:.{column.digits}f}"


def _best_lines(
    comparison: SweepComparison, by: Column, width: int = _WIDE
) -> Iterator[StyledLine]:
    best = comparison.best
    num_kinds = len({row.data for row in comparison.rows})
    for row in best[:_MOST_BEST]:
        of = f" of {row.data_label}" if num_kinds > 1 else ""
        text = f"best{of}: {row.name}, {by.name} {_number_text(by, row)}"
        yield from _wrapped(text, width, "green")
    if len(best) > _MOST_BEST:
        yield StyledLine(f"and {len(best) - _MOST_BEST} more of rank 1", "green")
    for row in [row for row in best if row.signs][:_MOST_BEST]:
        kinds = ", ".join(sign.kind for sign in row.signs)
        yield from _wrapped(f"beware: {row.name} looks wrong ({kinds})", width, "yellow")


def _sign_lines(rows: list[RunRow], most: int | None, width: int) -> Iterator[StyledLine]:
    if not rows:
        return
    kinds = Counter(sign.kind for row in rows for sign in row.signs)
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    yield from _wrapped(f"{count_text(len(rows), 'run')} with signs of trouble: {counts}", width)
    for row in rows[:most]:
        for sign in row.signs:
            yield from _wrapped(f"! {row.name}: {sign}", width, "yellow", "    ")
    if most is not None and len(rows) > most:
        yield StyledLine(f"and {count_text(len(rows) - most, 'run')} more: --all", "dim")


def _wrapped(text: str, width: int, style: str = "", indent: str = "  ") -> Iterator[StyledLine]:
    # Before wrapping: what is shown for a control character is longer than it is.
    for one in textwrap.wrap(
        printable(text), max(width, 40), subsequent_indent=indent, break_on_hyphens=False
    ):
        yield StyledLine(one, style)
