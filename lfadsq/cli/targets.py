"""Which collection, and which of its runs, a command line means."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lfadsq.errors import RunNotFoundError

if TYPE_CHECKING:
    from lfadsq.queue.overview import Overview
    from lfadsq.queue.status import TaskStatus

__all__ = ["Target", "chosen", "collection_option", "json_option", "target_of"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def collection_option(function: _Function) -> _Function:
    """Add ``--collection``."""
    return click.option(
        "-C",
        "--collection",
        type=click.Path(exists=True, path_type=Path),
        help="Folder of the collection, its queue script, or a folder inside; by default the"
        " current folder.",
    )(function)


def json_option(function: _Function) -> _Function:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(function)


@dataclass(frozen=True)
class Target:
    """A collection, and what was said about its runs.

    Attributes
    ----------
    collection : Path
    script : Path or None
        The only queue script that is meant, if one was named.
    words : tuple of str
        All that was said besides the collection.
    """

    collection: Path
    script: Path | None
    words: tuple[str, ...]

    def look(self, *, beyond_queues: bool = False) -> Overview:
        """Gather what is known of its tasks."""
        from lfadsq.queue.overview import look

        return look(self.collection, self.script, beyond_queues=beyond_queues)

    def find(self, words: Sequence[str]) -> tuple[Overview, list[TaskStatus]]:
        """Find the tasks that are meant, also those that live queues know nothing of.

        Raises
        ------
        RunNotFoundError
            If one of the words fits no task, or a part several.
        """
        from lfadsq.queue.requests import find_in

        return find_in(self.collection, words, self.script)


def target_of(collection: Path | None, words: Sequence[str] = ()) -> Target:
    """Tell collection and runs apart.

    Parameters
    ----------
    collection : Path or None
        As ``--collection`` gave it.
    words : sequence of str
        The first may be the collection; else it is the one in which the first run directory lies,
        or the current folder's.

    Raises
    ------
    RunNotFoundError
        If there is no collection.
    """
    from lfadsq.queue.overview import find_collection, is_collection
    from lfadsq.queue.run_names import existing_path

    if collection is not None:
        return Target(*find_collection(collection), tuple(words))
    first = existing_path(words[0]) if words else None
    if first is not None and is_collection(first.absolute()):
        return Target(*find_collection(first), tuple(words[1:]))
    if first is not None and os.sep in words[0]:
        return Target(*find_collection(first), tuple(words))
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise RunNotFoundError(
            "the current folder does not exist any more", "go to another, or name the collection"
        ) from None
    return Target(*find_collection(here), tuple(words))


def chosen(
    words: Sequence[str], collection: Path | None, *, everything: bool, option: str
) -> tuple[Overview, list[TaskStatus]]:
    """Find the tasks that are meant: those named or, by an option, all.

    Parameters
    ----------
    words : sequence of str
        Collection and runs.
    collection : Path or None
        As ``--collection`` gave it.
    everything : bool
        Whether the option was given.
    option : str
        How it is called.

    Raises
    ------
    click.UsageError
        If both are given, or none.
    RunNotFoundError
        If a word fits no task.
    """
    target = target_of(collection, words)
    if everything == bool(target.words):
        raise click.UsageError(f"name the runs, or say {option}: one of the two.")
    if everything:
        overview = target.look()
        return overview, list(overview.tasks)
    return target.find(target.words)
