"""What a run gives once it is trained: `RunResults`, the part of `Run` that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsq.errors import RunNotFoundError
from lfadsq.manager.displays import class_title
from lfadsq.manager.params import RunParams
from lfadsq.manager.run_specs import RunSpec
from lfadsq.paths import DataPaths, RunPaths

if TYPE_CHECKING:
    from lfadsq.results.available import AvailableResults
    from lfadsq.results.fit_log import FitLog
    from lfadsq.results.model_trained_params import ModelTrainedParams
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["RunResults"]


class RunResults:
    """Reads what a run gives; see `lfadsq.manager.runs.Run`, which is one."""

    run_spec: RunSpec
    params: RunParams
    paths: RunPaths
    data_paths: DataPaths

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.paths.folder

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return self.run_spec.dataset_names

    def check_posterior_means_exist(self) -> bool:
        """Tell whether its posterior means are there, of all datasets, of ``posterior_mean_kind``.

        Files of an older name count, too.

        Raises
        ------
        StorageError
            If the system does not let us look.
        """
        return set(self.list_results().posterior_means) == set(self.dataset_names)

    def list_results(self) -> AvailableResults:
        """List what the run has written so far; no file is opened, so it is quick for thousands.

        Returns
        -------
        AvailableResults
            ``is_done``, ``has_fit_log``, ``has_model_trained_params``, and the datasets that have
            ``posterior_means`` of ``posterior_mean_kind``.

        Raises
        ------
        StorageError
            If the system does not let us look.
        """
        from lfadsq.results.available import available_results

        return available_results(self.paths, self.dataset_names, self.params.posterior_mean_kind)

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

        name = self._dataset_name(dataset_name)
        kind, bin_ms = self.params.posterior_mean_kind, self.params.spikeBinMs
        return PosteriorMeans.load(self.paths, name, kind, bin_ms, self.data_paths, self.params)

    def load_all_posterior_means(self) -> dict[str, PosteriorMeans]:
        """Find what the trained model infers for every dataset.

        Arrays are read when they are used (see `PosteriorMeans`), so that many datasets can be at
        hand at once. ``PosteriorMeans.concatenate(run.load_all_posterior_means().values())`` puts
        their factors one after another.

        Returns
        -------
        dict of str to PosteriorMeans
            By the name of the dataset, in the order of the run.

        Raises
        ------
        ResultNotReadyError
            If the run has not been trained and sampled.
        ResultShapeError
            If a file is damaged or does not fit the run's input.
        """
        return {name: self.load_posterior_means(name) for name in self.dataset_names}

    def load_input_info(
        self, dataset_name: str | None = None, variables: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Read what is known about the trainer's input of a dataset, ``inputInfo_<dataset>.mat``.

        Parameters
        ----------
        dataset_name : str, optional
            Which dataset; a run on a single one needs no name.
        variables : sequence of str, optional
            Only these, where they are there; by default all, of which counts can be large.

        Returns
        -------
        dict of str to object
            ``trainInds``, ``validInds`` (from 1), ``conditionId``, ``seq_timeVector`` [ms],
            ``seq_binSizeMs`` [ms], ``counts`` (channel, time, trial) [spikes/bin],
            ``paramInputDataHash`` and what else is in the file.

        Raises
        ------
        RunNotFoundError
            If the run has no such dataset, or has several and none is named.
        ConfigError
            If the run is not prepared.
        DatasetError
            If the file is damaged.
        """
        from lfadsq.manager.input_info import read_input_info

        name = self._dataset_name(dataset_name)
        # The link of a collection that was moved may lead to where it was, or nowhere.
        own, linked = self.data_paths.input_info(name), self.paths.input_info(name)
        return read_input_info(own if own.exists() else linked, variables)

    def generate_title(self) -> str:
        """Describe the run in one line."""
        return (
            f'{class_title(type(self))} "{self.run_spec.name}" {self.params.param_hash_string} '
            f"{self.params.data_hash_string}"
        )

    def _dataset_name(self, asked_for: str | None) -> str:
        names = self.dataset_names
        if asked_for is None and len(names) == 1:
            return names[0]
        if asked_for is None or asked_for not in names:
            asked = "no dataset was named" if asked_for is None else f"not {asked_for!r}"
            raise RunNotFoundError(
                f"{self.generate_title()} has {len(names)} datasets, {asked}",
                f"give one of {', '.join(names)}",
            )
        return asked_for

    def load_fit_log(self) -> FitLog:
        """Read the costs of the training, epoch by epoch; it may still be running.

        Raises
        ------
        ResultNotReadyError
            If the training has not finished an epoch.
        """
        from lfadsq.results.fit_log import FitLog

        return FitLog.load(self.paths.output.fit_log())

    def load_model_trained_params(self) -> ModelTrainedParams:
        """Read the weights of the trained model.

        Returns
        -------
        ModelTrainedParams
            Those of datasets in the order of the run.

        Raises
        ------
        ResultNotReadyError
            If the run has not written them.
        ResultShapeError
            If the file holds no model, or that of another run.
        StorageError
            If it cannot be read.
        """
        from lfadsq.results.model_trained_params import ModelTrainedParams

        return ModelTrainedParams.load(self.paths.output.model_params, self.dataset_names)
