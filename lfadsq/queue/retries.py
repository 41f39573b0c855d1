"""Whether a task that did not succeed is tried again, how often, and what is done differently.

A budget belongs to a cause, because causes have different remedies: what ran out of GPU memory
needs more of it, a crash may be an accident, and a cost that became NaN will do so again. Being
interrupted, paused, cancelled or lost is never charged: that was not the task's fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lfadsq.queue.records import Attempt, Cause, Outcome

__all__ = ["BUDGETS", "STOPS_QUEUE", "Again", "Budget", "decide", "refusal"]


@dataclass(frozen=True)
class Budget:
    """How often a cause may be met with another attempt.

    Attributes
    ----------
    delays_s : tuple of float
        How long to wait before each of the attempts that may follow [s].
    """

    delays_s: tuple[float, ...]


BUDGETS: Mapping[Cause, Budget] = MappingProxyType(
    {
        Cause.GPU_MEMORY: Budget((0.0, 0.0, 0.0)),
        Cause.NO_GPU: Budget((0.0, 60.0)),
        Cause.STORAGE: Budget((30.0, 300.0)),
        Cause.KILLED_BY_SIGNAL: Budget((0.0, 10.0)),
    }
)
"""Causes that may pass; all others fail a task at once."""

STOPS_QUEUE = frozenset({Cause.IMPORT_ERROR, Cause.MISSING_PROGRAM})
"""Causes that lie in the environment: every other task would fail of them too."""

_MORE_MEMORY = 1.5
_USABLE_OF_TOTAL = 0.97
_MAY_PASS = ("No space left", "quota", "Stale file handle", "Input/output error", "timed out")


@dataclass(frozen=True)
class Again:
    """Another attempt, and how it differs.

    Attributes
    ----------
    how : str
        For people, as it reads after "again".
    delay_s : float
        Not before so much time has passed [s].
    memory_mb : float
        Reserve at least so much [MB].
    is_alone : bool
        Keep a device for it alone.
    avoids : str
        A device to avoid if there is another; empty for none.
    """

    how: str
    delay_s: float = 0.0
    memory_mb: float = 0.0
    is_alone: bool = False
    avoids: str = ""


def decide(failed: Sequence[Attempt], said: str, largest_mb: float) -> Again | None:
    """Decide whether a task that failed is tried again.

    Parameters
    ----------
    failed : sequence of Attempt
        Its failed attempts that count, the newest last; at least one.
    said : str
        What it printed at the end, or what went wrong outside it.
    largest_mb : float
        Memory of the largest device there is [MB].

    Returns
    -------
    Again or None
        None if it has failed for good.
    """
    last = failed[-1]
    cause = last.cause or Cause.UNKNOWN
    budget = BUDGETS.get(cause)
    used = sum(attempt.cause is cause for attempt in failed)
    if budget is None or used > len(budget.delays_s):
        return None
    delay_s = budget.delays_s[used - 1]
    if cause is Cause.GPU_MEMORY:
        return _with_more_memory(last, delay_s, largest_mb)
    if cause is Cause.STORAGE and not any(sign in said for sign in _MAY_PASS):
        return None
    when = f"in {delay_s:g} s" if delay_s else "at once"
    if cause is Cause.NO_GPU:
        return Again(f"{when}, on another GPU if there is one", delay_s, avoids=last.device)
    if last.signal == "SIGKILL" and not last.is_alone:
        # Most often the kernel's answer to memory running short: neighbours may have taken it.
        return Again(f"{when}, alone on its device", delay_s, is_alone=True)
    return Again(when, delay_s)


def _with_more_memory(last: Attempt, delay_s: float, largest_mb: float) -> Again | None:
    had_mb = max(last.memory_mb, last.peak_memory_mb or 0.0)
    most_mb = largest_mb * _USABLE_OF_TOTAL
    if last.is_alone and had_mb >= most_mb:
        return None
    # Alone first: what it was promised may have been enough, had its neighbours kept to theirs.
    wanted_mb = had_mb * _MORE_MEMORY if last.is_alone else had_mb
    memory_mb = max(last.memory_mb, min(wanted_mb, most_mb))
    return Again(
        f"alone on a device with {memory_mb:.0f} MB free", delay_s, memory_mb, is_alone=True
    )


def refusal(last: Attempt, digest: str, forgiven: int) -> str:
    """Say why a task must not even be tried, because the same would happen again.

    Parameters
    ----------
    last : Attempt
        Its newest attempt.
    digest : str
        Of what would run now (`lfadsq.queue.commands.digest_of`).
    forgiven : int
        Attempts up to this number do not count: a person wants another one.

    Returns
    -------
    str
        Empty if nothing speaks against it.
    """
    if (
        last.outcome is Outcome.FAILED
        and last.cause is Cause.NOT_A_NUMBER
        and last.digest == digest
        and last.number > forgiven
    ):
        return (
            f"attempt {last.number} met a cost that is not a number, and seed and settings are the"
            " same still"
        )
    return ""
