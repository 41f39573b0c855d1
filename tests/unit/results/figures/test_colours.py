"""The same condition has the same colour everywhere."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from lfadsq.errors import ConfigError
from lfadsq.results.figures.colours import ConditionColours, series_colours


def lightness(colour):
    """CIE L* of a colour, from the definition."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    y = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return 116 * y ** (1 / 3) - 16 if y > (6 / 29) ** 3 else y * (29 / 3) ** 3


@pytest.mark.parametrize(
    ("conditions", "kind"),
    [
        ([1, 2, 3, 4], "categorical"),
        (list(range(9)), "categorical"),
        (list(range(10)), "ordered"),
        (["b", "a"], "categorical"),
        ([f"c{n}" for n in range(12)], "ordered"),
        ([0, 45, 90, 135, 180, 225, 270, 315], "circular"),
        ([-135, -90, -45, 0, 45, 90, 135, 180], "circular"),
        (np.arange(8) * math.pi / 4, "circular"),
        ([0, 45, 90], "categorical"),
        ([0, 120, 240], "circular"),
        ([0, 180], "categorical"),
        ([0, 45, 90, 135, 180, 225, 270, "none"], "categorical"),
        ([], "categorical"),
    ],
)
def test_colours_suit_the_conditions(conditions, kind):
    assert ConditionColours.of(conditions).kind == kind


@given(st.sets(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.randoms())
def test_colours_follow_from_the_set_of_conditions_alone(conditions, random):
    shuffled = list(conditions) * 2
    random.shuffle(shuffled)
    one, other = ConditionColours.of(conditions), ConditionColours.of([*shuffled, math.nan])
    assert one == other
    shades = [one[condition] for condition in one.conditions]
    assert len(set(shades)) == len(shades)


def test_an_integer_and_a_float_are_one_condition():
    colours = ConditionColours.of(np.array([1, 2], np.uint16))
    assert colours[1] == colours[1.0] == ConditionColours.of([1.0, 2.0])[1]


def test_opposite_angles_are_as_far_apart_as_they_can_be():
    colours = ConditionColours.of(range(0, 360, 45))
    shades = np.array([to_rgb(colours[angle]) for angle in range(0, 360, 45)])
    assert np.linalg.norm(shades[0] - shades[7]) < np.linalg.norm(shades[0] - shades[4])
    steps = np.linalg.norm(shades - np.roll(shades, 1, axis=0), axis=1)
    assert steps.min() > 0.1


def test_the_same_angle_has_the_same_colour_in_degrees_and_radians():
    degrees, radians = ConditionColours.of([0, 90, 180, 270]), np.array([0, 0.5, 1, 1.5]) * np.pi
    in_radians = ConditionColours.of(radians)
    assert [degrees[n] for n in (0, 90, 180, 270)] == [in_radians[n] for n in radians]
    turned = ConditionColours.of([-90, 0, 90, 180])
    assert turned[-90] == degrees[270]


@pytest.mark.parametrize("number", [9, 60])
def test_every_colour_can_be_seen_on_white(number):
    for kind in ("ordered", "circular", "categorical")[: 3 if number == 9 else 2]:
        colours = ConditionColours.of(range(number), kind)
        assert max(lightness(colours[one]) for one in range(number)) < 85


def test_ordered_colours_go_from_dark_to_light():
    colours = ConditionColours.of(range(30))
    shades = [lightness(colours[one]) for one in range(30)]
    assert all(one < other for one, other in itertools.pairwise(shades))


def test_circular_colours_are_about_as_light_as_each_other():
    colours = ConditionColours.of(range(0, 360, 10))
    shades = [lightness(colours[angle]) for angle in range(0, 360, 10)]
    assert max(shades) - min(shades) < 12


def test_what_has_no_colour_is_refused():
    with pytest.raises(ConfigError, match="condition 7 has no colour"):
        _ = ConditionColours.of([1, 2])[7]
    with pytest.raises(ConfigError, match="more than the 9"):
        ConditionColours.of(range(10), "categorical")
    with pytest.raises(ConfigError, match="categorical, circular, ordered"):
        ConditionColours.of([1], "rainbow")


def test_many_runs_have_as_many_colours():
    assert len(set(series_colours(40))) == 40
    assert series_colours(0) == []
