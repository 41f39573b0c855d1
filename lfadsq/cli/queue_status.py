"""``lfadsq queue status``: what runs where, what waits and why, what failed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.targets import Target, collection_option, json_option, target_of
from lfadsq.texts import harmless, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lfadsq.queue.overview import Overview
    from lfadsq.queue.status import DeviceStatus, Snapshot, TaskState, TaskStatus

__all__ = ["status"]

_NUM_SHOWN = 10
_NAMES_SHOWN = 3
_TAIL_BYTES = 4096
_WATCH_S = 1.0
# Wide enough that nothing is cut where a program reads it.
_PIPE_WIDTH = 10_000
# Names of runs are long: on a terminal that is narrower, columns would cut or fold them.
_TABLE_WIDTH = 120


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="[COLLECTION]", required=False, type=click.Path(path_type=Path))
@click.option("--all", "show_all", is_flag=True, help="Every task, not only the first ones.")
@click.option("--watch", is_flag=True, help="Keep it up to date as long as a queue runs.")
@collection_option
@json_option
def status(
    path: Path | None, show_all: bool, watch: bool, collection: Path | None, as_json: bool
) -> None:
    """Show what runs where, what waits and why, what failed.

    Without a queue that runs, the queue's script, records and markers tell how far all is.

    This is about queues, their devices and their tasks. `lfadsq status` is about the runs of a
    collection: epochs, costs, time left, the best so far, also of runs that were trained by hand.

    \b
    Examples:
      lfadsq queue status
      lfadsq queue status ~/runs/my_collection --watch
      lfadsq queue status --json | jq '.tasks[] | select(.state == "failed") | .name'
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people, --json for programs: choose one.")
    target = target_of(collection or path)
    if as_json:
        click.echo(json.dumps(target.look().to_dict(), indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    num_shown = None if show_all else _NUM_SHOWN
    if watch:
        _watch(target, console, num_shown)
    else:
        console.print(_render(target.look(), num_shown, console.width))


def _watch(target: Target, console: Console, num_shown: int | None) -> None:
    from rich.live import Live

    overview = target.look()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while overview.queues:
                live.update(_render(overview, num_shown, console.width), refresh=True)
                time.sleep(_WATCH_S)
                overview = target.look()
    else:
        said = ""
        while overview.queues:
            counts = _counts(overview)
            if counts != said:
                click.echo(counts)
            said = counts
            time.sleep(_WATCH_S)
            overview = target.look()
    console.print(_render(overview, num_shown, console.width))


def _render(overview: Overview, num_shown: int | None, width: int) -> RenderableType:
    from rich.console import Group

    return Group(*_parts(overview, num_shown, width))


def _parts(overview: Overview, num_shown: int | None, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    from lfadsq.queue.status import TaskState

    yield Text(printable(str(overview.collection)), style="bold")
    for queue in overview.queues:
        yield Text(printable(_queue_line(queue)))
        if queue.why_no_gpu:
            yield Text(printable(f"  {queue.why_no_gpu}: training on the processors"))
        if queue.tensorboard:
            yield Text(printable(f"  TensorBoard: {queue.tensorboard}"))
        if queue.dashboard:
            yield Text(printable(f"  Dask dashboard: {queue.dashboard}"))
            yield Text(printable(f"    from your own computer: {queue.dashboard_tunnel}"))
        for line in _job_lines(queue):
            yield Text(printable(line))
    if not overview.queues:
        yield Text(printable(_no_queue_line(overview)), style="yellow")
    for line in _wish_lines(overview):
        yield Text(line, style="yellow")
    if overview.problem:
        yield Text(harmless(f"not all tasks are known: {overview.problem}"), style="red")
    yield Text(_counts(overview), style="bold")
    by_state: dict[TaskState, list[TaskStatus]] = {}
    for task in overview.tasks:
        by_state.setdefault(task.state, []).append(task)
    for queue in overview.queues:
        yield from _devices_in_lines(queue) if width < _TABLE_WIDTH else _devices(queue)
    at_work = [
        task
        for state in (TaskState.RUNNING, TaskState.LEFT, TaskState.ELSEWHERE)
        for task in by_state.get(state, [])
    ]
    if width < _TABLE_WIDTH:
        yield from _running_in_lines(at_work, num_shown)
    else:
        yield from _running(at_work, num_shown, is_terminal=width < _PIPE_WIDTH)
    waiting = _with_reasons(by_state.get(TaskState.WAITING, []), overview)
    yield from _waiting(TaskState.WAITING, waiting, show_all=num_shown is None)
    for state in (TaskState.PAUSED, TaskState.INTERRUPTED):
        yield from _waiting(state, by_state.get(state, []), show_all=num_shown is None)
    yield from _failed(by_state.get(TaskState.FAILED, []), num_shown)
    yield from _waiting(
        TaskState.CANCELLED, by_state.get(TaskState.CANCELLED, []), show_all=num_shown is None
    )


def _queue_line(queue: Snapshot) -> str:
    return (
        f"queue {queue.queue_name} on {queue.host} (process {queue.pid}) is {queue.state.value},"
        f" since {queue.started_at}{_ago(queue.started_at)}"
    )


def _job_lines(queue: Snapshot) -> Iterator[str]:
    """Tell of the jobs of a batch system, those together that stand alike."""
    from lfadsq.texts import count_text

    alike: dict[str, list[str]] = {}
    for job in queue.jobs:
        if not job.state.is_finished:
            alike.setdefault(job.words or job.state.value, []).append(job.job_id)
    for words, job_ids in alike.items():
        shown = ", ".join(job_ids[:_NAMES_SHOWN])
        more = f" and {len(job_ids) - _NAMES_SHOWN} more" if len(job_ids) > _NAMES_SHOWN else ""
        yield f"  {count_text(len(job_ids), 'job')} {words}: {shown}{more}"


def _no_queue_line(overview: Overview) -> str:
    from lfadsq.queue.status import QueueState

    last = overview.last
    if last is None:
        return "no queue runs here, and none is known that did: records and markers tell this"
    ended = "ended" if last.state is QueueState.ENDED else "died without a word"
    return (
        f"no queue runs here; the last one, {last.queue_name} on {last.host}, {ended}"
        f" (last seen {last.updated_at}{_ago(last.updated_at)}): records and markers tell this"
    )


def _wish_lines(overview: Overview) -> Iterator[str]:
    wishes = overview.wishes
    if wishes.is_paused:
        yield "all is paused: `lfadsq queue resume` lets it go on"
    for queue_id in wishes.stops:
        if any(queue.queue_id == queue_id for queue in overview.queues):
            yield f"queue {queue_id} was asked to stop"


def _counts(overview: Overview) -> str:
    from lfadsq.queue.status import TaskState

    counts = Counter(task.state for task in overview.tasks)
    parts = [f"{counts.pop(TaskState.DONE, 0)} of {len(overview.tasks)} done"]
    parts += [f"{counts[state]} {state.value}" for state in TaskState if counts[state]]
    return ", ".join(parts)


def _devices(queue: Snapshot) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    if not queue.devices:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("device", "MB free", "MB left", "MB in all", "tasks", ""):
        is_number = heading.startswith("MB") or heading == "tasks"
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for device in queue.devices:
        table.add_row(
            Text(printable(device.name)),
            f"{device.memory_free_mb:.0f}",
            f"{device.left_mb:.0f}",
            f"{device.memory_total_mb:.0f}",
            f"{len(device.tasks)}/{device.max_tasks}",
            Text(printable(_on_device(device))),
        )
    yield table


def _devices_in_lines(queue: Snapshot) -> Iterator[RenderableType]:
    from rich.text import Text

    for device in queue.devices:
        yield Text(
            printable(
                f"{device.name}: {device.memory_free_mb:.0f} MB free, {device.left_mb:.0f} MB left,"
                f" {device.memory_total_mb:.0f} MB in all,"
                f" {len(device.tasks)}/{device.max_tasks} tasks"
            )
        )
        if device.closed_because:
            yield Text(printable(f"  {device.closed_because}"))


def _on_device(device: DeviceStatus) -> str:
    shown = ", ".join(device.tasks[:_NAMES_SHOWN])
    rest = len(device.tasks) - _NAMES_SHOWN
    tasks = f"{shown} and {rest} more" if rest > 0 else shown
    return "; ".join(filter(None, [device.closed_because, tasks]))


def _running(
    tasks: list[TaskStatus], num_shown: int | None, *, is_terminal: bool
) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    if not tasks:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("at work", "", "device"):
        table.add_column(heading, no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    # A long line would squeeze the names.
    table.add_column("last line of its log", ratio=1, overflow="ellipsis", no_wrap=True)
    table.expand = is_terminal
    for task in tasks[:num_shown]:
        table.add_row(
            Text(printable(task.name)),
            task.state.value,
            Text(printable(task.device_name)),
            _age(task.since),
            Text(printable(_last_line(task))),
        )
    yield table
    yield from _and_more(len(tasks), num_shown)


def _running_in_lines(tasks: list[TaskStatus], num_shown: int | None) -> Iterator[RenderableType]:
    from rich.text import Text

    if tasks:
        yield Text(f"{len(tasks)} at work", style="bold")
    for task in tasks[:num_shown]:
        where = f" on {task.device_name}" if task.device_name else ""
        age = _age(task.since)
        yield Text(printable(f"  {task.name}"))
        yield Text(printable(f"    {task.state.value}{where}{f', {age}' if age else ''}"))
        yield Text(printable(f"    {_last_line(task)}"), overflow="ellipsis", no_wrap=True)
    yield from _and_more(len(tasks), num_shown)


def _with_reasons(tasks: list[TaskStatus], overview: Overview) -> list[TaskStatus]:
    """Say what keeps those from starting whose queue says nothing but that they wait."""
    from lfadsq.queue.obstacles import obstacles, obstacles_text

    has_it = {task.name: queue for queue in reversed(overview.queues) for task in queue.tasks}
    # Most tasks need the same: what is told of one of them holds for all.
    reasons: dict[object, str] = {}
    explained = []
    for task in tasks:
        queue = has_it.get(task.name)
        if queue is not None and not task.reason:
            need = (queue.queue_id, task.memory_mb, task.is_alone)
            if need not in reasons:
                reasons[need] = obstacles_text(obstacles(task, queue))
            task = replace(task, reason=reasons[need])
        explained.append(task)
    return explained


def _waiting(
    state: TaskState, tasks: list[TaskStatus], *, show_all: bool
) -> Iterator[RenderableType]:
    from rich.text import Text

    by_reason: dict[str, list[str]] = {}
    for task in tasks:
        by_reason.setdefault(task.reason, []).append(task.name)
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        why = f": {reason}" if reason not in ("", state.value) else ""
        yield Text(printable(f"{len(names)} {state.value}{why}"), style="bold")
        shown = names if show_all else names[:_NAMES_SHOWN]
        yield from (Text(printable(f"  {name}")) for name in shown)
        yield from _and_more(len(names), len(shown))


def _failed(tasks: list[TaskStatus], num_shown: int | None) -> Iterator[RenderableType]:
    from rich.text import Text

    if not tasks:
        return
    yield Text(f"{len(tasks)} failed (`lfadsq explain RUN` tells more)", style="bold red")
    for task in tasks[:num_shown]:
        reason = "" if task.reason in ("", task.cause) else f": {task.reason}"
        yield Text(printable(f"  {task.name}: {task.cause or 'unknown'}{reason}"))
        yield Text(printable(f"    log: {task.outfile}"))
    yield from _and_more(len(tasks), num_shown)


def _and_more(num: int, num_shown: int | None) -> Iterator[RenderableType]:
    from rich.text import Text

    if num_shown is not None and num > num_shown:
        yield Text(f"  and {num - num_shown} more (--all shows them)")


def _last_line(task: TaskStatus) -> str:
    from lfadsq.errors import LfadsqError
    from lfadsq.queue.failures import last_lines, log_tail
    from lfadsq.queue.overview import task_of
    from lfadsq.queue.records import Record

    try:
        last = Record.read(task_of(task).files.record, task.name).last
    except LfadsqError:
        return ""
    since = last.log_offset if last is not None else 0
    tail = log_tail(Path(task.outfile), since=since, max_bytes=_TAIL_BYTES)
    return "".join(last_lines(tail, 1))


def _age(since: str) -> str:
    from lfadsq.queue.overview import parse_time_s
    from lfadsq.texts import duration_text

    since_s = parse_time_s(since)
    return "" if since_s is None else duration_text(max(0.0, time.time() - since_s))


def _ago(since: str) -> str:
    age = _age(since)
    return f", {age} ago" if age else ""
