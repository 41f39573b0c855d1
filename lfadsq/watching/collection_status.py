"""How a whole collection stands: counts, what is at work, what failed, the best runs, warnings.

The dict that `CollectionStatus.to_dict` gives is read by programs. Change `SCHEMA_VERSION` when a
key changes its meaning or goes, not when one is added.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lfadsq.errors import RunNotFoundError
from lfadsq.files import storage_errors
from lfadsq.paths import CollectionPaths, RunPaths
from lfadsq.queue.overview import is_collection, scripts_in
from lfadsq.queue.records import iso_time
from lfadsq.queue.status import QueueState, Snapshot
from lfadsq.watching.queue_words import QueueWords
from lfadsq.watching.run_settings import RunSettings, read_settings
from lfadsq.watching.run_states import read_runs
from lfadsq.watching.run_status import RunState, RunStatus
from lfadsq.watching.signs import Disk, Warned, measure_disk, warnings_of

__all__ = [
    "SCHEMA_VERSION",
    "BestRun",
    "CollectionStatus",
    "FailureGroup",
    "find_runs_above",
    "last_words",
    "read_collection_status",
]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FailureGroup:
    """Runs that failed of the same.

    Attributes
    ----------
    cause, remedy : str
    runs : tuple of RunStatus
    """

    cause: str
    remedy: str
    runs: tuple[RunStatus, ...]


@dataclass(frozen=True)
class BestRun:
    """One of the best among those whose costs compare.

    Attributes
    ----------
    rank : int
        From 1.
    data : str
        Which data they share: the run name and, where the sweep changes the data, in what.
    run : RunStatus
    settings : dict of str to str
        The hyperparameters in which runs of the collection differ.
    """

    rank: int
    data: str
    run: RunStatus
    settings: dict[str, str]


@dataclass(frozen=True)
class CollectionStatus:
    """How a collection stands.

    Attributes
    ----------
    path : Path
    at_s : float
        When it was looked at [s since 1970].
    runs : tuple of RunStatus
    queues : tuple of Snapshot
        Of live queues, newest first.
    last : Snapshot or None
        Of the newest queue that lives no more.
    is_paused : bool
        Whether queues are to start nothing.
    settings : RunSettings
    disk : Disk or None
        None if the system does not tell.
    script : Path or None
        What starts a queue.
    """

    path: Path
    at_s: float
    runs: tuple[RunStatus, ...]
    queues: tuple[Snapshot, ...]
    last: Snapshot | None
    is_paused: bool
    settings: RunSettings
    disk: Disk | None
    script: Path | None

    @cached_property
    def counts(self) -> dict[RunState, int]:
        """How many runs are in each state, those with none left out."""
        counted = Counter(run.state for run in self.runs)
        return {state: counted[state] for state in RunState if counted[state]}

    @property
    def has_failed(self) -> bool:
        """Whether a run failed."""
        return RunState.FAILED in self.counts

    @cached_property
    def at_work(self) -> tuple[RunStatus, ...]:
        """The runs at work, those with the most time left first."""
        working = [run for run in self.runs if run.state is RunState.TRAINING]
        return tuple(sorted(working, key=lambda run: -(run.remaining_s or 0.0)))

    @cached_property
    def failures(self) -> tuple[FailureGroup, ...]:
        """What failed, by cause and remedy, the most frequent first."""
        groups: dict[tuple[str, str], list[RunStatus]] = {}
        for run in self.runs:
            if run.state is RunState.FAILED:
                groups.setdefault((run.cause, run.remedy), []).append(run)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        return tuple(FailureGroup(*why, tuple(runs)) for why, runs in ordered)

    def best(self, num_best: int) -> tuple[BestRun, ...]:
        """Give the runs with the lowest validation costs, of each kind of data apart.

        Costs of other data, or of the same in other bins, do not compare. Runs whose warm-up has
        not ended have no cost yet that counts.

        Parameters
        ----------
        num_best : int
            So many of each.
        """
        groups: dict[tuple[str, tuple[str, ...]], list[RunStatus]] = {}
        for run in self.runs:
            if run.lowest_valid_cost is not None:
                key = (run.run_name, self.settings.data_key(run.param_hash))
                groups.setdefault(key, []).append(run)
        return tuple(
            BestRun(rank, self._data_label(run), run, self.settings.values(run.param_hash))
            for _, runs in sorted(groups.items())
            for rank, run in enumerate(sorted(runs, key=_cost_and_name)[:num_best], start=1)
        )

    @cached_property
    def warnings(self) -> tuple[Warned, ...]:
        """What a person should look at."""
        return tuple(warnings_of(self.at_work, self.disk, self.at_s))

    def log_of(self, run: RunStatus) -> Path:
        """Give the log of a run."""
        return RunPaths(self.path / run.name).log

    def to_dict(self, num_best: int) -> dict[str, Any]:
        """Convert to what JSON can hold.

        Parameters
        ----------
        num_best : int
            As in `best`.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "collection": str(self.path),
            "at": iso_time(self.at_s),
            "num_runs": len(self.runs),
            "counts": {state.value: self.counts.get(state, 0) for state in RunState},
            "is_paused": self.is_paused,
            "queues": [queue.head_dict() for queue in self.queues],
            "last_queue": self.last.head_dict() if self.last else None,
            "disk": dict(vars(self.disk)) if self.disk else None,
            "warnings": [dict(vars(one)) for one in self.warnings],
            "varying": list(self.settings.varying),
            "best": [
                {
                    "rank": one.rank,
                    "data": one.data,
                    "run": one.run.name,
                    "lowest_valid_cost": one.run.lowest_valid_cost,
                    "settings": one.settings,
                }
                for one in self.best(num_best)
            ],
            "runs": [{**run.to_dict(), "log": str(self.log_of(run))} for run in self.runs],
        }

    def _data_label(self, run: RunStatus) -> str:
        values = self.settings.values(run.param_hash) if self.settings.data_names else {}
        told = [f"{name}={values[name]}" for name in self.settings.data_names if name in values]
        return ", ".join([run.run_name, *told])


def _cost_and_name(run: RunStatus) -> tuple[float, str]:
    return run.lowest_valid_cost or 0.0, run.name


def find_runs_above(path: Path) -> Path:
    """Find the collection that a path is in, also one that never had a queue.

    Parameters
    ----------
    path : Path
        Its folder, or a folder or file within.

    Raises
    ------
    RunNotFoundError
        If there is none.
    StorageError
        If the system does not let us look.
    """
    path = path.expanduser().absolute()
    with storage_errors(path, "read"):
        if not path.exists():
            raise RunNotFoundError(f"there is no {path}", "name the folder of a collection")
        for folder in (path, *path.parents):
            if folder.is_dir() and (is_collection(folder) or _has_runs(folder)):
                return folder
    raise RunNotFoundError(
        f"{path} is in no collection: there are no runs (param_<HASH>/<run name>)",
        "name the folder of a collection that prepare_for_lfads, or MATLAB, has written",
    )


def read_collection_status(collection: Path, words: QueueWords | None = None) -> CollectionStatus:
    """Look at a collection; nothing in it is changed.

    Parameters
    ----------
    collection : Path
        Its folder.
    words : QueueWords, optional
        What queues and people say, if that was read just now.

    Raises
    ------
    QueueError, StorageError
        If the folder, or what queues and people said, cannot be read.
    """
    at_s = time.time()
    words = QueueWords(collection) if words is None else words
    settings = read_settings(CollectionPaths(collection).summary)
    with storage_errors(collection, "read"):
        runs = read_runs(collection, words, at_s)
    runs += _missing(runs, settings)
    return CollectionStatus(
        path=collection,
        at_s=at_s,
        runs=tuple(runs),
        queues=words.live,
        last=words.last,
        is_paused=words.wishes.is_paused,
        settings=settings,
        disk=measure_disk(collection),
        script=next(iter(scripts_in(collection)), None),
    )


def last_words(last: Snapshot | None) -> str:
    """Say what became of the last queue; empty if none is known."""
    if last is None:
        return ""
    ended = "ended" if last.state is QueueState.ENDED else "died without a word"
    return f"the last one, {last.queue_name} on {last.host}, {ended}"


def _missing(runs: Sequence[RunStatus], settings: RunSettings) -> list[RunStatus]:
    """List runs that the summary names, and that have no folder."""
    present = {run.name for run in runs}
    return [
        RunStatus(name, param_hash, run_name, RunState.NOT_PREPARED)
        for param_hash in settings.param_hashes
        for run_name in settings.run_names
        if (name := f"param_{param_hash}/{run_name}") not in present
    ]


def _has_runs(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.startswith("param_") and entry.is_dir() for entry in entries)
    except PermissionError:
        return False
