"""Posterior means, back in the order of the recording."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lfadsq.errors import ConfigError, ResultNotReadyError, ResultShapeError
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


def make_gaussian(paths):
    """Means are the trial's number plus the channel's, variances ten times the trial's number."""
    for split, inds in (("train", TRAIN), ("valid", VALID)):
        trial = np.array(inds, float)[:, None, None]
        params = np.concatenate(
            [trial + np.zeros((5, 3)) + np.arange(3), 10 * trial + np.zeros((5, 3))], axis=2
        )
        replace(paths.output.posterior_means("ds.1", split, KIND), output_dist_params=params)


def replace(path, **values):
    with h5py.File(path, "a") as stored:
        for key, value in values.items():
            del stored[key]
            if value is not None:
                stored[key] = value


def test_gaussian_output_has_means_and_variances_but_no_rates(paths):
    make_gaussian(paths)
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    assert means.is_gaussian
    assert means.output_means.shape == means.output_variances.shape == (6, 5, 3)
    np.testing.assert_array_equal(means.output_means[2, 0], [3, 4, 5])
    np.testing.assert_array_equal(means.output_variances[:, 1, 2], [10, 20, 30, 40, 50, 60])
    with pytest.raises(ResultShapeError, match=r"no firing rates; take output_means"):
        _ = means.rates


def test_counts_have_no_variances_of_their_own(paths):
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    assert not means.is_gaussian
    assert means.output_variances is None
    np.testing.assert_allclose(means.rates, means.output_means / 0.020)


def test_output_of_another_number_of_channels_is_refused(paths):
    path = paths.output.posterior_means("ds.1", "valid", KIND)
    replace(path, output_dist_params=np.ones((len(VALID), 5, 4)))
    with pytest.raises(ResultShapeError, match="4 values in a bin, for 3 channels"):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)


def test_older_files_are_read_by_their_older_name(paths):
    for split in ("train", "valid"):
        path = paths.output.posterior_means("ds.1", split, KIND)
        path.rename(paths.output.posterior_means("ds.1", split, "posterior_sample"))
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    np.testing.assert_array_equal(means.costs, [1, 2, 3, 4, 5, 6])
    with pytest.raises(ResultNotReadyError, match="posterior_push_mean"):
        PosteriorMeans.load(paths, "ds.1", "posterior_push_mean", spike_bin_ms=20.0)


@pytest.mark.parametrize("splits", [("train", "valid"), ("valid",)])
def test_what_older_files_lack_is_none_and_said(paths, caplog, splits):
    for split in splits:
        path = paths.output.posterior_means("ds.1", split, KIND)
        replace(path, nll_bound_iwaes=None, post_g0_logvar=None)
    means = PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
    assert means.nll_bound_iwaes is None
    assert means.post_g0_logvar is None
    np.testing.assert_array_equal(means.costs, [1, 2, 3, 4, 5, 6])
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("posterior means of ds.1 in ")
    assert said.endswith("have no post_g0_logvar, nll_bound_iwaes: None stands in their place")


def test_a_file_without_output_is_refused(paths):
    replace(paths.output.posterior_means("ds.1", "train", KIND), output_dist_params=None)
    with pytest.raises(ResultShapeError, match="has no output_dist_params"):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)


def test_a_truncated_file_is_named(paths):
    path = paths.output.posterior_means("ds.1", "train", KIND)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OSError, match=str(path)):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)


def arrays(**changes):
    return {"output_means": np.ones((4, 3, 2)), "factors": np.zeros((4, 3, 5))} | changes


def test_posterior_means_can_be_made_of_arrays():
    rates = np.arange(24.0).reshape(4, 3, 2)
    means = PosteriorMeans.from_arrays(
        bin_ms=5.0,
        rates=rates,
        factors=np.zeros((4, 3, 5)),
        counts=np.ones((4, 3, 2), int),
        valid_inds=[1],
        start_ms=-10.0,
        condition_ids=["a", "b", "a", "b"],
    )
    np.testing.assert_allclose(means.rates, rates)
    np.testing.assert_allclose(means.output_means, rates * 0.005)
    assert means.train_inds.tolist() == [0, 2, 3]
    assert means.is_valid.tolist() == [False, True, False, False]
    assert means.time_ms.tolist() == [-10, -5, 0]
    assert means.costs is means.true_rates is means.params is None
    assert means.to_xarray().condition.values.tolist() == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (arrays(factor=np.ones(4)), "no factor among the arrays; known are rates"),
        ({"factors": np.ones((4, 3, 5))}, "no output_means among the arrays"),
        (arrays(costs=np.ones((4, 1))), r"costs has shape \(4, 1\); give \(trial\)"),
        (arrays(factors=np.ones((4, 2, 5))), "factors has 2 along time, other arrays 3"),
        (arrays(counts=np.ones((5, 3, 2))), "counts has 5 along trial, other arrays 4"),
        (arrays(condition_ids=[1, 2]), "condition_ids has 2 along trial, other arrays 4"),
        (arrays(valid_inds=[4]), "valid_inds"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, problem):
    with pytest.raises(ConfigError, match=problem):
        PosteriorMeans.from_arrays(bin_ms=5.0, **given)


def test_input_without_trials_is_named(paths):
    with h5py.File(paths.input_h5("ds.1"), "a") as stored:
        for split in ("train", "valid"):
            del stored[f"{split}_inds"]
            stored[f"{split}_inds"] = np.zeros(0)
    with pytest.raises(ResultShapeError, match=r"the input of ds\.1 in .* has no trials"):
        PosteriorMeans.load(paths, "ds.1", KIND, spike_bin_ms=20.0)
