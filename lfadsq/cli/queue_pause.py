"""``lfadsq queue pause`` and ``resume``: hold runs back for a while."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.effects import finish, num_tasks, on_tasks, tell_at_once
from lfadsq.cli.suggestions import suggest_runs
from lfadsq.cli.targets import collection_option, json_option, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lfadsq.queue.overview import Overview
    from lfadsq.queue.status import TaskStatus

__all__ = ["pause", "resume"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@click.option(
    "--now", is_flag=True, help="End what runs, with a checkpoint; it goes on from there later."
)
@collection_option
@json_option
def pause(words: tuple[str, ...], now: bool, collection: Path | None, as_json: bool) -> None:
    """Start nothing more; with runs named, hold only those back.

    What runs already is finished, unless you say --now. It is never counted as a failure.

    \b
    Examples:
      lfadsq queue pause                      no new runs, in this folder's collection
      lfadsq queue pause --now                free all GPUs at once
      lfadsq queue pause run003 run004
    """
    from lfadsq.queue.status import QueueState, TaskState

    target = target_of(collection, words)
    if not target.words:
        overview = target.look()
        overview.control.edit(lambda wishes: wishes.with_paused(now=now))
        notes = _end_left(overview, overview.tasks) if now else []
        finish(
            overview,
            "pause",
            [],
            f"all is paused{', and what runs ends' if now else '; what runs is finished'}",
            lambda queue: (
                queue.state is QueueState.PAUSED
                and not (now and any(t.state is TaskState.RUNNING for t in queue.tasks))
            ),
            "paused",
            as_json=as_json,
            is_about_all=True,
            notes=notes,
        )
        return
    overview, tasks = target.find(target.words)
    tasks = [task for task in tasks if not task.state.is_finished]
    names = [task.name for task in tasks]
    if names:
        overview.control.edit(lambda wishes: wishes.with_paused(names, now=now))
    notes = _end_left(overview, tasks) if now else []
    running = (TaskState.RUNNING,) if now else ()
    finish(
        overview,
        "pause",
        names,
        f"{num_tasks(names)} held back" if names else "nothing to hold back: finished already",
        on_tasks(names, lambda task: task.state not in (TaskState.WAITING, *running)),
        "held them back",
        as_json=as_json,
        notes=notes,
    )


def _end_left(overview: Overview, tasks: Iterable[TaskStatus]) -> list[str]:
    from lfadsq.queue.requests import end_left_tasks

    return end_left_tasks(overview, tasks, is_pause=True, tell=tell_at_once)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[COLLECTION] [RUN]...", shell_complete=suggest_runs)
@collection_option
@json_option
def resume(words: tuple[str, ...], collection: Path | None, as_json: bool) -> None:
    """Let all that is paused go on; with runs named, those that were paused or cancelled.

    \b
    Examples:
      lfadsq queue resume
      lfadsq queue resume run003
    """
    from lfadsq.queue.status import QueueState, TaskState

    target = target_of(collection, words)
    if not target.words:
        overview = target.look()
        overview.control.edit(lambda wishes: wishes.with_resumed())
        finish(
            overview,
            "resume",
            [],
            "nothing is paused any more",
            lambda queue: (
                queue.state is not QueueState.PAUSED
                and not any(task.state is TaskState.PAUSED for task in queue.tasks)
            ),
            "gone on",
            as_json=as_json,
            is_about_all=True,
        )
        return
    overview, tasks = target.find(target.words)
    names = [task.name for task in tasks]
    wishes = overview.control.edit(lambda wishes: wishes.with_resumed(names))
    held = (TaskState.PAUSED, TaskState.CANCELLED)
    finish(
        overview,
        "resume",
        names,
        f"{num_tasks(names)} held back no longer"
        + ("; but all is paused: `lfadsq queue resume`" if wishes.is_paused else ""),
        on_tasks(names, lambda task: wishes.is_paused or task.state not in held),
        "taken note",
        as_json=as_json,
    )
