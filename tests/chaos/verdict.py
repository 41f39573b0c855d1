"""What must hold after any chaos; pure reading of files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .collection import Run
from .trainer import CHECKPOINT_EVERY

__all__ = ["History", "attempts_of", "problems_of"]


def attempts_of(run: Run) -> list[dict[str, Any]]:
    """Read a record as anybody would; none is an empty one."""
    try:
        return list(json.loads(run.record.read_text())["attempts"])
    except FileNotFoundError:
        return []


class History:
    """Watches records while they change: what has ended once must stay as it is."""

    def __init__(self) -> None:
        self._seen: dict[str, list[dict[str, Any]]] = {}
        self.problems: list[str] = []

    def look(self, runs: Sequence[Run]) -> None:
        """Compare all records with what they were."""
        for run in runs:
            try:
                now = attempts_of(run)
            except (ValueError, KeyError, TypeError) as error:
                self.problems.append(f"{run.name}: its record cannot be read: {error!r}")
                continue
            before = self._seen.get(run.name, [])
            if len(now) < len(before):
                self.problems.append(f"{run.name}: {len(before)} attempts became {len(now)}")
            for old, new in zip(before, now, strict=False):
                fixed = ("number", "host", "command", "started_at", "log_offset")
                if old["state"] == "ended" and new != old:
                    self.problems.append(f"{run.name}: {old} became {new}")
                elif any(old[key] != new[key] for key in fixed):
                    self.problems.append(f"{run.name}: {old} was replaced by {new}")
            self._seen[run.name] = now


def problems_of(runs: Sequence[Run], root: Path) -> list[str]:
    """Name everything that must not be, once no queue and no task runs any more."""
    problems = [f"{run.name}: {problem}" for run in runs for problem in _of_run(run)]
    left = [path for path in root.rglob("*") if path.name.endswith((".tmp", ".damaged"))]
    return problems + [f"left behind: {path.relative_to(root)}" for path in left]


def _of_run(run: Run) -> list[str]:
    problems = [f"two at once: {' '.join(line)}" for line in run.lines("overlaps")]
    attempts = attempts_of(run)
    succeeds = run.kind != "nan"
    if run.donefile.exists() is not succeeds:
        problems.append(f"{'no' if succeeds else 'a'} done-marker")
    return [*problems, *_of_attempts(run, attempts, succeeds), *_of_steps(run, attempts, succeeds)]


def _of_attempts(run: Run, attempts: list[dict[str, Any]], succeeds: bool) -> list[str]:
    problems = []
    outcomes = [attempt["outcome"] for attempt in attempts]
    if [attempt["number"] for attempt in attempts] != list(range(1, len(attempts) + 1)):
        problems.append(f"attempts are numbered {[attempt['number'] for attempt in attempts]}")
    if any(attempt["state"] != "ended" or attempt["outcome"] is None for attempt in attempts):
        problems.append(f"an attempt goes on for ever: {attempts}")
    if succeeds and (outcomes[-1:] != ["succeeded"] or outcomes.count("succeeded") != 1):
        problems.append(f"ended {outcomes}")
    if not succeeds and (outcomes[-1:] != ["failed"] or attempts[-1]["cause"] != "not a number"):
        problems.append(f"ended {outcomes}, {[attempt['cause'] for attempt in attempts]}")
    times = [(a["started_at"], a["ended_at"]) for a in attempts if a["ended_at"]]
    if any(end < start for start, end in times):
        problems.append(f"ended before it began: {times}")
    if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(times)):
        problems.append(f"began before the one before it had ended: {times}")
    num_starts = len(run.lines("starts"))
    if num_starts > len(attempts):
        problems.append(f"{num_starts} starts, but only {len(attempts)} attempts")
    num_finishes = len(run.lines("finishes"))
    # It may be killed between its last word and its end, but only so.
    if num_finishes > 1 + sum(outcome != "succeeded" for outcome in outcomes):
        problems.append(f"finished {num_finishes} times in {outcomes}")
    return problems


def _of_steps(run: Run, attempts: list[dict[str, Any]], succeeds: bool) -> list[str]:
    problems = []
    steps = [(pid, int(step)) for pid, step in run.lines("steps")]
    last = run.num_steps if succeeds else run.num_steps // 2
    if {step for _, step in steps} != set(range(1, last + 1)):
        problems.append(f"of {last} steps these were done: {sorted({s for _, s in steps})}")
    reached = 0
    for (pid, step), (pid_before, before) in zip(steps, [("", 0), *steps], strict=False):
        if pid == pid_before and step != before + 1:
            problems.append(f"after step {before} came {step}")
        elif step > reached + 1 or step <= reached - CHECKPOINT_EVERY:
            problems.append(f"began with step {step} when {reached} were done")
        reached = max(reached, step)
    num_repeated = len(steps) - len({step for _, step in steps})
    num_restarts = max(0, len(run.lines("starts")) - 1)
    if num_repeated > num_restarts * CHECKPOINT_EVERY:
        problems.append(f"{num_repeated} steps were repeated in {num_restarts} restarts")
    return problems
