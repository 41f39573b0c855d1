"""MAT files of a run, read by SciPy, against the trainer's files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io

from lfadsq.datasets.matlab import read_hdf5
from lfadsq.results.exports import matlab_mat

NUM_TRIALS = 25


def load(path):
    return scipy.io.loadmat(path, squeeze_me=False)


@pytest.mark.parametrize("largest", [None, 1000])
def test_posterior_means_have_the_names_and_axes_of_matlab(make_trained, monkeypatch, largest):
    if largest:  # as if it did not fit into v5
        monkeypatch.setattr(matlab_mat, "_LARGEST_V5_BYTES", largest)
    texts = [["left", "猿"][n % 2] for n in range(NUM_TRIALS)]
    trained = make_trained(conditions=texts, controller=1)
    path = {one.name: one for one in trained.run.export("mat")}["posteriorMeans_day 1.mat"]
    assert h5py.is_hdf5(path) == bool(largest)
    if largest:
        with h5py.File(path) as stored:
            found = read_hdf5(stored)
        conditions, bins = found["conditionIds"], found["params"]["spikeBinMs"].item()
        kind = found["kind"]
    else:
        found = load(path)
        conditions = [str(one[0]) for one in found["conditionIds"][:, 0]]
        bins, kind = found["params"]["spikeBinMs"][0, 0].item(), str(found["kind"][0])
    truth = trained.truth["day 1"]
    np.testing.assert_array_equal(
        found["rates"], (truth["output_dist_params"] * 100).transpose(2, 1, 0)
    )
    np.testing.assert_array_equal(
        found["controller_outputs"], truth["controller_outputs"].transpose(2, 1, 0)
    )
    np.testing.assert_array_equal(found["generator_ics"], truth["gen_ics"].T)
    np.testing.assert_array_equal(found["costs"], truth["costs"][:, None])
    np.testing.assert_array_equal(found["rawCounts"], trained.run.load_input_info()["counts"])
    np.testing.assert_array_equal(found["validInds"][:, 0], [1, 6, 11, 16, 21])
    assert found["nTrials"].item() == NUM_TRIALS
    assert (conditions, bins, kind) == (texts, 10, "posterior_sample_and_average")


def test_weights_of_datasets_are_cells(make_trained):
    trained = make_trained(("a", "b"))
    (run,) = trained.collection.find_runs("all")
    found = load(run.export("mat")[0])
    with h5py.File(run.paths.output.model_params) as weights:
        for number, name in enumerate("ab"):
            readout = found["factors_to_logrates_W"][number, 0]
            assert readout.dtype == np.float32
            np.testing.assert_array_equal(
                readout, weights[f"LFADS_glm_fac_2_logrates_{name}.h5_W:0"]
            )
        np.testing.assert_array_equal(found["gen_to_factors_W"], weights["LFADS_gen_gen_2_fac_W:0"])
    assert [str(one[0]) for one in found["dataset_names"][:, 0]] == ["a", "b"]


def test_the_fit_log_names_the_epoch_of_lowest_validation_cost(make_trained):
    found = load(make_trained().run.export("mat")[1])
    np.testing.assert_array_equal(found["total_valid"][:, 0], [9.25, 8.25, 7.25, 6.25, 5.25])
    assert found["lveIndex"].item() == 5
    assert found["total_valid_lve"].item() == 5.25
    assert found["nEpochs"].item() == 5
    np.testing.assert_array_equal(found["step"][:, 0], [6, 12, 18, 24, 30])
