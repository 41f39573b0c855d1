"""What of a log a terminal may be given: logs hold whatever a program, or a file name, said."""

from __future__ import annotations

import re

__all__ = ["harmless"]

# Whole sequences that colour, move the cursor, set titles: gone, since what is left reads well.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
)
# What remains is shown: C0 but tab, line break and return; DEL; C1; and what turns text around.
_REST = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def harmless(text: str) -> str:
    r"""Give text that no terminal obeys, and every terminal can be given.

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
