"""``lfadsq queue add``: tasks for a queue that runs, or for the next one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.cli.effects import num_tasks, tell, wait_for_effect
from lfadsq.cli.targets import collection_option, json_option, target_of
from lfadsq.errors import ConfigError, RunExistsError
from lfadsq.files import storage_errors

if TYPE_CHECKING:
    from lfadsq.queue.overview import Overview
    from lfadsq.queue.tasks import Task
    from lfadsq.queue.wishes import Wishes

__all__ = ["add"]

_KEYS = ("command", "outfile", "donefile")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("specs", metavar="[SPECS.json|-]", required=False)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the tasks of this queue script; it is not run further than its task list.",
)
@collection_option
@json_option
def add(specs: str | None, script: Path | None, collection: Path | None, as_json: bool) -> None:
    """Add tasks to the queues of a collection: to those that run, and to later ones.

    SPECS.json is a list of objects with the keys name, command, memory_req [MB], outfile and
    donefile; - reads it from standard input. A task that is there already and is the same is passed
    over; one of the same name that differs is refused, and then none is added.

    For runs that a drive script adds to its collection this is not needed: write_run_queue_script
    writes run_lfadsqueue.py again, and a queue that runs it takes the new tasks by itself.

    \b
    Examples:
      lfadsq queue add more.json -C ~/runs/my_collection
      lfadsq queue add --script ~/runs/my_collection/run_lfadsqueue_more.py
    """
    from lfadsq.queue.overview import task_of
    from lfadsq.queue.task_lists import read_task_list
    from lfadsq.queue.tasks import tasks_from_specs

    if (specs is None) == (script is None):
        raise click.UsageError("name a file of tasks, or --script: one of the two.")
    target = target_of(collection or (script.absolute().parent if script else None))
    given = read_task_list(script).specs if script else _read(specs or "")
    wanted = [_with_full_paths(spec) for spec in given]
    try:
        new_tasks = {task.name: task for task in tasks_from_specs(wanted)}
    except ConfigError as error:
        source = script or _source_name(specs or "")
        raise ConfigError(f"{source}: {error.problem}", "nothing was added: correct it") from None
    overview = _there_already(target.collection)
    there = {task.name: task_of(task) for task in overview.tasks if task.command}
    names: list[str] = []

    def change(wishes: Wishes) -> Wishes:
        # Others may have added the same while we looked.
        added = {task.name: task for task in tasks_from_specs(wishes.added)}
        known = {**there, **added}
        _refuse_others(new_tasks, known)
        names[:] = [name for name in new_tasks if name not in known]
        return wishes.with_added(spec for spec in wanted if spec["name"] in names)

    overview.control.edit(change)
    wanted_names = frozenset(names)
    effects = wait_for_effect(
        overview.control,
        overview.queues if names else [],
        lambda queue: wanted_names <= {task.name for task in queue.tasks},
    )
    num_known = len(new_tasks) - len(names)
    tell(
        overview,
        "add",
        names,
        f"{num_tasks(names)} added" + (f", {num_known} there already" if num_known else ""),
        effects,
        "taken them",
        as_json=as_json,
        is_nothing=not names,
    )


def _there_already(collection: Path) -> Overview:
    """Look at what a queue has or, if none lives, would have."""
    from lfadsq.queue.overview import MAIN_SCRIPT, look

    overview = look(collection)
    main_script = collection / MAIN_SCRIPT
    if overview.queues:
        return overview
    # Not the tasks of other scripts: they may be the very ones to add.
    if main_script.is_file():
        return look(collection, main_script)
    return replace(overview, tasks=())


def _read(source: str) -> list[Any]:
    try:
        if source == "-":
            text = sys.stdin.read()
        else:
            with storage_errors(Path(source), "read"):
                text = Path(source).read_text(encoding="utf-8")
        specs = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{_source_name(source)} is no JSON: {error}", "give a list of objects"
        ) from None
    if not isinstance(specs, list):
        raise ConfigError(
            f"{_source_name(source)} holds a {type(specs).__name__}, not a list",
            "give a list of objects",
        )
    return specs


def _source_name(source: str) -> str:
    return "standard input" if source == "-" else source


def _with_full_paths(spec: Any) -> Any:
    # A queue stands in another folder.
    if not isinstance(spec, Mapping):
        return spec
    return {
        key: str(Path(value).expanduser().absolute())
        if key in _KEYS[1:] and isinstance(value, str) and value.strip()
        else value
        for key, value in spec.items()
    }


def _refuse_others(new: Mapping[str, Task], known: Mapping[str, Task]) -> None:
    problems = []
    for name, task in new.items():
        other = known.get(name)
        differing = [key for key in _KEYS if other and getattr(other, key) != getattr(task, key)]
        if differing:
            problems.append(f"{name!r} is there already, with another {', '.join(differing)}")
    problems += _clashes(new.values(), known.values())
    if problems:
        raise RunExistsError("\n".join(problems), "nothing was added: give them other names")


def _clashes(new: Iterable[Task], known: Iterable[Task]) -> list[str]:
    owners = {path: task for task in known for path in (task.outfile, task.donefile)}
    return [
        f"{path} of {task.name!r} belongs to task {owners[path].name!r}"
        for task in new
        for path in (task.outfile, task.donefile)
        if path in owners and owners[path].name != task.name
    ]
