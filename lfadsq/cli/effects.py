"""What live queues make of a wish, and telling people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lfadsq.texts import harmless

if TYPE_CHECKING:
    from lfadsq.queue.control import ControlFolder
    from lfadsq.queue.overview import Overview
    from lfadsq.queue.status import Snapshot, TaskStatus

__all__ = [
    "Effect",
    "finish",
    "num_tasks",
    "on_tasks",
    "tell",
    "tell_at_once",
    "wait_for_effect",
]

PATIENCE_S = 3.0
_POLL_S = 0.05
_NUM_SHOWN = 10


@dataclass(frozen=True)
class Effect:
    """Whether a queue that lived has obeyed.

    Attributes
    ----------
    queue : Snapshot
        As it was seen last.
    is_seen : bool
    """

    queue: Snapshot
    is_seen: bool


def on_tasks(
    names: Collection[str], has_effect: Callable[[TaskStatus], bool]
) -> Callable[[Snapshot], bool]:
    """Make a condition on a queue of one on some of its tasks."""
    wanted = set(names)
    return lambda queue: all(has_effect(task) for task in queue.tasks if task.name in wanted)


def wait_for_effect(
    control: ControlFolder,
    queues: Sequence[Snapshot],
    has_effect: Callable[[Snapshot], bool],
    patience_s: float | None = None,
) -> list[Effect]:
    """Wait a moment for queues to obey.

    Parameters
    ----------
    control : ControlFolder
    queues : sequence of Snapshot
        Those that are concerned.
    has_effect : callable
        Whether a queue shows that it has obeyed; one that ended has, too.
    patience_s : float, optional
        How long to wait at most [s].
    """
    deadline_s = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    while True:
        now = {queue.queue_id: queue for queue, lives in control.queues(max_dead=0) if lives}
        effects = [
            Effect(now.get(queue.queue_id, queue), queue.queue_id not in now or has_effect(seen))
            for queue in queues
            for seen in [now.get(queue.queue_id, queue)]
        ]
        if all(effect.is_seen for effect in effects) or time.monotonic() >= deadline_s:
            return effects
        time.sleep(_POLL_S)


def num_tasks(tasks: Collection[object]) -> str:
    """Count tasks in words.

    >>> num_tasks(["a"]), num_tasks([])
    ('1 task', '0 tasks')
    """
    return f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"


def tell(
    overview: Overview,
    verb: str,
    names: Sequence[str],
    said: str,
    effects: Sequence[Effect],
    obeyed: str,
    *,
    as_json: bool,
    is_nothing: bool = False,
    notes: Sequence[str] = (),
) -> None:
    """Tell what was wished and what became of it.

    Parameters
    ----------
    overview : Overview
        As it was before.
    verb : str
    names : sequence of str
        Tasks that the wish is about.
    said : str
        The wish in words.
    effects : sequence of Effect
        Of the queues that are concerned.
    obeyed : str
        What a queue has done that obeyed, as it reads after "has".
    as_json : bool
    is_nothing : bool, default False
        Nothing was to be done, so nothing is kept for a later queue.
    notes : sequence of str, optional
        What else there is to say.
    """
    if as_json:
        result = {
            "verb": verb,
            "collection": str(overview.collection),
            "tasks": list(names),
            "queues": [
                {
                    "queue_id": effect.queue.queue_id,
                    "queue_name": effect.queue.queue_name,
                    "host": effect.queue.host,
                    "has_obeyed": effect.is_seen,
                }
                for effect in effects
            ],
            "notes": list(notes),
        }
        click.echo(json.dumps(result, indent=2))
        return
    lines = [said]
    lines += [f"  {name}" for name in names[:_NUM_SHOWN]]
    if len(names) > _NUM_SHOWN:
        lines.append(f"  and {len(names) - _NUM_SHOWN} more")
    lines += notes
    for effect in effects:
        who = f"queue {effect.queue.queue_name} on {effect.queue.host}"
        lines.append(
            f"{who} has {obeyed}"
            if effect.is_seen
            else f"{who} has not finished doing so: see `lfadsq queue status`"
        )
    if is_nothing:
        pass
    elif not overview.queues:
        lines.append("no queue runs here now: this is kept for the next one")
    elif not effects:
        lines.append("no queue that runs has them: this is kept for the next one")
    click.echo(harmless("\n".join(lines)))


def finish(
    overview: Overview,
    verb: str,
    names: list[str],
    said: str,
    has_effect: Callable[[Snapshot], bool],
    obeyed: str,
    *,
    as_json: bool,
    is_about_all: bool = False,
    notes: Sequence[str] = (),
) -> None:
    """Wait a moment for the queues that are concerned, and tell what became of a wish.

    Parameters
    ----------
    overview : Overview
        As it was before.
    verb : str
    names : list of str
        Tasks that the wish is about; if there are none, nothing is to be done.
    said : str
        The wish in words.
    has_effect : callable
        Whether a queue shows that it has obeyed.
    obeyed : str
        What a queue has done that obeyed, as it reads after "has".
    as_json : bool
    is_about_all : bool, default False
        The wish is about queues, not tasks.
    notes : sequence of str, optional
        What else there is to say.
    """
    wanted = set(names)
    concerned = [
        queue
        for queue in overview.queues
        if is_about_all or any(task.name in wanted for task in queue.tasks)
    ]
    is_nothing = not names and not is_about_all
    effects = [] if is_nothing else wait_for_effect(overview.control, concerned, has_effect)
    tell(
        overview,
        verb,
        names,
        said,
        effects,
        obeyed,
        as_json=as_json,
        is_nothing=is_nothing,
        notes=notes,
    )


def tell_at_once(text: str) -> None:
    """Say what takes long before it is done, beside what is printed at the end."""
    click.echo(text, err=True)
