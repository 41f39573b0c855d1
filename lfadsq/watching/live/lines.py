"""Lines of text with styles, cut and filled to columns of a terminal.

Styles are words for what a text is, and nothing is told by them alone: a terminal without colour,
or a person who sees none, reads the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len

from lfadsq.texts import harmless

__all__ = [
    "Line",
    "Span",
    "clipped",
    "cut_middle",
    "fitted",
    "joined",
    "plain",
    "shown",
    "width_of",
    "wrapped",
]


class Span(NamedTuple):
    """A piece of a line.

    Attributes
    ----------
    text : str
        Harmless to a terminal.
    style : {"", "strong", "faint", "good", "warn", "bad", "picked"}
    """

    text: str
    style: str = ""


Line = tuple[Span, ...]


def shown(text: str) -> str:
    r"""Make a text harmless and one line: names and reasons come from any file system.

    >>> shown("a\nb\t\x1b[31mc\x07\rd")
    'a b c^G d'
    """
    text = harmless(text)
    for sign in "\r\n\t\u2028\u2029\x0b\x0c":
        text = text.replace(sign, " ")
    return text


def plain(line: Line) -> str:
    """Give the text of a line without its styles."""
    return "".join(span.text for span in line)


def width_of(text: str) -> int:
    """Count the columns that a text takes.

    >>> width_of("abc"), width_of("日本")
    (3, 4)
    """
    return len(text) if text.isascii() else cell_len(text)


def fitted(text: str, width: int, *, to_right: bool = False) -> str:
    """Cut or fill a text to exactly so many columns; what is cut ends in two dots.

    >>> fitted("abcdef", 4), fitted("ab", 4), fitted("ab", 4, to_right=True), fitted("日本語", 5)
    ('ab..', 'ab  ', '  ab', '日.. ')
    """
    text = text if width_of(text) <= width else _head(text, width - 2) + "..."[: min(2, width)]
    text = _head(text, width)
    fill = " " * (width - width_of(text))
    return fill + text if to_right else text + fill


def cut_middle(text: str, width: int) -> str:
    """Cut a name in its middle: those of a sweep differ at both ends.

    >>> cut_middle("param_Yw0JcR/single_dataset001", 16), cut_middle("short", 16)
    ('param_Y..aset001', 'short')
    """
    if width_of(text) <= width:
        return text
    if width < 5:
        return _head(text, width)
    head = _head(text, (width - 2) // 2)
    return f"{head}..{_tail(text, width - 2 - width_of(head))}"


def wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    """Break a text into lines at blanks; words that are longer than a line are broken too.

    >>> wrapped("out of memory: try again", 10, indent="  ")
    ['out of', '  memory:', '  try', '  again']
    """
    return textwrap.wrap(text, max(8, width), subsequent_indent=indent) or [""]


def clipped(spans: Iterable[Span], width: int) -> Line:
    """Cut a line at the edge of the terminal."""
    line: list[Span] = []
    for span in spans:
        if width_of(span.text) > width:
            line.append(span._replace(text=_head(span.text, width)))
            break
        line.append(span)
        width -= width_of(span.text)
    return tuple(line)


def joined(parts: Sequence[Sequence[Span]], separator: str = " ") -> list[Span]:
    """Put parts of a line beside each other."""
    spans: list[Span] = []
    for part in parts:
        spans += [Span(separator), *part] if spans else part
    return spans


def _head(text: str, width: int) -> str:
    # What takes no columns may come in any number.
    text = text[: max(0, width) * 8]
    at = min(len(text), width) if text.isascii() else len(text)
    while at > 0 and width_of(text[:at]) > width:
        at -= 1
    return text[:at]


def _tail(text: str, width: int) -> str:
    text = text[max(0, len(text) - width * 8) :]
    at = max(0, len(text) - width) if text.isascii() else 0
    while at < len(text) and width_of(text[at:]) > width:
        at += 1
    return text[at:]
