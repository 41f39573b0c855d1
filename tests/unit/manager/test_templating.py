"""Nothing unquoted, unknown or missing gets into a generated file."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import TemplateError
from lfadsq.manager.params import RunParams
from lfadsq.manager.scripts import flag_text, trainer_flags
from lfadsq.manager.templating import render, render_text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_survives_the_shell_and_python(text):
    assert shlex.split(render_text("echo {{ x | sh }} end", x=text)) == ["echo", text, "end"]
    assert eval(render_text("[{{ x | py }}]", x=text)) == [text]


@pytest.mark.parametrize(
    ("template", "values", "words"),
    [
        ("{{ x | sh }}", {}, r"no value for \['x'\]"),
        ("{{ x | sh }}", {"x": 1, "y": 2}, r"no place for \['y'\]"),
        ("{{ x }}", {"x": "; rm"}, "unquoted"),
        ("{{ 'constant' }}", {}, "unquoted"),
        ("{{ x | plain }}", {"x": "a b"}, "unquoted"),
        ("{{ x.nothing | sh }}", {"x": "a"}, "filled in"),
        ("{{ x | sh", {"x": 1}, "cannot be read"),
    ],
)
def test_what_is_missing_unknown_or_unquoted_is_refused(template, values, words):
    with pytest.raises(TemplateError, match=words):
        render_text(template, **values)


def test_an_unknown_template_is_refused():
    with pytest.raises(TemplateError, match=r"nothing\.sh"):
        render("nothing.sh")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_double_changes_on_its_way_to_the_trainer(value):
    assert float(flag_text(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500000"), (1e-5, "0.000010"), (2e-7, "2e-07"), (200.0, "200.000000")],
)
def test_doubles_have_six_decimals_where_six_are_enough(value, text):
    assert flag_text(value) == text


def test_steps_are_multiplied_by_the_number_of_datasets_where_wanted():
    def steps(num_datasets, **changes):
        params = RunParams(c_kl_start_step=10, c_l2_start_step=20, **changes)
        flags = trainer_flags(params, num_datasets)
        names = ("kl_increase_steps", "l2_increase_steps", "kl_start_step", "l2_start_step")
        return [int(flags[name]) for name in names]

    assert steps(1) == [900, 900, 10, 20]
    assert steps(3) == [2700, 2700, 30, 60]
    assert steps(3, scaleIncreaseStepsWithDatasets=False) == [900, 900, 30, 60]
    assert steps(3, scaleStartStepWithDatasets=False) == [2700, 2700, 10, 20]


def test_flags_are_those_of_the_trainer_and_empty_ones_are_left_out():
    flags = trainer_flags(RunParams(c_device=""), 1)
    assert "device" not in flags
    assert not {"spikeBinMs", "in_factors_dim", "c_gen_dim", "posterior_mean_kind"} & set(flags)
    assert flags["do_train_readin"] == "true"
