"""Which runs of a collection came to the lowest validation cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from lfadsq.errors import ResultError, ResultNotReadyError
from lfadsq.paths import RunPaths

__all__ = ["best_runs", "run_folders"]


def run_folders(collection: Path) -> list[Path]:
    """List the run directories of a collection, in the order of their names."""
    scripts = collection.glob(f"param_*/*/{RunPaths(Path()).train_script.name}")
    return sorted(script.parent for script in scripts)


def best_runs(folders: Iterable[Path], number: int) -> list[tuple[Path, float]]:
    """Find the runs of the lowest validation cost.

    Parameters
    ----------
    folders : iterable of Path
        Run directories. Those without a validation cost, or with a fit log that is none, are left
        out.
    number : int
        At most so many.

    Returns
    -------
    list of (Path, float)
        Best first, each with the cost (`lfadsq.results.fit_log.FitLog.lowest_total_valid`).

    Raises
    ------
    ResultNotReadyError
        If none has a validation cost yet.
    StorageError
        If a fit log cannot be read.
    """
    from lfadsq.results.fit_log import FitLog

    costs = []
    for folder in folders:
        try:
            cost = FitLog.load(RunPaths(folder).output.fit_log()).lowest_total_valid
        except ResultError:
            continue
        if math.isfinite(cost):
            costs.append((cost, folder))
    if not costs:
        raise ResultNotReadyError(
            "none of these runs has a validation cost yet", "wait for the first epoch to end"
        )
    return [(folder, cost) for cost, folder in sorted(costs)[:number]]
