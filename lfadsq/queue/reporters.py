"""Several reporters at once, and none at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from lfadsq.queue.events import Event, Reporter

__all__ = ["QuietReporter", "Reporters"]

_logger = logging.getLogger(__name__)


class QuietReporter:
    """Tells nobody."""

    def report(self, event: Event) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Reporters:
    """Passes everything on to several reporters.

    One that raises stops neither the others nor the training: that is logged the first time.

    Parameters
    ----------
    *reporters : Reporter
        In the order in which they are told, and closed.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters
        self._blamed: set[int] = set()

    def report(self, event: Event) -> None:
        """Tell all of them."""
        for reporter in self._reporters:
            self._try(reporter, partial(reporter.report, event))

    def close(self) -> None:
        """Close all of them."""
        for reporter in self._reporters:
            self._try(reporter, reporter.close)

    def _try(self, reporter: Reporter, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            if id(reporter) not in self._blamed:
                self._blamed.add(id(reporter))
                _logger.warning(
                    "%s failed; the queue goes on", type(reporter).__name__, exc_info=True
                )
