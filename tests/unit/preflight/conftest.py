"""A prepared collection, made once and copied for each test that damages it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, DatasetCounts, Run, RunCollection, RunParams, RunSpec
from lfadsq.paths import RunPaths
from lfadsq.preflight.examination import check_collection
from lfadsq.preflight.findings import CheckReport, Severity

NUM_TRIALS = 30
FIRST, SECOND = "monkey J's day.1", "zweiter_Tag_ä"


class SpikesDataset(Dataset):
    """Spikes of no file."""

    def load_data(self) -> dict[str, Any]:
        return {}


class SpikesRun(Run):
    def generate_counts_for_dataset(self, dataset: Dataset) -> DatasetCounts:
        rng = np.random.default_rng(len(dataset.name))
        return DatasetCounts(
            counts=rng.poisson(0.05, (NUM_TRIALS, 5, 60)).astype(np.uint8),
            bin_ms=1.0,
            condition_id=np.arange(NUM_TRIALS) % 3 + 1,
            external_inputs=rng.normal(size=(NUM_TRIALS, 1, 60)),
        )


class Prepared:
    """A collection on disk: of two settings, on both datasets together and on the first alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runs(self, name: str = "*") -> list[RunPaths]:
        return [RunPaths(path) for path in sorted(self.folder.glob(f"param_*/{name}"))]

    @property
    def together(self) -> RunPaths:
        return self.runs("all of them")[0]

    @property
    def alone(self) -> RunPaths:
        """One whose script says ``--gen_dim=8``."""
        runs = self.runs("alone")
        return next(run for run in runs if "--gen_dim=8" in run.train_script.read_text())

    @contextmanager
    def opened(self, link: Path) -> Iterator[h5py.File]:
        """Open the file that a link leads to, to change it."""
        with h5py.File(link.resolve(), "r+") as stored:
            yield stored

    def check(self, path: Path | None = None, *, quick: bool = False) -> CheckReport:
        return check_collection(path or self.folder, quick=quick)

    def codes(self, severity: Severity | None = None, *, quick: bool = False) -> set[str]:
        """List what is found; how full this machine's disk is is no matter of a test."""
        groups = self.check(quick=quick).groups
        codes = {group.code for group in groups if severity in (None, group.severity)}
        return {code for code in codes if not code.startswith("disk_")}


def prepare(
    root: Path, *params: RunParams, names: tuple[str, ...] = (FIRST, SECOND), **more: Any
) -> RunCollection:
    datasets = DatasetCollection(root)
    for name in names:
        SpikesDataset(datasets, f"{name}.mat")
    collection = RunCollection(
        root, "my runs", datasets, run_class=more.pop("run_class", SpikesRun), **more
    )
    collection.add_params(params)
    collection.add_run_spec(RunSpec("all of them", datasets, range(len(names))))
    collection.add_run_spec(RunSpec("alone", datasets, 0))
    collection.prepare_for_lfads()
    collection.write_run_queue_script()
    return collection


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    params = RunParams(
        c_batch_size=5,
        c_factors_dim=2,
        c_gen_dim=8,
        c_ext_input_dim=1,
        c_keep_prob=1 / 3,
        useAlignmentMatrix=True,
    )
    root = tmp_path_factory.mktemp("prepared")
    return prepare(root, params, *params.generate_sweep(c_gen_dim=[9])).path


@pytest.fixture
def prepared(original: Path, tmp_path: Path) -> Prepared:
    copy = tmp_path / "it's [moved]"
    shutil.copytree(original, copy, symlinks=True)
    return Prepared(copy)


@pytest.fixture(name="prepare")
def prepare_fixture() -> Callable[..., RunCollection]:
    return prepare
