"""Reading ``summary.txt``, whether lfadsq or LFADS Run Manager wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lfadsq.files import storage_errors
from lfadsq.manager.setting_texts import SettingText, run_spec_of, setting_at
from lfadsq.manager.summary_notes import SummaryNotes, read_notes

__all__ = ["SettingText", "SummaryText", "parse_summary", "read_summary"]

_PATH = re.compile(r"  Path: (.*)")
_DATASET_COLLECTION = re.compile(r'  Dataset Collection "(.*)" \(\d+ datasets\) in (.*)')
_DATASET = re.compile(r'      \[ds \d+\] \S+ "(.*)"')


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
        if not settings and (name := run_spec_of(line)) is not None:
            run_name = name
            run_specs[run_name] = []
        elif not settings and run_name is not None and (found := _DATASET.fullmatch(line)):
            run_specs[run_name].append(found[1])
        elif (setting := setting_at(lines, number)) is not None:
            settings.append(setting)
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
