"""A live queue in the control folder: that it lives, and what it does.

That it lives is told by a ``flock``, not by a process id: the kernel lets go of it however the
queue dies, and it is seen on other machines that share the file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lfadsq.errors import QueueError, StorageError
from lfadsq.files import storage_errors, written_aside
from lfadsq.queue.control_paths import ControlPaths, is_locked
from lfadsq.queue.status import TASK_DEFAULTS, QueueState, Snapshot, TaskStatus

__all__ = ["Presence", "list_queues", "read_snapshot"]

_logger = logging.getLogger(__name__)

_QUEUE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_INTERVAL_S = 1.0
_LARGEST_SHARE = 0.05
_NUM_DEAD_KEPT = 20
_LOCK_PATIENCE_S = 5.0
_POLL_S = 0.01
_IN_TASK_LIST = ("command", "outfile", "donefile")


class Presence:
    """Shows that a queue lives while a ``with`` block lasts, and what it does.

    Parameters
    ----------
    paths : ControlPaths
    queue_id : str
        Of letters, digits, ``_``, ``.`` and ``-``; no other queue has it.
    interval_s : float, default 1
        Snapshots are written at most so often [s].

    Raises
    ------
    QueueError
        If it is no such name, or, on entering, another live queue has it.
    StorageError
        On entering, if the folder cannot be written.
    """

    def __init__(
        self, paths: ControlPaths, queue_id: str, *, interval_s: float = _INTERVAL_S
    ) -> None:
        if not _QUEUE_ID.fullmatch(queue_id):
            raise QueueError(f"{queue_id!r} cannot name a queue", "use letters, digits, _ . -")
        self._paths = paths
        self._interval_s = interval_s
        self._descriptor: int | None = None
        self._encoder = _Encoder()
        self._last: Snapshot | None = None
        self._next_s = 0.0
        self._has_complained = False
        self.queue_id = queue_id

    def __enter__(self) -> Presence:
        self._paths.make()
        path = self._paths.lock(self.queue_id)
        with storage_errors(path, "lock"):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, self._paths.file_mode)
            try:
                self._wait_for_lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor
        _forget_old(self._paths)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._last is not None:
            self._write(replace(self._last, state=QueueState.ENDED))
        if self._descriptor is not None:
            # Removed while it is held: nobody takes a lock that has no name any more.
            with contextlib.suppress(OSError):
                self._paths.lock(self.queue_id).unlink()
            os.close(self._descriptor)
            self._descriptor = None
        _forget_old(self._paths)

    @property
    def is_due(self) -> bool:
        """Whether a snapshot would be written now: if not, there is no need to make one."""
        return time.monotonic() >= self._next_s

    def publish(self, snapshot: Snapshot, *, at_once: bool = False) -> bool:
        """Show what the queue does now.

        Written at most once in the interval, and less often if it took so long that it would take
        more than a twentieth of the time. The last one is written at the end in any case, with the
        state ``ended``. A task's status that is the very object of last time costs next to nothing.

        Parameters
        ----------
        snapshot : Snapshot
        at_once : bool, default False
            Write it even so: somebody waits for it.

        Returns
        -------
        bool
            Whether it was written. A full disk is a warning, once: a snapshot is only a hint.
        """
        self._last = snapshot
        if not at_once and not self.is_due:
            return False
        return self._write(snapshot)

    def _write(self, snapshot: Snapshot) -> bool:
        began_s = time.monotonic()
        try:
            text = self._encoder.encode(snapshot)
            task_list = self._encoder.task_list()
            if task_list is not None:
                _write_private(self._paths, self._paths.task_list(self.queue_id), task_list)
                self._encoder.keep_task_list()
            _write_private(self._paths, self._paths.snapshot(self.queue_id), text)
        except OSError as error:
            if not self._has_complained:
                _logger.warning("nobody can see what this queue does: %s", error)
            self._has_complained = True
            return False
        finally:
            now_s = time.monotonic()
            self._next_s = now_s + max(self._interval_s, (now_s - began_s) / _LARGEST_SHARE)
        return True

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline_s = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                # Somebody who looks whether we live holds it for a moment.
                if time.monotonic() >= deadline_s:
                    raise QueueError(f"a queue {self.queue_id} runs already") from None
                time.sleep(_POLL_S)


class _Encoder:
    """Writes snapshots as JSON, and what did not change since the last one only once."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[TaskStatus, str]] = {}
        self._task_list_is_old = True

    def encode(self, snapshot: Snapshot) -> str:
        """Give the text of a snapshot, without what is in the task list."""
        old, self._texts = self._texts, {}
        for task in snapshot.tasks:
            known = old.get(task.name)
            if known is None or known[0] is not task:
                if known is None or _in_task_list(known[0]) != _in_task_list(task):
                    self._task_list_is_old = True
                known = (task, _task_text(task))
            self._texts[task.name] = known
        head = json.dumps(snapshot.head_dict()).removesuffix("}")
        tasks = ",\n".join([text for _, text in self._texts.values()])
        return f'{head}, "tasks": [\n{tasks}\n]}}\n'

    def task_list(self) -> str | None:
        """Give the text of the task list that goes with it, or None if it is written already."""
        if not self._task_list_is_old:
            return None
        return json.dumps({name: _in_task_list(task) for name, (task, _) in self._texts.items()})

    def keep_task_list(self) -> None:
        """Note that the task list has been written."""
        self._task_list_is_old = False


def _in_task_list(task: TaskStatus) -> tuple[str, str, str]:
    return task.command, task.outfile, task.donefile


def _task_text(task: TaskStatus) -> str:
    return json.dumps(
        {
            key: value
            for key, value in vars(task).items()
            if value != TASK_DEFAULTS[key] and key not in _IN_TASK_LIST
        }
    )


def _write_private(paths: ControlPaths, path: Path, text: str) -> None:
    with written_aside(path, durable=False) as aside:
        aside.write_text(text, encoding="utf-8")
        aside.chmod(paths.file_mode)


def read_snapshot(paths: ControlPaths, queue_id: str) -> Snapshot | None:
    """Read what a queue said last; None if it said nothing that we understand."""
    try:
        data = json.loads(paths.snapshot(queue_id).read_text(encoding="utf-8"))
        task_list = _read_task_list(paths.task_list(queue_id))
        for task in data["tasks"]:
            task.update(zip(_IN_TASK_LIST, task_list.get(task["name"], ()), strict=False))
        snapshot = Snapshot.from_dict(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _logger.debug("no snapshot of queue %s: %s", queue_id, error)
        return None
    return snapshot if snapshot.queue_id == queue_id else None


def _read_task_list(path: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError):
        task_list = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(task_list, dict):
            return task_list
    return {}


def list_queues(paths: ControlPaths) -> list[tuple[str, bool]]:
    """List the queues that left a snapshot or live: newest first, and whether each lives.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    changed: dict[str, float] = {}
    with storage_errors(paths.queues, "read"):
        try:
            entries = list(os.scandir(paths.queues))
        except FileNotFoundError:
            return []
    for entry in entries:
        queue_id, _, kind = entry.name.rpartition(".")
        if kind in ("json", "lock") and _QUEUE_ID.fullmatch(queue_id):
            with contextlib.suppress(FileNotFoundError):  # a queue that just ended
                at_s = entry.stat(follow_symlinks=False).st_mtime
                changed[queue_id] = max(at_s, changed.get(queue_id, 0.0))
    newest_first = sorted(changed, key=lambda queue_id: (-changed[queue_id], queue_id))
    return [(queue_id, is_locked(paths.lock(queue_id))) for queue_id in newest_first]


def _forget_old(paths: ControlPaths) -> None:
    """Remove what the oldest dead queues left, so that the folder does not grow for ever."""
    with contextlib.suppress(StorageError):
        dead = [queue_id for queue_id, lives in list_queues(paths) if not lives]
        for queue_id in dead[_NUM_DEAD_KEPT:]:
            for path in (paths.snapshot(queue_id), paths.task_list(queue_id), paths.lock(queue_id)):
                with contextlib.suppress(OSError):
                    path.unlink()
