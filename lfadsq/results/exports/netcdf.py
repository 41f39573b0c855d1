"""netCDF-4 files of what `PosteriorMeans.to_xarray` gives, written a few trials at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lfadsq.hdf5 import stream_aside
from lfadsq.results.exports.export_files import ExportFile
from lfadsq.results.exports.exported_run import ExportedRun, encodable, trial_blocks
from lfadsq.results.posterior_variables import MS_PER_S

if TYPE_CHECKING:
    import h5netcdf
    import xarray as xr

    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["netcdf_files"]

_CHUNK_BYTES = 2**20


def netcdf_files(run: ExportedRun, folder: Path) -> list[ExportFile]:
    """Plan the files of a run: ``posteriorMeans_<dataset>.nc``.

    Parameters
    ----------
    run : ExportedRun
        The run.
    folder : Path
        Where they go.

    Returns
    -------
    list of ExportFile
        ``xarray.open_dataset`` of each gives what `PosteriorMeans.to_xarray` does.
    """
    return [
        ExportFile(
            folder / f"posteriorMeans_{name}.nc",
            f"posterior means of {name}",
            run.title,
            partial(_write, run, find),
            find,
        )
        for name in run.chosen
        for find in (run.means_once(name),)
    ]


def _write(run: ExportedRun, find: Callable[[], PosteriorMeans], path: Path) -> None:
    import h5netcdf

    means = find()
    labelled = means.to_xarray()
    with stream_aside(path) as stream, h5netcdf.File(stream, "w") as stored:
        stored.dimensions = dict(labelled.sizes)
        stored.attrs.update(_attributes({**labelled.attrs, **run.provenance(means.dataset_name)}))
        # xarray takes for coordinates what the variables say are theirs.
        others = [str(name) for name in labelled.coords if name not in labelled.sizes]
        targets = {}
        for name, variable in labelled.variables.items():
            target = targets[str(name)] = _create(stored, str(name), variable)
            if others and "trial" in variable.dims and name not in labelled.coords:
                target.attrs["coordinates"] = " ".join(others)
        for name, variable in labelled.variables.items():
            if variable.ndim < 3:
                _fill_small(targets[str(name)], variable)
            elif name != "rates":
                _fill(targets, means, str(name), stream.check)


def _create(stored: h5netcdf.File, name: str, variable: xr.Variable) -> h5netcdf.Variable:
    import h5py

    dtype: Any = variable.dtype
    if dtype.kind == "U":
        dtype = h5py.string_dtype("utf-8")
    options: dict[str, Any] = {}
    if variable.ndim == 3:
        trial_bytes = int(np.prod(variable.shape[1:], dtype=np.int64)) * variable.dtype.itemsize
        trials = min(max(_CHUNK_BYTES // max(trial_bytes, 1), 1), variable.shape[0])
        options["chunks"] = (trials, *variable.shape[1:])
        if variable.dtype.kind in "iu":  # counts are mostly zeros
            options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    target = stored.create_variable(name, variable.dims, dtype, **options)
    target.attrs.update(_attributes(variable.attrs))
    return target


def _fill_small(target: h5netcdf.Variable, variable: xr.Variable) -> None:
    values = variable.values
    if values.dtype.kind == "U":
        values = np.array([encodable(text) for text in values], dtype=object)
    target[...] = values


def _fill(
    targets: Mapping[str, h5netcdf.Variable],
    means: PosteriorMeans,
    name: str,
    check: Callable[[], None],
) -> None:
    array = means.lazy(name)
    assert array is not None
    for trials, values in trial_blocks(array):
        targets[name][trials] = values
        if name == "output_means" and "rates" in targets:
            # Read once for both: decompressing is most of the work.
            targets["rates"][trials] = values * (MS_PER_S / means.bin_ms)
        check()


def _attributes(given: dict[Any, Any]) -> dict[str, Any]:
    return {
        str(name): encodable(value) if isinstance(value, str) else value
        for name, value in given.items()
    }
