"""HDF5 files appear complete or not at all, and a full disk ends no process."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest

from lfadsq.errors import StorageError
from lfadsq.hdf5 import hdf5_written_aside, stream_aside


def fill(path, values):
    with hdf5_written_aside(path) as stored:
        stored.create_dataset("values", data=values, compression=1)


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.h5"
    fill(path, np.arange(3))
    fill(path, np.arange(100_000))
    with h5py.File(path) as stored:
        np.testing.assert_array_equal(stored["values"], np.arange(100_000))
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    fill(path, np.arange(3))
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), hdf5_written_aside(path) as stored:
        stored["values"] = 1 / 0
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*nowhere/a\.h5"):
        fill(tmp_path / "nowhere" / "a.h5", [1])


def test_a_full_disk_is_an_error_and_no_crash(tmp_path):
    """With a file of its own, HDF5 ends this process with a segmentation fault."""
    code = f"""
import resource, sys, numpy as np
from pathlib import Path
from lfadsq.errors import StorageError
from lfadsq.hdf5 import hdf5_written_aside, stream_aside
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with hdf5_written_aside(Path({str(tmp_path / "a.h5")!r})) as stored:
        for number in range(20):
            stored[f"noise{{number}}"] = np.random.default_rng(number).random(1000)
except StorageError as error:
    sys.exit(f"refused: {{error}}")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr[:8]) == (1, "refused:"), ended.stderr
    assert not list(tmp_path.iterdir())


# --- files of any size ----------------------------------------------------------------------------


def test_a_stream_becomes_the_file_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    with stream_aside(path) as stream, h5py.File(stream, "w") as stored:
        target = stored.create_dataset("values", (50, 40), chunks=(8, 40), compression=1)
        for first in range(0, 50, 8):
            target[first : first + 8] = np.arange(first, min(first + 8, 50))[:, None]
            stream.check()
        assert path.read_bytes() == b"old"
    with h5py.File(path) as stored:
        np.testing.assert_array_equal(stored["values"][:, 3], np.arange(50))
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_of_a_stream_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    with (
        pytest.raises(ZeroDivisionError),
        stream_aside(path) as stream,
        h5py.File(stream, "w") as stored,
    ):
        stored["values"] = 1 / 0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("limit", [0, 3000, 100_000])
def test_wherever_the_disk_is_full_a_stream_ends_in_an_error(tmp_path, limit):
    code = f"""
import resource, numpy as np, h5py
from pathlib import Path
from lfadsq.errors import StorageError
from lfadsq.hdf5 import stream_aside
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    with stream_aside(Path({str(tmp_path / "a.h5")!r})) as stream, h5py.File(stream, "w") as stored:
        for number in range(20):
            noise = np.random.default_rng(number).random(1000)
            stored.create_dataset(f"noise{{number}}", data=noise, chunks=(100,), compression=1)
except StorageError as error:
    print("refused:", error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout[:8]) == (0, "refused:"), ended.stderr
    assert "ulimit" in ended.stdout
    assert not list(tmp_path.iterdir())
