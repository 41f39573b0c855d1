"""What comes to a running queue from outside, through files: wishes, and a longer task list."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lfadsq.errors import LfadsqError
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.task_lists import read_task_list
from lfadsq.queue.tasks import Task, tasks_from_specs
from lfadsq.queue.wishes import Wishes

__all__ = ["Lookout"]

_logger = logging.getLogger(__name__)

_LOOK_S = 0.2
_LOOK_AT_SCRIPT_S = 1.0


class Lookout:
    """Looks for changed wishes, and for tasks that were added to a queue's own script.

    Parameters
    ----------
    control : ControlFolder or None
        None if the queue has none: then there are no wishes.
    script : Path or None
        The script that started the queue, if it is to be watched.
    tell_tasks : callable
        Takes the tasks of a script that has changed, from a thread of its own.
    """

    def __init__(
        self,
        control: ControlFolder | None,
        script: Path | None,
        tell_tasks: Callable[[Sequence[Task]], None],
    ) -> None:
        self._control = control
        self._script = script
        self._tell_tasks = tell_tasks
        self._wishes_seen: object = None
        self._script_seen = _fingerprint(script)
        self._next_s = 0.0
        self._next_script_s = time.monotonic() + _LOOK_AT_SCRIPT_S
        self._reader: threading.Thread | None = None

    @property
    def patience_s(self) -> float | None:
        """How long until there is something to look at [s]; None for never."""
        if self._control is None and self._script is None:
            return None
        return max(0.0, self._next_s - time.monotonic())

    def new_wishes(self) -> Wishes | None:
        """Look; give the wishes if they have changed since the last call, else None."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        self._next_s = now_s + _LOOK_S
        if self._script is not None and now_s >= self._next_script_s:
            self._next_script_s = now_s + _LOOK_AT_SCRIPT_S
            self._look_at_script(self._script)
        if self._control is None:
            return None
        seen = self._control.fingerprint()
        if seen == self._wishes_seen:
            return None
        self._wishes_seen = seen
        try:
            return self._control.read()
        except LfadsqError as error:
            _logger.warning("what people want of this queue cannot be read: %s", error)
            return None

    def _look_at_script(self, script: Path) -> None:
        seen = _fingerprint(script)
        is_reading = self._reader is not None and self._reader.is_alive()
        if seen is None or seen == self._script_seen or is_reading:
            return
        self._script_seen = seen
        self._reader = threading.Thread(target=self._read, args=(script,), daemon=True)
        self._reader.start()

    def _read(self, script: Path) -> None:
        try:
            self._tell_tasks(tasks_from_specs(read_task_list(script).specs))
        except LfadsqError as error:
            _logger.warning("%s has changed, but its tasks cannot be read: %s", script, error)


def _fingerprint(path: Path | None) -> object:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
