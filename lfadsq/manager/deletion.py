"""Deleting what a training wrote, so that a run can be trained from scratch.

What goes is `lfadsOutput` with all that is in it, the done-markers, the records of attempts and the
logs. Prepared data, links, scripts and the file of the run's lock stay. Links are removed, never
followed, and a run that lies outside its collection, behind a link, is refused.

Everything of a run is renamed into a hidden folder beside it first, the done-markers before the
output, and only then deleted. So a run whose deletion fails is as before; one whose deletion is cut
short is, at worst, an unfinished run, and never marked done without its output. The next deletion
removes what is left in the hidden folder.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lfadsq.errors import ConfigError, RunError, StorageError
from lfadsq.files import storage_errors
from lfadsq.manager.trainings import process_that_trains
from lfadsq.paths import RunPaths
from lfadsq.texts import harmless, printable

__all__ = ["RunOutput", "delete_lfads_output", "delete_outputs", "describe_outputs", "find_outputs"]

_log = logging.getLogger(__name__)

_ASIDE_PREFIX = ".delete_lfads_output."
_BYTES_PER_MB = 1e6
_MOST_LISTED = 10


@dataclass(frozen=True)
class RunOutput:
    """What a training left in a run's folder.

    Attributes
    ----------
    paths : RunPaths
        Files of the run.
    entries : tuple of Path
        What is to go, in the order in which it goes.
    num_bytes : int
        How much there is in it; of links, only themselves.
    """

    paths: RunPaths
    entries: tuple[Path, ...]
    num_bytes: int


def delete_lfads_output(
    runs: Sequence[RunPaths], collection_folder: Path, *, confirmed: bool = False
) -> int:
    """Delete what the trainings of runs wrote, once that is confirmed.

    Parameters
    ----------
    runs : sequence of RunPaths
        Files of the runs.
    collection_folder : Path
        Of their collection; it may be reached through a link.
    confirmed : bool, default False
        Do not ask.

    Returns
    -------
    int
        Of how many runs something was deleted.

    Raises
    ------
    ConfigError
        If it is not confirmed, and there is no terminal to ask on.
    RunError
        If a run is being trained, or lies outside the collection.
    StorageError
        If a file cannot be removed. Except in the last case, nothing was deleted.
    """
    outputs = find_outputs(runs, collection_folder)
    if not outputs:
        return 0
    if not confirmed and not _ask(outputs):
        return 0
    delete_outputs(outputs)
    return len(outputs)


def find_outputs(runs: Sequence[RunPaths], collection_folder: Path) -> list[RunOutput]:
    """Find what the trainings of runs left, and see that it may be deleted.

    Parameters
    ----------
    runs : sequence of RunPaths
        Files of the runs.
    collection_folder : Path
        Of their collection.

    Returns
    -------
    list of RunOutput
        Of those runs that have something to delete.

    Raises
    ------
    RunError
        If one of these is being trained, or lies outside the collection.
    StorageError
        If the system does not let us look.
    """
    outputs = []
    for paths in runs:
        entries = _entries_of(paths)
        if entries:
            _refuse_outside(paths, collection_folder)
            outputs.append(RunOutput(paths, entries, sum(map(_num_bytes, entries))))
    busy = [output.paths.folder for output in outputs if _is_busy(output.paths)]
    if busy:
        raise RunError(
            f"being trained: {', '.join(map(str, busy[:_MOST_LISTED]))}"
            + (f" and {len(busy) - _MOST_LISTED} more" if len(busy) > _MOST_LISTED else ""),
            "nothing was deleted: wait for them, or end them (lfadsq queue cancel)",
        )
    return outputs


def describe_outputs(outputs: Sequence[RunOutput]) -> str:
    """Say what is to be deleted, for a person who is asked.

    Parameters
    ----------
    outputs : sequence of RunOutput

    Returns
    -------
    str
        Several lines.
    """
    num_mb = sum(output.num_bytes for output in outputs) / _BYTES_PER_MB
    num_done = sum(output.paths.done.exists() for output in outputs)
    runs = "1 run" if len(outputs) == 1 else f"{len(outputs)} runs"
    lines = [f"This deletes what {runs} wrote, {num_done} of them finished: {num_mb:.1f} MB"]
    lines += [f"  {printable(str(output.paths.folder))}" for output in outputs[:_MOST_LISTED]]
    if len(outputs) > _MOST_LISTED:
        lines.append(f"  and {len(outputs) - _MOST_LISTED} more")
    return "\n".join(lines)


def delete_outputs(outputs: Sequence[RunOutput]) -> None:
    """Delete what was found, of all runs or, if one of them is being trained by now, of none.

    Parameters
    ----------
    outputs : sequence of RunOutput

    Raises
    ------
    RunError
        If a run is being trained; nothing was deleted.
    StorageError
        If a file cannot be removed; runs before that one are deleted, those after it as before.
    """
    with _locked(outputs):
        for output in outputs:
            _delete(output)


def _ask(outputs: Sequence[RunOutput]) -> bool:
    import click

    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(
            f"{describe_outputs(outputs)}\nThere is no terminal to ask on, so nothing was deleted",
            "say delete_lfads_output(confirmed=True)",
        )
    click.echo(harmless(describe_outputs(outputs)), err=True)
    try:
        return click.confirm("Delete it?", err=True)
    except click.Abort:  # Ctrl-C, or the end of the input
        click.echo(err=True)
        return False


# --- finding --------------------------------------------------------------------------------------


def _entries_of(paths: RunPaths) -> tuple[Path, ...]:
    from lfadsq.queue.tasks import TaskFiles

    markers = (paths.done, paths.posterior_mean_done)
    records = [TaskFiles(marker).record for marker in markers]
    candidates = [
        *markers,
        paths.lfads_output,
        *records,
        *(record.with_name(f"{record.name}.damaged") for record in records),
        paths.log,
        paths.posterior_mean_log,
    ]
    with storage_errors(paths.folder, "read"):
        try:
            left = [path for path in paths.folder.iterdir() if path.name.startswith(_ASIDE_PREFIX)]
        except FileNotFoundError:
            return ()
        return (*filter(os.path.lexists, candidates), *left)


def _num_bytes(path: Path) -> int:
    def of(one: Path) -> int:
        try:
            return one.lstat().st_size
        except OSError:  # gone meanwhile
            return 0

    if path.is_symlink() or not path.is_dir():
        return of(path)
    # os.walk follows no links and passes over what it may not read.
    return sum(of(Path(root, name)) for root, _, names in os.walk(path) for name in names)


def _refuse_outside(paths: RunPaths, collection_folder: Path) -> None:
    with storage_errors(paths.folder, "read"):
        real, home = (Path(os.path.realpath(one)) for one in (paths.folder, collection_folder))
    if home not in real.parents:
        raise RunError(
            f"{paths.folder} leads out of the collection, to {real}",
            "nothing was deleted: what is there may belong to others; delete it there by hand",
        )


def _is_busy(paths: RunPaths) -> bool:
    from lfadsq.queue.control_paths import is_locked
    from lfadsq.queue.tasks import TaskFiles

    # A training that was started by hand holds no lock.
    is_held = is_locked(TaskFiles(paths.done).lock)
    return is_held or process_that_trains(paths.output) is not None


@contextmanager
def _locked(outputs: Sequence[RunOutput]) -> Iterator[None]:
    from lfadsq.queue.locks import RunLock
    from lfadsq.queue.tasks import TaskFiles

    with ExitStack() as stack:
        locks = []
        for output in outputs:
            lock = RunLock.try_acquire(TaskFiles(output.paths.done).lock)
            if lock is None:
                raise RunError(
                    f"{output.paths.folder} is being trained by now",
                    "nothing was deleted: wait for it, or end it (lfadsq queue cancel)",
                )
            stack.callback(lock.release)
            locks.append(lock)
        for lock in locks:
            # Else the next queue would judge, and record, how a task of a killed queue ended.
            lock.clear()
        yield


# --- deleting -------------------------------------------------------------------------------------


def _delete(output: RunOutput) -> None:
    folder = output.paths.folder
    with storage_errors(folder, "delete from"):
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE_PREFIX, dir=folder))
    moved: list[tuple[Path, Path]] = []
    try:
        for entry in output.entries:
            with storage_errors(entry, "delete"), suppress(FileNotFoundError):
                _move(entry, aside / entry.name)
                moved.append((entry, aside / entry.name))
    except BaseException:
        for entry, hidden in reversed(moved):
            with suppress(OSError):
                hidden.rename(entry)
        with suppress(OSError):
            aside.rmdir()
        raise
    _remove_tree(aside)
    _log.info("deleted what %s wrote", folder)


def _move(entry: Path, target: Path) -> None:
    _let_owner_in(entry)  # moving a folder changes it, too
    entry.rename(target)


def _let_owner_in(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        path.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


def _remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, also where it was made read-only; links are not followed."""
    try:
        for root, names, _ in os.walk(folder):
            for name in names:
                _let_owner_in(Path(root, name))
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(
            f"what was written has been taken out of the run, but {folder} cannot be removed: "
            f"{error.strerror}",
            "close what has it open (such as TensorBoard) or ask its owner, then delete again",
        ) from error
