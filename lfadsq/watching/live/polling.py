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
    """

    def __init__(
        self,
        work: Callable[[], _Result],
        take: Callable[[_Result | Exception], None],
        interval_s: float,
        name: str,
    ) -> None:
        self._work = work
        self._take = take
        self._interval_s = interval_s
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

    def stop(self) -> None:
        """End it, without waiting long for a call that is under way; its result is dropped."""
        with self._changed:
            self._has_stopped = True
            self._changed.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_END_S)

    def _run(self) -> None:
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
