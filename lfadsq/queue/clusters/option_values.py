"""Values of cluster options: how they are read from what people write, and written again.

A reader takes text as on a command line, or what a TOML file or Python gives, and raises a
`ValueError` that says what would be right. Nothing it lets through can end a line of a job script:
there are no control characters, and names are of letters, digits and a few signs that no shell and
no batch system takes for anything else.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.queue.clusters.node_names import expand_nodes

__all__ = [
    "ACCOUNT",
    "COUNT",
    "COUNT_OR_NONE",
    "DIRECTIVES",
    "DURATION",
    "INTERFACE",
    "LINES",
    "MARGIN",
    "MEMORY",
    "NODES",
    "PARTITION",
    "PYTHON",
    "SWITCH",
    "Kind",
    "shown",
]


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes
    ----------
    read : callable
        Gives the value, or raises a `ValueError` that says what to give.
    write : callable
        Gives the value as TOML, which `read` reads again.
    metavar : str
        As help shows it; empty for a switch.
    is_repeatable : bool
        Whether an option on the command line may be given several times.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], str]
    metavar: str
    is_repeatable: bool = False


_LONGEST_NUMBER = 40
_LONGEST_SHOWN = 80

_TIME = "give a time such as 12:00:00, 2-12:00:00, 90m, 2h or 1d; a number alone is in seconds"
_CLOCK = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-5][0-9]):([0-5][0-9])")
_DAYS = re.compile(r"([0-9]+)-([0-9]+)(?::([0-5][0-9]))?")
_AMOUNTS = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?\s*(?:d|h|min|m|s)\s*)+")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(d|h|min|m|s)")
_UNITS_S = {"d": 86400, "h": 3600, "min": 60, "m": 60, "s": 1}
_LONGEST_S = 3650 * 86400

_MEMORY = "give an amount with its unit, such as 16GB or 16000MB"
_AMOUNT_OF_MEMORY = re.compile(r"[0-9]+(?:\.[0-9]+)?\s*(?:[KMGT]i?B?|B)", re.IGNORECASE | re.ASCII)
_BYTES_IN_MB = 1_000_000

_NAMES = {
    "partition": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:,-]*"),
    "account": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:,/-]*"),
    "interface": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*"),
}


def _read_duration_s(value: Any) -> int:
    # TOML takes a bare 12:00:00 for a time of the day.
    if isinstance(value, datetime.time):
        value = value.isoformat(timespec="seconds")
    text = _plain(value, _TIME).lower()
    seconds: float
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(_TIME)
    if re.fullmatch(r"[0-9]+", text):
        seconds = int(text)
    elif found := _CLOCK.fullmatch(text) or _DAYS.fullmatch(text):
        parts = [int(part or 0) for part in found.groups()]
        lengths_s = (86400, 3600, 60, 1)
        seconds = sum(part * length_s for part, length_s in zip(parts, lengths_s, strict=False))
    elif _AMOUNTS.fullmatch(text):
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _AMOUNT.findall(text))
    elif re.fullmatch(r"[0-9]+:[0-9]+", text):
        raise ValueError("give hours:minutes:seconds, for two numbers can be read in two ways")
    else:
        raise ValueError(_TIME)
    if seconds > _LONGEST_S:
        raise ValueError("give less than ten years")
    return round(seconds)


def _read_walltime_s(value: Any) -> int:
    seconds = _read_duration_s(value)
    if seconds < 1:
        raise ValueError("give more than nothing")
    return seconds


def _write_duration(seconds: int) -> str:
    minutes, rest_s = divmod(seconds, 60)
    if seconds >= 3600:
        return json.dumps(f"{minutes // 60}:{minutes % 60:02d}:{rest_s:02d}")
    return json.dumps(f"{seconds}s" if rest_s else f"{minutes}m")


def _read_memory_mb(value: Any) -> int:
    text = _plain(value, _MEMORY)
    if len(text) > _LONGEST_NUMBER or not _AMOUNT_OF_MEMORY.fullmatch(text):
        raise ValueError(_MEMORY)
    from dask.utils import parse_bytes

    memory_mb = math.ceil(parse_bytes(text) / _BYTES_IN_MB)
    if memory_mb < 1:
        raise ValueError(_MEMORY)
    return memory_mb


def _write_memory(memory_mb: int) -> str:
    in_gb, rest_mb = divmod(memory_mb, 1000)
    return json.dumps(f"{memory_mb}MB" if rest_mb else f"{in_gb}GB")


def _count_reader(minimum: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = _plain(value, f"give a whole number of {minimum} or more")
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < minimum:
            raise ValueError(f"give a whole number of {minimum} or more")
        return int(text)

    return read


def _name_reader(what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        right = f"give a name of letters, digits and {_signs_of(what)}"
        if not isinstance(value, str):
            raise ValueError(right)
        text = value.strip()
        if text and not _NAMES[what].fullmatch(text):
            raise ValueError(right)
        return text

    return read


def _signs_of(what: str) -> str:
    return " ".join(sign for sign in "_.-@+:,/" if _NAMES[what].fullmatch(f"a{sign}"))


def _read_nodes(value: Any) -> tuple[str, ...]:
    texts = _texts(value, "give names of nodes, such as node07 or node[01-04]")
    return tuple(dict.fromkeys(node for text in texts for node in expand_nodes(text)))


def _read_lines(value: Any) -> tuple[str, ...]:
    lines = [line.strip() for line in _texts(value, "give lines of text")]
    for line in lines:
        if not line.isprintable():
            raise ValueError(f"give plain text, one line at a time, not {shown(line)}")
    return tuple(filter(None, lines))


def _read_directives(value: Any) -> tuple[str, ...]:
    lines = _read_lines(value)
    for line in lines:
        if line.startswith("#"):
            raise ValueError(
                f"give {shown(line)} without its first word, which is put before each of them"
            )
    return lines


def _read_python(value: Any) -> str:
    right = "give the absolute path of a Python, or the name of one that is on PATH"
    text = _plain(str(value) if isinstance(value, Path) else value, right)
    if not text.isprintable() or text.startswith("-") or any(sign in text for sign in "$`"):
        raise ValueError(f"{right}; no shell reads it")
    if text.startswith("~"):
        try:
            text = str(Path(text).expanduser())
        except RuntimeError:
            raise ValueError(right) from None
    if not text or ("/" in text) != text.startswith("/") or ("/" not in text and " " in text):
        raise ValueError(right)
    return text


def _read_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("give true or false")
    return value


def _plain(value: Any, right: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(right)
    return str(value).strip()


def _texts(value: Any, right: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ValueError(right)
    return list(texts)


def shown(value: Any) -> str:
    """Show a value as it was given, in one short line."""
    text = repr(value) if isinstance(value, (str, list, tuple, int, float)) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _write_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _write_list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_write_text, values))}]"


PARTITION = Kind(_name_reader("partition"), _write_text, "NAME")
ACCOUNT = Kind(_name_reader("account"), _write_text, "NAME")
INTERFACE = Kind(_name_reader("interface"), _write_text, "NAME")
DURATION = Kind(_read_walltime_s, _write_duration, "TIME")
MARGIN = Kind(_read_duration_s, _write_duration, "TIME")
MEMORY = Kind(_read_memory_mb, _write_memory, "SIZE")
COUNT = Kind(_count_reader(1), str, "NUMBER")
COUNT_OR_NONE = Kind(_count_reader(0), str, "NUMBER")
NODES = Kind(_read_nodes, _write_list, "LIST", is_repeatable=True)
LINES = Kind(_read_lines, _write_list, "LINE", is_repeatable=True)
DIRECTIVES = Kind(_read_directives, _write_list, "LINE", is_repeatable=True)
PYTHON = Kind(_read_python, _write_text, "PATH")
SWITCH = Kind(_read_switch, _write_text, "")
