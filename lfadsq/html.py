"""Pieces of HTML displays, as notebooks show them.

Everything is a pure function. What is given as text is escaped here; what is called `body` or
`part` is HTML that other functions of this module made. Displays hold no scripts and load nothing,
take their colours from the page, and can be read without their style sheet, which notebooks of
unknown origin do not apply.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

__all__ = [
    "MOST_LISTED",
    "Attribute",
    "attributes",
    "display",
    "escaped",
    "folded",
    "line",
    "table",
]

MOST_LISTED = 50
"""Rows of a list that are shown; the rest is only counted."""

_STYLE = """<style>
.lfadsq { line-height: 1.45; overflow-x: auto; }
.lfadsq .lfadsq-title { font-weight: 600; margin-bottom: .3em; }
.lfadsq .lfadsq-muted { opacity: .65; }
.lfadsq details { margin: .15em 0; }
.lfadsq summary { cursor: pointer; }
.lfadsq details > :not(summary) { margin-left: 1.2em; }
.lfadsq table { border-collapse: collapse; margin: .2em 0; color: inherit; font-size: inherit; }
.lfadsq th, .lfadsq td, .lfadsq tr { background: transparent; border: 0; color: inherit; }
.lfadsq th, .lfadsq td { padding: .1em 1.2em .1em .4em; text-align: left; vertical-align: top; }
.lfadsq th { font-weight: 500; opacity: .75; border-bottom: 1px solid rgba(128, 128, 128, .5); }
.lfadsq tr.lfadsq-changed td:first-child { box-shadow: inset .2em 0 #e08214; }
.lfadsq td { font-variant-numeric: tabular-nums; }
</style>"""


@dataclass(frozen=True)
class Attribute:
    """A name and its value.

    Attributes
    ----------
    name, value : str
        Text of both.
    is_changed : bool
        Whether to make it stand out.
    note : str
        What else to say, less prominently.
    help : str
        Shown where the mouse rests on the name.
    """

    name: str
    value: str
    is_changed: bool = False
    note: str = ""
    help: str = ""


def escaped(text: object) -> str:
    """Write text so that nothing in it is taken for HTML.

    >>> escaped("<script>'&'")
    '&lt;script&gt;&#x27;&amp;&#x27;'
    """
    # Names of files may hold bytes that are no text; those cannot be sent to a browser.
    sendable = str(text).encode("utf-8", "replace").decode("utf-8")
    return html.escape(sendable, quote=True)


def display(title: str, *parts: str) -> str:
    """Give a whole display: a title, and the parts below it."""
    head = f'<div class="lfadsq-title">{escaped(title)}</div>'
    return f'<div class="lfadsq">{_STYLE}{head}{"".join(parts)}</div>'


def line(text: str) -> str:
    """Give a line of text."""
    return f"<div>{escaped(text)}</div>"


def folded(summary: str, body: str, *, is_open: bool = False) -> str:
    """Give what unfolds when its summary is clicked."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escaped(summary)}</summary>{body}</details>"


def attributes(rows: Iterable[Attribute]) -> str:
    """Give names with their values; those that changed stand out."""
    return f"<table><tbody>{''.join(map(_attribute_row, rows))}</tbody></table>"


def _attribute_row(row: Attribute) -> str:
    value = escaped(row.value)
    changed = ' class="lfadsq-changed"' if row.is_changed else ""
    tooltip = f' title="{escaped(row.help)}"' if row.help else ""
    note = f' <span class="lfadsq-muted">{escaped(row.note)}</span>' if row.note else ""
    shown = f"<strong>{value}</strong>" if row.is_changed else value
    return f"<tr{changed}><td{tooltip}>{escaped(row.name)}</td><td>{shown}{note}</td></tr>"


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    num_rows: int,
    *,
    most: int = MOST_LISTED,
) -> str:
    """Give a table of text.

    Parameters
    ----------
    headings : sequence of str
        Headings of the columns.
    rows : iterable of sequence of str
        No more of it is read than is shown.
    num_rows : int
        How many rows there are.
    most : int, default MOST_LISTED
        How many are shown; a line below tells of the others.

    Returns
    -------
    str
    """
    head = "".join(f"<th>{escaped(heading)}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>"
        for row in islice(rows, most)
    )
    rest = (
        f'<div class="lfadsq-muted">… and {num_rows - most} more</div>' if num_rows > most else ""
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def progress_bar(text: str, num_done: int, total: int) -> str:
    """Give a bar with text beside it."""
    return (
        f'<div class="lfadsq"><progress value="{num_done}" max="{total}"></progress> '
        f"{num_done} of {total} · {escaped(text)}</div>"
    )
