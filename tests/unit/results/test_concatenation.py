"""Posterior means of several datasets, one after another."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from lfadsq.errors import ConfigError
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import FileTrials, TrialArray


def make(name, num_trials, num_channels, seed, **changes) -> PosteriorMeans:
    rng = np.random.default_rng(seed)
    arrays = {
        "dataset_name": name,
        "bin_ms": 10.0,
        "output_means": rng.uniform(size=(num_trials, 4, num_channels)),
        "factors": rng.normal(size=(num_trials, 4, 2)),
        "costs": rng.normal(size=num_trials),
        "valid_inds": [0],
        "condition_ids": rng.integers(1, 4, num_trials),
    }
    return PosteriorMeans.from_arrays(**(arrays | changes))


@pytest.fixture
def several():
    return [make("a", 5, 3, 1), make("b", 4, 7, 2), make("c", 6, 3, 3)]


def test_trials_follow_one_another_with_their_dataset(several, caplog):
    caplog.set_level(logging.INFO, "lfadsq")
    joined = PosteriorMeans.concatenate(several)
    np.testing.assert_array_equal(joined.factors, np.concatenate([m.factors for m in several]))
    np.testing.assert_array_equal(joined.costs, np.concatenate([m.costs for m in several]))
    assert joined.dataset.values.tolist() == ["a"] * 5 + ["b"] * 4 + ["c"] * 6
    assert joined.trial.values.tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6]
    assert joined.split.values[[0, 5, 9]].tolist() == ["valid"] * 3
    assert joined.condition.values.tolist() == [x for m in several for x in m.condition_ids]
    of_b = joined.factors[joined.dataset == "b"]
    np.testing.assert_array_equal(of_b, several[1].factors)
    assert "run" not in joined.coords
    # Channel 1 of one recording is not channel 1 of another, even where both have as many.
    assert set(joined.data_vars) == {"factors", "costs"}
    assert "rates, output_means of a, b, c differ in channels" in caplog.text
    assert "rates" not in PosteriorMeans.concatenate([several[0], several[2]])


def test_channels_are_joined_where_they_are_the_same(several):
    a, b, c = several
    rates = PosteriorMeans.concatenate([a, c], same_channels=True).rates
    np.testing.assert_array_equal(rates, np.concatenate([a.rates, c.rates]))
    with pytest.raises(ConfigError, match="a has 3, b has 7"):
        PosteriorMeans.concatenate([a, b], same_channels=True)
    twice = PosteriorMeans.concatenate([a, make("a", 5, 3, 9)])
    assert twice.rates.shape == (10, 4, 3)


def test_what_is_not_everywhere_is_left_out(several):
    a, b, c = several
    b = make("b", 4, 7, 2, costs=None)
    c = make("c", 6, 3, 3, factors=np.zeros((6, 4, 5)))
    assert set(PosteriorMeans.concatenate([a, b]).data_vars) == {"factors"}
    assert set(PosteriorMeans.concatenate([a, c]).data_vars) == {"costs"}


def test_conditions_of_a_dataset_that_has_none_are_empty(several):
    joined = PosteriorMeans.concatenate([several[0], make("d", 2, 3, 4, condition_ids=None)])
    assert np.isnan(joined.condition[5:]).all()
    text = make("e", 2, 3, 4, condition_ids=np.array(["left", "up"]))
    joined = PosteriorMeans.concatenate([text, make("d", 2, 3, 4, condition_ids=None)])
    assert joined.condition.values.tolist() == ["left", "up", "", ""]
    none = [make(name, 2, 3, 4, condition_ids=None) for name in "ab"]
    assert "condition" not in PosteriorMeans.concatenate(none).coords


@pytest.mark.parametrize("changes", [{"bin_ms": 20.0}, {"start_ms": -5.0}, {"bins": 3}])
def test_other_bins_are_refused(several, changes):
    if "bins" in changes:
        arrays = {"output_means": np.ones((4, 3, 7)), "factors": np.ones((4, 3, 2))}
    else:
        arrays = changes
    with pytest.raises(ConfigError, match="their bins are not the same"):
        PosteriorMeans.concatenate([several[0], make("b", 4, 7, 2, **arrays)])


def test_nothing_is_refused():
    with pytest.raises(ConfigError, match="no posterior means to concatenate"):
        PosteriorMeans.concatenate([])


def test_what_lies_in_files_is_not_read(several, tmp_path):
    def in_file(means):
        path = tmp_path / f"{means.dataset_name}.h5"
        with h5py.File(path, "w") as stored:
            stored["factors"] = means.factors
        shape = means.factors.shape
        part = FileTrials(path, "factors", np.arange(len(means.factors)), shape)
        array = TrialArray([part], shape, np.float64)
        return PosteriorMeans(
            **{
                name: getattr(means, name)
                for name in ("dataset_name", "kind", "bin_ms", "train_inds", "valid_inds")
            },
            inferred={**means.inferred, "factors": array},
        )

    joined = PosteriorMeans.concatenate(map(in_file, several))
    (tmp_path / "b.h5").unlink()
    np.testing.assert_array_equal(joined.factors[2:4], several[0].factors[2:4])
    with pytest.raises(LookupError, match=r"b\.h5 is not there any more"):
        joined.factors.load()
