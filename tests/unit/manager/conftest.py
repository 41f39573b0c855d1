"""Small recordings, and collections of runs on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec


class Lab:
    """A folder with recordings and runs."""

    def __init__(self, root: Path):
        self.root = root
        self.recordings = root / "datasets"
        self.recordings.mkdir(parents=True)
        self.datasets = DatasetCollection(self.recordings, name="lab")

    def record(self, file_name="dataset001.mat", **changes):
        """Write a recording and add it; the content, so that a test knows what to expect."""
        rng = np.random.default_rng(len(file_name))
        content = {
            "spikes": rng.poisson(0.3, (30, 3, 20)).astype(np.uint8),
            "timeMs": np.arange(20.0) - 5,
            "conditionId": np.arange(30) % 4 + 1,
        } | changes
        scipy.io.savemat(self.recordings / file_name, content)
        Dataset(self.datasets, file_name)
        return content

    def runs(self, *params, specs=None, name="runs", **kwargs):
        collection = RunCollection(self.root / "models", name, self.datasets, **kwargs)
        collection.add_params(params or [small_params()])
        if specs is None:
            specs = [
                RunSpec(one.get_single_run_name(), self.datasets, one) for one in self.datasets
            ]
        collection.add_run_spec(specs)
        return collection


def small_params(**changes):
    return RunParams(**({"c_batch_size": 5, "c_gen_dim": 8} | changes))


def tree(folder):
    """Every file, folder and link, with what tells whether it was touched."""
    return {
        str(path.relative_to(folder)): (
            path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes(),
            path.lstat().st_mtime_ns if not path.is_dir() or path.is_symlink() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab's data")


@pytest.fixture(name="small_params")
def small_params_fixture():
    return small_params


@pytest.fixture(name="tree")
def tree_fixture():
    return tree
