"""Writing the scripts of runs, and what becomes of those that are there already."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from lfadsq.files import storage_errors, write_text
from lfadsq.manager.existing_scripts import is_of_earlier_setting
from lfadsq.manager.params import RunParams
from lfadsq.manager.runs import Run
from lfadsq.manager.scripts import render_run_scripts
from lfadsq.manager.trainer_commands import TrainerCommands
from lfadsq.manager.trainings import has_output

__all__ = ["write_run_scripts"]

_log = logging.getLogger(__name__)

_MOST_LISTED = 2


def write_run_scripts(
    runs: Sequence[Run],
    changes: Mapping[Path, Collection[str]],
    trainer: TrainerCommands,
    *,
    regenerate: bool,
) -> None:
    """Write the scripts of runs, and keep what people edited.

    A script that was written before the sampling of posterior means or the number of datasets
    changed is replaced. Of what differs in another way, and is kept, a warning tells.

    Parameters
    ----------
    runs : sequence of Run
    changes : mapping of Path to collection of str
        By the folder of a run whose datasets have changed, those it was prepared with.
    trainer : TrainerCommands
        What the scripts call.
    regenerate : bool
        Keep nothing.

    Raises
    ------
    StorageError
        If a file cannot be read or written.
    """
    kept: list[Path] = []
    resampled: list[Run] = []
    for run in runs:
        render = partial(_render_scripts, run, trainer)
        texts = render(run.params, run.num_datasets)
        nums_datasets = (run.num_datasets, len(changes.get(run.path, run.dataset_names)))
        for path, text in texts.items():
            with storage_errors(path, "read"):
                existing = (
                    path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
                )
            if existing == text:
                continue
            if existing is not None:
                if is_of_earlier_setting(existing, path, run.params, nums_datasets, render):
                    resampled += [run] if path == run.paths.posterior_mean_script else []
                elif not regenerate:
                    kept.append(path)
                    continue
            # A script lost with the power is written again by the next call.
            write_text(path, text, durable=False, executable=True)
    if kept:
        _log.warning(
            "kept %d scripts that differ from what would be written now (%s); "
            "replace them with write_run_scripts()",
            len(kept),
            ", ".join(map(str, kept[:_MOST_LISTED])) + (", ..." if kept[_MOST_LISTED:] else ""),
        )
    _tell_resampled(resampled)


def _render_scripts(
    run: Run, trainer: TrainerCommands, params: RunParams, num_datasets: int
) -> dict[Path, str]:
    return render_run_scripts(run.paths, params, num_datasets, trainer)


def _tell_resampled(runs: Sequence[Run]) -> None:
    trained = [run for run in runs if has_output(run.paths)]
    for run in runs:
        # What it says is done was done in the earlier way.
        with storage_errors(run.paths.posterior_mean_done, "remove"):
            run.paths.posterior_mean_done.unlink(missing_ok=True)
    if trained:
        _log.warning(
            "%d trained runs, such as %s, have posterior means that were not sampled as their "
            "setting says now; sample them again with the script that "
            "write_run_queue_script(posterior_mean_only=True) writes",
            len(trained),
            trained[0].path,
        )
