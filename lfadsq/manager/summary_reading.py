"""Reading ``summary.txt``, whether lfadsq or LFADS Run Manager wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lfadsq.files import storage_errors
from lfadsq.manager.summary_notes import SummaryNotes, read_notes

__all__ = ["SettingText", "SummaryText", "parse_summary", "read_summary"]

_PATH = re.compile(r"  Path: (.*)")
_DATASET_COLLECTION = re.compile(r'  Dataset Collection "(.*)" \(\d+ datasets\) in (.*)')
_RUN_SPEC = re.compile(r'    \[runSpec \d+\] \S+ "(.*)" \(\d+ datasets\)')
_DATASET = re.compile(r'      \[ds \d+\] \S+ "(.*)"')
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


@dataclass(frozen=True)
class SummaryText:
    """What a summary says.

    Attributes
    ----------
    path : str
        Where the collection was when it was written; empty if not said.
    datasets_name, datasets_path : str
        Name and folder of the dataset collection; likewise.
    run_specs : dict of str to tuple of str
        Names of the datasets of each run specification, by its name.
    settings : tuple of SettingText
        The settings of hyperparameters.
    notes : SummaryNotes
        What only lfadsq writes.
    """

    path: str = ""
    datasets_name: str = ""
    datasets_path: str = ""
    run_specs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: tuple[SettingText, ...] = ()
    notes: SummaryNotes = field(default_factory=SummaryNotes)


def read_summary(path: Path) -> SummaryText:
    """Read a ``summary.txt``; one that is missing says nothing.

    Raises
    ------
    StorageError
        If it is there, but cannot be read.
    """
    with storage_errors(path, "read"):
        if not path.exists():
            return SummaryText()
        content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("windows-1252", errors="replace")  # MATLAB of those days
    return parse_summary(text)


def parse_summary(text: str) -> SummaryText:
    r"""Read the text of a summary.

    Parameters
    ----------
    text : str
        Lines that are not understood are passed over.

    Examples
    --------
    >>> parse_summary('    [runSpec 1] My.RunSpec "all" (1 datasets)\n'
    ...               '      [ds 1] My.Dataset "monday"').run_specs
    {'all': ('monday',)}
    """
    # Not splitlines: names of some languages hold what that takes for line breaks.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    path = datasets_name = datasets_path = ""
    run_specs: dict[str, list[str]] = {}
    settings: list[SettingText] = []
    run_name: str | None = None
    for number, line in enumerate(lines):
        if not settings and (found := _RUN_SPEC.fullmatch(line)):
            run_name = found[1]
            run_specs[run_name] = []
        elif not settings and run_name is not None and (found := _DATASET.fullmatch(line)):
            run_specs[run_name].append(found[1])
        elif found := _SETTING.fullmatch(line):
            settings.append(_setting(found, _values_below(lines, number)))
        elif not run_specs and not settings:
            if found := _PATH.fullmatch(line):
                path = path or found[1]
            elif found := _DATASET_COLLECTION.fullmatch(line):
                datasets_name, datasets_path = found[1], found[2]
    return SummaryText(
        path,
        datasets_name,
        datasets_path,
        {name: tuple(datasets) for name, datasets in run_specs.items()},
        tuple(settings),
        read_notes(lines),
    )


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
