"""Which runs a command line means: by a place on the disk, or as the queues know them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lfadsq.cli.targets import Target, target_of
from lfadsq.errors import RunNotFoundError

if TYPE_CHECKING:
    from lfadsq.watching.run_logs import RunLog

__all__ = ["chosen_logs", "target_or_places"]


def target_or_places(collection: Path | None, words: Sequence[str]) -> Target:
    """Tell collection and runs apart (`target_of`), also where runs lie in no collection.

    Raises
    ------
    RunNotFoundError
        If there is no collection, and a word is no place that holds a run.
    """
    from lfadsq.watching.run_logs import log_at

    try:
        return target_of(collection, words)
    except RunNotFoundError:
        places = [log_at(word, None) for word in words] if collection is None else []
        if not places or places[0] is None or None in places:
            raise
        return Target(places[0].run.folder.parent.parent, None, tuple(words))


def chosen_logs(target: Target) -> list[RunLog]:
    """Find the runs that a target names, and their logs, each once.

    Run directories, ``<HASH>/<run name>`` and logs are found without a task list, so that this
    works for runs whose queue script is gone, and quickly; all else as `Target.find` does.

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
        for task in target.find(words)[1]:
            path = Path(task.outfile)
            found.setdefault(path, RunLog(task.name, path, Path(task.donefile)))
    return list(found.values())
