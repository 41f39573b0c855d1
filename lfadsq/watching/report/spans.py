"""Arithmetic on spans of time: what belongs to any of them, and what is left of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Span", "common", "joined", "left_of", "rows_of", "total_s"]

Span = tuple[float, float]
"""Beginning and end [s since 1970]."""


def joined(spans: Iterable[Span], within_s: float = 0.0) -> list[Span]:
    """Join spans that overlap or touch; those without length are left out.

    Parameters
    ----------
    spans : iterable of (float, float)
        In any order.
    within_s : float, default 0
        Also joined are those that are no further apart [s].

    Returns
    -------
    list of (float, float)
        Ascending.

    Examples
    --------
    >>> joined([(5, 7), (0, 2), (2, 3), (6, 6.5), (9, 9)])
    [(0, 3), (5, 7)]
    """
    found: list[Span] = []
    for began_s, ended_s in sorted(spans):
        if ended_s <= began_s:
            continue
        if found and began_s <= found[-1][1] + within_s:
            found[-1] = (found[-1][0], max(found[-1][1], ended_s))
        else:
            found.append((began_s, ended_s))
    return found


def left_of(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """Give what is left of spans when others are taken from them.

    Parameters
    ----------
    spans, taken : sequence of (float, float)
        Each as `joined` gives them.

    Examples
    --------
    >>> left_of([(0, 10), (20, 30)], [(2, 3), (8, 22), (29, 40)])
    [(0, 2), (3, 8), (22, 29)]
    """
    left: list[Span] = []
    at = 0
    for began_s, ended_s in spans:
        while at < len(taken) and taken[at][1] <= began_s:
            at += 1
        free_s = began_s
        for taken_began_s, taken_ended_s in taken[at:]:
            if taken_began_s >= ended_s:
                break
            if taken_began_s > free_s:
                left.append((free_s, taken_began_s))
            free_s = max(free_s, taken_ended_s)
        if free_s < ended_s:
            left.append((free_s, ended_s))
    return left


def common(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Give what spans have in common with others.

    >>> common([(0, 10), (20, 30)], [(5, 25)])
    [(5, 10), (20, 25)]
    """
    return left_of(spans, left_of(spans, others))


def total_s(spans: Iterable[Span]) -> float:
    """Add up the lengths of spans that do not overlap [s]."""
    return sum(ended_s - began_s for began_s, ended_s in spans)


def rows_of(spans: Sequence[Span]) -> list[int]:
    """Put spans into rows in which none overlap, as few as that takes.

    Returns
    -------
    list of int
        For each span its row, from 0.

    Examples
    --------
    >>> rows_of([(0, 5), (1, 2), (2, 3), (4, 8), (5, 6)])
    [0, 1, 1, 1, 0]
    """
    ends_s: list[float] = []
    rows = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda number: spans[number]):
        began_s, ended_s = spans[number]
        free = (row for row, end_s in enumerate(ends_s) if end_s <= began_s)
        row = next(free, len(ends_s))
        ends_s[row : row + 1] = [ended_s]
        rows[number] = row
    return rows
