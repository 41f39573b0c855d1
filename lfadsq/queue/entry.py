"""The door of the queue: `run_lfads_queue`, with everything checked before anything starts."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsq.errors import ConfigError, LfadsqError
from lfadsq.queue.audience import audience
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.devices import find_devices
from lfadsq.queue.events import QueueSummary, Reporter
from lfadsq.queue.options import GRACE_S, QueueOptions
from lfadsq.queue.task_lists import describe_if_asked
from lfadsq.queue.tasks import Task, specs_with_hints, tasks_from_specs

if TYPE_CHECKING:
    from lfadsq.queue.runner import Runner

__all__ = ["run_lfads_queue", "run_with"]

_logger = logging.getLogger(__name__)


def run_lfads_queue(
    queue_name: str,
    tensorboard_script: str | Path | None,
    task_specs: Sequence[Mapping[str, Any]],
    gpu_list: Sequence[int | str] | None = None,
    one_task_per_gpu: bool = True,
    max_tasks_simultaneously: int | None = None,
    ignore_donefile: bool = False,
    *,
    max_tasks_per_gpu: int | None = None,
    detach: bool | None = None,
    tmux: bool = False,
    notify_command: str | None = None,
    notify_webhook: str | None = None,
    notify_on: Collection[str] = ("failed", "done"),
    hints: Mapping[str, Mapping[str, Any]] | None = None,
    collection: str | Path | None = None,
    script: str | Path | None = None,
    argv: Sequence[str] | None = None,
    reporter: Reporter | None = None,
    grace_s: float = GRACE_S,
    cluster: str | None = None,
    cluster_options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    no_dask: bool = False,
    starts_until_s: float | None = None,
    deadline_s: float | None = None,
    waits_for_others: bool = True,
    check: bool = True,
) -> QueueSummary:
    """Run every task that is not done, on all GPUs that may be used, or else on the processors.

    Parameters
    ----------
    queue_name : str
        What displays call it.
    tensorboard_script : str, Path or None
        Started once with ``--port=<free port>``, ended with the queue; None for no TensorBoard.
    task_specs : sequence of dict
        Each with the keys ``name``, ``command``, ``memory_req`` [MB, or ``"auto"``], ``outfile``
        and ``donefile``.
    gpu_list : sequence of int or str, optional
        GPUs to use, by index, UUID or name; None or empty for all that may be used.
    one_task_per_gpu : bool, default True
        If false, as many tasks share a GPU as its memory allows.
    max_tasks_simultaneously : int, optional
        How many run at once in all; by default the number of processors less one, at least 1.
    ignore_donefile : bool, default False
        Run again what is done; its done-marker is removed when it starts.
    max_tasks_per_gpu : int, optional
        How many may share a GPU at most, with `one_task_per_gpu` false; no limit by default.
    detach : bool, optional
        What becomes of running tasks when the queue is interrupted. True: they go on, and the next
        queue takes them up. False: they end, with a checkpoint. By default the person at the
        terminal is asked, and without a terminal they end.
    tmux : bool, default False
        Show each task's log in a tmux session of its name.
    notify_command, notify_webhook : str, optional
        Run, or called, on what `notify_on` names (`lfadsq.queue.notices`).
    notify_on : collection of str, default ("failed", "done")
        Any of ``finished``, ``failed``, ``retried``, ``cancelled``, ``done``.
    hints : dict of str to dict, optional
        What else is known of tasks, by name: ``priority``, ``expected_s`` [s], ``shape``,
        ``memory_estimate`` [MB] (`lfadsq.queue.tasks`). They may stand in `task_specs` as well.
    collection : str or Path, optional
        Folder that holds ``.lfadsqueue``, through which `lfadsq queue` speaks with this queue; by
        default that of `tensorboard_script` or `script`, or else the one that all run directories
        share.
    script : str or Path, optional
        The script that calls this: tasks that are added to it while the queue runs are run too.
    argv : sequence of str, optional
        Options as on a command line, which come before all other arguments: ``["--help"]`` shows
        them.
    reporter : Reporter, optional
        Told of all that happens; by default the console is.
    grace_s : float, default 20
        How long tasks may take to end by themselves when they are asked to [s].
    cluster : str, optional
        Train in jobs of a batch system: ``slurm``, ``pbs``, ``sge``, ``lsf``, ``htcondor``, ``oar``
        or ``moab``; or on the workers of the Dask scheduler at this address. By default on this
        machine.
    cluster_options : dict, optional
        What is asked of the cluster (`lfadsq.queue.clusters.options`), such as
        ``{"partition": "gpu", "walltime": "12:00:00"}``; it wins over ``cluster.toml``.
    dry_run : bool, default False
        Only print the job script, and how many jobs would be asked for.
    no_dask : bool, default False
        Submit a job array whose jobs need not speak with each other, and return at once.
    starts_until_s, deadline_s : float, optional
        Nothing is started after the one; at the other what runs is ended, with a checkpoint
        [s since 1970]. For a queue in a batch job, which ends.
    waits_for_others : bool, default True
        If false, the queue ends as soon as only other queues have something to do.
    check : bool, default True
        Look at the collection beside the start (``lfadsq check --quick``), and tell of errors and
        warnings; nothing waits for it. Folders without prepared runs are left alone.

    Returns
    -------
    QueueSummary
        What finished, was skipped and failed; its `exit_status` is for ``SystemExit``.

    Raises
    ------
    ConfigError
        If anything in the arguments is wrong; nothing was started or written.
    NoGpuError
        If `gpu_list` asks for a GPU that is not there; likewise.
    QueueError
        If Dask does not start; likewise. Also if a cluster gives no machine (`ClusterError`): then
        nothing runs any more, and all records say so.
    SystemExit
        If `argv` asks for help, or cannot be.
    KeyboardInterrupt
        After SIGINT or SIGTERM, once nothing runs any more, or all was left to itself, and all
        records say so.

    Notes
    -----
    A failing task does not stop the others, unless its cause lies in the environment (a missing
    program or module), which all of them would meet. What may pass is tried again
    (`lfadsq.queue.retries`).

    While this function runs in the main thread, SIGINT, SIGTERM and SIGHUP are its own: SIGHUP is
    noted, and the queue goes on without its terminal; the first of the others stops it, and after
    `grace_s`, or at the next, tasks that were told to end are killed, with everything they started.
    """
    arguments = {key: value for key, value in locals().items() if key not in ("hints", "argv")}
    arguments["task_specs"] = specs_with_hints(task_specs, hints)
    describe_if_asked(arguments)
    if argv is not None:
        from lfadsq.queue.command_line import run_as_program

        return run_as_program(arguments, argv)
    return run_with(arguments)


def run_with(
    arguments: Mapping[str, Any], command_line: Mapping[str, Any] | None = None
) -> QueueSummary:
    """Run a queue with all arguments of `run_lfads_queue` but ``hints`` and ``argv``.

    Parameters
    ----------
    arguments : dict
        Those not in it have their defaults.
    command_line : dict, optional
        What a command line says of a cluster, unread; it wins over the arguments.
    """
    settings = dict(arguments)
    task_specs, reporter = settings.pop("task_specs"), settings.pop("reporter", None)
    words = command_line or {}
    options = QueueOptions(**settings, has_cluster_words=any(v is not None for v in words.values()))
    tasks = tasks_from_specs(task_specs)
    if options.cluster is not None:
        return _run_on_cluster(options, tasks, reporter, words, arguments)
    # Not on import of lfadsq.queue, which has to be quick.
    from lfadsq.queue.runner import Runner
    from lfadsq.queue.sites import LocalSite

    source = find_devices(
        options.gpu_list,
        max_tasks_on_gpu=options.max_tasks_on_gpu,
        num_cpu_slots=options.max_tasks,
    )
    with contextlib.closing(source):
        control = _control_folder(options, tasks)
        runner = Runner(options, tasks, LocalSite(source, options.max_tasks), control)
        return _run(runner, options, reporter, control, _folder_to_check(options, tasks))


def _run_on_cluster(
    options: QueueOptions,
    tasks: Sequence[Task],
    reporter: Reporter | None,
    words: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> QueueSummary:
    from lfadsq.queue.clusters.option_reading import read_cluster_options

    assert options.cluster is not None
    folder = _collection_folder(options, tasks)
    cluster = read_cluster_options(
        options.cluster, folder, arguments=options.cluster_options, command_line=words
    )
    # These bring Dask along: what is wrong with the options is told first.
    from lfadsq.queue.clusters.submitting import check_system, show, submit_array
    from lfadsq.queue.runner import Runner

    check_system(cluster, is_dry=options.dry_run)
    if options.dry_run:
        return show(options, cluster, tasks, folder, arguments)
    if options.no_dask:
        return submit_array(options, cluster, tasks, arguments)
    control = _control_folder(options, tasks)
    if control is None:
        raise ConfigError(
            "a cluster needs a folder that all its nodes see, and the tasks share none",
            "give run_lfads_queue collection=FOLDER",
        )
    from lfadsq.queue.clusters.site import ClusterSite

    runner = Runner(options, tasks, ClusterSite(options, cluster, control.paths), control)
    return _run(runner, options, reporter, control, _folder_to_check(options, tasks))


def _run(
    runner: Runner,
    options: QueueOptions,
    reporter: Reporter | None,
    control: ControlFolder | None,
    checked: Path | None,
) -> QueueSummary:
    from lfadsq.queue.preflight import Preflight

    with (
        contextlib.closing(audience(options, reporter, control, runner.note)) as everyone,
        Preflight(checked, runner.note),
    ):
        return runner.run(everyone)


def _folder_to_check(options: QueueOptions, tasks: Sequence[Task]) -> Path | None:
    # Jobs of an array do not wait for others: each would say the same.
    if not (options.check and options.waits_for_others):
        return None
    if all(task.donefile.exists() for task in tasks) and not options.ignore_donefile:
        return None
    return _collection_folder(options, tasks)


def _control_folder(options: QueueOptions, tasks: Sequence[Task]) -> ControlFolder | None:
    """Make the folder through which people speak with the queue; None if there is no place."""
    folder = _collection_folder(options, tasks)
    if folder is None:
        return None
    control = ControlFolder.of(folder)
    try:
        control.paths.make()
        control.read()
    except LfadsqError as error:
        if options.collection is not None or control.paths.folder.exists():
            raise
        _logger.warning("`lfadsq queue` cannot speak with this queue: %s", error)
        return None
    return control


def _collection_folder(options: QueueOptions, tasks: Sequence[Task]) -> Path | None:
    if options.collection is not None:
        return Path(options.collection).expanduser().absolute()
    if options.tensorboard_script is not None:
        return Path(options.tensorboard_script).expanduser().absolute().parent
    if options.script is not None:
        return Path(options.script).expanduser().absolute().parent
    if not tasks:
        return None
    shared = Path(os.path.commonpath([task.donefile.parent.parent for task in tasks]))
    return shared if shared != Path(shared.anchor) and shared.is_dir() else None
