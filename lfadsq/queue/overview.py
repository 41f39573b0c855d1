"""What is known of the tasks of a collection, whether or not a queue runs.

A live queue says what it does. Without one, record, lock and done-marker of each task tell how far
it is, and the queue's script which tasks there are.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError, LfadsqError, RunNotFoundError
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.control_paths import FOLDER_NAME, is_locked
from lfadsq.queue.locks import read_journal
from lfadsq.queue.records import Attempt, Outcome, Record, iso_time
from lfadsq.queue.status import Snapshot, TaskState, TaskStatus
from lfadsq.queue.task_lists import read_task_list
from lfadsq.queue.tasks import Task, tasks_from_specs
from lfadsq.queue.wishes import Wishes

__all__ = [
    "MAIN_SCRIPT",
    "Holder",
    "Overview",
    "find_collection",
    "is_collection",
    "look",
    "merged_tasks",
    "or_never_started",
    "parse_time_s",
    "scripts_in",
    "state_of",
    "task_of",
]

MAIN_SCRIPT = "run_lfadsqueue.py"
"""The script that runs all of a collection."""

_SCRIPTS = "run_lfadsqueue*.py"

# If two live queues have the same task, the one that knows most about it is believed.
_KNOWS_MOST = (
    TaskState.RUNNING,
    TaskState.DONE,
    TaskState.LEFT,
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.ELSEWHERE,
    TaskState.INTERRUPTED,
    TaskState.PAUSED,
    TaskState.WAITING,
)


class Holder(enum.Enum):
    """Who holds the lock of a run."""

    NOBODY = "nobody"
    IT = "the task"
    OTHER_TASK = "another task of the same run"


@dataclass(frozen=True)
class Overview:
    """All that is known of a collection's tasks at one moment.

    Attributes
    ----------
    collection : Path
    wishes : Wishes
        What people want.
    queues : tuple of Snapshot
        What live queues do, newest first.
    last : Snapshot or None
        What the newest queue that lives no more did last.
    tasks : tuple of TaskStatus
        In the order of the task list.
    problem : str
        Why the task list could not be read; empty if it was.
    """

    collection: Path
    wishes: Wishes
    queues: tuple[Snapshot, ...]
    last: Snapshot | None
    tasks: tuple[TaskStatus, ...]
    problem: str = ""

    @property
    def control(self) -> ControlFolder:
        """Where wishes lie."""
        return ControlFolder.of(self.collection)

    def queue_of(self, name: str) -> Snapshot | None:
        """Find the live queue that has a task, first of all the one that runs it."""
        found = [
            (_KNOWS_MOST.index(task.state), number)
            for number, queue in enumerate(self.queues)
            for task in queue.tasks
            if task.name == name
        ]
        return self.queues[min(found)[1]] if found else None

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {
            "collection": str(self.collection),
            "queues": [_without_tasks(queue) for queue in self.queues],
            "last_queue": _without_tasks(self.last) if self.last else None,
            "wishes": self.wishes.to_dict(),
            "problem": self.problem,
            "tasks": [task.to_dict() for task in self.tasks],
        }


def _without_tasks(queue: Snapshot) -> dict[str, Any]:
    return queue.head_dict()


def is_collection(path: Path) -> bool:
    """Tell whether a path is the folder of a collection, or a script in it that runs its queue."""
    if path.is_dir():
        return (path / FOLDER_NAME).is_dir() or any(path.glob(_SCRIPTS))
    return path.suffix == ".py" and path.is_file()


def find_collection(path: Path) -> tuple[Path, Path | None]:
    """Find the collection that a path is in.

    Parameters
    ----------
    path : Path
        Its folder, any folder or file within, or a script that runs its queue.

    Returns
    -------
    collection : Path
    script : Path or None
        The script, if `path` is one: only its tasks are meant.

    Raises
    ------
    RunNotFoundError
        If there is none.
    """
    path = path.expanduser().absolute()
    if not path.exists():
        raise RunNotFoundError(f"there is no {path}", "name the folder of a collection")
    if path.is_file() and is_collection(path):
        return path.parent, path
    for folder in (path, *path.parents):
        if folder.is_dir() and is_collection(folder):
            return folder, None
    raise RunNotFoundError(
        f"{path} is in no collection: neither there nor above is a {MAIN_SCRIPT}",
        "name the folder of a collection, or its queue script",
    )


def look(collection: Path, script: Path | None = None, *, beyond_queues: bool = False) -> Overview:
    """Gather what is known of a collection's tasks.

    Parameters
    ----------
    collection : Path
        Its folder.
    script : Path, optional
        Only the tasks of this script; by default those of live queues or, if none lives, of all
        its scripts, of which ``run_lfadsqueue.py`` comes first.
    beyond_queues : bool, default False
        Read the scripts even if a queue lives.

    Raises
    ------
    QueueError, StorageError
        If the control folder cannot be obeyed or read.
    """
    control = ControlFolder.of(collection)
    wishes = control.read()
    queues = control.queues(max_dead=1)
    live = tuple(queue for queue, lives in queues if lives)
    last = next((queue for queue, lives in queues if not lives), None)
    known = merged_tasks(live)
    failed_before = {task.name: task for task in last.tasks} if last is not None else {}
    statuses: dict[str, TaskStatus] = {} if script else dict(known)
    problem = ""
    tasks: list[Task] = []
    if script or beyond_queues or not live:
        tasks, problem = _tasks_of_scripts([script] if script else scripts_in(collection))
        if not tasks and not live and not script and last is not None:
            tasks = [task_of(status) for status in last.tasks]
    if not script:
        added, wrong = _tasks_of_specs(wishes.added, str(control.paths.wishes))
        tasks, problem = [*tasks, *added], problem or wrong
    for task in tasks:
        if task.name not in statuses:
            status = known.get(task.name)
            if status is None or status.donefile != str(task.donefile):
                status = _status_from_files(task, wishes, bool(live))
                status = or_never_started(status, failed_before.get(task.name), wishes)
            statuses[task.name] = status
    return Overview(collection, wishes, live, last, tuple(statuses.values()), problem)


def task_of(status: TaskStatus) -> Task:
    """Give the task of a status."""
    return Task(
        name=status.name,
        command=status.command,
        memory_mb=status.memory_mb,
        outfile=Path(status.outfile),
        donefile=Path(status.donefile),
        priority=status.priority,
        expected_s=status.expected_s,
    )


def parse_time_s(text: str) -> float | None:
    """Read an ISO 8601 time as seconds since 1970; None if it is none.

    >>> parse_time_s("1970-01-01T00:01:00.000+00:00"), parse_time_s("")
    (60.0, None)
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def merged_tasks(queues: Iterable[Snapshot]) -> dict[str, TaskStatus]:
    """Give what live queues say of each task; if several have it, the one that knows most."""
    best: dict[str, TaskStatus] = {}
    for queue in queues:
        for task in queue.tasks:
            other = best.get(task.name)
            if other is None or _KNOWS_MOST.index(task.state) < _KNOWS_MOST.index(other.state):
                best[task.name] = task
    return best


def scripts_in(collection: Path) -> list[Path]:
    """List the scripts in a collection that run a queue, that of all its runs first."""
    return sorted(
        collection.glob(_SCRIPTS), key=lambda script: (script.name != MAIN_SCRIPT, script)
    )


def _tasks_of_scripts(scripts: Iterable[Path]) -> tuple[list[Task], str]:
    tasks: list[Task] = []
    problems = []
    for script in scripts:
        try:
            found, wrong = _tasks_of_specs(read_task_list(script).specs, str(script))
            tasks += found
        except LfadsqError as error:
            wrong = str(error)
        if wrong:
            problems.append(wrong)
    return tasks, "\n".join(problems)


def _tasks_of_specs(specs: Iterable[Mapping[str, Any]], source: str) -> tuple[list[Task], str]:
    try:
        return tasks_from_specs(list(specs)), ""
    except ConfigError as error:
        return [], f"{source}: {error.problem}"


def or_never_started(status: TaskStatus, before: TaskStatus | None, wishes: Wishes) -> TaskStatus:
    """Give what the last queue said of a task that failed before it came to an attempt.

    No file but its snapshot tells of that, for instance of a task that fits no device.

    Parameters
    ----------
    status : TaskStatus
        As its files have it.
    before : TaskStatus or None
        What the last queue said of it.
    wishes : Wishes
    """
    is_it = (
        before is not None
        and before.state is TaskState.FAILED
        and before.attempt == status.attempt == 0
        and before.donefile == status.donefile
        and before.memory_mb == status.memory_mb
        and status.state is TaskState.WAITING
        and status.name not in wishes.forgiven
    )
    return (
        replace(
            status, state=before.state, cause=before.cause, reason=before.reason, since=before.since
        )
        if is_it and before
        else status
    )


def _status_from_files(task: Task, wishes: Wishes, has_queue: bool) -> TaskStatus:
    """Tell how far a task is that no live queue tells about."""
    status = TaskStatus(
        name=task.name,
        priority=wishes.priorities.get(task.name, task.priority),
        memory_mb=task.memory_mb,
        expected_s=task.expected_s,
        outfile=str(task.outfile),
        donefile=str(task.donefile),
        command=task.command,
    )
    try:
        last = Record.read(task.files.record, task.name).last
        if last is not None:
            status = replace(
                status,
                device=last.device,
                device_name=last.device_name,
                attempt=last.number,
                cause=last.cause.value if last.cause else "",
                since=last.ended_at or last.started_at,
            )
        state, reason = _state_from_files(task, last, wishes, has_queue)
    except LfadsqError as error:
        return replace(status, reason=str(error))
    if state is TaskState.DONE:
        status = replace(status, cause="", since=status.since or _time_of(task.donefile))
    return replace(status, state=state, reason=reason)


def _state_from_files(
    task: Task, last: Attempt | None, wishes: Wishes, has_queue: bool
) -> tuple[TaskState, str]:
    holder = _holder(task) if _is_held(task.files.lock) else Holder.NOBODY
    is_done = task.donefile.exists()
    return state_of(task.name, last, wishes, is_done=is_done, holder=holder, has_queue=has_queue)


def _holder(task: Task) -> Holder:
    # A done-marker may be of the time before: with ignore_donefile it goes when it starts.
    is_it = read_journal(task.files.lock).donefile in ("", str(task.donefile))
    return Holder.IT if is_it else Holder.OTHER_TASK


def state_of(
    name: str,
    last: Attempt | None,
    wishes: Wishes,
    *,
    is_done: bool,
    holder: Holder,
    has_queue: bool,
) -> tuple[TaskState, str]:
    """Tell where a task stands that no live queue tells about.

    Parameters
    ----------
    name : str
        Of the task.
    last : Attempt or None
        The newest in its record.
    wishes : Wishes
    is_done : bool
        Whether its done-marker is there.
    holder : Holder
        Who holds the lock of its run.
    has_queue : bool
        Whether a queue lives.

    Returns
    -------
    state : TaskState
    reason : str
        Why that is so; empty if there is no more to say.
    """
    if holder is Holder.IT:
        return TaskState.LEFT, "it goes on without a queue here; a new one takes it over"
    if is_done:
        return TaskState.DONE, ""
    if holder is Holder.OTHER_TASK:
        return TaskState.WAITING, "another task of the same run is at work"
    if name in wishes.cancelled:
        return TaskState.CANCELLED, "a person cancelled it"
    if last is not None and not last.state.is_finished:
        return TaskState.INTERRUPTED, "its queue died; a new queue goes on from its checkpoint"
    if last is not None and last.outcome is Outcome.FAILED:
        if last.number > wishes.forgiven.get(name, 0):
            return TaskState.FAILED, last.cause.value if last.cause else ""
    elif last is not None and not wishes.holds_back(name):
        return TaskState.INTERRUPTED, "a new queue goes on from its checkpoint"
    if wishes.holds_back(name):
        return TaskState.PAUSED, _why_paused(name, wishes)
    return TaskState.WAITING, "the queue has yet to take it" if has_queue else "no queue runs"


def _why_paused(name: str, wishes: Wishes) -> str:
    return "the queue is paused" if name not in wishes.paused else "a person paused it"


def _is_held(lock: Path) -> bool:
    # Empty unless a task is at work or died at it; a look at the size is all that most cost.
    try:
        return lock.stat().st_size > 0 and is_locked(lock)
    except FileNotFoundError:
        return False


def _time_of(path: Path) -> str:
    try:
        return iso_time(path.stat().st_mtime)
    except OSError:
        return ""
