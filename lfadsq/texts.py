"""Numbers and durations in words, and text that a terminal can be given.

Names come from any file system, and logs hold whatever a program, or a file name, said.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "StyledLine",
    "count_text",
    "duration_text",
    "harmless",
    "hours_text",
    "printable",
    "short_duration",
]

# Whole sequences that colour, move the cursor, set titles: gone, since what is left reads well.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
)
# What remains is shown: C0 but tab, line break and return; DEL; C1; and what turns text around.
_REST = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class StyledLine(NamedTuple):
    """What is written to a terminal at once: a line, or some that belong together.

    Attributes
    ----------
    text : str
        Without what a terminal would obey.
    style : str
        In the words of rich; nothing is told by it alone.
    """

    text: str
    style: str = ""


def count_text(number: int, noun: str) -> str:
    """Write how many there are of something.

    >>> count_text(1, "task"), count_text(0, "running task")
    ('1 task', '0 running tasks')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """Write a duration for people.

    >>> duration_text(7.26), duration_text(75), duration_text(7380), duration_text(90000)
    ('7.3 s', '1 min 15 s', '2 h 03 min', '1 d 1 h')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def short_duration(seconds: float) -> str:
    """Write a duration in a few columns.

    >>> [short_duration(seconds) for seconds in (7.2, 75, 7380, 90000, 8e6)]
    ['7s', '1m15s', '2h03m', '1d01h', '92d']
    """
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest_s:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h" if days < 10 else f"{days}d"


def hours_text(seconds: float) -> str:
    """Write a sum of times in hours, with two digits at least.

    >>> [hours_text(seconds) for seconds in (0, 0.1, 11, 3600, 1e6)]
    ['0', 'under 0.001', '0.0031', '1.0', '277.8']
    """
    hours = seconds / 3600
    if 0 < hours < 0.001:
        return "under 0.001"
    return f"{hours:.1f}" if hours >= 0.95 else f"{hours:.2g}"


def printable(text: str) -> str:
    r"""Give a line that does nothing to a terminal but show: names come from any file system.

    >>> print(printable("a\x1b[31m\nb"))
    a\x1b[31m\nb
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode()
        for one in text
    )


def harmless(text: str) -> str:
    r"""Give text of many lines that no terminal obeys, and every terminal can be given.

    Tabs, line breaks and returns stay: a return only goes back to the beginning of its line.

    >>> harmless("\x1b[31mred\x1b[0m \x1b]0;title\x07\x07 10 %\r90 %")
    'red ^G 10 %\r90 %'
    >>> harmless("\x1b[2Ja\x1b" + "c \u202eb")
    'a^[c \\u202eb'
    """
    text = _REST.sub(_shown, _SEQUENCES.sub("", text))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return f"^{chr(code + 0x40)}"
    return "^?" if code == 0x7F else f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
