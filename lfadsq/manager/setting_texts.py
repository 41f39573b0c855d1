"""Settings as ``summary.txt`` shows them: a line of differences from the defaults, then all values.

This alone needs neither NumPy nor the classes of parameters: whoever only shows settings is quick.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SettingText", "differences_of", "run_spec_of", "setting_at"]

_RUN_SPEC = re.compile(r'    \[runSpec \d+\] \S+ "(.*)" \(\d+ datasets\)')
_SETTING = re.compile(r"    \[\d+ param_([\w-]{6}) data_([\w-]{6})\] (\S+)(?: (.*)|)")
_VALUE = re.compile(r"\s+([A-Za-z]\w*):(?: (.*)|)")
_NAMED = re.compile(r"(?:^| )([A-Za-z]\w*)=")
_NAME_ENDS = '" '
_RULE = "  ----"
_LONG_ARRAY = "[...]"


@dataclass(frozen=True)
class SettingText:
    """One setting of hyperparameters, in the words of a summary.

    Attributes
    ----------
    param_hash, data_hash : str
        Its hashes.
    class_title : str
        Its class, such as ``LorenzExperiment.RunParams``.
    name : str
        What the user calls it; may be empty.
    values : dict of str to str
        Text of every value that is listed, by name.
    differing : frozenset of str
        Names of values other than the defaults.
    """

    param_hash: str
    data_hash: str
    class_title: str
    name: str
    values: Mapping[str, str]
    differing: frozenset[str]


def run_spec_of(line: str) -> str | None:
    """Read the name in the first line of a run specification; None if it is no such line.

    >>> run_spec_of('    [runSpec 1] My.RunSpec "all" (44 datasets)')
    'all'
    """
    found = _RUN_SPEC.fullmatch(line)
    return found[1] if found else None


def differences_of(line: str) -> tuple[str, dict[str, str]] | None:
    """Read the hash and the differences from the defaults in the first line of a setting.

    Quick, for those who compare many settings: texts that hold ``" name="`` are taken apart there.
    `setting_at` reads them rightly.

    >>> differences_of('    [1 param_YOs74u data_4MaTKO] My.RunParams "wide" c_gen_dim=64 c_a=0')
    ('YOs74u', {'c_gen_dim': '64', 'c_a': '0'})
    """
    found = _SETTING.fullmatch(line)
    if found is None:
        return None
    rest = found[4] or ""
    _, differences = next(_split_label(rest), ("", rest))
    return found[1], _named_values(differences)


def setting_at(lines: Sequence[str], number: int) -> SettingText | None:
    """Read the setting whose first line is ``lines[number]``; None if none begins there."""
    found = _SETTING.fullmatch(lines[number])
    return _setting(found, _values_below(lines, number)) if found else None


def _values_below(lines: Sequence[str], number: int) -> dict[str, str]:
    values: dict[str, str] = {}
    for below in range(number + 1, len(lines)):
        line = lines[below]
        if line.startswith(_RULE) or _SETTING.fullmatch(line):
            break
        if found := _VALUE.fullmatch(line):
            values[found[1]] = found[2] or ""
    return values


def _setting(found: re.Match[str], values: dict[str, str]) -> SettingText:
    param_hash, data_hash, title, rest = found[1], found[2], found[3], found[4] or ""
    for name, differences in _split_label(rest):
        differing = _parse_differences(differences, values)
        if differing is not None:
            return SettingText(param_hash, data_hash, title, name, values, differing)
    name, differences = next(_split_label(rest), ("", rest))
    # Names that are not listed, or values that the list shows in another way.
    shown = _named_values(differences)
    return SettingText(param_hash, data_hash, title, name, {**shown, **values}, frozenset(shown))


def _split_label(text: str) -> Iterator[tuple[str, str]]:
    """List how a line may be divided into a label in quotes, and differences."""
    if not text.startswith('"'):
        yield "", text
        return
    end = text.find(_NAME_ENDS, 1)
    while end != -1:
        yield text[1:end], text[end + len(_NAME_ENDS) :]
        end = text.find(_NAME_ENDS, end + 1)
    if text.endswith('"'):
        yield text[1:-1], ""


def _named_values(text: str) -> dict[str, str]:
    found = list(_NAMED.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return {one[1]: text[one.end() : end] for one, end in zip(found, ends, strict=True)}


def _parse_differences(text: str, values: Mapping[str, str]) -> frozenset[str] | None:
    """Find which values a line of differences names; their texts may hold blanks and more."""
    tokens = {f"{name}={value}": name for name, value in values.items()}
    # Long arrays are not shown there.
    tokens |= {f"{name}={_LONG_ARRAY}": name for name, text in values.items() if text[:1] == "["}
    lengths = sorted({len(token) for token in tokens}, reverse=True)
    # What is still to be read, and the names read so far: the longest texts are tried first.
    waiting: list[tuple[int, frozenset[str]]] = [(0, frozenset())]
    while waiting:
        start, names = waiting.pop()
        if start >= len(text):
            return names
        options = []
        for length in lengths:
            name = tokens.get(text[start : start + length])
            end = start + length
            if name is not None and name not in names and text[end : end + 1] in ("", " "):
                options.append((end + 1, names | {name}))
        waiting += reversed(options)
    return None
