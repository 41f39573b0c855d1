"""What comes to a running queue from outside, through files: wishes, and a longer task list."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError, LfadsqError
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
        self._complaint = ""
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
        try:
            seen = self._control.fingerprint()
            if seen == self._wishes_seen:
                return None
            wishes = self._control.read()
        except LfadsqError as error:
            # Looked at again and again, but told once.
            if str(error) != self._complaint:
                _logger.warning("what people want of this queue cannot be read: %s", error)
            self._complaint = str(error)
            return None
        self._wishes_seen, self._complaint = seen, ""
        return replace(wishes, added=_usable(wishes.added, self._control.paths.wishes))

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


def _usable(specs: Sequence[Mapping[str, Any]], source: Path) -> tuple[Mapping[str, Any], ...]:
    """Leave out what is no task: a slip in a file must not end what runs."""
    try:
        tasks_from_specs(specs)
        return tuple(specs)
    except ConfigError:
        pass  # find out which
    good: list[Mapping[str, Any]] = []
    for spec in specs:
        try:
            tasks_from_specs([spec])
            good.append(spec)
        except ConfigError as error:
            _logger.warning("%s: an added task is left out: %s", source, error.problem)
    try:
        tasks_from_specs(good)
    except ConfigError as error:
        _logger.warning("%s: no added task is taken: %s", source, error.problem)
        return ()
    return tuple(good)


def _fingerprint(path: Path | None) -> object:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
