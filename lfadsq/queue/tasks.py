"""Tasks: a command with a log, a marker of success and a need of memory.

A task is described by a dict with the keys of ``run_lfadsqueue.py`` (FORMATS.md 5). Everything
about all of them is checked before anything starts, because a mistake found after a night is a
night lost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError

__all__ = [
    "AUTO",
    "OPTIONAL_KEYS",
    "SPEC_KEYS",
    "Task",
    "TaskFiles",
    "specs_with_hints",
    "tasks_from_specs",
]

SPEC_KEYS = ("name", "command", "memory_req", "outfile", "donefile")
"""The keys of a task in ``run_lfadsqueue.py``, all of them required."""

OPTIONAL_KEYS = ("priority", "expected_s", "shape", "memory_estimate")
"""What lfadsq may add to them."""

AUTO = "auto"
"""In place of a number of MB in ``memory_req``: learn it from the first task of the same shape."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
_DONE = ".done"


@dataclass(frozen=True)
class TaskFiles:
    """Files the queue keeps beside the done-marker of a task.

    The names derive from the marker's: what follows ``.done`` tells tasks of one run apart, and is
    part of the record's name but not of the lock's, so that a run is never trained and sampled at
    the same time.

    Parameters
    ----------
    donefile : Path
        The marker whose presence means that the task has finished.

    Examples
    --------
    >>> files = TaskFiles(Path("lfads.done.posteriorMeanOnly"))
    >>> files.record.name, files.lock.name
    ('lfads.record.json.posteriorMeanOnly', 'lfads.lock')
    >>> files = TaskFiles(Path("finished"))
    >>> files.record.name, files.lock.name
    ('finished.record.json', 'finished.lock')
    """

    donefile: Path

    @property
    def _stem_and_suffix(self) -> tuple[str, str]:
        name = self.donefile.name
        at = name.rfind(_DONE)
        end = at + len(_DONE)
        if at > 0 and (end == len(name) or name[end] == "."):
            return name[:at], name[end:]
        return name, ""

    @cached_property
    def record(self) -> Path:
        """What was tried so far (`lfadsq.queue.records`)."""
        stem, suffix = self._stem_and_suffix
        return self.donefile.with_name(f"{stem}.record.json{suffix}")

    @cached_property
    def lock(self) -> Path:
        """The file that is locked while a task of this run works (`lfadsq.queue.locks`)."""
        stem, _ = self._stem_and_suffix
        return self.donefile.with_name(f"{stem}.lock")


@dataclass(frozen=True)
class Task:
    """One command to run once.

    Attributes
    ----------
    name : str
        What displays call it; no two tasks of a queue share one.
    command : str
        A line for the shell.
    memory_mb : float
        Device memory it needs [MB]; if that is to be learned, an estimate, or 0 for unknown.
    outfile : Path
        Its log: everything it prints.
    donefile : Path
        Marker made when it has finished; if present, the task is skipped.
    priority : int
        Tasks of higher priority start first.
    expected_s : float
        How long it may take [s]; among equals the longest starts first. 0 for unknown.
    shape : str
        Tasks of equal shape need equal memory, and take about equal time.
    learns_memory : bool
        Whether the memory it needs is to be learned from tasks of its shape.
    """

    name: str
    command: str
    memory_mb: float
    outfile: Path
    donefile: Path
    priority: int = 0
    expected_s: float = 0.0
    shape: str = ""
    learns_memory: bool = False

    @cached_property
    def files(self) -> TaskFiles:
        """The queue's own files of this task."""
        return TaskFiles(self.donefile)


def tasks_from_specs(specs: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Check the task list of a queue script, all of it, and convert it.

    Parameters
    ----------
    specs : sequence of dict
        Each with the keys ``name``, ``command``, ``memory_req`` [MB, or ``"auto"``], ``outfile``
        and ``donefile``; and if wanted ``priority`` (an integer), ``expected_s`` [s], ``shape``
        (text) and, with ``"auto"``, ``memory_estimate`` [MB]. A leading ``~`` in a path is the home
        folder; relative paths start at the current folder.

    Returns
    -------
    list of Task
        In the order given.

    Raises
    ------
    ConfigError
        If anything is wrong: every violation is named, with the task it is in. Nothing was started
        or written.
    """
    if isinstance(specs, (str, bytes, Mapping)) or not isinstance(specs, Sequence):
        raise ConfigError(f"task_specs is a {type(specs).__name__}", "give a list of dicts")
    problems: list[str] = []
    tasks: list[Task] = []
    for number, spec in enumerate(specs, start=1):
        found = _problems_of(spec)
        if found:
            label = spec.get("name") if isinstance(spec, Mapping) else None
            who = f"task {number}" + (f" ({label!r})" if isinstance(label, str) else "")
            problems += [f"{who}: {problem}" for problem in found]
        else:
            tasks.append(
                Task(
                    name=spec["name"],
                    command=spec["command"],
                    memory_mb=float(
                        spec.get("memory_estimate", 0)
                        if spec["memory_req"] == AUTO
                        else spec["memory_req"]
                    ),
                    outfile=_absolute(spec["outfile"]),
                    donefile=_absolute(spec["donefile"]),
                    priority=spec.get("priority", 0),
                    expected_s=float(spec.get("expected_s", 0)),
                    shape=spec.get("shape", ""),
                    learns_memory=spec["memory_req"] == AUTO,
                )
            )
    problems += _clashes(tasks)
    if problems:
        raise ConfigError("\n".join(problems), "nothing was started: correct task_specs")
    return tasks


def specs_with_hints(
    specs: Sequence[Mapping[str, Any]], hints: Mapping[str, Mapping[str, Any]] | None
) -> Sequence[Mapping[str, Any]]:
    """Add to each task what else is known of it.

    Parameters
    ----------
    specs : sequence of dict
        The task list of a queue script, unchecked.
    hints : dict of str to dict, or None
        Values of `OPTIONAL_KEYS` by the name of the task; what a task says itself comes first.

    Raises
    ------
    ConfigError
        If `hints` is no such dict.
    """
    if hints is None or isinstance(specs, (str, bytes, Mapping)) or not isinstance(specs, Sequence):
        return specs
    if not isinstance(hints, Mapping) or not all(isinstance(h, Mapping) for h in hints.values()):
        raise ConfigError("hints must be a dict of dicts", "give one for each task, by its name")
    return [
        {**hints.get(spec.get("name", ""), {}), **spec} if isinstance(spec, Mapping) else spec
        for spec in specs
    ]


def _absolute(path: str) -> Path:
    # Path.absolute keeps symbolic links: the marker belongs where the user put it.
    return Path(path).expanduser().absolute()


def _problems_of(spec: object) -> list[str]:
    if not isinstance(spec, Mapping):
        return [f"is a {type(spec).__name__}, not a dict"]
    problems = []
    missing = [key for key in SPEC_KEYS if key not in spec]
    known = (*SPEC_KEYS, *OPTIONAL_KEYS)
    unknown = [repr(key) for key in spec if key not in known]
    if missing:
        problems.append(f"lacks {', '.join(missing)}")
    if unknown:
        problems.append(f"has unknown keys {', '.join(unknown)}; known are {', '.join(known)}")
    for key in ("name", "outfile", "donefile"):
        if key in spec:
            problems += _text_problems(key, spec[key])
    if "command" in spec:
        command = spec["command"]
        if not isinstance(command, str):
            problems.append(f"command is a {type(command).__name__}, not text")
        elif not command.strip():
            problems.append("command is empty")
        elif "\0" in command:
            problems.append("command holds a NUL character")
    if "memory_req" in spec and spec["memory_req"] != AUTO:
        problems += _amount_problems("memory_req", spec["memory_req"], "MB")
    if "memory_estimate" in spec:
        problems += _amount_problems("memory_estimate", spec["memory_estimate"], "MB")
        if spec.get("memory_req") != AUTO:
            problems.append(f"memory_estimate goes with memory_req={AUTO!r} only")
    if "expected_s" in spec:
        problems += _amount_problems("expected_s", spec["expected_s"], "s")
    priority = spec.get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int):
        problems.append(f"priority is {priority!r}, not an integer")
    if not isinstance(spec.get("shape", ""), str):
        problems.append(f"shape is a {type(spec['shape']).__name__}, not text")
    return problems


def _amount_problems(key: str, value: object, unit: str) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return [f"{key} is {value!r}, not a number of {unit}"]
    if not math.isfinite(value) or value < 0:
        return [f"{key} is {value!r}; it must be 0 {unit} or more"]
    return []


def _text_problems(key: str, value: object) -> list[str]:
    if key != "name" and isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        return [f"{key} is a {type(value).__name__}, not text"]
    if not value.strip():
        return [f"{key} is empty"]
    if _CONTROL_CHARACTERS.search(value):
        return [f"{key} {value!r} holds a line break or another control character"]
    return []


def _clashes(tasks: Sequence[Task]) -> list[str]:
    problems = []
    names: set[str] = set()
    owners: dict[Path, tuple[Task, str]] = {}
    for task in tasks:
        if task.name in names:
            problems.append(f"two tasks are called {task.name!r}")
        names.add(task.name)
        for path, role in (
            (task.outfile, "outfile"),
            (task.donefile, "donefile"),
            (task.files.record, "record"),
        ):
            owner, owner_role = owners.setdefault(path, (task, role))
            if owner is not task or owner_role != role:
                problems.append(
                    f"{path} is the {owner_role} of task {owner.name!r}"
                    f" and the {role} of task {task.name!r}"
                )
    locks = {task.files.lock for task in tasks}
    problems += [
        f"{path} is the {role} of task {task.name!r} and also the lock of a run"
        for path, (task, role) in owners.items()
        if path in locks
    ]
    return problems
