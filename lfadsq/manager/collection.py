"""`RunCollection`: all runs of an experiment, and the files made from them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from lfadsq.errors import ConfigError, RunExistsError, RunNotFoundError
from lfadsq.files import make_folder, storage_errors, write_text
from lfadsq.manager import summary
from lfadsq.manager.datasets import DatasetCollection
from lfadsq.manager.merging import check_data_hashes, merge_setting
from lfadsq.manager.names import check_name
from lfadsq.manager.param_values import PARAM_PREFIX
from lfadsq.manager.params import RunParams
from lfadsq.manager.preparation import prepare_runs, read_input_shapes
from lfadsq.manager.run_tasks import (
    RunTask,
    checked_gpus,
    checked_memory,
    checked_options,
    list_run_tasks,
)
from lfadsq.manager.runs import Run, RunSpec
from lfadsq.manager.scripts import render_queue_script, render_tensorboard_script
from lfadsq.paths import LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA, CollectionPaths

__all__ = ["RunCollection"]

_DEFAULT_VERSION = LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA + 1
_FIRST_VERSION = 5


class RunCollection:
    """Every combination of some settings of hyperparameters and some run specifications.

    Parameters
    ----------
    root_path : str or Path
        Folder in which the collection has its own, called `name`; ``~`` is the home folder.
    name : str
        Name of the collection.
    dataset_collection : DatasetCollection
        The recordings.
    version : int, default 20171107
        When the drive script was written, YYYYMMDD: later versions of this package then keep to
        the layout and hashes of that time.
    comment : str, default ""
        For people.
    run_class : type, default Run
        Class of the runs, for your own `Run.generate_counts_for_dataset`.

    Raises
    ------
    ConfigError
        If the name cannot be a folder's, or the version is none.
    """

    def __init__(
        self,
        root_path: str | Path,
        name: str,
        dataset_collection: DatasetCollection,
        *,
        version: int = _DEFAULT_VERSION,
        comment: str = "",
        run_class: type[Run] = Run,
    ) -> None:
        self.root_path = Path(root_path).expanduser()
        self.name = check_name(name, "run collection")
        self.dataset_collection = dataset_collection
        self.comment = comment
        self.run_class = run_class
        self._params: dict[str, RunParams] = {}
        self._run_specs: dict[str, RunSpec] = {}
        self._runs: list[Run] | None = None
        self.version = version

    @property
    def version(self) -> int:
        """When the drive script was written, YYYYMMDD; set it before adding parameters."""
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        if isinstance(version, bool) or not isinstance(version, int) or version < _FIRST_VERSION:
            raise ConfigError(
                f"version {version!r} of a run collection is unknown", "give a date as YYYYMMDD"
            )
        settings = self.params
        self._version = version
        self._params = {}
        self._runs = None
        self.add_params(settings)

    # --- what is in it ----------------------------------------------------------------------------

    @property
    def paths(self) -> CollectionPaths:
        """Files of the collection."""
        return CollectionPaths(self.root_path / self.name, self.version)

    @property
    def path(self) -> Path:
        """The folder of the collection."""
        return self.paths.folder

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
            self._runs = [
                self.run_class(self.paths, run_spec, params)
                for params in self.params
                for run_spec in self.run_specs
            ]
        return tuple(self._runs)

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

    @property
    def paths_common_data_for_params(self) -> tuple[Path, ...]:
        """Folders of the prepared data."""
        hashes = dict.fromkeys(params.data_hash for params in self.params)
        return tuple(self.paths.data_root(data_hash) for data_hash in hashes)

    @property
    def paths_for_params(self) -> tuple[Path, ...]:
        """Folder of the runs of each setting."""
        return tuple(self.paths.params(param_hash) for param_hash in self._params)

    @property
    def file_shell_script_tensorboard(self) -> Path:
        """Script that shows all trainings in TensorBoard."""
        return self.paths.tensorboard_script

    @property
    def file_summary_text(self) -> Path:
        """Text that tells where every run lies."""
        return self.paths.summary

    @property
    def file_shell_script_run_queue(self) -> Path:
        """Script that trains all runs."""
        return self.paths.queue_script

    def add_params(self, params: RunParams | Iterable[RunParams]) -> None:
        """Add one setting of hyperparameters, or several.

        Parameters
        ----------
        params : RunParams or iterable of RunParams
            They are copied, so changing them afterwards changes nothing here. A setting that is
            here already is kept as it is, and is not added twice.

        Raises
        ------
        RunExistsError
            If a setting is here that differs only in what no hash covers (how posterior means are
            sampled): both would lie in one folder.
        HashCollisionError
            If two different settings have the same hash.
        ConfigError
            If one is no RunParams. Nothing is added in these cases.
        """
        given = [params] if isinstance(params, RunParams) else list(params)
        for setting in given:
            if not isinstance(setting, RunParams):
                raise ConfigError(
                    f"add_params was given {setting!r}", "give RunParams, one or a list of them"
                )
        merged = dict(self._params)
        for setting in given:
            added = setting.copy()
            added.version = self.version
            merge_setting(merged, added.frozen())
        check_data_hashes(merged.values())
        self._params = merged
        self._runs = None

    def add_run_spec(self, run_specs: RunSpec | Iterable[RunSpec]) -> None:
        """Add one run specification, or several; one that is here already is not added twice.

        Raises
        ------
        RunExistsError
            If there is one of the same name with other datasets.
        ConfigError
            If one is no RunSpec, or its datasets are of another collection. Nothing is added in
            these cases.
        """
        merged = dict(self._run_specs)
        for run_spec in [run_specs] if isinstance(run_specs, RunSpec) else run_specs:
            if not isinstance(run_spec, RunSpec):
                raise ConfigError(
                    f"add_run_spec was given {run_spec!r}", "give a RunSpec or a list of them"
                )
            if run_spec.dataset_collection is not self.dataset_collection:
                raise ConfigError(
                    f"{run_spec} is about datasets of another collection",
                    "make it with the dataset collection of this run collection",
                )
            known = merged.setdefault(run_spec.name, run_spec)
            if known.dataset_names != run_spec.dataset_names:
                raise RunExistsError(
                    f"a run {run_spec.name!r} is here already, on {', '.join(known.dataset_names)}",
                    f"give the one on {', '.join(run_spec.dataset_names)} another name",
                )
        self._run_specs = merged
        self._runs = None

    def find_runs(
        self,
        run_name: str | None = None,
        params: RunParams | str | int | None = None,
        **values: Any,
    ) -> list[Run]:
        """Find runs.

        Parameters
        ----------
        run_name : str, optional
            Name of their run specification; ``*`` stands for anything.
        params : RunParams, str or int, optional
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
            If there is none.
        UnknownHyperParamError, ConfigError
            If a hyperparameter does not exist or cannot have the value.
        """
        wanted_hash = None if params is None else self._hash_of(params)
        known = {hyper.name: hyper for setting in self.params for hyper in setting.hyperparams()}
        if not set(values) <= set(known):
            RunParams.from_dict(values)  # says which name is unknown
        wanted = {name: known[name].convert(value) for name, value in values.items()}
        found = [
            run
            for run in self.runs
            if (run_name is None or run.name == run_name or fnmatch.fnmatchcase(run.name, run_name))
            and wanted_hash in (None, run.param_hash)
            and all(getattr(run.params, name, None) == value for name, value in wanted.items())
        ]
        if not found:
            raise RunNotFoundError(
                f"none of the {self.num_runs_total} runs of {self.name} fits",
                f"run names are {', '.join(map(repr, self._run_specs)) or 'none yet'}",
            )
        return found

    def _hash_of(self, params: RunParams | str | int) -> str:
        if isinstance(params, RunParams):
            return params.param_hash
        if isinstance(params, str):
            return params.removeprefix(PARAM_PREFIX)
        if not 0 <= params < self.num_params:
            raise RunNotFoundError(
                f"there is no setting with index {params}", f"there are {self.num_params}, from 0"
            )
        return self.params[params].param_hash

    # --- files ------------------------------------------------------------------------------------

    def prepare_for_lfads(self, regenerate: bool = False) -> None:
        """Write everything the trainer needs: data, links, the scripts of the runs, the summary.

        Parameters
        ----------
        regenerate : bool, default False
            Replace files that exist, instead of keeping them.

        Raises
        ------
        ConfigError
            If a setting cannot be trained, or does not fit a dataset.
        DatasetError
            If a dataset is missing, damaged, or holds what LFADS cannot be given.
        StorageError
            If the disk is full or a file cannot be written. In all these cases nothing on disk has
            changed, unless the disk failed after the data were written: then what is there is
            complete, and preparing again writes the rest.
        """
        self._check_not_empty()
        prepare_runs(self.path, self.runs, regenerate=regenerate)
        self.write_summary_text()

    def write_summary_text(self) -> Path:
        """Write ``summary.txt``, which tells where every run lies, and return its path."""
        return self._write(self.paths.summary, self.generate_summary_text())

    def write_tensorboard_script(self) -> Path:
        """Write ``launch_tensorboard.sh``, which shows all trainings, and return its path."""
        script = self.paths.tensorboard_script
        return self._write(script, render_tensorboard_script(), executable=True)

    def write_run_queue_script(
        self,
        *,
        gpu_list: Sequence[int | str] | None = None,
        one_task_per_gpu: bool = True,
        max_tasks_simultaneously: int | None = None,
        ignore_donefile: bool = False,
        posterior_mean_only: bool = False,
        gpu_memory_required: float | Literal["auto"] | None = None,
        max_tasks_per_gpu: int | None = None,
    ) -> Path:
        """Write ``run_lfadsqueue.py``, which trains all runs, and ``launch_tensorboard.sh``.

        Parameters
        ----------
        gpu_list : sequence of int or str, optional
            GPUs to use, by index or UUID; by default all that the queue may use.
        one_task_per_gpu : bool, default True
            Train one run at a time on each GPU, not as many as its memory allows.
        max_tasks_simultaneously : int, optional
            Most runs trained at a time.
        ignore_donefile : bool, default False
            Train runs again that are done.
        posterior_mean_only : bool, default False
            Write ``run_lfadsqueue_posteriorMeanOnly.py`` instead, which only samples the posterior
            means of trained runs.
        gpu_memory_required : float or "auto", optional
            Device memory to reserve for each run [MB]; ``"auto"`` learns it from the first run of
            each shape of model. By default it is estimated (`lfadsq.manager.memory`).
        max_tasks_per_gpu : int, optional
            Most runs that share a GPU, with `one_task_per_gpu` false.

        Returns
        -------
        Path
            The script. It replaces one that was there. A queue that this script started and that
            still runs takes up the runs that were added.

        Raises
        ------
        ConfigError
            If the runs are not prepared, or an option cannot be.
        StorageError
            If it cannot be written.
        """
        gpus = None if gpu_list is None else checked_gpus(gpu_list)
        options = checked_options(
            one_task_per_gpu=one_task_per_gpu,
            max_tasks_simultaneously=max_tasks_simultaneously,
            ignore_donefile=ignore_donefile,
            max_tasks_per_gpu=max_tasks_per_gpu,
        )
        paths = self.paths
        script = paths.posterior_mean_queue_script if posterior_mean_only else paths.queue_script
        tasks = self._list_tasks(posterior_mean_only, gpu_memory_required)
        self.write_tensorboard_script()
        text = render_queue_script(script, paths, self.name, tasks, gpu_list=gpus, options=options)
        return self._write(script, text, executable=True)

    def get_task_specs(
        self,
        *,
        posterior_mean_only: bool = False,
        gpu_memory_required: float | Literal["auto"] | None = None,
    ) -> list[dict[str, Any]]:
        """Describe each run as a task for `lfadsq.run_lfads_queue`.

        Parameters
        ----------
        posterior_mean_only : bool, default False
            Only sample posterior means.
        gpu_memory_required : float or "auto", optional
            As in `write_run_queue_script`.

        Returns
        -------
        list of dict
            With the keys ``name``, ``command``, ``memory_req`` [MB], ``outfile``, ``donefile``.

        Raises
        ------
        ConfigError
            If the runs are not prepared.
        """
        tasks = self._list_tasks(posterior_mean_only, gpu_memory_required)
        return [task.to_spec() for task in tasks]

    def get_task_hints(
        self,
        *,
        posterior_mean_only: bool = False,
        gpu_memory_required: float | Literal["auto"] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Tell what else helps the queue: the argument `hints` of `lfadsq.run_lfads_queue`.

        Parameters
        ----------
        posterior_mean_only, gpu_memory_required
            As in `get_task_specs`.

        Returns
        -------
        dict of str to dict
            By the name of the task: ``expected_s`` [s], and for ``"auto"`` also ``shape`` and
            ``memory_estimate`` [MB].

        Raises
        ------
        ConfigError
            If the runs are not prepared.
        """
        tasks = self._list_tasks(posterior_mean_only, gpu_memory_required)
        return {task.name: dict(task.hints) for task in tasks}

    def _list_tasks(
        self, posterior_mean_only: bool, gpu_memory_required: float | Literal["auto"] | None
    ) -> list[RunTask]:
        memory = checked_memory(gpu_memory_required)
        self._check_not_empty()
        shapes = read_input_shapes(self.runs)
        return list_run_tasks(self.runs, shapes, memory, posterior_mean_only=posterior_mean_only)

    def _check_not_empty(self) -> None:
        if not self._params:
            raise ConfigError(f"{self.name} has no parameters", "add some with add_params")
        if not self._run_specs:
            raise ConfigError(f"{self.name} has no run specification", "add one with add_run_spec")

    def _write(self, path: Path, text: str, *, executable: bool = False) -> Path:
        make_folder(path.parent)
        with storage_errors(path, "read"):
            is_same = path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text
        if not is_same:
            write_text(path, text, durable=False, executable=executable)
        return path

    # --- text -------------------------------------------------------------------------------------

    def generate_summary_text(self) -> str:
        """Write what ``summary.txt`` holds: every run specification and every setting."""
        return summary.generate_summary_text(self)

    def __repr__(self) -> str:
        return summary.generate_display_text(self)
