"""`RunCollection`: all runs of an experiment, and the files made from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lfadsq.errors import ConfigError
from lfadsq.files import make_folder, storage_errors, write_text
from lfadsq.manager import summary
from lfadsq.manager.collection_results import CollectionResults
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.deletion import delete_lfads_output
from lfadsq.manager.names import check_name
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
from lfadsq.manager.script_files import write_run_scripts
from lfadsq.manager.scripts import render_queue_script, render_tensorboard_script
from lfadsq.manager.trainer_commands import OUR_TRAINER, TrainerCommands
from lfadsq.manager.versions import DEFAULT_VERSION
from lfadsq.paths import CollectionPaths

if TYPE_CHECKING:
    from typing_extensions import Self

    from lfadsq.preflight.findings import CheckReport

__all__ = ["RunCollection"]


class RunCollection(CollectionResults):
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
    trainer : TrainerCommands, optional
        What the scripts of the runs call, and in which environment; by default ``lfadsq train``.

    Raises
    ------
    ConfigError
        If the name cannot be a folder's, the version is none, or the trainer.
    """

    def __init__(
        self,
        root_path: str | Path,
        name: str,
        dataset_collection: DatasetCollection,
        *,
        version: int = DEFAULT_VERSION,
        comment: str = "",
        run_class: type[Run] = Run,
        trainer: TrainerCommands = OUR_TRAINER,
    ) -> None:
        super().__init__(dataset_collection, version)
        self.root_path = Path(root_path).expanduser()
        self.name = check_name(name, "run collection")
        self.comment = comment
        self.run_class = run_class
        self.trainer = trainer

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        params_class: type[RunParams] | None = None,
        run_class: type[Run] | None = None,
        dataset_class: type[Dataset] | None = None,
    ) -> Self:
        """Open a collection that is on disk, without its drive script; nothing is written.

        It may be of LFADS Run Manager, and may have been moved or copied. Settings, run
        specifications and datasets come from ``summary.txt``, or else from folders, links, scripts
        and input files; a lab's own parameters too, whose classes follow from the hashes.

        Parameters
        ----------
        path : str or Path
            Its folder, ``<root>/<collection>``.
        params_class, run_class, dataset_class : type, optional
            Your own classes, if there are some. Without the last two, data that are missing cannot
            be prepared, and what asks for them says so.

        Returns
        -------
        RunCollection
            Every run has the hashes of its folder. Where these cannot be computed, a warning says
            so, and what to do.

        Raises
        ------
        RunNotFoundError
            If there is no run collection.
        ConfigError
            If a name in it cannot be.
        StorageError
            If it cannot be read.
        """
        from lfadsq.manager.opening import open_collection

        return open_collection(
            cls,
            path,
            params_class=params_class,
            run_class=run_class,
            dataset_class=dataset_class,
        )

    def make_run(self, run_spec: RunSpec, params: RunParams) -> Run:
        """Make the run of a run specification with a setting, of the `run_class`."""
        return self.run_class(self.paths, run_spec, params)

    @property
    def trainer(self) -> TrainerCommands:
        """What the scripts of the runs call; scripts that exist are kept unless regenerated."""
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: TrainerCommands) -> None:
        if not isinstance(trainer, TrainerCommands):
            raise ConfigError(f"the trainer is {trainer!r}", "give a TrainerCommands")
        self._trainer = trainer

    # --- where it lies ----------------------------------------------------------------------------

    @property
    def paths(self) -> CollectionPaths:
        """Files of the collection."""
        return CollectionPaths(self.root_path / self.name, self.version)

    @property
    def path(self) -> Path:
        """The folder of the collection."""
        return self.paths.folder

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

    @property
    def file_shell_script_run_queue_posterior_mean_only(self) -> Path:
        """Script that only samples the posterior means of trained runs."""
        return self.paths.posterior_mean_queue_script

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
        prepare_runs(self.path, self.runs, regenerate=regenerate, trainer=self.trainer)
        self.write_summary_text()

    def write_run_scripts(self) -> None:
        """Write the scripts of all runs anew, in place of those that are there; data stay.

        That is for another `trainer`, or for scripts that LFADS Run Manager wrote elsewhere.

        Raises
        ------
        ConfigError
            If the runs are not prepared, or a setting does not fit the trainer.
        StorageError
            If a file cannot be written.
        """
        self._check_not_empty()
        for params in self.params:
            self.trainer.check_flags(params)
        read_input_shapes(self.runs)
        write_run_scripts(self.runs, {}, self.trainer, regenerate=True)

    def delete_lfads_output(
        self, runs: Iterable[Run] | None = None, *, confirmed: bool = False
    ) -> int:
        """Delete what training wrote, so that runs can be trained from scratch.

        That is ``lfadsOutput``, the done-markers, the records of attempts and the logs. Prepared
        data and scripts stay. Links are removed, never followed.

        Parameters
        ----------
        runs : iterable of Run, optional
            Only these.
        confirmed : bool, default False
            Do not ask.

        Returns
        -------
        int
            Of how many runs something was deleted; 0 if you say no when you are asked.

        Raises
        ------
        ConfigError
            If it is not confirmed, and there is no terminal to ask on.
        RunNotFoundError
            If one of `runs` is not of this collection.
        RunError
            If a run is being trained, or lies outside the collection, behind a link.
        StorageError
            If a file cannot be removed. Except in this case, nothing was deleted.
        """
        chosen = [self.runs[number - 1].paths for number in self._numbers_of(runs)]
        return delete_lfads_output(chosen, self.path, confirmed=confirmed)

    def write_summary_text(self) -> Path:
        """Write ``summary.txt``, which tells where every run lies, and return its path."""
        return self._write(self.paths.summary, self.generate_summary_text())

    def check(self, *, quick: bool = False) -> CheckReport:
        """Find everything on disk that would fail or mislead, as ``lfadsq check`` does.

        Parameters
        ----------
        quick : bool, default False
            Look at headers, links and scripts only, not at the data.

        Returns
        -------
        CheckReport
            Its `groups`, and `is_ok`; printing it tells all.

        Raises
        ------
        RunNotFoundError
            If nothing was prepared yet.
        StorageError
            If a folder cannot be read.
        """
        from lfadsq.preflight.examination import check_collection

        return check_collection(self.path, quick=quick)

    def write_tensorboard_script(self) -> Path:
        """Write ``launch_tensorboard.sh``, which shows all trainings, and return its path."""
        script = self.paths.tensorboard_script
        return self._write(script, render_tensorboard_script(), executable=True)

    def write_run_queue_script(
        self,
        *,
        runs: Iterable[Run] | None = None,
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
        runs : iterable of Run, optional
            Only these, in this order; their tasks keep their names.
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
        RunNotFoundError
            If one of `runs` is not of this collection.
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
        tasks = self._list_tasks(runs, posterior_mean_only, gpu_memory_required)
        self.write_tensorboard_script()
        text = render_queue_script(script, paths, self.name, tasks, gpu_list=gpus, options=options)
        return self._write(script, text, executable=True)

    def get_task_specs(
        self,
        *,
        runs: Iterable[Run] | None = None,
        posterior_mean_only: bool = False,
        gpu_memory_required: float | Literal["auto"] | None = None,
    ) -> list[dict[str, Any]]:
        """Describe each run as a task for `lfadsq.run_lfads_queue`.

        Parameters
        ----------
        runs : iterable of Run, optional
            Only these, in this order.
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
        tasks = self._list_tasks(runs, posterior_mean_only, gpu_memory_required)
        return [task.to_spec() for task in tasks]

    def get_task_hints(
        self,
        *,
        runs: Iterable[Run] | None = None,
        posterior_mean_only: bool = False,
        gpu_memory_required: float | Literal["auto"] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Tell what else helps the queue: the argument `hints` of `lfadsq.run_lfads_queue`.

        Parameters
        ----------
        runs, posterior_mean_only, gpu_memory_required
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
        tasks = self._list_tasks(runs, posterior_mean_only, gpu_memory_required)
        return {task.name: dict(task.hints) for task in tasks}

    def _list_tasks(
        self,
        runs: Iterable[Run] | None,
        posterior_mean_only: bool,
        gpu_memory_required: float | Literal["auto"] | None,
    ) -> list[RunTask]:
        memory = checked_memory(gpu_memory_required)
        self._check_not_empty()
        numbers = self._numbers_of(runs)
        chosen = [self.runs[number - 1] for number in numbers]
        tasks = list_run_tasks(
            chosen,
            read_input_shapes(chosen),
            memory,
            posterior_mean_only=posterior_mean_only,
            numbers=numbers,
        )
        missing = [task.script for task in tasks if not task.script.is_file()]
        if missing:
            raise ConfigError(
                f"{len(missing)} of {len(tasks)} runs have no script to run: no {missing[0]}",
                "prepare_for_lfads() writes what is missing",
            )
        return tasks

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

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import run_collection_html

        return run_collection_html(self)
