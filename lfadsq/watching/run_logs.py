"""`RunLog`: where what a run prints is written, and what of it each attempt printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import ResultNotReadyError, RunNotFoundError
from lfadsq.files import storage_errors
from lfadsq.paths import RunPaths
from lfadsq.queue.records import Record
from lfadsq.queue.run_names import existing_path
from lfadsq.queue.tasks import TaskFiles

__all__ = ["RunLog", "log_at", "short_names"]

_HASH_FOLDER = "param_"


@dataclass(frozen=True)
class RunLog:
    """The log of a task.

    Attributes
    ----------
    name : str
        Of the task; or, if it was named by its folder, ``param_<HASH>/<run name>``.
    path : Path
        The log; it need not exist yet.
    donefile : Path
        The marker of the task, beside which its lock and record lie.
    """

    name: str
    path: Path
    donefile: Path

    @property
    def files(self) -> TaskFiles:
        """The queue's own files of the task."""
        return TaskFiles(self.donefile)

    @property
    def run(self) -> RunPaths:
        """The files of its run."""
        return RunPaths(self.donefile.parent)

    def part_of_attempt(self, number: int) -> tuple[int, int | None]:
        """Find what an attempt printed.

        Parameters
        ----------
        number : int
            Of the attempt, from 1; or from -1 backwards: -1 is the newest.

        Returns
        -------
        begin : int
            Where it begins [bytes].
        end : int or None
            Where that of the next attempt begins; None for the newest one.

        Raises
        ------
        RunNotFoundError
            If there was no such attempt.
        ResultNotReadyError
            If the log was replaced or emptied since, and what it printed is gone.
        QueueError, StorageError
            If the record or the log cannot be read.
        """
        attempts = Record.read(self.files.record, self.name).attempts
        numbers = [attempt.number for attempt in attempts]
        if number < 0 and -number <= len(numbers):
            number = numbers[number]
        if number not in numbers:
            known = ", ".join(map(str, numbers)) or "none yet"
            raise RunNotFoundError(
                f"{self.name} has no attempt {number}",
                f"its attempts are: {known}; `lfadsq explain` tells about each",
            )
        at = numbers.index(number)
        begin = attempts[at].log_offset
        later = [one.log_offset for one in attempts[at + 1 :]]
        with storage_errors(self.path, "read"):
            size = self.path.stat().st_size if self.path.exists() else 0
        if begin > size or (later and later[0] < begin):
            raise ResultNotReadyError(
                f"what attempt {number} of {self.name} printed is no longer in {self.path}, which"
                " was emptied or replaced since",
                "leave --attempt out to see what is in it now",
            )
        return begin, later[0] if later else None


def log_at(word: str, collection: Path | None) -> RunLog | None:
    """Find the log that a word names by a place: no task list is needed for it.

    Parameters
    ----------
    word : str
        A log, a run directory, or ``<HASH>/<run name>`` or ``param_<HASH>/<run name>``.
    collection : Path or None
        Where names with a hash are looked for besides the current folder.

    Returns
    -------
    RunLog or None
        None if it names no place that holds a run, or several tasks of one run have logs there.
    """
    places = [existing_path(word)]
    if collection is not None and not Path(word).is_absolute():
        places += [existing_path(f"{collection}/{start}{word}") for start in ("", _HASH_FOLDER)]
    for place in filter(None, places):
        place = place.absolute()
        if place.name.startswith(RunPaths(place).log.name) and not place.is_dir():
            done = place.with_name(place.name.replace(".out", ".done", 1))
            return RunLog(_name_of(place.parent), place, done)
        if place.is_dir() and RunPaths(place).train_script.exists():
            run = RunPaths(place)
            both = run.log.exists() and run.posterior_mean_log.exists()
            return None if both else _only_log(run)
    return None


def _only_log(run: RunPaths) -> RunLog:
    name = _name_of(run.folder)
    if run.posterior_mean_log.exists():
        return RunLog(name, run.posterior_mean_log, run.posterior_mean_done)
    return RunLog(name, run.log, run.done)


def _name_of(folder: Path) -> str:
    is_under_hash = folder.parent.name.startswith(_HASH_FOLDER)
    return f"{folder.parent.name}/{folder.name}" if is_under_hash else folder.name


def short_names(names: list[str]) -> list[str]:
    """Leave out what all names begin and end with, word by word.

    >>> short_names(["lfads_param_Yw0JcR_run001_single_a", "lfads_param_Yw0JcR_run012_single_a"])
    ['run001', 'run012']
    >>> short_names(["lfads_param_Yw0JcR_run001_single_a"])
    ['lfads_param_Yw0JcR_run001_single_a']
    >>> short_names(["a_b", "a_b_c"])
    ['a_b', 'a_b_c']
    """
    words = [name.split("_") for name in names]
    shortest = min(map(len, words), default=0)
    if len(set(names)) < 2:
        return names
    begin = 0
    while begin < shortest and len({one[begin] for one in words}) == 1:
        begin += 1
    end = 0
    while end < shortest - begin and len({one[-1 - end] for one in words}) == 1:
        end += 1
    short = ["_".join(one[begin : len(one) - end]) for one in words]
    return short if all(short) else names
