"""Which datasets of a collection are worth training on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lfadsq.manager.datasets import Dataset

__all__ = ["has_minimum_trials", "is_best_of_its_day"]


def has_minimum_trials(datasets: Sequence[Dataset], min_trials: int) -> list[bool]:
    """Tell for each dataset whether it has so many trials.

    Parameters
    ----------
    datasets : sequence of Dataset
        Whose info is loaded.
    min_trials : int
        The least that will do.
    """
    return [dataset.num_trials >= min_trials for dataset in datasets]


def is_best_of_its_day(datasets: Sequence[Dataset]) -> list[bool]:
    """Tell for each dataset whether it has the most trials of its subject and day.

    Parameters
    ----------
    datasets : sequence of Dataset
        Whose info is loaded. Of several with equally many trials, the first is the best; one
        without a date is the best of its own.
    """
    best: dict[tuple[str, date], Dataset] = {}
    for dataset in datasets:
        if dataset.date is not None:
            day = dataset.subject, dataset.date.date()
            if day not in best or dataset.num_trials > best[day].num_trials:
                best[day] = dataset
    chosen = set(map(id, best.values()))
    return [dataset.date is None or id(dataset) in chosen for dataset in datasets]
