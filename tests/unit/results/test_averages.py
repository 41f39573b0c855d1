"""Averages by condition, against plain loops."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.errors import ConfigError, ResultShapeError
from lfadsq.results.averages import group_averages
from lfadsq.results.posterior_means import PosteriorMeans
from lfadsq.results.trial_arrays import FileTrials, TrialArray

RNG = np.random.default_rng(5)
COUNTS_PER_BIN = RNG.uniform(0.1, 2, (8, 4, 3))
FACTORS = RNG.normal(size=(8, 4, 2))
CONDITIONS = np.array([3, 1, 1, 3, 2, 1, 3, 1])
VALID = np.array([0, 5])


def make(**changes) -> PosteriorMeans:
    arrays = {
        "bin_ms": 20.0,
        "start_ms": -40.0,
        "output_means": COUNTS_PER_BIN,
        "factors": FACTORS,
        "costs": np.arange(8.0),
        "counts": RNG.poisson(1, (8, 4, 3)),
        "condition_ids": CONDITIONS,
        "valid_inds": VALID,
    }
    return PosteriorMeans.from_arrays(**(arrays | changes))


def expected(values, conditions, chosen):
    return np.array(
        [
            sum(values[n] for n in chosen if conditions[n] == one)
            / sum(conditions[n] == one for n in chosen)
            for one in sorted({conditions[n] for n in chosen})
        ]
    )


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [("all", range(8)), ("train", [1, 2, 3, 4, 6, 7]), ("valid", [0, 5])],
)
def test_each_condition_is_averaged_over_its_trials(trials, chosen):
    averages = make().condition_averages(trials=trials)
    np.testing.assert_allclose(averages, expected(COUNTS_PER_BIN * 50, CONDITIONS, chosen))
    assert averages.dims == ("condition", "time", "channel")
    assert averages.name == "rates"
    assert averages.attrs["units"] == "spikes/s"
    assert averages.time.values.tolist() == [-40, -20, 0, 20]
    numbers = {one: sum(CONDITIONS[n] == one for n in chosen) for one in set(CONDITIONS[[*chosen]])}
    assert dict(zip(averages.condition.values, averages.num_trials.values, strict=True)) == numbers


def test_any_variable_is_averaged_whether_read_before_or_not():
    means = make()
    _ = means.rates, means.factors
    for name in ("rates", "factors", "counts", "output_means", "costs"):
        values = getattr(make(counts=means.counts), name)
        averages = means.condition_averages(name)
        np.testing.assert_allclose(averages, expected(values, CONDITIONS, range(8)))
    assert means.condition_averages("costs").dims == ("condition",)


def test_trials_without_a_condition_are_left_out():
    ids = np.array(["left", "", "up", "left", "up", "", "", "left"])
    averages = make(condition_ids=ids).condition_averages("factors")
    assert averages.condition.values.tolist() == ["left", "up"]
    chosen = [n for n in range(8) if ids[n]]
    np.testing.assert_allclose(averages, expected(FACTORS, ids, chosen))
    numbers = np.array([np.nan, 2.0, 2.0, np.nan, 1.5, 1.5, 1.5, 1.5])
    averages = make(condition_ids=numbers).condition_averages("factors")
    assert averages.condition.values.tolist() == [1.5, 2.0]


def test_conditions_of_ones_own_can_be_given():
    fast = ["fast" if n % 2 else "slow" for n in range(8)]
    averages = make().condition_averages("factors", conditions=fast)
    np.testing.assert_allclose(averages.sel(condition="fast"), FACTORS[1::2].mean(axis=0))


@pytest.mark.parametrize(
    ("changes", "asked", "problem"),
    [
        ({}, {"variable": "rate"}, "no 'rate'; there are rates, output_means"),
        ({}, {"variable": "controller_outputs"}, "has no controller_outputs"),
        ({}, {"trials": "test"}, "no trials 'test'; choose among all, train, valid"),
        ({"condition_ids": None}, {}, "have no conditions; give conditions="),
        ({}, {"conditions": [1, 2]}, "of 2 trials, dataset has 8"),
        ({"valid_inds": ()}, {"trials": "valid"}, r"no trial of dataset \(valid\)"),
    ],
)
def test_what_cannot_be_averaged_is_refused(changes, asked, problem):
    with pytest.raises(ConfigError, match=problem):
        make(**changes).condition_averages(**asked)


def test_gaussian_output_has_no_rates_to_average():
    means = make(output_variances=COUNTS_PER_BIN)
    with pytest.raises(ResultShapeError, match="no firing rates"):
        means.condition_averages()
    averages = means.condition_averages("output_variances")
    np.testing.assert_allclose(averages, expected(COUNTS_PER_BIN, CONDITIONS, range(8)))


@settings(max_examples=50, deadline=None)
@given(groups=st.lists(st.integers(-1, 4), min_size=1, max_size=30), data=st.data())
def test_arrays_in_files_average_as_those_in_memory(tmp_path_factory, groups, data):
    group_of = np.array(groups)
    values = np.random.default_rng(len(groups)).normal(size=(len(groups), 3, 2))
    sums, numbers = np.zeros((5, 3, 2)), np.zeros(5)
    for trial, group in enumerate(groups):
        if group >= 0:
            sums[group] += values[trial]
            numbers[group] += 1
    with np.errstate(invalid="ignore"):
        plain = sums / numbers[:, None, None]
    np.testing.assert_allclose(group_averages(values, group_of, 5), plain, rtol=1e-12)
    path = tmp_path_factory.mktemp("averages") / "x.h5"
    order = data.draw(st.permutations(range(len(groups))))
    with h5py.File(path, "w") as stored:
        stored["x"] = values[order]
    part = FileTrials(path, "x", np.array(order), values.shape)
    array = TrialArray([part], values.shape, values.dtype)
    np.testing.assert_allclose(group_averages(array, group_of, 5), plain, rtol=1e-12)
