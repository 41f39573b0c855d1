"""One zip of a run, with what a colleague needs to look at it.

It unpacks to the folder of a run collection that has this run only: `RunCollection.open` takes it
as it is. The same run gives the same bytes whenever it is packed.
"""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from lfadsq.errors import ConfigError, ResultNotReadyError
from lfadsq.files import storage_errors, written_aside
from lfadsq.paths import RunPaths
from lfadsq.results.exports.export_files import ExportFile
from lfadsq.results.exports.exported_run import ExportedRun, encodable

__all__ = ["ArchiveOptions", "archive_files"]

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first date that a zip can say. Dates of files would make each packing another one."""

_MODE = (stat.S_IFREG | 0o644) << 16
_IS_COMPRESSED = ("model_runs_", "inputInfo_", "lfads_")
_COPY_BYTES = 2**20
_WITHOUT_COUNTS = ("trainInds", "validInds", "seq_timeVector", "seq_binSizeMs", "conditionId")
_README = """A run of LFADS, exported by lfadsq

Run         {run}
Collection  {collection}
Datasets    {datasets}
{contents}
To open it in Python (pip install lfadsq), after unpacking:

    from lfadsq import RunCollection

    run = RunCollection.open("{collection}").runs[0]
    means = run.load_posterior_means({argument})   # rates, factors, initial conditions, ...
    log = run.load_fit_log()                       # costs, epoch by epoch
    weights = run.load_model_trained_params()

MATLAB reads the HDF5 files (model_params, model_runs_...) with h5read, and inputInfo_...mat with
load. lfadsOutput/hyperparameters-...txt holds all settings of the training as JSON.

{people}"""
_PEOPLE = """For whoever passes this on: summary.txt{provenance} name folders
of the machine where the run was trained, and these may name people or subjects.
"""


@dataclass(frozen=True)
class ArchiveOptions:
    """What goes into the zip.

    Attributes
    ----------
    collection_name : str
        The folder that it unpacks to.
    summary : callable
        Gives the text of ``summary.txt``, for a collection with this run only.
    data : bool, default True
        With the counts that the model was given; without them, which trials trained and validated,
        times and conditions are still told.
    checkpoints : bool, default False
        With the checkpoints, for training on or for new trials.
    tensorboard : bool, default False
        With TensorBoard's events.
    provenance : bool, default True
        With ``provenance.json``, which names machine and folders.
    """

    collection_name: str = field(repr=False)
    summary: Callable[[], str] = field(repr=False)
    data: bool = True
    checkpoints: bool = False
    tensorboard: bool = False
    provenance: bool = True


@dataclass(frozen=True)
class _Entry:
    """A file of the zip: its name there, and either where it lies or its bytes."""

    name: str
    source: Path | bytes


def archive_files(run: ExportedRun, folder: Path, options: ArchiveOptions) -> list[ExportFile]:
    """Plan the zip of a run, ``<collection>_param_<HASH>_<run name>.zip``.

    Parameters
    ----------
    run : ExportedRun
        The run.
    folder : Path
        Where it goes.
    options : ArchiveOptions
        What goes into it.

    Returns
    -------
    list of ExportFile
        With one element.
    """
    name = f"{options.collection_name}_{run.title.replace('/', '_')}.zip"
    write, check = partial(_write, run, options), partial(_check, run, options)
    return [ExportFile(folder / name, "the run", run.title, write, check)]


def _check(run: ExportedRun, options: ArchiveOptions) -> None:
    is_there = run.paths.lfads_output.is_dir()
    found = list(_output_files(run.paths, options)) if is_there else []
    if not any(one.name.startswith("model_runs_") for one in found):
        raise ResultNotReadyError(
            f"{run.paths.lfads_output} has no posterior means",
            "train the run first; they are written when training has ended",
        )
    for name in run.chosen:
        run.load_means(name)


def _write(run: ExportedRun, options: ArchiveOptions, path: Path) -> None:
    entries = sorted(_entries(run, options), key=lambda entry: entry.name)
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w") as archive:
        for entry in entries:
            _pack(archive, entry)


def _pack(archive: zipfile.ZipFile, entry: _Entry) -> None:
    info = zipfile.ZipInfo(entry.name, _EPOCH)
    info.external_attr = _MODE
    is_compressed = entry.name.rpartition("/")[2].startswith(_IS_COMPRESSED)
    info.compress_type = zipfile.ZIP_STORED if is_compressed else zipfile.ZIP_DEFLATED
    if isinstance(entry.source, bytes):
        archive.writestr(info, entry.source)
        return
    with storage_errors(entry.source, "read"):
        source = entry.source.open("rb")
    # Of files that grow past 4 GB while they are packed, nobody can know beforehand.
    with source, archive.open(info, "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)


def _entries(run: ExportedRun, options: ArchiveOptions) -> Iterator[_Entry]:
    top = _safe_name(options.collection_name)
    here = f"{top}/{run.title}"
    for source in _output_files(run.paths, options):
        inner = source.relative_to(run.paths.lfads_output).as_posix()
        yield _Entry(f"{here}/{run.paths.lfads_output.name}/{_safe_name(inner)}", source)
    if run.paths.done.is_file():
        yield _Entry(f"{here}/{run.paths.done.name}", b"")
    # Links of a run to its data are files here, since nothing unpacks links everywhere.
    for name in run.dataset_names:
        yield from _input_entries(run, name, f"{here}/{run.paths.lfads_input.name}", options)
    yield _Entry(f"{top}/summary.txt", encodable(options.summary()).encode())
    yield _Entry("README.txt", _readme(run, options).encode())


def _input_entries(
    run: ExportedRun, dataset_name: str, folder: str, options: ArchiveOptions
) -> Iterator[_Entry]:
    info = _first_file(run.data_paths.input_info(dataset_name), run.paths.input_info(dataset_name))
    counts = _first_file(run.data_paths.input_h5(dataset_name), run.paths.input_h5(dataset_name))
    info_name = run.data_paths.input_info(dataset_name).name
    if not options.data:
        yield _Entry(f"{folder}/{_safe_name(info_name)}", _info_without_counts(run, dataset_name))
        return
    if info is not None:
        yield _Entry(f"{folder}/{_safe_name(info_name)}", info)
    if counts is not None:
        name = run.data_paths.input_h5(dataset_name).name
        yield _Entry(f"{folder}/{_safe_name(name)}", counts)


def _info_without_counts(run: ExportedRun, dataset_name: str) -> bytes:
    """Give ``inputInfo`` that tells all but the counts: of these, only how many channels."""
    means = run.load_means(dataset_name)
    channels = means.lazy("output_means")
    assert channels is not None
    known: dict[str, Any] = {
        "trainInds": means.train_inds + 1.0,
        "validInds": means.valid_inds + 1.0,
    }
    if run.has_input_info(dataset_name):
        known |= run.load_input_info(dataset_name, list(_WITHOUT_COUNTS))
    if isinstance(known.get("conditionId"), list):
        cell = np.empty(len(known["conditionId"]), dtype=object)
        cell[:] = known["conditionId"]
        known["conditionId"] = cell
    known["counts"] = np.zeros((channels.shape[2], 0, 0))
    stream = io.BytesIO()
    scipy.io.savemat(stream, known, do_compression=True, oned_as="column")
    # The header says when it was written; the same run shall give the same bytes.
    image = stream.getvalue()
    return b"MATLAB 5.0 MAT-file, written by lfadsq".ljust(116) + image[116:]


def _output_files(paths: RunPaths, options: ArchiveOptions) -> Iterator[Path]:
    """Find what the trainer wrote that people look at, and nothing else that may lie there."""
    wanted = ["fitlog.csv", "hyperparameters-*.txt", "model_params", "model_runs_prior_sample"]
    wanted += ["model_runs_*_posterior_sample*", "model_runs_*_posterior_push_mean"]
    if options.provenance:
        wanted.append(paths.output.provenance.name)
    if options.checkpoints:
        wanted += ["checkpoint", "checkpoint_lve", "*.ckpt-*"]
    folder = paths.lfads_output
    with storage_errors(folder, "read"):
        for path in sorted(folder.iterdir()):
            is_wanted = any(path.match(pattern) for pattern in wanted)
            # Links are followed to files; a pipe or a device would never end.
            if is_wanted and path.is_file():
                yield path
        log_dir = paths.output.log_dir
        if options.tensorboard and log_dir.is_dir():
            yield from (path for path in sorted(log_dir.iterdir()) if path.is_file())


def _first_file(*places: Path) -> Path | None:
    with storage_errors(places[0], "read"):
        return next((place for place in places if place.is_file()), None)


def _safe_name(name: str) -> str:
    """Give a name for the zip; it unpacks below its folder, whatever it says.

    Raises
    ------
    ConfigError
        If it leads elsewhere.
    """
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
        raise ConfigError(
            f"{name!r} cannot be a name in a zip file that unpacks everywhere", "rename it"
        )
    return encodable(name)


def _readme(run: ExportedRun, options: ArchiveOptions) -> str:
    left_out = [
        name
        for name, is_in in (
            ("the counts that the model was given", options.data),
            ("checkpoints", options.checkpoints),
            ("TensorBoard's events", options.tensorboard),
            ("provenance.json", options.provenance),
        )
        if not is_in
    ]
    contents = f"Left out    {', '.join(left_out)}\n" if left_out else ""
    several = len(run.dataset_names) > 1
    provenance = " and lfadsOutput/provenance.json" if options.provenance else ""
    text = _README.format(
        run=run.title,
        collection=options.collection_name,
        datasets=", ".join(run.dataset_names),
        contents=contents,
        argument=f'"{run.dataset_names[0]}"' if several else "",
        people=_PEOPLE.format(provenance=provenance),
    )
    return encodable(text)
