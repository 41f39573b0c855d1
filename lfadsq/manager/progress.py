"""Showing how far long work has come: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["showing_progress"]

_log = logging.getLogger(__name__)


@contextmanager
def showing_progress(doing: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show how many of `total` steps are done.

    Parameters
    ----------
    doing : str
        What is being done, as it reads at the start of a line.
    total : int
        Number of steps.

    Yields
    ------
    callable
        To be called with the name of each step when it is done. The bar goes to standard error and
        vanishes when the block ends; without a terminal, steps are logged.
    """
    if total == 0 or not sys.stderr.isatty():
        yield lambda step: _log.info("%s: %s", doing, step)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)

        def advance(step: str) -> None:
            bar.update(task, advance=1, description=f"{doing}: {step}")

        yield advance
