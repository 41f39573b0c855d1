"""A thread that works through what it is given, one after the other; nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

_Item = TypeVar("_Item")
_logger = logging.getLogger(__name__)


class Mailbox(Generic[_Item]):
    """Hands items to a function in a thread of its own, which begins with the first of them.

    Parameters
    ----------
    deliver : callable
        Takes an item. What it raises is logged, and the next item follows.
    name : str
        Of the thread.
    max_items : int, default 1000
        How many can wait; more are refused.
    """

    def __init__(
        self, deliver: Callable[[_Item], object], name: str, max_items: int = 1000
    ) -> None:
        self._deliver = deliver
        self._name = name
        self._max_items = max_items
        self._items: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._deadline_s = float("inf")
        self._thread: threading.Thread | None = None

    def post(self, item: _Item) -> bool:
        """Put an item in, without waiting; tell whether there was room for it."""
        with self._changed:
            if self._is_closed or len(self._items) >= self._max_items:
                return False
            self._items.append(item)
            self._changed.notify_all()
            if self._thread is None:
                # A daemon: an item that hangs must not keep the program from ending.
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        return True

    def close(self, patience_s: float) -> int:
        """Take no more, and let what is there be delivered.

        Parameters
        ----------
        patience_s : float
            How long that may take at most [s].

        Returns
        -------
        int
            How many items were not begun in time.
        """
        with self._changed:
            self._deadline_s = time.monotonic() + patience_s
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(patience_s)
        return len(self._items)

    def left_s(self) -> float:
        """Tell how long delivery may still take [s]: infinite until `close`."""
        return self._deadline_s - time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let the thread rest [s], though not once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, seconds)

    @property
    def _is_closed(self) -> bool:
        return self._deadline_s != float("inf")

    def _next(self) -> list[_Item]:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed)
            return [self._items.popleft()] if self._items and self.left_s() > 0 else []

    def _work(self) -> None:
        while found := self._next():
            try:
                self._deliver(found[0])
            except Exception:
                _logger.warning("%s failed; it goes on", self._name, exc_info=True)
