"""Checkpoints: TensorFlow's own files under the names of the original trainer.

A checkpoint is a pair of files, ``<name>.ckpt-<step>.index`` and ``...data-00000-of-00001``, that a
pointer file names (``checkpoint``, ``checkpoint_lve``). Files are written aside, flushed and
renamed, the pointer last: killing the process at any moment leaves a checkpoint that loads.
Checkpoints of the original trainer load as well; they lack only the progress of training.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from lfadsq.errors import CheckpointError, StorageError
from lfadsq.files import make_folder, storage_errors, write_text

__all__ = [
    "LOWEST_VALIDATION",
    "ROLLING",
    "Checkpoint",
    "CheckpointStore",
    "load_newest",
    "newest_pointed",
]

logger = logging.getLogger(__name__)

ROLLING = "checkpoint"
LOWEST_VALIDATION = "checkpoint_lve"

_PROGRESS_KEY = "lfadsq/progress"
_DATA_SUFFIX = ".data-00000-of-00001"
_INDEX_SUFFIX = ".index"
_COPY_SUFFIX = "-before"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes
    ----------
    prefix : Path
        Its path without suffix.
    values : dict of str to ndarray
        By the names of `ModelVariables.on_disk`.
    progress : str, optional
        `TrainingProgress.to_json`; none in checkpoints of the original trainer.
    """

    prefix: Path
    values: Mapping[str, NDArray[Any]]
    progress: str | None

    @property
    def step(self) -> int:
        """Updates done."""
        return int(self.values["LFADS/global_step"])

    @property
    def flags(self) -> Mapping[str, Any]:
        """The flags it was trained with; empty if not known."""
        flags: Mapping[str, Any] = json.loads(self.progress)["flags"] if self.progress else {}
        return flags


class CheckpointStore:
    """The checkpoints that one pointer file names.

    Parameters
    ----------
    folder : Path
        ``lfads_save_dir``.
    pointer : str
        Name of the pointer file.
    file_stem : str
        What the names of the files begin with.
    max_to_keep : int
        Older ones are deleted; 0 keeps all.
    """

    def __init__(self, folder: Path, pointer: str, file_stem: str, max_to_keep: int) -> None:
        self._folder = folder
        self._pointer = folder / pointer
        self._file_stem = file_stem
        self._max_to_keep = max_to_keep

    def save(self, step: int, variables: Mapping[str, tf.Variable], progress: str) -> Path:
        """Write a checkpoint and point to it.

        Parameters
        ----------
        step : int
            Updates done.
        variables : mapping of str to tf.Variable
            `ModelVariables.on_disk`.
        progress : str
            `TrainingProgress.to_json`.

        Returns
        -------
        Path
            Its path without suffix.

        Raises
        ------
        StorageError
            If it cannot be written. The pointer then still names the checkpoint before.
        """
        prefix = self._folder / f"{self._file_stem}.ckpt-{step}"
        copy = Path(f"{prefix}{_COPY_SUFFIX}")
        with _folder_aside(self._folder) as aside:
            _write_bundle(aside / "bundle", {**variables, _PROGRESS_KEY: progress}, prefix)
            if prefix in _pointed(self._pointer):
                self._point_to_copy(prefix, copy, aside)
            for suffix in (_DATA_SUFFIX, _INDEX_SUFFIX):
                (aside / f"bundle{suffix}").replace(f"{prefix}{suffix}")
        kept = [path for path in _pointed(self._pointer) if path not in (prefix, copy)] + [prefix]
        dropped = kept[: -self._max_to_keep] if self._max_to_keep else []
        kept = kept[len(dropped) :]
        self._point_to(kept)
        for path in (*dropped, copy):
            for suffix in (_INDEX_SUFFIX, _DATA_SUFFIX, ".meta"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        return prefix

    def _point_to_copy(self, prefix: Path, copy: Path, aside: Path) -> None:
        """Keep what a checkpoint of the same step held, as two files are not replaced in one."""
        for suffix in (_DATA_SUFFIX, _INDEX_SUFFIX):
            if not Path(f"{prefix}{suffix}").exists():
                return
            shutil.copyfile(f"{prefix}{suffix}", aside / f"copy{suffix}")
            _flush(aside / f"copy{suffix}")
        for suffix in (_DATA_SUFFIX, _INDEX_SUFFIX):
            (aside / f"copy{suffix}").replace(f"{copy}{suffix}")
        others = [path for path in _pointed(self._pointer) if path not in (prefix, copy)]
        self._point_to([*others, copy])

    def _point_to(self, prefixes: Sequence[Path]) -> None:
        lines = [f'model_checkpoint_path: "{prefixes[-1].name}"']
        lines += [f'all_model_checkpoint_paths: "{path.name}"' for path in prefixes]
        write_text(self._pointer, "\n".join(lines) + "\n")


def load_newest(folder: Path, pointer: str) -> Checkpoint | None:
    """Load the newest checkpoint that can be read.

    Parameters
    ----------
    folder : Path
    pointer : str
        Name of the pointer file.

    Returns
    -------
    Checkpoint, optional
        None if there is no pointer file.

    Raises
    ------
    CheckpointError
        If there is one, but none of the checkpoints it names can be read.
    """
    path = folder / pointer
    if not path.exists():
        return None
    prefixes = _pointed(path)[::-1]
    faults = []
    for prefix in prefixes:
        try:
            checkpoint = _read(prefix)
        # TensorFlow turns faults of files into errors of Python of many kinds.
        except (tf.errors.OpError, LookupError, ValueError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            logger.warning("the checkpoint %s cannot be read (%s)", prefix, reason)
            faults.append(f"{prefix.name}: {reason}")
            continue
        if faults:
            logger.warning("going on from the checkpoint before it, %s", prefix)
        return checkpoint
    raise CheckpointError(
        f"{path} names no checkpoint that can be read ({'; '.join(faults) or 'it names none'})",
        f"remove {path} to train from the start, or copy the missing files back",
    )


def newest_pointed(pointer: Path) -> Path | None:
    """Give the path without suffix of the checkpoint that a pointer file names, if there is one."""
    prefixes = _pointed(pointer)
    return prefixes[-1] if prefixes else None


def _pointed(pointer: Path) -> list[Path]:
    """List the checkpoints a pointer file names, the newest last."""
    try:
        text = pointer.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    newest = re.findall(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE)
    every = re.findall(r'^all_model_checkpoint_paths: "(.*)"', text, re.MULTILINE)
    # The original writes absolute paths; the folder may since have been moved.
    names = [Path(name).name for name in [*every, *newest]]
    ordered = dict.fromkeys(reversed(names))
    return [pointer.parent / name for name in reversed(list(ordered))]


def _read(prefix: Path) -> Checkpoint:
    with _under_plain_name(prefix) as plain:
        reader = tf.train.load_checkpoint(str(plain))
        values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    progress = values.pop(_PROGRESS_KEY, None)
    # TensorFlow 1 puts the slots under the scope in which the optimiser was made.
    renamed = {re.sub(r"^LFADS/(?=LFADS/)", "", name): value for name, value in values.items()}
    if "LFADS/global_step" not in renamed:
        raise KeyError("it holds no LFADS/global_step, so it is of another program")
    return Checkpoint(prefix, renamed, progress.decode() if progress is not None else None)


@contextmanager
def _under_plain_name(prefix: Path) -> Iterator[Path]:
    """Give a path that TensorFlow, which takes it for a pattern, finds the checkpoint by."""
    if not re.search(r"[][*?\\]", str(prefix)):
        yield prefix
        return
    with tempfile.TemporaryDirectory(prefix="lfadsq-") as folder:
        for path in prefix.parent.iterdir():
            if path.name.startswith(f"{prefix.name}."):
                (Path(folder) / path.name).symlink_to(path.absolute())
        yield Path(folder) / prefix.name


def _in_short(error: tf.errors.OpError) -> str:
    """Leave out the names of the graph, which tell a user nothing."""
    return re.sub(r"\{\{.*?\}\} ?|\s*\[Op:\w+\]", "", str(error.message).splitlines()[0])


def _write_bundle(path: Path, tensors: Mapping[str, Any], shown_as: Path) -> None:
    names = list(tensors)
    try:
        tf.raw_ops.SaveV2(
            prefix=str(path),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.convert_to_tensor(tensors[name]) for name in names],
        )
    except tf.errors.OpError as error:
        raise StorageError(
            f"cannot write the checkpoint {shown_as}: {_in_short(error)}",
            "see that the disk has space and the folder can be written, then run the same again",
        ) from error
    for suffix in (_DATA_SUFFIX, _INDEX_SUFFIX):
        with storage_errors(shown_as, "write"):
            _flush(Path(f"{path}{suffix}"))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _folder_aside(folder: Path) -> Iterator[Path]:
    make_folder(folder)
    for left_over in folder.glob(".checkpoint-*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    with storage_errors(folder, "write into"):
        aside = Path(tempfile.mkdtemp(dir=folder, prefix=".checkpoint-", suffix=".tmp"))
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
