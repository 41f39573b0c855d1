"""Durations and failures in words."""

from __future__ import annotations

from lfadsq.queue.events import Failure

__all__ = ["count_text", "duration_text", "failure_text", "hours_text", "retry_text"]


def count_text(number: int, noun: str) -> str:
    """Write how many there are of something.

    >>> count_text(1, "task"), count_text(0, "running task")
    ('1 task', '0 running tasks')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """Write a duration for people.

    >>> duration_text(7.26), duration_text(75), duration_text(7380), duration_text(90000)
    ('7.3 s', '1 min 15 s', '2 h 03 min', '1 d 1 h')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def hours_text(seconds: float) -> str:
    """Write a sum of times in hours, with two digits at least.

    >>> [hours_text(seconds) for seconds in (0, 0.1, 11, 3600, 1e6)]
    ['0', 'under 0.001', '0.0031', '1.0', '277.8']
    """
    hours = seconds / 3600
    if 0 < hours < 0.001:
        return "under 0.001"
    return f"{hours:.1f}" if hours >= 0.95 else f"{hours:.2g}"


def failure_text(failure: Failure, took: str = "") -> str:
    """Write a failure with all that is needed to look into it."""
    lines = [f"FAILED       {_headline(failure, took)}"]
    if failure.problem:
        lines.append(f"  what went wrong: {failure.problem}")
    lines += [f"  | {line}" for line in failure.log_tail.splitlines()]
    lines += [f"  tried before:    {attempt}" for attempt in failure.tried]
    lines += [
        f"  log:             {failure.log}",
        f"  by hand:         {failure.command_by_hand}",
        f"  what to do:      {failure.remedy}",
    ]
    return "\n".join(lines)


def retry_text(failure: Failure, how: str, took: str = "") -> str:
    """Write what went wrong, and what is done differently, in a few lines."""
    said = failure.problem or "".join(failure.log_tail.splitlines()[-1:])
    lines = [f"again        {_headline(failure, took)}{': ' if said else ''}{said}"]
    lines += [f"  next:            {how}"] if how else []
    lines.append(f"  log:             {failure.log}")
    return "\n".join(lines)


def _headline(failure: Failure, took: str) -> str:
    where = f" on {failure.device_name}" if failure.device_name else ""
    ending = f" ({failure.ending})" if failure.ending else ""
    return f"{failure.name}{where}{took}: {failure.cause.value}{ending}"
