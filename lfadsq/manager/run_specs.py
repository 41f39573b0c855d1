"""`RunSpec`: which datasets are trained together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lfadsq.errors import ConfigError, RunNotFoundError
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.displays import class_title
from lfadsq.manager.names import check_name
from lfadsq.manager.selection import index_in

__all__ = ["RunSpec"]


class RunSpec:
    """Which datasets one model is trained on.

    Parameters
    ----------
    name : str
        What the runs are called; unique in a collection.
    dataset_collection : DatasetCollection
        Where the datasets are.
    datasets : int, str, Dataset, or an iterable of these
        Indices from 0, or names.

    Attributes
    ----------
    name : str
        As given.
    dataset_names : tuple of str
        Names of the datasets.

    Raises
    ------
    ConfigError
        If the name cannot be a folder's, or there is no dataset, or one comes twice.
    RunNotFoundError
        If a dataset is not in the collection.
    """

    def __init__(
        self,
        name: str,
        dataset_collection: DatasetCollection,
        datasets: int | str | Dataset | Iterable[int | str | Dataset],
    ) -> None:
        self.name = check_name(name, "run")
        self.dataset_collection = dataset_collection
        if isinstance(datasets, int | np.integer | str | Dataset):
            datasets = [datasets]
        if not isinstance(datasets, Iterable):
            raise _no_dataset(datasets)
        self._chosen = tuple(map(self._find, datasets))
        self.dataset_names = tuple(dataset.name for dataset in self._chosen)
        if not self.dataset_names:
            raise ConfigError(f"the run {name!r} has no datasets", "give one or several")
        twice = {name for name in self.dataset_names if self.dataset_names.count(name) > 1}
        if twice:
            raise ConfigError(
                f"the run {name!r} has {', '.join(sorted(twice))} more than once", "name it once"
            )

    def _find(self, dataset: int | str | Dataset) -> Dataset:
        if isinstance(dataset, Dataset):
            found = self.dataset_collection.match_datasets_by_name(dataset.name)
            if found is not dataset:
                raise RunNotFoundError(
                    f"{dataset} is not in {self.dataset_collection.name}, which has another of "
                    "that name"
                )
            return found
        if isinstance(dataset, str):
            return self.dataset_collection.match_datasets_by_name(dataset)
        if not isinstance(dataset, int | np.integer):
            raise _no_dataset(dataset)
        datasets = self.dataset_collection.datasets
        return datasets[index_in(datasets, dataset, "dataset")]

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets: those of these names in the collection, or that were, if filtered out."""
        now = {dataset.name: dataset for dataset in self.dataset_collection}
        return tuple(now.get(dataset.name, dataset) for dataset in self._chosen)

    @property
    def num_datasets(self) -> int:
        """Number of datasets."""
        return len(self.dataset_names)

    def __repr__(self) -> str:
        return f'{class_title(type(self))} "{self.name}" ({self.num_datasets} datasets)'

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import run_spec_html

        return run_spec_html(self)


def _no_dataset(given: object) -> ConfigError:
    return ConfigError(
        f"{given!r} stands for no dataset", "give indices from 0, names, or the datasets themselves"
    )
