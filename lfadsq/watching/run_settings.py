"""In what the runs of a collection differ, from its ``summary.txt``.

A summary of 10,000 settings has 20 MB, nearly all of it values that are the same for all. So only
the first line of each setting is read, and the values of those that are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from lfadsq.manager.setting_texts import differences_of, run_spec_of, setting_at

__all__ = ["RunSettings", "read_settings"]

_SETTING_BEGINS = b"\n    ["
_RULE = b"\n  ----"


class RunSettings:
    """The settings in a summary.

    Parameters
    ----------
    content : bytes
        Of ``summary.txt``; empty if there is none.

    Attributes
    ----------
    run_names : tuple of str
        Names of the run specifications.
    param_hashes : tuple of str
        Of the settings, in their order.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._places: dict[str, int] = {}
        self._differences: dict[str, Mapping[str, str]] = {}
        names: dict[str, None] = {}
        at = content.find(_SETTING_BEGINS)
        while at != -1:
            end = content.find(b"\n", at + 1)
            line = _text(content[at + 1 : end if end != -1 else len(content)])
            if (found := differences_of(line)) is not None:
                self._places.setdefault(found[0], at + 1)
                self._differences.setdefault(*found)
            elif not self._places and (name := run_spec_of(line)) is not None:
                names[name] = None
            at = content.find(_SETTING_BEGINS, at + 1)
        self.run_names = tuple(names)
        self.param_hashes = tuple(self._places)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """Names of the hyperparameters that are not the same in all settings."""
        texts: dict[str, set[str]] = {}
        counts: dict[str, int] = {}
        for differences in self._differences.values():
            for name, text in differences.items():
                texts.setdefault(name, set()).add(text)
                counts[name] = counts.get(name, 0) + 1
        # Where it is not listed, it has its default, which is none of the listed values.
        num = len(self._differences)
        return tuple(name for name in texts if len(texts[name]) > 1 or counts[name] < num)

    def values(self, param_hash: str) -> dict[str, str]:
        """Give the texts of the `varying` hyperparameters of a setting; none if it is unknown."""
        at = self._places.get(param_hash)
        if at is None:
            return {}
        shown = self._differences[param_hash]
        if all(name in shown for name in self.varying):
            return {name: shown[name] for name in self.varying}
        ends = [self._content.find(mark, at + 1) for mark in (_SETTING_BEGINS, _RULE)]
        end = min([end for end in ends if end != -1], default=len(self._content))
        lines = [_text(line) for line in self._content[at:end].split(b"\n")]
        setting = setting_at(lines, 0)
        listed = setting.values if setting else {}
        return {name: shown.get(name, listed.get(name, "?")) for name in self.varying}

    def data_key(self, param_hash: str) -> tuple[str, ...]:
        """Give what is equal for settings on equal data: costs on other data do not compare."""
        differences = self._differences.get(param_hash, {})
        return tuple(differences.get(name, "") for name in self.data_names)

    @cached_property
    def data_names(self) -> tuple[str, ...]:
        """Those of `varying` that change the data."""
        return tuple(name for name in self.varying if not name.startswith("c_"))


def read_settings(path: Path) -> RunSettings:
    """Read the settings of a collection; one without a readable summary has none."""
    try:
        return RunSettings(path.read_bytes())
    except OSError:
        return RunSettings(b"")


def _text(line: bytes) -> str:
    line = line.removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("windows-1252", errors="replace")  # MATLAB of those days
