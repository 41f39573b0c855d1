"""The books of a queue as seen from its events, and a line of text for each of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.queue.events import (
    Event,
    Noted,
    QueueStarted,
    StopRequested,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskHeld,
    TaskInterrupted,
    TaskLeft,
    TaskRetried,
    TasksAdded,
    TaskStarted,
)
from lfadsq.queue.failures import last_lines, log_tail
from lfadsq.queue.texts import failure_text, retry_text
from lfadsq.texts import StyledLine, count_text, duration_text

__all__ = ["Board", "RunningTask"]

_TAIL_BYTES = 4096


@dataclass
class RunningTask:
    """A task that runs.

    Attributes
    ----------
    event : TaskStarted
    since_s : float
        When it was told of, on the monotonic clock [s].
    """

    event: TaskStarted
    since_s: float

    @property
    def name(self) -> str:
        """Of the task."""
        return self.event.task.name

    def last_line(self) -> str:
        """Read what it printed last."""
        attempt, log = self.event.attempt, self.event.task.outfile
        tail = log_tail(log, since=attempt.log_offset, max_bytes=_TAIL_BYTES)
        return "".join(last_lines(tail, 1))


class Board:
    """Keeps count of what runs and what is done; not safe for several threads.

    Attributes
    ----------
    running : dict of str to RunningTask
        By name, in the order they started.
    donefiles : dict of str to Path
        Done-markers of the tasks that finished, by name.
    num_to_do : int
    """

    def __init__(self) -> None:
        self.running: dict[str, RunningTask] = {}
        self.donefiles: dict[str, Path] = {}
        self.num_to_do = 0
        # How each ended last: one that failed or was cancelled may be tried again.
        self._ended: dict[str, str] = {}

    def take(self, event: Event) -> StyledLine:
        """Keep the books, and give what there is to say."""
        handler = _HANDLERS.get(type(event))
        return handler(self, event) if handler else StyledLine("")

    def counts_text(self) -> str:
        """Say how many tasks are in which state."""
        ended = Counter(self._ended.values())
        counts = {word: ended[word] for word in ("failed", "cancelled", "left")}
        counts["running"] = len(self.running)
        waiting = max(0, self.num_to_do - ended["finished"] - sum(counts.values()))
        shown = [
            f"{count} {word}" for word, count in counts.items() if count or word in _ALWAYS_SHOWN
        ]
        finished = f"{ended['finished']} of {self.num_to_do} finished"
        return ", ".join([finished, *shown, f"{waiting} waiting"])

    def _on_queue_started(self, event: QueueStarted) -> StyledLine:
        self.num_to_do = event.num_tasks - event.num_skipped
        lines = [f"queue {event.queue_name}: {count_text(event.num_tasks, 'task')}"]
        if event.num_skipped:
            lines[0] += f", {event.num_skipped} of them done already"
        if self.num_to_do == 0:
            return StyledLine(lines[0] + "; nothing to do", "bold")
        if event.reason:
            lines.append(f"  {event.reason}: training on the processors")
        most = event.max_tasks
        how_many = "as many at a time as fit" if most is None else f"up to {most} at a time"
        lines.append(f"  {how_many} on {', '.join(event.device_names)}")
        return StyledLine("\n".join(lines), "bold")

    def _on_tasks_added(self, event: TasksAdded) -> StyledLine:
        self.num_to_do += len(event.tasks) - event.num_done
        text = f"added        {count_text(len(event.tasks), 'task')}"
        if event.num_done:
            text += f", {event.num_done} of them done already"
        return StyledLine(text, "bold")

    def _on_task_started(self, event: TaskStarted) -> StyledLine:
        self._ended.pop(event.task.name, None)
        self.running[event.task.name] = RunningTask(event, time.monotonic())
        number = event.attempt.number
        again = f" (attempt {number})" if number > 1 else ""
        return StyledLine(f"started      {event.task.name} on {event.attempt.device_name}{again}")

    def _on_task_finished(self, event: TaskFinished) -> StyledLine:
        self._ended[event.task.name] = "finished"
        self.donefiles[event.task.name] = event.task.donefile
        took = self._took(event.task.name)
        by_whom = " by another queue" if event.attempt is None else took
        return StyledLine(f"finished     {event.task.name}{by_whom}", "green")

    def _on_task_failed(self, event: TaskFailed) -> StyledLine:
        self._ended[event.task.name] = "failed"
        return StyledLine(failure_text(event.failure, self._took(event.task.name)), "red")

    def _on_task_retried(self, event: TaskRetried) -> StyledLine:
        took = self._took(event.task.name)
        return StyledLine(retry_text(event.failure, event.how, took), "yellow")

    def _on_task_interrupted(self, event: TaskInterrupted) -> StyledLine:
        later = ", and goes on later" if event.will_go_on else ""
        name = event.task.name
        return StyledLine(f"interrupted  {name}{self._took(name)}{later}", "yellow")

    def _on_task_cancelled(self, event: TaskCancelled) -> StyledLine:
        self._ended[event.task.name] = "cancelled"
        return StyledLine(f"cancelled    {event.task.name}{self._took(event.task.name)}", "yellow")

    def _on_task_left(self, event: TaskLeft) -> StyledLine:
        self._ended[event.task.name] = "left"
        self._took(event.task.name)
        who = f" (process {event.attempt.pid})" if event.attempt.pid else ""
        return StyledLine(
            f"left running {event.task.name} on {event.attempt.device_name}{who}\n"
            f"  log:             {event.task.outfile}",
            "yellow",
        )

    def _on_task_held(self, event: TaskHeld) -> StyledLine:
        who = f"process {event.pid}" if event.pid else "another process"
        host = f" on {event.host}" if event.host else ""
        return StyledLine(
            f"elsewhere    {event.task.name} is being run by {who}{host} already: waiting for it",
            "yellow",
        )

    def _on_stop_requested(self, event: StopRequested) -> StyledLine:
        running = count_text(event.num_running, "running task")
        if event.num_running == 0:
            text = ": the queue ends; it has started nothing that still runs"
        elif event.leaves:
            text = f": leaving {running} to go on by themselves; the next queue takes them up"
        elif event.grace_s == 0:
            text = f" again: killing {running}"
        else:
            # A wish that is said twice is the same wish.
            again = " (once more to kill them now)" if event.signal in _SIGNALS else ""
            text = f": ending {running}, for {event.grace_s:g} s at most{again}"
        return StyledLine(f"{event.signal}{text}", "bold yellow")

    def _on_noted(self, event: Noted) -> StyledLine:
        if event.is_warning:
            return StyledLine(f"warning: {event.text}", "yellow")
        return StyledLine(event.text)

    def _took(self, name: str) -> str:
        running = self.running.pop(name, None)
        return f" after {duration_text(time.monotonic() - running.since_s)}" if running else ""


_SIGNALS = ("SIGINT", "SIGTERM", "Ctrl-C")
_ALWAYS_SHOWN = ("failed", "running")

_HANDLERS: dict[type, Callable[[Board, Any], StyledLine]] = {
    QueueStarted: Board._on_queue_started,
    TasksAdded: Board._on_tasks_added,
    TaskStarted: Board._on_task_started,
    TaskFinished: Board._on_task_finished,
    TaskFailed: Board._on_task_failed,
    TaskRetried: Board._on_task_retried,
    TaskInterrupted: Board._on_task_interrupted,
    TaskCancelled: Board._on_task_cancelled,
    TaskLeft: Board._on_task_left,
    TaskHeld: Board._on_task_held,
    StopRequested: Board._on_stop_requested,
    Noted: Board._on_noted,
}
