"""Whether a run was trained, or is being trained: told by its files alone."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from datetime import datetime, timedelta, timezone

from lfadsq.files import storage_errors
from lfadsq.paths import OutputPaths, RunPaths

__all__ = ["has_output", "process_that_trains", "recorded_datasets"]

_STEP = re.compile(r"hyperparameters-(\d+)\.txt")
_INPUT_SUFFIX = ".h5"

_STATE_OF_TRAINING = "training"
_SILENT_AFTER = timedelta(minutes=15)
_SILENT_AFTER_EPOCHS = 5


def has_output(paths: RunPaths) -> bool:
    """Tell whether a training has begun in a run, or is said to be done.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    with storage_errors(paths.folder, "read"):
        if paths.done.exists():
            return True
        with suppress(FileNotFoundError, NotADirectoryError):
            return any(True for _ in paths.lfads_output.iterdir())
    return False


def recorded_datasets(output: OutputPaths) -> frozenset[str]:
    """Name the datasets that the trainer says it was given; none where it does not say.

    Parameters
    ----------
    output : OutputPaths
        Of the run.
    """
    try:
        found = [match for path in output.folder.iterdir() if (match := _STEP.fullmatch(path.name))]
        newest = max(int(match[1]) for match in found)
        told = json.loads(output.hyperparameters(newest).read_text(encoding="utf-8"))
        return frozenset(name.removesuffix(_INPUT_SUFFIX) for name in told["dataset_names"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return frozenset()


def process_that_trains(output: OutputPaths) -> str | None:
    """Name the process that trains into a folder, if one says so there and seems to live.

    Parameters
    ----------
    output : OutputPaths
        Of the run.

    Returns
    -------
    str or None
        None also where nothing can be told. A process of this machine is looked for; one of another
        is believed to live if its last word is not older than some epochs.
    """
    try:
        told = json.loads(output.progress.read_text(encoding="utf-8"))
        if told["state"] != _STATE_OF_TRAINING:
            return None
        host, pid = str(told["host"]), int(told["pid"])
        updated = datetime.fromisoformat(told["updated"])
        epoch = timedelta(seconds=float(told.get("epoch_s") or 0))
        age = datetime.now(timezone.utc) - updated
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    name = f"process {pid} on {host}"
    if host == socket.gethostname():
        return name if _lived_then(pid, updated) else None
    return name if age < max(_SILENT_AFTER, _SILENT_AFTER_EPOCHS * epoch) else None


def _lived_then(pid: int, moment: datetime) -> bool:
    import psutil

    try:
        # Of a later process with the same number, nothing was told then.
        return bool(psutil.Process(pid).create_time() <= moment.timestamp())
    except (psutil.Error, ValueError):
        return False
