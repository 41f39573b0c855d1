"""What queues and people say of each run: live snapshots, records, locks, markers and wishes.

`lfadsq.queue.overview` starts from the tasks of a queue's script, which is a program that has to
be run. Here it starts from the folders of runs, and the same rules (`state_of`) judge what is in
them, so that the two cannot contradict each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import LfadsqError
from lfadsq.paths import RunPaths
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.control_paths import is_locked
from lfadsq.queue.failures import REMEDIES, remedy_of
from lfadsq.queue.locks import read_journal
from lfadsq.queue.overview import Holder, merged_tasks, or_never_started, state_of
from lfadsq.queue.records import Attempt, Cause, Record
from lfadsq.queue.status import Snapshot, TaskState, TaskStatus
from lfadsq.queue.tasks import TaskFiles
from lfadsq.queue.wishes import Wishes

__all__ = ["QueueWords", "RunWord"]

_DONE = RunPaths(Path()).done.name
_RECORD = TaskFiles(Path(_DONE)).record.name
_LOCK = TaskFiles(Path(_DONE)).lock.name
_TASK_NAME = re.compile(r"lfads_param_([\w-]+?)_run\d+_(.*)", re.DOTALL)
_AT_WORK = (TaskState.RUNNING, TaskState.LEFT, TaskState.ELSEWHERE)


@dataclass(frozen=True)
class RunWord:
    """What is said of one run.

    Attributes
    ----------
    state : TaskState
    reason : str
    task : str
        Name of its task; empty if unknown.
    is_known : bool
        Whether a queue has, or had, to do with it.
    is_in_queue : bool
        Whether a live queue has it.
    cause : str
    device, host, since : str
    attempt : Attempt or None
        The newest in its record, where that was read.
    problem : str
        Why nothing can be said.
    """

    state: TaskState = TaskState.WAITING
    reason: str = ""
    task: str = ""
    is_known: bool = False
    is_in_queue: bool = False
    cause: str = ""
    device: str = ""
    host: str = ""
    since: str = ""
    attempt: Attempt | None = None
    problem: str = ""

    @property
    def is_at_work(self) -> bool:
        """Whether a queue's task of it runs."""
        return self.state in _AT_WORK

    @property
    def was_tried(self) -> bool:
        """Whether a queue ever started it."""
        return self.attempt is not None


class QueueWords:
    """What is said of the runs of a collection.

    Parameters
    ----------
    collection : Path

    Attributes
    ----------
    live : tuple of Snapshot
        Of queues that live, newest first.
    last : Snapshot or None
        Of the newest that lives no more.
    wishes : Wishes

    Raises
    ------
    QueueError, StorageError
        If the control folder cannot be obeyed or read.
    """

    def __init__(self, collection: Path) -> None:
        control = ControlFolder.of(collection)
        self.wishes: Wishes = control.read()
        queues = control.queues(max_dead=1)
        self.live: tuple[Snapshot, ...] = tuple(queue for queue, lives in queues if lives)
        self.last: Snapshot | None = next((queue for queue, lives in queues if not lives), None)
        self._statuses = {
            place: task
            for task in merged_tasks(self.live).values()
            if (place := _place(task.donefile))
        }
        self._before = {
            place: task
            for task in (self.last.tasks if self.last else ())
            if (place := _place(task.donefile))
        }
        self._hosts = {
            # Of a queue that trains in jobs, only the devices of its own workers tell where.
            task.name: task.device.partition("@")[2] or ("" if queue.jobs else queue.host)
            for queue in reversed(self.live)
            for task in queue.tasks
            if task.state is TaskState.RUNNING
        }
        self._named = self._names_in_wishes()

    def of_run(
        self, param_hash: str, run_name: str, folder: str, found: Mapping[str, os.DirEntry[str]]
    ) -> RunWord:
        """Tell what is said of a run.

        Parameters
        ----------
        param_hash, run_name : str
        folder : str
            Its folder.
        found : dict of str to os.DirEntry
            What that holds.
        """
        place = f"param_{param_hash}/{run_name}"
        told = self._statuses.get(place)
        if told is not None:
            return RunWord(
                told.state,
                told.reason,
                told.name,
                is_known=True,
                is_in_queue=True,
                cause=told.cause,
                device=told.device_name,
                host=self._hosts.get(told.name, ""),
                since=told.since,
            )
        try:
            return self._of_files(place, run_name, folder, found)
        except (LfadsqError, OSError) as error:
            return RunWord(problem=str(error))

    def differences(self, before: QueueWords) -> set[str]:
        """Name the runs of which live queues say something else than they did before.

        Parameters
        ----------
        before : QueueWords
            Of the same collection.

        Returns
        -------
        set of str
            ``param_<HASH>/<run name>``.
        """
        now, then = self._statuses, before._statuses
        return {
            place
            for place in now.keys() | then.keys()
            if now.get(place) != then.get(place)
            or self._hosts.get(now[place].name) != before._hosts.get(now[place].name)
        }

    def cause_and_remedy(self, word: RunWord) -> tuple[str, str]:
        """Say why a run failed, and what to do next."""
        causes = [cause for cause in Cause if cause.value == word.cause]
        cause = causes[0] if causes else Cause.UNKNOWN
        attempt = word.attempt
        is_of_attempt = attempt is not None and attempt.cause is cause
        remedy = remedy_of(cause, attempt) if is_of_attempt else REMEDIES[cause]
        return cause.value, remedy

    def _of_files(
        self, place: str, run_name: str, folder: str, found: Mapping[str, os.DirEntry[str]]
    ) -> RunWord:
        is_done = _DONE in found
        holder = Holder.NOBODY
        # Empty unless a task is at work or died at it (`lfadsq.queue.overview`).
        if _LOCK in found and found[_LOCK].stat().st_size and is_locked(Path(found[_LOCK].path)):
            holder = _holder(Path(found[_LOCK].path), f"{folder}/{_DONE}")
        is_known = is_done or _RECORD in found or _LOCK in found
        if is_done and holder is not Holder.IT:
            return RunWord(TaskState.DONE, is_known=True)
        before = self._before.get(place)
        name = before.name if before else self._name_of(place)
        last = None
        if _RECORD in found:
            record = Record.read(Path(folder) / _RECORD, name, moves_damaged=False)
            name, last = record.name, record.last
        state, reason = state_of(
            name, last, self.wishes, is_done=is_done, holder=holder, has_queue=bool(self.live)
        )
        if state is TaskState.WAITING and before is not None:
            status = TaskStatus(name, state, memory_mb=before.memory_mb, donefile=before.donefile)
            status = or_never_started(status, before, self.wishes) if last is None else status
            if status.state is TaskState.FAILED:
                return RunWord(status.state, status.reason, name, True, cause=status.cause)
        return RunWord(
            state,
            reason,
            name,
            is_known=is_known or before is not None,
            cause=last.cause.value if last and last.cause else "",
            device=last.device_name if last else "",
            since=(last.ended_at or last.started_at) if last else "",
            attempt=last,
        )

    def _name_of(self, place: str) -> str:
        """Give the name of a task that has no record: only names that wishes mention matter."""
        return self._named.get(place.replace(".", "_"), "")

    def _names_in_wishes(self) -> dict[str, str]:
        wishes = self.wishes
        names = [*wishes.cancelled, *wishes.paused, *wishes.forgiven]
        found = ((name, _TASK_NAME.fullmatch(name)) for name in names)
        return {f"param_{match[1]}/{match[2]}": name for name, match in found if match}


def _holder(lock: Path, donefile: str) -> Holder:
    told = read_journal(lock).donefile
    # The collection may be reached by another path than the task was given.
    return Holder.IT if not told or _place(told) == _place(donefile) else Holder.OTHER_TASK


def _place(donefile: str) -> str:
    """Give ``param_<HASH>/<run name>`` of a task that trains a run; empty for any other."""
    folder, _, marker = donefile.rpartition("/")
    above, _, run_name = folder.rpartition("/")
    hash_name = above.rpartition("/")[2]
    is_run = marker == _DONE and hash_name.startswith("param_")
    return f"{hash_name}/{run_name}" if is_run else ""
