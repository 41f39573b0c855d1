"""Signals to a queue, and the question of what Ctrl-C means."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

__all__ = ["GOES_ON", "Answer", "Interrupts"]

GOES_ON = "the queue goes on"
"""What a queue says that was not to stop after all."""

_QUESTION = (
    "Ctrl-C: [e]nd the running tasks with a checkpoint, [l]eave them running for the next queue,"
    " or [c]ontinue? (Ctrl-C again ends them) "
)


_ECHO_S = 0.05
"""One Ctrl-C may come twice, from the terminal and from a program around us [s]."""


class Answer(str, enum.Enum):
    """What to do about running tasks when a queue is interrupted."""

    END = "e"
    LEAVE = "l"
    CONTINUE = "c"


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into messages while a ``with`` block lasts.

    Outside the main thread, where Python delivers no signals, it does nothing.

    Parameters
    ----------
    tell : callable
        Takes signals, and answers to `ask`, from any thread.
    """

    def __init__(self, tell: Callable[[signal.Signals | Answer], None]) -> None:
        self._tell = tell
        self._old: dict[signal.Signals, object] = {}
        self._last_s: dict[int, float] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                # Whoever ignores a signal (nohup, a shell's background job) means it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        is_echo = now_s - self._last_s.get(number, -math.inf) < _ECHO_S
        self._last_s[number] = now_s
        if not is_echo:
            self._tell(signal.Signals(number))

    @property
    def can_ask(self) -> bool:
        """Whether a person sits at both ends of our terminal, and we are in its foreground."""
        try:
            # The kernel stops a background job that reads from its terminal.
            return (
                sys.stdin.isatty()
                and sys.stderr.isatty()
                and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
            )
        except (AttributeError, ValueError, OSError):
            return False  # no such stream, or closed, or no terminal of ours

    def ask(self) -> None:
        """Ask what to do; the answer comes as a message, while the queue goes on."""
        threading.Thread(target=self._ask, name="question", daemon=True).start()

    def _ask(self) -> None:
        answer = None
        while answer is None:
            sys.stderr.write(_QUESTION)
            sys.stderr.flush()
            line = sys.stdin.readline()
            with contextlib.suppress(ValueError):
                # No line at all: the terminal went away, and nobody will answer.
                answer = Answer(line.strip().lower()[:1]) if line else Answer.CONTINUE
        self._tell(answer)
