"""What `lfadsq doctor` finds: each thing with how it stands, and what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import asdict, dataclass

__all__ = ["Finding", "Level", "Tell", "ok", "problem", "warning"]


class Level(str, enum.Enum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level : Level
    topic : str
        What was looked at, in a word or two that stay the same, such as ``locks``.
    text : str
        What was found.
    remedy : str
        What to do; empty if all is well.
    """

    level: Level
    topic: str
    text: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Convert for JSON."""
        return {**asdict(self), "level": self.level.value}


Tell = Callable[[Finding], None]
"""Takes findings as they are made."""


def ok(topic: str, text: str) -> Finding:
    """Make a finding of something that is well."""
    return Finding(Level.OK, topic, text)


def warning(topic: str, text: str, remedy: str) -> Finding:
    """Make a finding of something that one can live with."""
    return Finding(Level.WARNING, topic, text, remedy)


def problem(topic: str, text: str, remedy: str) -> Finding:
    """Make a finding of something with which a queue would not work."""
    return Finding(Level.PROBLEM, topic, text, remedy)
