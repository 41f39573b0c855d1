"""Which runs a command line means: by a place on the disk, or as the queues know them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lfadsq.cli.targets import Target, target_of
from lfadsq.errors import ResultNotReadyError, RunNotFoundError
from lfadsq.texts import printable

if TYPE_CHECKING:
    from lfadsq.manager.collection import RunCollection
    from lfadsq.manager.runs import Run
    from lfadsq.queue.status import TaskStatus
    from lfadsq.watching.collection_status import BestRun
    from lfadsq.watching.run_logs import RunLog

__all__ = [
    "ChosenRuns",
    "best_among",
    "best_option",
    "chosen_logs",
    "chosen_runs",
    "target_or_places",
]


def best_option(function: Any) -> Any:
    """Add ``--best``."""
    return click.option(
        "--best",
        type=click.IntRange(min=1),
        is_flag=False,
        flag_value=1,
        metavar="[N]",
        help="Of these runs, or of all, the N lowest in validation cost for each dataset or"
        " stitched set; without a number, the lowest.",
    )(function)


class ChosenRuns(NamedTuple):
    """The runs of a collection that a command line means.

    Attributes
    ----------
    collection : RunCollection
    runs : list of Run
        Each once: in the order of their names on the command line, the best first, or all in the
        order of the collection.
    are_all : bool
        Whether none was named or picked.
    """

    collection: RunCollection
    runs: list[Run]
    are_all: bool


def chosen_runs(
    words: Sequence[str], collection: Path | None, best: int | None = None
) -> ChosenRuns:
    """Open the collection that is meant, which need not have had a queue, and find its runs.

    Parameters
    ----------
    words : sequence of str
        Folders of a collection, of a ``param_<HASH>`` or of a run, or what `chosen_logs` finds.
        Without one that names runs, all are meant.
    collection : Path or None
        As ``--collection`` gave it.
    best : int, optional
        Only so many of them (`best_among`).

    Raises
    ------
    RunNotFoundError
        If a word fits nothing, a part of a name several, or a run that the collection has not.
    ResultNotReadyError
        If the best are wanted, and none has a validation cost yet.
    click.UsageError
        If words are of several collections.
    """
    from lfadsq.manager.collection import RunCollection

    place, folders = _places(words, collection)
    opened = RunCollection.open(place)
    runs = opened.runs if folders is None else _runs_at(opened, folders)
    if best is None:
        return ChosenRuns(opened, list(runs), folders is None)
    found = best_among(place, None if folders is None else [run.path for run in runs], best)
    return ChosenRuns(opened, _runs_at(opened, [place / one.run.name for one in found]), False)


def best_among(collection: Path, folders: Iterable[Path] | None, number: int) -> list[BestRun]:
    """Find the runs of the lowest validation cost, of each kind of data so many.

    Parameters
    ----------
    collection : Path
        Its folder.
    folders : iterable of Path, optional
        Run directories among which to look; by default all.
    number : int

    Raises
    ------
    ResultNotReadyError
        If none has a validation cost yet.
    """
    from dataclasses import replace

    from lfadsq.watching.collection_status import read_collection_status

    status = read_collection_status(collection)
    if folders is not None:
        wanted = {folder.resolve() for folder in folders}
        among = [one for one in status.runs if (collection / one.name).resolve() in wanted]
        status = replace(status, runs=tuple(among))
    found = status.best(number)
    if not found:
        raise ResultNotReadyError(
            "none of these runs has a validation cost yet",
            "wait until the weights of KL and L2 are full: costs before do not count",
        )
    return list(found)


def _places(words: Sequence[str], collection: Path | None) -> tuple[Path, list[Path] | None]:
    """Find the collection, and the run directories that are meant; None for all."""
    from lfadsq.preflight.layout import find_runs
    from lfadsq.queue.run_names import existing_path

    if not words and collection is None:
        words = (".",)
    folders: list[Path] = []
    names: list[str] = []
    found = None if collection is None else find_runs(collection)[0]
    for word in words:
        place = existing_path(word)
        if place is None and found is not None:
            place = existing_path(f"{found}/{word}") or existing_path(f"{found}/param_{word}")
        if place is None:
            names.append(word)
            continue
        top, runs = find_runs(place)
        if found is not None and top.resolve() != found.resolve():
            raise click.UsageError(f"{printable(word)} is of another collection: one at a time.")
        found = top
        # A script or summary of the collection stands for it.
        folder = place if place.is_dir() else place.parent
        if folder.resolve() != top.resolve():
            folders += runs
    if names:
        target = target_or_places(found, names)
        found = target.collection
        folders += [log.run.folder for log in chosen_logs(target)]
    assert found is not None
    return found, list(dict.fromkeys(folders)) or None


def _runs_at(collection: RunCollection, folders: Iterable[Path]) -> list[Run]:
    by_folder = {run.path.resolve(): run for run in collection.runs}
    resolved = [folder.resolve() for folder in folders]
    for folder in resolved:
        if folder not in by_folder:
            raise RunNotFoundError(
                f"{folder} is no run that {collection.path} tells of",
                "see what is there: lfadsq status",
            )
    return [by_folder[folder] for folder in dict.fromkeys(resolved)]


def target_or_places(collection: Path | None, words: Sequence[str]) -> Target:
    """Tell collection and runs apart (`target_of`), also where there never was a queue.

    Raises
    ------
    RunNotFoundError
        If there are no runs, neither in a collection nor in the folders that the words are.
    """
    from lfadsq.preflight.layout import find_runs
    from lfadsq.queue.run_names import existing_path
    from lfadsq.watching.run_logs import log_at

    try:
        return target_of(collection, words)
    except RunNotFoundError:
        places = [log_at(word, None) for word in words] if collection is None else []
        if places and places[0] is not None and None not in places:
            return Target(places[0].run.folder.parent.parent, None, tuple(words))
        first = existing_path(words[0]) if words and collection is None else None
        top, _ = find_runs(collection or first or Path())
        is_first = first is not None and first.resolve() == top.resolve()
        return Target(top, None, tuple(words[1:] if is_first else words))


def chosen_logs(target: Target) -> list[RunLog]:
    """Find the runs that a target names, and their logs, each once.

    Run directories, ``<HASH>/<run name>`` and logs are found without a task list, and quickly; all
    else as `Target.find` does or, where there never was a queue, by the names of folders.

    Raises
    ------
    RunNotFoundError
        If a word fits nothing, or a part of a name several.
    """
    from lfadsq.watching.run_logs import RunLog, log_at

    found: dict[object, RunLog] = {}
    words = []
    for word in target.words:
        log = log_at(word, target.collection)
        if log is None:
            words.append(word)
        else:
            found[log.path] = log
    if words:
        for task in _tasks(target, words):
            path = Path(task.outfile)
            found.setdefault(path, RunLog(task.name, path, Path(task.donefile)))
    return list(found.values())


def _tasks(target: Target, words: Sequence[str]) -> list[TaskStatus]:
    from lfadsq.queue.overview import is_collection

    if is_collection(target.collection):
        return target.find(words)[1]
    from lfadsq.paths import RunPaths
    from lfadsq.preflight.layout import find_runs
    from lfadsq.queue.run_names import find_tasks
    from lfadsq.queue.status import TaskStatus

    # No queue has given them names. Their folders have.
    runs = [RunPaths(folder) for folder in find_runs(target.collection)[1]]
    tasks = [
        TaskStatus(
            f"{run.folder.parent.name}/{run.folder.name}",
            outfile=str(run.log),
            donefile=str(run.done),
        )
        for run in runs
    ]
    return find_tasks(words, tasks, target.collection)
