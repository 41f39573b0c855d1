"""A full disk, a killed process, damaged results: no half of a file, and a word about it."""

from __future__ import annotations

import signal
import subprocess
import sys

import h5py
import pytest
import scipy.io
import xarray as xr

from lfadsq.errors import ConfigError, ResultShapeError, StorageError

FORMATS = ("h5", "mat", "netcdf", "nwb", "zip")

FULL = """
import resource, sys
from lfadsq import RunCollection
from lfadsq.errors import StorageError
run = RunCollection.open(sys.argv[1]).runs[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
times = [float(n) for n in range(25)]
nwb = {"session_start": "2018-01-31T09:30:00+00:00", "event_times": times}
for to in ("h5", "mat", "netcdf", "nwb", "zip"):
    try:
        run.export(to, **(nwb if to == "nwb" else {}))
        print(to, "was written")
    except StorageError as error:
        print(to, "refused", "ulimit" in str(error))
"""

KILLED = """
import os, signal, sys
from lfadsq import RunCollection
from lfadsq.results.exports import netcdf
real = netcdf.trial_blocks
def blocks(array):
    yield next(iter(real(array)))
    os.kill(os.getpid(), signal.SIGKILL)
netcdf.trial_blocks = blocks
RunCollection.open(sys.argv[1]).runs[0].export("netcdf")
"""


def run_python(code, *words):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(make_trained):
    trained = make_trained()
    ended = run_python(FULL, trained.path)
    assert ended.stdout.splitlines() == [f"{to} refused True" for to in FORMATS], ended.stderr
    # What is small enough is there, and whole.
    left = sorted(path.name for path in (trained.run.path / "export").iterdir())
    assert left == ["fitLog.mat", "modelTrainedParams.mat"]
    for name in left:
        scipy.io.loadmat(trained.run.path / "export" / name)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_no_file_of_that_name(make_trained):
    trained = make_trained()
    folder = trained.run.path / "export"
    assert run_python(KILLED, trained.path).returncode == -signal.SIGKILL
    (aside,) = folder.iterdir()
    assert aside.name.startswith(".")
    assert aside.name.endswith(".tmp")
    (path,) = trained.run.export("netcdf")
    assert list(folder.iterdir()) == [path]
    xr.open_dataset(path).close()


@pytest.mark.parametrize("to", ["h5", "mat", "netcdf", "zip"])
def test_a_damaged_file_is_named_before_anything_is_written(make_trained, to):
    run = make_trained().run
    path = run.paths.output.posterior_means("day 1", "valid", run.params.posterior_mean_kind)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises((ResultShapeError, StorageError), match="valid_posterior"):
        run.export(to)
    assert not (run.path / "export").exists()


def test_formats_and_choices_that_do_not_exist_are_refused(make_trained, tmp_path):
    run = make_trained().run
    with pytest.raises(ConfigError, match="no format 'csv'; choose one of h5, mat"):
        run.export("csv")
    with pytest.raises(ConfigError, match="no kind 'mean'"):
        run.export("h5", kind="mean")
    with pytest.raises(ConfigError, match="checkpoints cannot be chosen for h5"):
        run.export("h5", checkpoints=True)
    with pytest.raises(ConfigError, match=r"a\.mat is one file, and 3 would be written"):
        run.export("mat", tmp_path / "a.mat")
    (tmp_path / "day 1.nc").mkdir()
    (path,) = run.export("netcdf", tmp_path / "day 1.nc")
    assert path.parent.name == "day 1.nc"


def test_without_input_info_times_and_raw_counts_are_left_out(make_trained):
    run = make_trained(conditions=[float(n % 3) for n in range(25)]).run
    run.data_paths.input_info("day 1").unlink()
    with h5py.File(run.export("h5")[1]) as stored:
        assert not {"conditionIds", "rawCounts"} & set(stored)
        assert stored["time"][0, 0] == 0
    for to in ("mat", "netcdf", "zip"):
        run.export(to)


def test_a_damaged_input_info_is_named_before_anything_is_written(make_trained):
    run = make_trained().run
    run.data_paths.input_info("day 1").write_bytes(b"MATLAB 5.0 MAT-file" + b"x" * 500)
    with pytest.raises(ResultShapeError, match="inputInfo_day 1"):
        run.export("h5")
    assert not (run.path / "export").exists()
