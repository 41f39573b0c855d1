"""`Run`: one training of a model, on the datasets of a run specification."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lfadsq.errors import ConfigError, DatasetError
from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.datasets import Dataset
from lfadsq.manager.displays import attribute_lines, short_path
from lfadsq.manager.params import RunParams
from lfadsq.manager.run_results import RunResults
from lfadsq.manager.run_specs import RunSpec
from lfadsq.paths import CollectionPaths, DataPaths, RunPaths

if TYPE_CHECKING:
    from lfadsq.manager.alignment import MultisessionAlignmentTool

__all__ = ["Run", "RunSpec"]

_SINGLE = "useSingleDatasetAlignmentMatrix"
_FIRST_VERSION_WITH_SINGLE_DATASET_ALIGNMENT = 20171107


class Run(RunResults):
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
        self._collection_folder = collection_paths.folder
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
    def data_path(self) -> Path:
        """The folder of its prepared data."""
        return self.data_paths.folder

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets."""
        return self.run_spec.datasets

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
            ``externalInputs`` (trial, input, time) where the file has them. Where all trials of a
            condition share their true rates, ``conditionRates`` (condition, channel, time) will do.

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
            condition_truth=None if "true_rates" in data else data.get("conditionRates"),
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

    def delete_lfads_output(self, *, confirmed: bool = False) -> bool:
        """Delete what training wrote; see `RunCollection.delete_lfads_output`.

        Parameters
        ----------
        confirmed : bool, default False
            Do not ask.

        Returns
        -------
        bool
            Whether anything was deleted.

        Raises
        ------
        ConfigError, RunError, StorageError
            As there.
        """
        from lfadsq.manager.deletion import delete_lfads_output

        return delete_lfads_output([self.paths], self._collection_folder, confirmed=confirmed) > 0

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

    def export_results_to_h5(
        self, folder: str | Path | None = None, *, force: bool = False
    ) -> list[Path]:
        """Write trained parameters and posterior means as ``exportResultsToH5`` of MATLAB does.

        Parameters
        ----------
        folder : str or Path, optional
            Where to; by default ``export`` in the folder of the run.
        force : bool, default False
            Replace files that are there.

        Returns
        -------
        list of Path
            ``modelTrainedParams.h5`` and ``posteriorMeans_<dataset>.h5`` for each dataset.

        Raises
        ------
        ConfigError, ResultError, StorageError
            As `export` does.
        """
        return self.export("h5", folder, force=force)

    def export(
        self, to: str, folder: str | Path | None = None, *, force: bool = False, **choices: Any
    ) -> list[Path]:
        """Write results in the format of another tool, as ``lfadsq export`` does.

        Parameters
        ----------
        to : {"h5", "mat", "netcdf", "nwb", "zip"}
            The format.
        folder : str or Path, optional
            Where to; by default ``export`` in the folder of the run.
        force : bool, default False
            Replace files that are there.
        **choices
            ``dataset_names``, ``kind``, and what the format has: see
            `lfadsq.manager.exporting.plan_exports`.

        Returns
        -------
        list of Path
            What was written, each file complete.

        Raises
        ------
        ConfigError
            If a file is there already, or a choice cannot be. Nothing was written.
        RunNotFoundError
            If the run has no such dataset. Nothing was written.
        ResultError
            If results are missing or damaged; as far as this shows before anything is read,
            nothing was written.
        StorageError
            If a file cannot be read or written. Those before are complete.
        """
        from lfadsq.manager.exporting import export_runs

        return export_runs([self], to, folder, force=force, **choices)

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import run_html

        return run_html(self)

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
