"""Trials by condition, against plain loops."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import ConfigError
from lfadsq.results.figures.conditions import TrialGroups, evenly_spread

from .made_means import make_means

IDS = st.sampled_from([1.0, 2.0, math.nan, "a", "", "a ", None, 3])


@given(st.lists(IDS, min_size=1, max_size=30))
def test_groups_are_what_a_loop_finds(ids):
    means = SimpleNamespace(condition_ids=ids, num_trials=len(ids), dataset_name="d")
    groups = TrialGroups.of(means)
    expected: dict[object, list[int]] = {}
    for trial, one in enumerate(ids):
        key = one.strip() if isinstance(one, str) else one
        if key in ("", None) or (isinstance(key, float) and math.isnan(key)):
            continue
        expected.setdefault(key, []).append(trial)
    if not expected:
        assert groups.drawn == (None,)
        assert groups.num_trials == len(ids)
        return
    assert dict(zip(groups.drawn, map(list, groups.trials), strict=True)) == expected
    numbers = [one for one in groups.drawn if not isinstance(one, str)]
    texts = [one for one in groups.drawn if isinstance(one, str)]
    assert list(groups.drawn) == sorted(numbers) + sorted(texts)


def test_averages_and_spreads_are_those_of_a_loop():
    means = make_means(conditions=(1.0, 2.0, math.nan))
    groups = TrialGroups.of(means)
    averages, spreads = groups.averages(means.factors), groups.spreads(means.factors)
    for number, condition in enumerate((1.0, 2.0)):
        of_condition = [t for t in range(24) if means.condition_ids[t] == condition]
        sums = sum(means.factors[t] for t in of_condition) / len(of_condition)
        squares = sum((means.factors[t] - sums) ** 2 for t in of_condition)
        np.testing.assert_allclose(averages[number], sums)
        np.testing.assert_allclose(spreads[number], np.sqrt(squares / (len(of_condition) - 1)))
    assert groups.text == "16 trials of 2 conditions"


def test_one_trial_has_no_spread():
    groups = TrialGroups.of(make_means(num_trials=1, conditions=(5,)))
    assert np.isnan(groups.spreads(np.ones((1, 3)))).all()


def test_of_many_conditions_some_are_drawn_by_a_rule_that_is_told():
    groups = TrialGroups.of(make_means(num_trials=300, conditions=range(150)))
    assert len(groups.every) == 150
    assert len(groups.drawn) == 100
    assert (groups.drawn[0], groups.drawn[-1]) == (0.0, 149.0)
    assert groups.text == "200 trials of 100 of 150 conditions, evenly spread"


def test_conditions_can_be_asked_for_in_any_order():
    groups = TrialGroups.of(make_means(), [3, 1])
    assert groups.drawn == (3.0, 1.0)
    assert groups.every == (1.0, 2.0, 3.0)
    assert groups.trials[0].tolist() == list(range(2, 24, 3))


@pytest.mark.parametrize(
    ("asked", "match"),
    [([9], "no condition 9; it has 1, 2, 3"), ([], "no condition"), ([math.nan], "condition nan")],
)
def test_conditions_that_are_not_there_are_refused(asked, match):
    with pytest.raises(ConfigError, match=match):
        TrialGroups.of(make_means(), asked)
    with pytest.raises(ConfigError, match="leave them out"):
        TrialGroups.of(make_means(conditions=None), [1])


@given(st.integers(1, 500), st.integers(1, 50))
def test_what_is_evenly_spread_has_no_twins_and_keeps_the_ends(total, most):
    found = evenly_spread(total, most)
    assert len(set(found.tolist())) == len(found) == min(total, most)
    assert found[0] == 0
    if len(found) > 1:
        assert found[-1] == total - 1
