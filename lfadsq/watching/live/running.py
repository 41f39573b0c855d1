"""Running the live view so that the terminal is left as it was, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lfadsq.watching.live.app import WatchApp
from lfadsq.watching.live.glyphs import ASCII, Glyphs, glyphs_for

__all__ = ["watch_collection"]

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 3.0
# What textual switches on: keyboard protocol, alternative screen, hidden cursor, focus, paste,
# no wrapping; with the text back to normal.
_RESTORE = b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[0m"


def watch_collection(
    collection: Path, *, interval_s: float, has_colour: bool, is_ascii: bool = False
) -> int:
    """Show a collection live in the terminal until somebody quits.

    Parameters
    ----------
    collection : Path
        Its folder.
    interval_s : float
        How often to look [s].
    has_colour : bool
    is_ascii : bool, default False
        Draw with ASCII alone; it does so anyway where the terminal's encoding has no more.

    Returns
    -------
    int
        Exit status: 0 if somebody quit, 128 and the number of a signal that ended it.

    Raises
    ------
    Exception
        What was a fault, once the terminal is as it was.
    """
    output = sys.__stderr__
    glyphs: Glyphs = ASCII if is_ascii else glyphs_for(output.encoding if output else None)
    app = WatchApp(
        collection,
        interval_s=interval_s,
        has_colour=has_colour,
        glyphs=glyphs,
        is_there=_terminal_is_there,
    )
    ending = _Ending(app)
    with _warnings_inside(app), ending.saved():
        asyncio.run(ending.run())
    if app.error is not None:
        raise app.error
    if ending.signal is not None:
        return 128 + ending.signal
    if app.return_code:
        # textual has printed what was wrong, as it alone can.
        raise RuntimeError("the live view ended with the error above")
    return 0


class _Ending:
    """Ends the view on signals; and if it does not end by itself, ends it by force."""

    def __init__(self, app: WatchApp) -> None:
        self._app = app
        self._before: list[Any] | None = None
        self.signal: int | None = None

    @contextlib.contextmanager
    def saved(self) -> Iterator[None]:
        """Know how the terminal was before."""
        with contextlib.suppress(termios.error, ValueError, OSError):
            self._before = termios.tcgetattr(sys.stdin.fileno())
        yield

    async def run(self) -> None:
        """Run the view, in an event loop of its own."""
        loop = asyncio.get_running_loop()
        for number in _ENDS:
            loop.add_signal_handler(number, self._on_signal, int(number))
        await self._app.run_async(mouse=False)

    def _on_signal(self, number: int) -> None:
        self.signal = self.signal or number
        # A terminal that is gone takes nothing more, and writing to it may block for ever.
        watchdog = threading.Timer(_PATIENCE_S, self._end_now)
        watchdog.daemon = True
        watchdog.start()
        self._app.exit()

    def _end_now(self) -> None:
        with contextlib.suppress(Exception):
            if self._before is not None:
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)
        with contextlib.suppress(OSError, ValueError):
            descriptor = sys.__stderr__.fileno() if sys.__stderr__ else 2
            os.set_blocking(descriptor, False)
            os.write(descriptor, _RESTORE)
            os.set_blocking(descriptor, True)
        os._exit(128 + (self.signal or signal.SIGTERM))


def _terminal_is_there() -> bool:
    """Tell whether the terminal was not closed, where that was told by no signal (``nohup``)."""
    try:
        termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, ValueError, OSError):
        return False
    return True


@contextlib.contextmanager
def _warnings_inside(app: WatchApp) -> Iterator[None]:
    """Show warnings of the library in the view: on the terminal they would be written over it."""
    logger = logging.getLogger("lfadsq")
    handlers, logger.handlers = logger.handlers, [_Inside(app)]
    try:
        yield
    finally:
        logger.handlers = handlers


class _Inside(logging.Handler):
    def __init__(self, app: WatchApp) -> None:
        super().__init__(logging.WARNING)
        self._app = app

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self._app.post_message(WatchApp.Said(record.getMessage()))
