"""Displays are those of the walkthrough, with its own numbers, down to each space.

The golden texts were cut from the walkthrough; only names of attributes are Python's, and the line
of differences is everywhere in the order of the declaration.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.manager.displays import class_title
from lfadsq.manager.runs import Run

GOLDEN = Path(__file__).parent / "data" / "manager"


def of_lab(base):
    """Derive a class as a lab does, in a package called LorenzExperiment."""
    return type(base.__name__, (base,), {"__module__": "LorenzExperiment.drive_script"})


def golden(name):
    return (GOLDEN / name).read_text(encoding="utf-8").rstrip("\n")


@pytest.fixture
def collection(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "lorenz_example" / "datasets"
    folder.mkdir(parents=True)
    recording = {
        "subject": "lorenz_example",
        "datetime": "31-Jan-2018 00:00:00",
        "saveTags": "1",
        "spikes": np.zeros((1820, 35, 1), np.uint8),
    }
    scipy.io.savemat(folder / "dataset001.mat", recording)
    datasets = of_lab(DatasetCollection)("~/lorenz_example/datasets")
    datasets.name = "lorenz_example"
    of_lab(Dataset)(datasets, "dataset001.mat")
    runs = of_lab(RunCollection)(
        "~/lorenz_example/runs", "exampleSingleSession", datasets, run_class=of_lab(Run)
    )
    runs.version = 20180131
    runs.add_params(first_attempt())
    name = datasets.datasets[0].get_single_run_name()
    runs.add_run_spec(of_lab(RunSpec)(name, datasets, 0))
    return runs


def first_attempt():
    par = of_lab(RunParams)()
    par.name = "first_attempt"
    par.spikeBinMs = 2
    par.c_co_dim = 0
    par.c_batch_size = 150
    par.c_factors_dim = 8
    par.c_gen_dim = 64
    par.c_ic_enc_dim = 64
    par.c_learning_rate_stop = 1e-3
    return par


def test_params():
    assert str(first_attempt()) == golden("run_params.txt")


def test_dataset_collection(collection):
    assert str(collection.dataset_collection) == golden("dataset_collection.txt")


def test_dataset_info_table(collection):
    table = collection.dataset_collection.get_dataset_info_table()
    assert str(table) == golden("dataset_info_table.txt")


def test_run_collection(collection):
    assert str(collection) == golden("run_collection.txt")


def test_summary(collection):
    assert collection.generate_summary_text().rstrip("\n") == golden("summary.txt")


def test_every_attribute_in_a_display_is_one(collection):
    for shown in (collection, collection.dataset_collection, collection.runs[0]):
        for line in str(shown).splitlines():
            if line.startswith("    ") and ": " in line:
                assert hasattr(shown, line.strip().partition(":")[0])


def test_classes_of_a_script_are_shown_without_a_package():
    assert class_title(type("MyRun", (), {"__module__": "__main__"})) == "MyRun"
