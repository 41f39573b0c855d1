"""Failures in words."""

from __future__ import annotations

from lfadsq.queue.events import Failure

__all__ = ["failure_text", "retry_text"]


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
