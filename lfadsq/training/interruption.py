"""Ending a training in good order when the system or the user asks for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption", "StopRequested", "noted_interruptions"]

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,  # the terminal or the connection is gone
    signal.SIGUSR1,  # what batch systems warn with (SLURM, Grid Engine)
    signal.SIGUSR2,  # Grid Engine before it kills; LSF
    signal.SIGXCPU,  # limits on processor time
)
"""What asks a training to end."""

# In a terminal Ctrl-C reaches the queue and the trainer both, and the queue passes it on.
_ECHO_S = 1.0


class StopRequested(BaseException):
    """The process was asked to end; not an error, so that no handler of errors takes it."""


class Interruption:
    """Whether the process was asked to end.

    Parameters
    ----------
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._signal_number: int | None = None
        self._clock = clock
        self._noted_s = 0.0
        self._may_leave = False

    @property
    def signal_number(self) -> int | None:
        """The signal that asked; none so far."""
        return self._signal_number

    def for_thread(self) -> Interruption:
        """Give what a thread may ask; signals reach the main thread alone.

        What it marks by `may_leave` is not left in the middle.
        """
        return _Followed(self)

    def note(self, signal_number: int, frame: FrameType | None = None) -> None:
        """Remember a signal.

        Further ones change nothing, as batch systems send several and the process is ending; only
        Ctrl-C again, a second or more after the first signal, ends it at once.

        Raises
        ------
        StopRequested
            Within `may_leave`.
        KeyboardInterrupt
            If somebody is impatient.
        """
        if self._signal_number is None:
            self._signal_number = signal_number
            self._noted_s = self._clock()
            if self._may_leave:
                raise StopRequested
        elif signal_number == signal.SIGINT and self._clock() - self._noted_s >= _ECHO_S:
            raise KeyboardInterrupt

    def leave_if_asked(self) -> None:
        """Raise `StopRequested` if the process was asked to end."""
        if self.signal_number is not None:
            raise StopRequested

    @contextmanager
    def may_leave(self) -> Iterator[None]:
        """Leave the block by `StopRequested` as soon as a signal comes, or came before.

        For what takes long and may be left at any point: nothing in it may be worth keeping.
        """
        self.leave_if_asked()
        self._may_leave = True
        try:
            yield
        finally:
            self._may_leave = False


class _Followed(Interruption):
    def __init__(self, interruption: Interruption) -> None:
        super().__init__()
        self._followed = interruption

    @property
    def signal_number(self) -> int | None:
        return self._followed.signal_number

    @contextmanager
    def may_leave(self) -> Iterator[None]:
        self.leave_if_asked()
        yield


@contextmanager
def noted_interruptions() -> Iterator[Interruption]:
    """Note signals rather than ending, so that a checkpoint can be written first.

    Signals that whoever started the process had it ignore (``nohup``, a shell's background) stay
    ignored.
    """
    interruption = Interruption()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, interruption.note)
    try:
        yield interruption
    finally:
        for number in taken:
            signal.signal(number, before[number])
