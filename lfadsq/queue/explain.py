"""Everything about one run, for the person who asks why it waits, failed, or takes so long."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.errors import LfadsqError
from lfadsq.queue.events import Failure
from lfadsq.queue.failures import REMEDIES, Ending, failure_of, last_lines, log_tail
from lfadsq.queue.obstacles import Obstacle, obstacles
from lfadsq.queue.overview import MAIN_SCRIPT, Overview, parse_time_s, scripts_in, task_of
from lfadsq.queue.records import Attempt, AttemptState, Cause, Outcome, Record
from lfadsq.queue.retries import BUDGETS
from lfadsq.queue.status import Snapshot, TaskState, TaskStatus
from lfadsq.texts import duration_text

__all__ = ["Explanation", "explain", "explanation_text"]

_LINES_SHOWN = 15
_WAITS = (TaskState.WAITING, TaskState.INTERRUPTED)


@dataclass(frozen=True)
class Explanation:
    """Everything about one run.

    Attributes
    ----------
    status : TaskStatus
        How far it is.
    headline : str
        That in a sentence.
    queue : Snapshot or None
        The live queue that has it.
    obstacles : tuple of Obstacle
        If it waits: why, for each device.
    attempts : tuple of Attempt
        Oldest first.
    num_forgiven : int
        Attempts up to this number count no longer.
    allowed : str
        What the queue may still try by itself; empty if the question does not arise.
    log_tail : str
        The end of what the newest attempt printed.
    command_by_hand : str
        A line for the shell that runs the same.
    remedy : str
        What to do next; empty if nothing is to be done.
    problem : str
        What could not be found out, and why.
    """

    status: TaskStatus
    headline: str
    queue: Snapshot | None
    obstacles: tuple[Obstacle, ...]
    attempts: tuple[Attempt, ...]
    num_forgiven: int
    allowed: str
    log_tail: str
    command_by_hand: str
    remedy: str
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        queue = self.queue
        return {
            "task": self.status.to_dict(),
            "headline": self.headline,
            "queue": {"queue_id": queue.queue_id, "host": queue.host, "pid": queue.pid}
            if queue
            else None,
            "obstacles": [dict(vars(obstacle)) for obstacle in self.obstacles],
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "num_forgiven": self.num_forgiven,
            "allowed": self.allowed,
            "log_tail": self.log_tail,
            "command_by_hand": self.command_by_hand,
            "remedy": self.remedy,
            "problem": self.problem,
        }


def explain(name: str, overview: Overview) -> Explanation:
    """Gather everything about a task.

    Parameters
    ----------
    name : str
        Of one of the tasks of `overview`.
    overview : Overview

    Returns
    -------
    Explanation
        With less in it, and the reason, if record or log cannot be read.
    """
    status = next(task for task in overview.tasks if task.name == name)
    task = task_of(status)
    queue = overview.queue_of(name)
    record, problem = Record(name), ""
    try:
        record = Record.read(task.files.record, name)
    except LfadsqError as error:
        problem = str(error)
    last = record.last
    failure = failure_of(task, last)
    waits = status.state in _WAITS
    num_forgiven = overview.wishes.forgiven.get(name, 0)
    return Explanation(
        status=status,
        headline=_headline(status, last, queue),
        queue=queue,
        obstacles=obstacles(status, queue) if queue is not None and waits else (),
        attempts=record.attempts,
        num_forgiven=num_forgiven,
        allowed=_allowed(status, record.attempts, num_forgiven),
        log_tail=_log_tail(task.outfile, last),
        command_by_hand=failure.command_by_hand,
        remedy=_remedy(status, overview, failure),
        problem=problem,
    )


def explanation_text(explanation: Explanation, now_s: float | None = None) -> str:
    """Write an explanation for people.

    Parameters
    ----------
    explanation : Explanation
    now_s : float, optional
        Seconds since 1970; by default the present.
    """
    now_s = time.time() if now_s is None else now_s
    status = explanation.status
    lines = [f"{status.name}: {explanation.headline}"]
    if explanation.problem:
        lines.append(f"  not all is known: {explanation.problem}")
    lines += _need_lines(status)
    if explanation.obstacles:
        lines.append("  why it does not start:")
        lines += [f"    {_obstacle_text(one, now_s)}" for one in explanation.obstacles]
    if explanation.attempts:
        lines.append("  attempts:")
        lines += [
            f"    {line}"
            for attempt in explanation.attempts
            for line in _attempt_lines(attempt, explanation.num_forgiven, status, now_s)
        ]
    else:
        lines.append("  attempts:        none yet")
    if explanation.allowed:
        lines.append(f"  may still try:   {explanation.allowed}")
    if explanation.log_tail:
        lines.append("  end of its log:")
        lines += [f"    | {line}" for line in explanation.log_tail.splitlines()]
    lines += [
        f"  log:             {status.outfile}",
        f"  by hand:         {explanation.command_by_hand}",
    ]
    if explanation.remedy:
        lines.append(f"  what to do:      {explanation.remedy}")
    return "\n".join(lines)


def _headline(status: TaskStatus, last: Attempt | None, queue: Snapshot | None) -> str:
    state = status.state
    where = f" on {status.device_name}" if status.device_name else ""
    by_whom = f" (queue {queue.queue_name} on {queue.host})" if queue else ""
    reason = f": {status.reason}" if status.reason not in ("", state.value) else ""
    if state is TaskState.DONE:
        took = _took(last) if last is not None and last.outcome is Outcome.SUCCEEDED else ""
        return f"done{f' since {status.since}' if status.since else ''}{where}{took}"
    if state is TaskState.RUNNING:
        return f"running{where}, attempt {status.attempt}{by_whom}"
    if state is TaskState.FAILED:
        why = status.reason if status.cause in status.reason else f"{status.cause}{reason}"
        return f"failed{where}: {why or 'for an unknown reason'}"
    if state is TaskState.INTERRUPTED and queue is None and not _has_ended(last):
        return (
            "interrupted: its record says that it runs, but nobody holds its lock, so its queue"
            " died; a new queue goes on from the checkpoint"
        )
    return f"{state.value}{where if state is TaskState.LEFT else ''}{reason}{by_whom}"


def _has_ended(last: Attempt | None) -> bool:
    return last is None or last.state.is_finished


def _need_lines(status: TaskStatus) -> list[str]:
    needs = [f"{status.memory_mb:.0f} MB"]
    if status.is_alone:
        needs.append("a device for itself")
    if status.expected_s:
        needs.append(f"about {duration_text(status.expected_s)}")
    if status.priority:
        needs.append(f"priority {status.priority}")
    return [f"  needs:           {', '.join(needs)}"]


def _obstacle_text(obstacle: Obstacle, now_s: float) -> str:
    text = f"{obstacle.device_name}: {obstacle.reason}"
    if obstacle.lacks_mb <= 0:
        return text
    since_s = parse_time_s(obstacle.since)
    if since_s is None:
        return f"{text}; there never was enough while the queue looked"
    ago = duration_text(max(0.0, now_s - since_s))
    return f"{text}; there was enough last {ago} ago ({obstacle.since})"


def _attempt_lines(
    attempt: Attempt, num_forgiven: int, status: TaskStatus, now_s: float
) -> list[str]:
    lines = [
        f"{attempt.number}. {attempt.started_at}{_took(attempt)} on {_where(attempt)}:"
        f" {_ending(attempt, status)}"
    ]
    memory = []
    if attempt.memory_mb:
        memory.append(f"{attempt.memory_mb:.0f} MB reserved")
    if attempt.peak_memory_mb is not None:
        memory.append(f"{attempt.peak_memory_mb:.0f} MB taken at most")
    if attempt.is_alone:
        memory.append("alone on the device")
    if memory:
        lines.append(f"   {', '.join(memory)}")
    if attempt.outcome is Outcome.FAILED and attempt.number <= num_forgiven:
        lines.append("   no longer counted: a person asked for another try")
    began_s = parse_time_s(attempt.started_at)
    if status.state is TaskState.RUNNING and attempt.number == status.attempt and began_s:
        lines.append(f"   for {duration_text(max(0.0, now_s - began_s))} now")
    return lines


def _where(attempt: Attempt) -> str:
    of_host = f" of {attempt.host}"
    return attempt.device_name.removesuffix(of_host) + of_host


def _ending(attempt: Attempt, status: TaskStatus) -> str:
    if attempt.state is AttemptState.RUNNING:
        if status.state in (TaskState.RUNNING, TaskState.ELSEWHERE, TaskState.LEFT):
            return "running"
        return "nobody saw it end"
    said = attempt.outcome.value if attempt.outcome else "ended"
    if attempt.cause is not None:
        said += f", {attempt.cause.value}"
    if attempt.exit_status is not None or attempt.signal is not None:
        said += f" ({Ending(attempt.exit_status, attempt.signal)})"
    return said


def _took(attempt: Attempt | None) -> str:
    if attempt is None:
        return ""
    began_s, ended_s = parse_time_s(attempt.started_at), parse_time_s(attempt.ended_at or "")
    if began_s is None or ended_s is None:
        return ""
    return f", {duration_text(max(0.0, ended_s - began_s))}"


def _allowed(status: TaskStatus, attempts: Sequence[Attempt], num_forgiven: int) -> str:
    """Say what the queue may still try by itself after a failure."""
    counted = [a for a in attempts if a.outcome is Outcome.FAILED and a.number > num_forgiven]
    if not counted or status.state.is_finished:
        return ""
    used = Counter(attempt.cause or Cause.UNKNOWN for attempt in counted)
    left = {
        cause: len(BUDGETS[cause].delays_s) - number if cause in BUDGETS else 0
        for cause, number in used.items()
    }
    return "; ".join(
        f"after '{cause.value}' {max(0, number)} more of {len(BUDGETS[cause].delays_s)} tries"
        if cause in BUDGETS
        else f"after '{cause.value}' none: it would most likely happen again"
        for cause, number in left.items()
    )


def _remedy(status: TaskStatus, overview: Overview, failure: Failure) -> str:
    """Say what to do next, with commands that can be pasted as they are."""
    state, wishes = status.state, overview.wishes
    script = next(iter(scripts_in(overview.collection)), overview.collection / MAIN_SCRIPT)
    start = f"`python {shlex.quote(str(script))}`"
    has_queue = overview.queue_of(status.name) is not None
    if state is TaskState.FAILED:
        causes = [cause for cause in Cause if cause.value == status.cause]
        cause = causes[0] if causes else Cause.UNKNOWN
        # What never ran, since no device could hold it, has a cause without an attempt.
        remedy = failure.remedy if failure.cause is cause else REMEDIES[cause]
        for general in ("; `lfadsq queue retry`", "; then `lfadsq queue retry`"):
            remedy = remedy.partition(general)[0]
        # A new queue tries again what failed, unless that is bound to happen again.
        is_refused = has_queue or cause is Cause.NOT_A_NUMBER
        again = _verb("retry", status, overview) if is_refused else start
        return f"{remedy} (to try it again: {again})"
    if state is TaskState.CANCELLED:
        return f"{_verb('retry', status, overview)} takes it up again"
    if state is TaskState.PAUSED:
        paused = None if wishes.is_paused else status
        return f"{_verb('resume', paused, overview)} lets {'all' if paused is None else 'it'} go on"
    if state is TaskState.LEFT:
        return (
            f"{start} takes it over, {_verb('cancel', status, overview)} ends it, with a checkpoint"
        )
    if not has_queue and state in (TaskState.WAITING, TaskState.INTERRUPTED):
        return f"start a queue: {start}"
    return ""


def _verb(verb: str, status: TaskStatus | None, overview: Overview) -> str:
    words = ["lfadsq", "queue", verb, "-C", str(overview.collection)]
    if status is not None:
        words += ["--", status.name] if status.name.startswith("-") else [status.name]
    return f"`{shlex.join(words)}`"


def _log_tail(log: Path, last: Attempt | None) -> str:
    tail = log_tail(log, since=last.log_offset) if last is not None else ""
    return "\n".join(last_lines(tail, _LINES_SHOWN))
