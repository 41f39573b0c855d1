"""Which runs of a collection came to the lowest validation cost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lfadsq.errors import ResultNotReadyError
from lfadsq.paths import RunPaths
from lfadsq.watching.cost_logs import lowest_valid_cost

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
        Run directories. Those without a validation cost that counts are left out.
    number : int
        At most so many.

    Returns
    -------
    list of (Path, float)
        Best first, each with the cost (`lfadsq.watching.cost_logs.lowest_valid_cost`).

    Raises
    ------
    ResultNotReadyError
        If none has a validation cost yet.
    """
    costs = [
        (cost, folder) for folder in folders if (cost := lowest_valid_cost(folder)) is not None
    ]
    if not costs:
        raise ResultNotReadyError(
            "none of these runs has a validation cost yet",
            "wait until the weights of KL and L2 are full: costs before do not count",
        )
    return [(folder, cost) for cost, folder in sorted(costs)[:number]]
