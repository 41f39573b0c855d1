"""Reading from time to time on a thread of its own: a disk that hangs must not stop the keys."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from lfadsq.errors import LfadsqError

__all__ = ["Poller"]

_Result = TypeVar("_Result")

_END_S = 0.5


class Poller(Generic[_Result]):
    """Calls a function again and again, and hands on what it gives.

    Parameters
    ----------
    work : callable
        Called on the thread.
    take : callable
        Called on the thread with each result, with each expected error, or with the unexpected one
        that ends it.
    interval_s : float
        Between the end of one call and the begin of the next [s].
    name : str
        Of the thread.
    at_end : callable, optional
        Called on the thread when it is over: whatever `work` uses is let go by whoever uses it.
    """

    def __init__(
        self,
        work: Callable[[], _Result],
        take: Callable[[_Result | Exception], None],
        interval_s: float,
        name: str,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._take = take
        self._interval_s = interval_s
        self._at_end = at_end
        self._changed = threading.Condition()
        self._is_woken = self._has_stopped = False
        # What hangs in a system call cannot be ended, and must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have the next call begin now."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def stop(self, *, waits: bool = False) -> None:
        """End it; the result of a call that is under way is dropped.

        Parameters
        ----------
        waits : bool, default False
            Wait for such a call, but not for long.
        """
        with self._changed:
            self._has_stopped = True
            self._changed.notify_all()
        if waits and self._thread.is_alive():
            self._thread.join(_END_S)

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            self._at_end()

    def _loop(self) -> None:
        while not self._has_stopped:
            result: _Result | Exception
            try:
                result = self._work()
            except LfadsqError as error:
                result = error
            except Exception as error:
                self._hand_on(error)
                return
            self._hand_on(result)
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_woken or self._has_stopped, self._interval_s
                )
                self._is_woken = False

    def _hand_on(self, result: _Result | Exception) -> None:
        if not self._has_stopped:
            self._take(result)
