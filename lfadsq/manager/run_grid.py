"""`RunGrid`: a run for every setting of hyperparameters on every run specification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from lfadsq.errors import ConfigError, RunNotFoundError
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.finding import (
    ParamsSearch,
    RunSpecSearch,
    find_params,
    find_run_specs,
    find_values,
    listed,
)
from lfadsq.manager.merging import merge_params, merge_run_specs
from lfadsq.manager.params import RunParams
from lfadsq.manager.runs import Run, RunSpec
from lfadsq.manager.selection import select
from lfadsq.manager.versions import check_version

__all__ = ["RunGrid"]


class RunGrid(ABC):
    """What a run collection holds: settings, run specifications, and a run for each pair of them.

    Parameters
    ----------
    dataset_collection : DatasetCollection
        The recordings.
    version : int
        When the drive script was written, YYYYMMDD.

    Raises
    ------
    ConfigError
        If the version is none.
    """

    name: str

    def __init__(self, dataset_collection: DatasetCollection, version: int) -> None:
        self.dataset_collection = dataset_collection
        self._version = check_version(version)
        self._params: dict[str, RunParams] = {}
        self._run_specs: dict[str, RunSpec] = {}
        self._runs: tuple[Run, ...] | None = None

    @abstractmethod
    def make_run(self, run_spec: RunSpec, params: RunParams) -> Run:
        """Make the run of a run specification with a setting."""

    @property
    def version(self) -> int:
        """When the drive script was written, YYYYMMDD; set it before adding parameters.

        It freezes layout and hashes to what they were then (`lfadsq.manager.versions`).
        """
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        checked = check_version(version)
        self._params = merge_params({}, self.params, checked)
        self._version = checked
        self._runs = None

    # --- what is in it ----------------------------------------------------------------------------

    @property
    def params(self) -> tuple[RunParams, ...]:
        """The settings of hyperparameters, which cannot be changed here; copy one to change it."""
        return tuple(self._params.values())

    @property
    def run_specs(self) -> tuple[RunSpec, ...]:
        """The run specifications."""
        return tuple(self._run_specs.values())

    @property
    def runs(self) -> tuple[Run, ...]:
        """A run for each setting and run specification, setting by setting."""
        if self._runs is None:
            self._runs = tuple(
                self.make_run(run_spec, params)
                for params in self.params
                for run_spec in self.run_specs
            )
        return self._runs

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets in the dataset collection."""
        return self.dataset_collection.datasets

    @property
    def num_params(self) -> int:
        """Number of settings of hyperparameters."""
        return len(self._params)

    @property
    def num_run_specs(self) -> int:
        """Number of run specifications."""
        return len(self._run_specs)

    @property
    def num_runs_total(self) -> int:
        """Number of runs."""
        return self.num_params * self.num_run_specs

    @property
    def num_datasets(self) -> int:
        """Number of datasets in the dataset collection."""
        return self.dataset_collection.num_datasets

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """Names of the datasets in the dataset collection."""
        return tuple(dataset.name for dataset in self.dataset_collection)

    # --- adding and leaving out -------------------------------------------------------------------

    def add_params(self, params: RunParams | Iterable[RunParams]) -> None:
        """Add one setting of hyperparameters, or several.

        Parameters
        ----------
        params : RunParams or iterable of RunParams
            They are copied, so changing them afterwards changes nothing here. One of a hash that is
            here already takes the place of the old one.

        Raises
        ------
        RunExistsError
            If two of them differ only in what no hash covers (how posterior means are sampled):
            both would lie in one folder.
        HashCollisionError
            If two different settings have the same hash.
        ConfigError
            If one is no RunParams. Nothing is added in these cases.
        """
        self._params = merge_params(self._params, params, self._version)
        self._runs = None

    def add_run_spec(self, run_specs: RunSpec | Iterable[RunSpec]) -> None:
        """Add one run specification, or several; one of a name that is here takes its place.

        Raises
        ------
        RunExistsError
            If two of them have one name, but other datasets.
        ConfigError
            If one is no RunSpec, or its datasets are of another collection. Nothing is added in
            these cases.
        """
        self._run_specs = merge_run_specs(self._run_specs, run_specs, self.dataset_collection)
        self._runs = None

    def clear_params(self) -> None:
        """Leave out all settings; nothing on disk changes."""
        self.filter_params([])

    def clear_run_specs(self) -> None:
        """Leave out all run specifications; nothing on disk changes."""
        self.filter_run_specs([])

    def clear_all(self) -> None:
        """Leave out all settings and run specifications; nothing on disk changes."""
        self.clear_params()
        self.clear_run_specs()

    def filter_params(self, mask: Iterable[object]) -> None:
        """Keep some settings; nothing on disk changes.

        Parameters
        ----------
        mask : iterable of bool or int
            True for each setting that is kept, False for the others; or the indices of those.

        Raises
        ------
        ConfigError, RunNotFoundError
            If it is neither, or does not fit.
        """
        kept = select(self.params, mask, "setting")
        self._params = {params.param_hash: params for params in kept}
        self._runs = None

    def filter_run_specs(self, mask: Iterable[object]) -> None:
        """Keep some run specifications; nothing on disk changes.

        Parameters
        ----------
        mask : iterable of bool or int
            True for each that is kept, False for the others; or the indices of those.

        Raises
        ------
        ConfigError, RunNotFoundError
            If it is neither, or does not fit.
        """
        kept = select(self.run_specs, mask, "run specification")
        self._run_specs = {spec.name: spec for spec in kept}
        self._runs = None

    # --- finding ----------------------------------------------------------------------------------

    def find_run_specs(self, search: RunSpecSearch) -> list[RunSpec]:
        """Find run specifications by name or index (`lfadsq.manager.finding.find_run_specs`)."""
        return find_run_specs(self.run_specs, search)

    def find_params(self, search: ParamsSearch) -> list[RunParams]:
        """Find settings by hash or index (see `lfadsq.manager.finding.find_params`)."""
        return find_params(self.params, search)

    def find_runs(
        self, run_spec: RunSpecSearch = None, params: ParamsSearch = None, **values: Any
    ) -> list[Run]:
        """Find runs.

        Parameters
        ----------
        run_spec : RunSpec, str or int, or an iterable of these, optional
            Their run specification: itself, its name or index; ``*`` in a name for anything.
        params : RunParams, str or int, or an iterable of these, optional
            Their setting: itself, its param hash, or its index in `params`.
        **values
            Hyperparameters they have, for example ``c_gen_dim=64``.

        Returns
        -------
        list of Run
            In the order of `runs`; all runs if nothing is asked for.

        Raises
        ------
        RunNotFoundError
            If there is none, or one of several that are searched for is not there.
        UnknownHyperParamError, ConfigError
            If a hyperparameter does not exist or cannot have the value.
        """
        names = {spec.name for spec in self.find_run_specs(run_spec)}
        hashes = {one.param_hash for one in find_values(self.find_params(params), values)}
        found = [run for run in self.runs if run.name in names and run.param_hash in hashes]
        if not found:
            raise RunNotFoundError(
                f"none of the {self.num_runs_total} runs fits",
                f"run names are {listed(list(map(repr, self._run_specs)))}, and settings "
                f"{listed([one.param_hash_string for one in self.params])}",
            )
        return found

    def _numbers_of(self, runs: Iterable[Run] | None) -> list[int]:
        """Give the numbers of runs, from 1, in the order given."""
        known = {run.path: number for number, run in enumerate(self.runs, start=1)}
        if runs is None:
            return list(known.values())
        numbers = []
        for run in runs:
            if not isinstance(run, Run) or run.path not in known:
                raise RunNotFoundError(
                    f"{run.generate_title() if isinstance(run, Run) else repr(run)} is no run of "
                    f"{self.name}",
                    "choose some with find_runs",
                )
            numbers.append(known[run.path])
        if not numbers:
            raise ConfigError("no runs were chosen", "name some, or leave runs out for all")
        return list(dict.fromkeys(numbers))
