"""Showing how far long work has come: a bar on a terminal or in a notebook, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from lfadsq.html import progress_bar

__all__ = ["showing_progress"]

_log = logging.getLogger(__name__)

_INTERVAL_S = 0.1


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
        To be called with the name of each step when it is done. A bar appears below the cell of a
        notebook, or on a terminal's standard error, and vanishes when the block ends; where there
        is neither, steps are logged.
    """
    if total > 0 and _is_in_notebook():
        with _bar_in_notebook(doing, total) as advance:
            yield advance
    elif total > 0 and sys.stderr.isatty():
        with _bar_on_terminal(doing, total) as advance:
            yield advance
    else:
        yield lambda step: _log.info("%s: %s", doing, step)


def _is_in_notebook() -> bool:
    # Whoever runs in a kernel has imported IPython; nobody else should pay for that.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def _bar_in_notebook(doing: str, total: int) -> Iterator[Callable[[str], None]]:
    # Not rich's bar: in notebooks it needs ipywidgets, without which it shows nothing.
    ipython = import_module("IPython.display")
    shown = ipython.display(ipython.HTML(progress_bar(doing, 0, total)), display_id=True)
    num_done = 0
    last_s = time.monotonic()

    def advance(step: str) -> None:
        nonlocal num_done, last_s
        num_done += 1
        if num_done == total or time.monotonic() - last_s >= _INTERVAL_S:
            shown.update(ipython.HTML(progress_bar(f"{doing}: {step}", num_done, total)))
            last_s = time.monotonic()

    try:
        yield advance
    finally:
        shown.update(ipython.HTML(""))


@contextmanager
def _bar_on_terminal(doing: str, total: int) -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)

        def advance(step: str) -> None:
            bar.update(task, advance=1, description=f"{doing}: {step}")

        yield advance
