"""Where the order of trials is read from, and posterior means of the original trainer."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_split import TrialSplit

LEGACY = Path(__file__).parents[2] / "golden" / "data" / "legacy_push_mean.h5"


@pytest.fixture
def places(tmp_path):
    run, data = RunPaths(tmp_path / "run"), DataPaths(tmp_path / "data")
    run.lfads_input.mkdir(parents=True)
    run.lfads_output.mkdir()
    data.folder.mkdir()
    return run, data


def write_h5(path, first, *, is_numbered=True):
    with h5py.File(path, "w") as stored:
        stored["train_data"] = np.zeros((2, 5, 3))
        if is_numbered:
            stored["train_inds"], stored["valid_inds"] = [first + 1.0, first + 2.0], [first]


def write_info(path, first):
    inds = {"trainInds": np.array([[first + 1.0, first + 2.0]]), "validInds": float(first)}
    scipy.io.savemat(path, {**inds, "counts": np.zeros((4, 5, 3))})


def read(places):
    run, data = places
    split = TrialSplit.load(run, "d", data)
    return split.inds["valid"].tolist(), split.inds["train"].tolist(), split.num_channels


def test_the_collections_own_data_come_first(places):
    run, data = places
    write_info(run.input_info("d"), 40)
    assert read(places) == ([39], [40, 41], 4)
    write_info(data.input_info("d"), 30)
    assert read(places) == ([29], [30, 31], 4)
    write_h5(run.input_h5("d"), 20)
    assert read(places) == ([19], [20, 21], 3)
    write_h5(data.input_h5("d"), 10)
    assert read(places) == ([9], [10, 11], 3)


def test_input_without_trial_numbers_leaves_them_to_input_info(places):
    run, data = places
    write_h5(data.input_h5("d"), 10, is_numbered=False)
    write_info(run.input_info("d"), 40)
    assert read(places) == ([39], [40, 41], 4)


def test_nothing_to_read_is_told_with_every_place(places):
    run, data = places
    run.input_h5("d").symlink_to("/nowhere/lfads_d.h5")
    with pytest.raises(ResultNotReadyError) as caught:
        read(places)
    for path in (run.input_h5("d"), data.input_h5("d"), run.input_info("d"), data.input_info("d")):
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no MAT file at all", b"\0" * 200])
def test_a_damaged_input_info_is_named(places, content):
    run, _ = places
    run.input_info("d").write_bytes(content)
    with pytest.raises(ResultShapeError, match=r"inputInfo_d\.mat"):
        read(places)


def test_an_input_info_without_the_split_is_named(places):
    run, _ = places
    scipy.io.savemat(run.input_info("d"), {"counts": np.zeros((4, 5, 3))})
    with pytest.raises(ResultShapeError, match="trainInds"):
        read(places)


def test_posterior_means_of_the_original_are_read(places):
    """20 validation trials with the names and the keys that the original's file has."""
    run, data = places
    kind = "posterior_push_mean"
    output = run.output.posterior_means("dataset001", "valid", kind)
    with h5py.File(LEGACY) as legacy, h5py.File(output, "w") as stored:
        for key in legacy:
            if key != "valid_data":
                legacy.copy(key, stored)
        expected = legacy["output_dist_params"][()]
        with h5py.File(data.input_h5("dataset001"), "w") as given:
            given["train_data"] = np.zeros((0, 50, 30))
            given["train_inds"], given["valid_inds"] = np.zeros(0), np.arange(20.0, 0, -1)
    means = PosteriorMeans.load(run, "dataset001", kind, 2.0, data)
    np.testing.assert_allclose(means.rates, expected[::-1] * 500)
    assert means.factors.shape == (20, 50, 8)
