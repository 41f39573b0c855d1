"""How long a run took and how much memory, from what its queue and its training wrote down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from lfadsq.paths import RunPaths
from lfadsq.queue.overview import parse_time_s
from lfadsq.queue.records import SCHEMA_VERSION, Attempt
from lfadsq.queue.tasks import TaskFiles
from lfadsq.queue.versioned import parse_versioned
from lfadsq.watching.progress_files import read_progress

__all__ = ["RunCosts", "read_run_costs"]


class RunCosts(NamedTuple):
    """What a run took.

    Attributes
    ----------
    time_s : float [s]
        All attempts together; where no queue trained it, the time of an epoch times their number.
        NaN if unknown.
    memory_mb : float [MB]
        The most device memory that a queue saw it take; NaN if none did.
    """

    time_s: float = math.nan
    memory_mb: float = math.nan


def read_run_costs(paths: RunPaths) -> RunCosts:
    """Read what a run took.

    Parameters
    ----------
    paths : RunPaths
        Its files. Nothing is changed, also where a record is damaged: then it counts as none.
    """
    attempts = _read_attempts(paths)
    times_s = [
        ended_s - began_s
        for attempt in attempts
        if (began_s := parse_time_s(attempt.started_at)) is not None
        and (ended_s := parse_time_s(attempt.ended_at or "")) is not None
    ]
    peaks_mb = [a.peak_memory_mb for a in attempts if a.peak_memory_mb is not None]
    time_s = sum(times_s) if times_s else _time_by_hand_s(paths)
    return RunCosts(time_s, max(peaks_mb, default=math.nan))


def _time_by_hand_s(paths: RunPaths) -> float:
    progress = read_progress(str(paths.output.progress))
    if progress is None or progress.epoch_s is None:
        return math.nan
    return progress.epoch_s * progress.num_epochs


def _read_attempts(paths: RunPaths) -> Sequence[Attempt]:
    # Record.read moves damaged ones aside, which is for those who write them.
    path = TaskFiles(paths.done).record
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        data = parse_versioned(path, text, SCHEMA_VERSION)
        return [Attempt.from_dict(one) for one in data["attempts"]]
    except (OSError, json.JSONDecodeError, ValueError, TypeError, KeyError, AttributeError):
        return ()
