"""Ending a training in good order when the system or the user asks for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption", "noted_interruptions"]


class Interruption:
    """Whether the process was asked to end.

    Attributes
    ----------
    signal_number : int, optional
        The signal that asked; none so far.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def note(self, signal_number: int, frame: FrameType | None = None) -> None:
        """Remember a signal; a second one ends the process at once."""
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = signal_number


@contextmanager
def noted_interruptions() -> Iterator[Interruption]:
    """Note SIGINT and SIGTERM rather than ending, so that a checkpoint can be written first."""
    interruption = Interruption()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interruption.note) for number in signals}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
