"""Which tasks a person means: by name, by run directory, by pattern, or by part of a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from lfadsq.errors import RunNotFoundError
from lfadsq.queue.status import TaskStatus

__all__ = ["existing_path", "find_tasks"]

_NUM_SHOWN = 8


def find_tasks(
    wanted: Iterable[str], tasks: Sequence[TaskStatus], collection: Path
) -> list[TaskStatus]:
    """Find the tasks that a person names.

    Parameters
    ----------
    wanted : iterable of str
        Each is the name of a task; or the path of a run directory, from here or from the
        collection; or a pattern with ``*``, ``?`` or ``[...]`` that fits any number of names; or a
        part of one name only.
    tasks : sequence of TaskStatus
        All there are.
    collection : Path
        Its folder.

    Returns
    -------
    list of TaskStatus
        Each once, in the order of `tasks`.

    Raises
    ------
    RunNotFoundError
        If one of them fits nothing, or a part fits several.
    """
    by_name = {task.name: task for task in tasks}
    names: set[str] = set()
    for text in wanted:
        names.update([text] if text in by_name else _fitting(text, tasks, collection))
    return [task for task in tasks if task.name in names]


def existing_path(text: str) -> Path | None:
    """Give the path that a word is, if something is there; it may be no path at all.

    >>> existing_path("*_run003_*"), existing_path("~nobody-of-that-name/x"), existing_path("/")
    (None, None, PosixPath('/'))
    """
    try:
        path = Path(text).expanduser()
        return path if text and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or of an unknown user
        return None


def _fitting(text: str, tasks: Sequence[TaskStatus], collection: Path) -> list[str]:
    in_folder = _in_run_directory(text, tasks, collection)
    if in_folder:
        return in_folder
    is_pattern = any(sign in text for sign in "*?[")
    if is_pattern:
        fitting = [task.name for task in tasks if fnmatchcase(task.name, text)]
        if fitting:
            return fitting
    containing = [task.name for task in tasks if text and text in task.name]
    if len(containing) > 1:
        raise RunNotFoundError(
            f"{text!r} is part of {len(containing)} names: {_listed(containing)}",
            f"write more of the name, or '*{text}*' for all of them",
        )
    if containing:
        return containing
    nearest = get_close_matches(text, [task.name for task in tasks], n=3, cutoff=0.4)
    if nearest:
        remedy = f"nearest are {_listed(nearest)}"
    elif tasks:
        remedy = f"there are {_listed([task.name for task in tasks])}"
    else:
        remedy = "it has no tasks that we know of"
    raise RunNotFoundError(f"no task of {collection} fits {text!r}", remedy)


def _in_run_directory(text: str, tasks: Sequence[TaskStatus], collection: Path) -> list[str]:
    here, inside = existing_path(text), existing_path(str(collection / text))
    for folder in (here.absolute() if here else None, inside):
        if folder is None or not folder.is_dir():
            continue
        places = {str(folder), str(folder.resolve())}
        fitting = [task.name for task in tasks if str(Path(task.donefile).parent) in places]
        # The collection itself may be behind a link: then only what is resolved is the same.
        fitting = fitting or [
            task.name
            for task in tasks
            if Path(task.donefile).parent.name == folder.resolve().name
            and str(Path(task.donefile).parent.resolve()) in places
        ]
        if fitting:
            return fitting
    return []


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NUM_SHOWN])
    rest = len(names) - _NUM_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
