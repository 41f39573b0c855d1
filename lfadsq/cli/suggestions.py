"""What may stand where a command line names runs, for the completion of shells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["suggest_runs"]

_MOST_LOOKED_AT = 2000


def suggest_runs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Suggest runs of the collection that is meant, or collections; for ``shell_complete=``.

    Names that begin with what was typed come first; if none does, those it is a part of. Paths are
    left to the shell. What cannot be read gives no suggestion, and never an error.
    """
    from click.shell_completion import CompletionItem

    if os.sep in incomplete or incomplete.startswith(("~", ".")):
        return [CompletionItem(incomplete, type="file")]
    words = context.params.get("words") or ()
    collection = context.params.get("collection")
    names = _fitting(_runs(collection, words), incomplete)
    if not words and collection is None:
        names += [name for name in _collections_here() if name.startswith(incomplete)]
    # No name of a task holds control characters, and no shell can be given those of a folder.
    return [CompletionItem(name) for name in names if name not in words and name.isprintable()]


def _fitting(names: Sequence[str], incomplete: str) -> list[str]:
    beginning = [name for name in names if name.startswith(incomplete)]
    return beginning or [name for name in names if incomplete in name]


def _runs(collection: object, words: Sequence[str]) -> list[str]:
    from lfadsq.cli.targets import target_of
    from lfadsq.errors import LfadsqError
    from lfadsq.watching.known_names import known_names

    try:
        target = target_of(None if collection is None else Path(str(collection)), words)
        return known_names(target.collection)
    except (LfadsqError, OSError, RuntimeError):
        return []


def _collections_here() -> list[str]:
    from lfadsq.queue.overview import is_collection

    names = []
    try:
        with os.scandir() as entries:
            for _, entry in zip(range(_MOST_LOOKED_AT), entries, strict=False):
                is_hidden = entry.name.startswith(".")
                if not is_hidden and entry.is_dir() and is_collection(Path(entry.name)):
                    names.append(entry.name)
    except OSError:
        pass
    return sorted(names)
