"""What a queue did, all in all, for people and for programs."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lfadsq.errors import LfadsqError
from lfadsq.paths import RunPaths
from lfadsq.queue.events import QueueSummary
from lfadsq.queue.records import Cause
from lfadsq.texts import duration_text, hours_text

__all__ = ["summary_dict", "summary_text", "validation_costs"]

_NUM_SLOWEST = 3
_NUM_SHOWN = 20
_NO_COSTS: Mapping[str, float] = {}


def validation_costs(donefiles: Mapping[str, Path]) -> dict[str, float]:
    """Read the lowest validation cost of runs from their fit logs.

    Parameters
    ----------
    donefiles : dict of str to Path
        Done-markers, by the name of the task.

    Returns
    -------
    dict of str to float
        By name. Tasks without a fit log that can be read, or without validation, are left out:
        a task may be any command.
    """
    costs = {}
    for name, donefile in donefiles.items():
        path = RunPaths(donefile.parent).output.fit_log()
        try:
            if not path.exists():
                continue
            from lfadsq.results.fit_log import FitLog  # needs numpy, which the queue does not

            cost = FitLog.load(path).lowest_total_valid
        except (LfadsqError, OSError, ValueError, ImportError):
            continue
        if math.isfinite(cost):
            costs[name] = cost
    return costs


def summary_text(summary: QueueSummary, costs: Mapping[str, float] = _NO_COSTS) -> str:
    """Write what a queue did: a line with the counts, and below it what deserves a look.

    Parameters
    ----------
    summary : QueueSummary
    costs : dict of str to float, optional
        Lowest validation cost by task (`validation_costs`), of which the best is named.
    """
    return "\n".join([_headline(summary), *_details(summary, costs)])


def summary_dict(summary: QueueSummary, costs: Mapping[str, float] = _NO_COSTS) -> dict[str, Any]:
    """Give a summary as what JSON can hold; parameters as of `summary_text`."""
    usage = summary.usage
    best = _best(costs)
    return {
        "queue_name": summary.queue_name,
        "exit_status": summary.exit_status,
        "job_id": summary.job_id or None,
        "wall_s": summary.wall_s,
        "finished": list(summary.finished),
        "skipped": list(summary.skipped),
        "failed": [
            {
                "name": failure.name,
                "cause": failure.cause.value,
                "ending": failure.ending,
                "device_name": failure.device_name,
                "problem": failure.problem,
                "remedy": failure.remedy,
                "log": str(failure.log),
                "command_by_hand": failure.command_by_hand,
                "tried": list(failure.tried),
            }
            for failure in summary.failed
        ],
        "cancelled": list(summary.cancelled),
        "interrupted": list(summary.interrupted),
        "not_started": list(summary.not_started),
        "left": list(summary.left),
        "gpu_hours": usage.gpu_s / 3600,
        "cpu_hours": usage.cpu_s / 3600,
        "idle_fraction": usage.idle_fraction,
        "slowest": [{"name": name, "run_s": run_s} for name, run_s in _slowest(usage.task_s)],
        "best": None if best is None else {"name": best, "validation_cost": costs[best]},
    }


def _headline(summary: QueueSummary) -> str:
    counts = [f"{len(summary.finished)} finished"]
    counts += [
        f"{len(names)} {word}"
        for names, word in (
            (summary.skipped, "done before"),
            (summary.failed, "failed"),
            (summary.cancelled, "cancelled"),
            (summary.interrupted, "interrupted"),
            (summary.left, "left running"),
            (summary.not_started, "not started"),
        )
        if names
    ]
    return f"queue {summary.queue_name}: {', '.join(counts)} in {duration_text(summary.wall_s)}"


def _details(summary: QueueSummary, costs: Mapping[str, float]) -> Iterator[str]:
    usage = summary.usage
    spent = [
        f"{hours_text(seconds)} {word} hours"
        for seconds, word in ((usage.gpu_s, "GPU"), (usage.cpu_s, "CPU"))
        if seconds > 0
    ]
    if spent:
        idle = usage.idle_fraction
        unused = "" if idle is None else f", idle {idle:.1%} of the time"
        yield f"  devices: {', '.join(spent)}{unused}"
    if usage.task_s:
        slowest = (f"{name} ({duration_text(run_s)})" for name, run_s in _slowest(usage.task_s))
        yield f"  slowest: {', '.join(slowest)}"
    best = _best(costs)
    if best is not None:
        yield f"  lowest validation cost: {best} ({costs[best]:.2f})"
    failed = [
        f"{one.name}: {one.cause.value}{f', {one.ending}' if one.ending else ''} (log: {one.log})"
        for one in summary.failed
    ]
    cancelled = [f"{name}: {Cause.CANCELLED.value}" for name in summary.cancelled]
    for word, texts in (("failed", failed), ("cancelled", cancelled)):
        yield from (f"  {word}: {text}" for text in texts[:_NUM_SHOWN])
        if len(texts) > _NUM_SHOWN:
            yield f"  {word}: {len(texts) - _NUM_SHOWN} more; `lfadsq queue status --all` has them"


def _slowest(task_s: Mapping[str, float]) -> list[tuple[str, float]]:
    return heapq.nlargest(_NUM_SLOWEST, task_s.items(), key=lambda item: item[1])


def _best(costs: Mapping[str, float]) -> str | None:
    return min(costs, key=lambda name: costs[name], default=None)
