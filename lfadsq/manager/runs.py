"""`RunSpec` and `Run`: which datasets are trained together, and one training of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lfadsq.errors import ConfigError, DatasetError, RunNotFoundError
from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.displays import attribute_lines, class_title, short_path
from lfadsq.manager.names import check_name
from lfadsq.manager.params import RunParams
from lfadsq.paths import CollectionPaths, DataPaths, RunPaths

if TYPE_CHECKING:
    from lfadsq.manager.alignment import MultisessionAlignmentTool
    from lfadsq.results.fit_log import FitLog
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["Run", "RunSpec"]

_SINGLE = "useSingleDatasetAlignmentMatrix"
_FIRST_VERSION_WITH_SINGLE_DATASET_ALIGNMENT = 20171107


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
        self.dataset_names = tuple(self._find(dataset).name for dataset in datasets)
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
        num_datasets = self.dataset_collection.num_datasets
        if not isinstance(dataset, int | np.integer):
            raise _no_dataset(dataset)
        if isinstance(dataset, bool) or not 0 <= dataset < num_datasets:
            raise RunNotFoundError(
                f"there is no dataset with index {dataset}",
                f"indices go from 0 to {num_datasets - 1}"
                if num_datasets
                else "add datasets first",
            )
        return self.dataset_collection.datasets[dataset]

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets."""
        return tuple(self.dataset_collection.match_datasets_by_name(self.dataset_names))

    @property
    def num_datasets(self) -> int:
        """Number of datasets."""
        return len(self.dataset_names)

    def __repr__(self) -> str:
        return f'{class_title(type(self))} "{self.name}" ({self.num_datasets} datasets)'


def _no_dataset(given: object) -> ConfigError:
    return ConfigError(
        f"{given!r} stands for no dataset", "give indices from 0, names, or the datasets themselves"
    )


class Run:
    """One model: one setting of hyperparameters on the datasets of one run specification.

    Override `generate_counts_for_dataset` to say how your recordings become spike counts.

    Parameters
    ----------
    collection_paths : CollectionPaths
        Files of its collection.
    run_spec : RunSpec
        Which datasets.
    params : RunParams
        The hyperparameters.

    Attributes
    ----------
    run_spec : RunSpec
        Which datasets.
    params : RunParams
        The hyperparameters; they cannot be changed.
    param_hash, data_hash : str
        Their hashes.
    paths : RunPaths
        Files of the run.
    data_paths : DataPaths
        Its prepared data, which runs with the same data hash share.
    """

    def __init__(
        self, collection_paths: CollectionPaths, run_spec: RunSpec, params: RunParams
    ) -> None:
        self.run_spec = run_spec
        self.params = params.frozen()
        self.param_hash = params.param_hash
        self.data_hash = params.data_hash
        self.paths: RunPaths = collection_paths.run(self.param_hash, run_spec.name)
        self.data_paths = DataPaths(collection_paths.data(self.data_hash, run_spec.name))

    @property
    def name(self) -> str:
        """Name of the run: that of its run specification."""
        return self.run_spec.name

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.paths.folder

    @property
    def data_path(self) -> Path:
        """The folder of its prepared data."""
        return self.data_paths.folder

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets."""
        return self.run_spec.datasets

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return self.run_spec.dataset_names

    @property
    def num_datasets(self) -> int:
        """Number of datasets."""
        return self.run_spec.num_datasets

    @property
    def is_done(self) -> bool:
        """Whether the run is finished."""
        return self.paths.done.exists()

    @property
    def uses_alignment_matrix(self) -> bool:
        """Whether alignment matrices are prepared for its datasets."""
        params = self.params
        if self.num_datasets > 1:
            return params.useAlignmentMatrix
        return (
            params.useSingleDatasetAlignmentMatrix
            and params.version >= _FIRST_VERSION_WITH_SINGLE_DATASET_ALIGNMENT
        )

    def uses_different_data_for_alignment(self) -> bool:
        """Tell whether alignment matrices come from other trials than the trainer's input.

        Override it to return True if your `generate_counts_for_dataset` heeds its `mode`.
        """
        return False

    def generate_counts_for_dataset(
        self, dataset: Dataset, mode: Literal["export", "alignment"] = "export"
    ) -> DatasetCounts:
        """Turn a recording into spike counts; override this if your files differ.

        It is called once for all runs that share the data, so the result may depend on those
        hyperparameters alone that enter the data hash.

        Parameters
        ----------
        dataset : Dataset
            The recording.
        mode : {"export", "alignment"}, default "export"
            What they are for: the trainer, or alignment matrices. An override may leave this out;
            it is given only if `uses_different_data_for_alignment`.

        Returns
        -------
        DatasetCounts
            In raw bins; a dict with its fields as keys will do. Here: ``spikes`` (trial, channel,
            time), ``timeMs``, and ``conditionId``, ``true_rates`` (trial, channel, time),
            ``externalInputs`` (trial, input, time) where the file has them.

        Raises
        ------
        DatasetError
            If the file has no ``spikes`` or ``timeMs``, or cannot be read.
        """
        data = dataset.load_data()
        missing = [name for name in ("spikes", "timeMs") if name not in data]
        if missing:
            raise DatasetError(
                f"{dataset.path} has no {' and no '.join(missing)}",
                "override generate_counts_for_dataset in your Run class",
            )
        return DatasetCounts(
            counts=data["spikes"],
            time_ms=data["timeMs"],
            condition_id=data.get("conditionId"),
            truth=data.get("true_rates"),
            external_inputs=data.get("externalInputs"),
        )

    def generate_checked_counts(
        self, dataset: Dataset, mode: Literal["export", "alignment"] = "export"
    ) -> DatasetCounts:
        """Call `generate_counts_for_dataset`, and check what it gives.

        Parameters
        ----------
        dataset : Dataset
            The recording.
        mode : {"export", "alignment"}, default "export"
            What the counts are for.

        Returns
        -------
        DatasetCounts
            Counts that were `checked`.

        Raises
        ------
        ConfigError
            If it returns something else, or has no `mode` but needs one.
        DatasetError
            If the recording cannot be read, or LFADS cannot be given the counts.
        """
        generate = self.generate_counts_for_dataset
        if mode == "export":
            given = generate(dataset)
        elif "mode" in inspect.signature(generate).parameters:
            given = generate(dataset, mode=mode)
        else:
            raise ConfigError(
                f"{type(self).__name__} aligns by other trials "
                "(uses_different_data_for_alignment), but its generate_counts_for_dataset has no "
                "parameter mode",
                "add one: it is 'export' or 'alignment'",
            )
        are_spikes = self.params.c_output_dist == "poisson"
        return DatasetCounts.of(given).checked(dataset.name, are_spikes=are_spikes)

    def do_multisession_alignment(self) -> MultisessionAlignmentTool:
        """Compute its alignment matrices, as `RunCollection.prepare_for_lfads` does, to look at.

        Nothing is written. Datasets are read one at a time.

        Returns
        -------
        MultisessionAlignmentTool
            The matrices, how good they are, and a figure of it.

        Raises
        ------
        ConfigError
            If the run uses none, or ``alignmentApproach`` or ``alignmentExtraArgs`` cannot be.
        DatasetError
            If a dataset cannot be read, or the datasets cannot be aligned.
        """
        from lfadsq.manager.alignment import (
            AlignmentOptions,
            MultisessionAlignmentTool,
            average_for_alignment,
        )

        if not self.uses_alignment_matrix:
            name = "useAlignmentMatrix" if self.num_datasets > 1 else _SINGLE
            raise ConfigError(
                f"{self.generate_title()} has no alignment matrices", f"set {name} true"
            )
        options = AlignmentOptions.of_params(self.params)
        averages = [average_for_alignment(self, dataset) for dataset in self.datasets]
        return MultisessionAlignmentTool(averages, options)

    def load_posterior_means(self, dataset_name: str | None = None) -> PosteriorMeans:
        """Read what the trained model infers for every trial of a dataset.

        Parameters
        ----------
        dataset_name : str, optional
            Which dataset; a run on a single one needs no name.

        Returns
        -------
        PosteriorMeans

        Raises
        ------
        RunNotFoundError
            If the run has no such dataset, or has several and none is named.
        ResultNotReadyError
            If the run has not been trained and sampled.
        ResultShapeError
            If a file is damaged or does not fit the run's input.
        """
        from lfadsq.results.posterior_means import PosteriorMeans

        names = self.dataset_names
        if dataset_name is None and len(names) == 1:
            dataset_name = names[0]
        if dataset_name not in names:
            asked = "no dataset was named" if dataset_name is None else f"not {dataset_name!r}"
            raise RunNotFoundError(
                f"{self.generate_title()} has {len(names)} datasets, {asked}",
                f"give one of {', '.join(names)}",
            )
        kind, bin_ms = self.params.posterior_mean_kind, self.params.spikeBinMs
        return PosteriorMeans.load(self.paths, dataset_name, kind, bin_ms)

    def load_fit_log(self) -> FitLog:
        """Read the costs of the training, epoch by epoch; it may still be running.

        Raises
        ------
        ResultNotReadyError
            If the training has not finished an epoch.
        """
        from lfadsq.results.fit_log import FitLog

        return FitLog.load(self.paths.output.fit_log())

    def generate_title(self) -> str:
        """Describe the run in one line."""
        return (
            f'{class_title(type(self))} "{self.name}" {self.params.param_hash_string} '
            f"{self.params.data_hash_string}"
        )

    def __repr__(self) -> str:
        lines = [
            self.generate_title(),
            f"  {self.params.get_diff_from_default()}",
            f"  Path: {short_path(self.path)}",
            "",
            f"  {self.num_datasets} datasets",
            *(f"  [{number:2d}] {one}" for number, one in enumerate(self.datasets, start=1)),
            "",
            *attribute_lines(
                [
                    ("name", f"'{self.name}'"),
                    ("param_hash", f"'{self.param_hash}'"),
                    ("data_hash", f"'{self.data_hash}'"),
                    ("path", f"'{short_path(self.path)}'"),
                    ("data_path", f"'{short_path(self.data_path)}'"),
                    ("is_done", str(int(self.is_done))),
                ]
            ),
        ]
        return "\n".join(lines)
