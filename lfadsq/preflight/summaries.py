"""What ``summary.txt`` tells the checks: which datasets runs have, and all values of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lfadsq.errors import StorageError
from lfadsq.manager.summary_reading import read_summary as read_text

__all__ = ["Setting", "Summary", "read_summary"]


@dataclass(frozen=True)
class Setting:
    """One setting of hyperparameters.

    Attributes
    ----------
    data_hash : str
    values : dict of str to str
        Text of each value that is listed, by name.
    """

    data_hash: str
    values: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """Give a value as a number; None if it is none, or not listed."""
        try:
            return float(self.values[name])
        except (KeyError, ValueError):
            return None

    def is_true(self, name: str) -> bool:
        """Tell whether a logical value is listed as true; MATLAB writes 1."""
        return self.values.get(name) in ("true", "1")


@dataclass(frozen=True)
class Summary:
    """What a summary says.

    Attributes
    ----------
    run_specs : dict of str to tuple of str
        Names of the datasets of each run specification.
    settings : dict of str to Setting
        By param hash.
    """

    run_specs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)


def read_summary(path: Path) -> Summary:
    """Read a summary; empty if there is none, or it cannot be read.

    Parameters
    ----------
    path : Path
        ``summary.txt``.
    """
    try:
        said = read_text(path)
    except StorageError:
        return Summary()  # it is for people: nothing fails without it
    settings = {one.param_hash: Setting(one.data_hash, one.values) for one in said.settings}
    return Summary(said.run_specs, settings)
