"""Posterior means, back in the order of the recording."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.paths import RunPaths
from lfadsq.results.posterior_means import PosteriorMeans

KIND = "posterior_sample_and_average"
TRAIN, VALID = [2, 3, 5, 6], [1, 4]  # 1-based, as on disk
SHAPES = {
    "output_dist_params": (5, 3),
    "factors": (5, 2),
    "gen_states": (5, 4),
    "gen_ics": (4,),
    "post_g0_mean": (2,),
    "post_g0_logvar": (2,),
    "prior_g0_mean": (2,),
    "prior_g0_logvar": (2,),
    "costs": (),
    "nll_bound_vaes": (),
    "nll_bound_iwaes": (),
    "train_steps": (),
}


@pytest.fixture
def paths(tmp_path):
    """A run whose every value is the number of its trial, so that the order shows."""
    paths = RunPaths(tmp_path)
    paths.lfads_input.mkdir()
    paths.lfads_output.mkdir()
    with h5py.File(paths.input_h5("ds.1"), "w") as stored:
        stored["train_data"] = np.zeros((len(TRAIN), 5, 3), np.int64)
        stored["train_inds"] = np.array(TRAIN, float)
        stored["valid_inds"] = np.array(VALID, float)
    for split, inds in (("train", TRAIN), ("valid", VALID)):
        write_split(paths, split, inds)
    return paths


def write_split(paths, split, inds, with_controller=False):
    shapes = SHAPES | ({"controller_outputs": (5, 1)} if with_controller else {})
    with h5py.File(paths.output.posterior_means("ds.1", split, KIND), "w") as stored:
        for key, shape in shapes.items():
            per_trial = np.array(inds, float).reshape(-1, *([1] * len(shape)))
            stored[key] = np.broadcast_to(per_trial, (len(inds), *shape))


def test_trials_are_in_the_order_of_the_recording(paths):
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    assert means.num_trials == 6
    for values in (means.factors, means.generator_states, means.generator_ics, means.costs):
        np.testing.assert_array_equal(values.reshape(6, -1)[:, 0], [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(means.valid_inds, [0, 3])
    np.testing.assert_array_equal(means.train_inds, [1, 2, 4, 5])
    assert means.controller_outputs is None


def test_rates_are_in_spikes_per_second(paths):
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    assert means.rates.shape == (6, 5, 3)
    np.testing.assert_allclose(means.rates[4], 5 / 0.020)
    np.testing.assert_array_equal(means.time_ms, [0, 20, 40, 60, 80])


def test_inferred_inputs_are_read_where_there_is_a_controller(paths):
    for split, inds in (("train", TRAIN), ("valid", VALID)):
        write_split(paths, split, inds, with_controller=True)
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    np.testing.assert_array_equal(means.controller_outputs[:, 0, 0], [1, 2, 3, 4, 5, 6])


def test_says_what_is_missing(paths):
    paths.output.posterior_means("ds.1", "valid", KIND).unlink()
    with pytest.raises(ResultNotReadyError, match="valid_posterior_sample_and_average"):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)


def test_refuses_files_of_another_split(paths):
    write_split(paths, "valid", [1, 4, 5])
    with pytest.raises(ResultShapeError, match="3 trials, the run's input 2"):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)


def test_gaussian_output_is_not_taken_for_rates(paths):
    path = paths.output.posterior_means("ds.1", "valid", KIND)
    with h5py.File(path, "a") as stored:
        del stored["output_dist_params"]
        stored["output_dist_params"] = np.ones((len(VALID), 5, 6))
    with pytest.raises(ResultShapeError, match="6 values in a bin, for 3 channels"):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)


def test_a_truncated_file_is_named(paths):
    path = paths.output.posterior_means("ds.1", "train", KIND)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OSError, match=str(path)):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
