"""`RunParams` as a value: assignment, copies, sweeps, dictionaries, and classes derived from it."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from lfadsq import RunParams, hyperparam
from lfadsq.errors import ConfigError, UnknownHyperParamError


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("c_gen_dim", 64.0, 64),
        ("c_gen_dim", np.int32(64), 64),
        ("c_gen_dim", np.array(64), 64),
        ("c_keep_prob", 1, 1.0),
        ("c_keep_prob", np.float32(0.5), 0.5),
        ("c_do_train_readin", 0, False),
        ("c_do_train_readin", np.True_, True),
        ("c_output_dist", "gaussian", "gaussian"),
        ("alignmentExtraArgs", ["k", 3], ("k", 3.0)),
        ("alignmentExtraArgs", np.array([1, 2]), (1.0, 2.0)),
        ("alignmentExtraArgs", ["k", [True, np.int8(3)]], ("k", (True, 3.0))),
        ("spikeBinMs", 5, 5.0),
    ],
)
def test_assignment_converts_to_the_class_on_disk(name, given, stored):
    par = RunParams()
    setattr(par, name, given)
    value = getattr(par, name)
    assert value == stored
    assert type(value) is type(stored)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("c_gen_dim", 65536, "from 0 to 65535"),
        ("c_gen_dim", -1, "from 0 to 65535"),
        ("c_kl_increase_steps", 2**32, "from 0 to 4294967295"),
        ("c_gen_dim", 1.5, "whole number"),
        ("c_gen_dim", float("nan"), "whole number"),
        ("c_gen_dim", float("inf"), "whole number"),
        ("c_gen_dim", True, "whole number"),
        ("c_gen_dim", "64", "whole number"),
        ("c_gen_dim", [64], "whole number"),
        ("c_keep_prob", float("nan"), "finite"),
        ("c_keep_prob", 10**400, "finite"),
        ("c_keep_prob", [0.9, 0.8], "number"),
        ("c_keep_prob", None, "number"),
        ("c_do_train_readin", "yes", "True or False"),
        ("c_do_train_readin", 2, "True or False"),
        ("c_output_dist", "poison", "'poisson', 'gaussian'"),
        ("c_device", "/gpu:0\nrm", "line breaks"),
        ("c_device", "\udc80", "UTF-8"),
        ("c_device", 0, "text"),
        ("alignmentExtraArgs", "k", "list"),
        ("alignmentExtraArgs", [None], "number"),
    ],
)
def test_a_value_that_the_class_on_disk_cannot_hold_is_refused(name, wrong, words):
    par = RunParams()
    with pytest.raises(ConfigError, match=words) as caught:
        setattr(par, name, wrong)
    assert name in str(caught.value)
    assert par == RunParams()


@pytest.mark.parametrize("make", [RunParams, lambda **kw: setattr(RunParams(), *kw.popitem())])
def test_an_unknown_name_is_refused_with_the_nearest(make):
    with pytest.raises(UnknownHyperParamError, match="did you mean 'c_gen_dim'"):
        make(c_gen_dims=64)


def test_the_constructor_reports_everything_that_is_wrong_at_once():
    with pytest.raises(ConfigError) as caught:
        RunParams(c_gen_dims=64, c_keep_prob="a", c_batch_size=1e9, c_co_dim=2)
    message = str(caught.value)
    assert message.startswith("3 hyperparameters are wrong")
    assert all(name in message for name in ("'c_gen_dims'", "c_keep_prob", "c_batch_size"))
    assert "c_co_dim" not in message


def test_deleting_is_refused():
    par = RunParams()
    with pytest.raises(ConfigError, match="default"):
        del par.c_gen_dim


def test_copies_are_equal_and_go_their_own_ways():
    par = RunParams(c_gen_dim=64)
    for twin in (
        par.copy(),
        copy.copy(par),
        copy.deepcopy(par),
        pickle.loads(pickle.dumps(par)),
        RunParams.from_dict(par.to_dict()),
    ):
        assert twin == par
        twin.c_gen_dim = 65
        assert twin != par
    assert par.c_gen_dim == 64
    assert par != "something else"


def test_dictionaries_hold_every_hyperparameter_and_refuse_unknown_ones():
    assert RunParams(c_gen_dim=64).to_dict() == RunParams().to_dict() | {"c_gen_dim": 64}
    with pytest.raises(UnknownHyperParamError):
        RunParams.from_dict({"c_gen": 64})


def test_a_sweep_is_every_combination_of_pairs_and_keywords():
    par = RunParams(name="base", c_keep_prob=0.9)
    sweep = par.generate_sweep("c_gen_dim", np.array([32, 64]), c_co_dim=range(0, 5, 2))
    assert [(one.c_gen_dim, one.c_co_dim) for one in sweep] == [
        (gen, con) for gen in (32, 64) for con in (0, 2, 4)
    ]
    assert all(one.name == "base" and one.c_keep_prob == 0.9 for one in sweep)
    assert par == RunParams(name="base", c_keep_prob=0.9)
    assert len({one.param_hash for one in sweep}) == 6


@pytest.mark.parametrize(
    ("arguments", "values", "words"),
    [
        (["c_gen_dim"], {}, "pairs"),
        (["c_gen_dim", 64], {}, "list of values"),
        (["c_output_dist", "poisson"], {}, "list of values"),
        (["c_gen_dim", []], {}, "no values"),
        (["c_gen_dim", [1], "c_gen_dim", [2]], {}, "twice"),
        (["c_gen_dim", [1]], {"c_gen_dim": [2]}, "twice"),
        (["c_gen_dims", [1]], {}, "did you mean"),
        (["c_gen_dim", [1, 70000]], {}, "from 0 to 65535"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(arguments, values, words):
    with pytest.raises(ConfigError, match=words):
        RunParams().generate_sweep(*arguments, **values)


def test_a_subclass_without_its_decorator_works_all_the_same():
    class Undecorated(RunParams):
        alignTo: str = hyperparam("GoCue", group="Mine")

    @dataclass
    class Decorated(RunParams):
        alignTo: str = hyperparam("GoCue", group="Mine")

    for cls in (Undecorated, Decorated):
        par = cls(alignTo="Target", c_gen_dim=64)
        assert par.alignTo == "Target"
        assert par.data_hash != cls().data_hash
        assert "   Mine\n" in str(par)
        assert par.copy() == par
        with pytest.raises(UnknownHyperParamError):
            cls(alignto="Target")
        with pytest.raises(ConfigError, match="text"):
            par.alignTo = 3
    assert Undecorated().param_hash == Decorated().param_hash == RunParams().param_hash


def test_a_subclass_of_a_subclass_has_the_fields_of_both():
    class Lab(RunParams):
        alignTo: str = hyperparam("GoCue")

    class Task(Lab):
        delay_ms: float = 0

    assert Task(delay_ms=5, alignTo="Target").get_diff_from_default() == "alignTo=Target delay_ms=5"


def test_a_default_cannot_be_redefined():
    with pytest.raises(ConfigError, match="redefines c_gen_dim"):

        class Typed(RunParams):
            c_gen_dim: int = 64

    with pytest.raises(ConfigError, match="redefines c_gen_dim"):

        class Untyped(RunParams):
            c_gen_dim = 64


@pytest.mark.parametrize("value", ["GoCue", 3, hyperparam("GoCue")])
def test_a_hyperparameter_without_a_type_is_refused(value):
    with pytest.raises(ConfigError, match="alignTo has no type"):
        type("Lab", (RunParams,), {"alignTo": value})


def test_a_hyperparameter_needs_a_default_and_an_ascii_name():
    with pytest.raises(ConfigError, match="no default"):
        type("Lab", (RunParams,), {"__annotations__": {"alignTo": "str"}})()
    with pytest.raises(ConfigError, match="ASCII"):
        type("Lab", (RunParams,), {"__annotations__": {"größe": "int"}, "größe": 3})()


def test_lists_of_numbers_and_long_numbers_in_displays():
    class Lab(RunParams):
        window: tuple[float, ...] = hyperparam((-100, 400))
        areas: tuple[str, ...] = hyperparam(("M1",))

    par = Lab(window=np.array([-50, 0.5]), areas=["M1", "PMd"], c_max_grad_norm=1234.5)
    text = str(par)
    assert "window: [-50 0.5000]" in text
    assert "areas: {'M1' 'PMd'}" in text
    assert "c_max_grad_norm: 1.2345e+03" in text
    assert par.get_diff_from_default() == "c_max_grad_norm=1234.5 window=[-50 0.5] areas={M1, PMd}"


def test_a_class_must_be_able_to_hold_its_own_default():
    class Lab(RunParams):
        bins: int = hyperparam(-1, matlab_class="uint16")

    with pytest.raises(ConfigError, match="bins cannot be -1"):
        Lab()


def test_what_displays_hide_at_the_default_they_show_when_changed():
    assert "alignmentApproach" not in str(RunParams())
    assert "alignmentApproach: 'other'" in str(RunParams(alignmentApproach="other"))
    assert (
        "scaleStartStepWithDatasets: false"
        in RunParams(scaleStartStepWithDatasets=False).generate_summary_text()
    )


# --- own parameters of every class ----------------------------------------------------------------


class Typed(RunParams):
    longest_ms: float = hyperparam(float("inf"))
    gain: float = hyperparam(1, matlab_class="single")
    shift: int = hyperparam(0, matlab_class="int8")
    seed: int = hyperparam(0, matlab_class="uint64")
    is_used: tuple[bool, ...] = hyperparam((True, False), matlab_class="logical")
    weights: tuple[tuple[float, ...], ...] = hyperparam(np.eye(2))
    window: tuple[float, ...] = hyperparam((), matlab_class="double")
    options: tuple[object, ...] = hyperparam(["k", 1])


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("longest_ms", -np.inf, float("-inf")),
        ("longest_ms", [1, 2], (1.0, 2.0)),
        ("longest_ms", [3], 3.0),
        ("longest_ms", range(3), (0.0, 1.0, 2.0)),
        ("longest_ms", [], ()),
        ("longest_ms", np.zeros((0, 0)), ()),
        ("gain", 0.1, float(np.float32(0.1))),
        ("gain", np.inf, float("inf")),
        ("shift", -128, -128),
        ("shift", [[1], [2]], ((1,), (2,))),
        ("seed", 2**64 - 1, 2**64 - 1),
        ("is_used", np.array([[0, 1], [1, 1]]), ((False, True), (True, True))),
        ("is_used", False, (False,)),
        ("weights", [[1, 2, 3]], (1.0, 2.0, 3.0)),
        ("weights", [np.array([1, 2]), (3, 4)], ((1.0, 2.0), (3.0, 4.0))),
        ("weights", np.float32(2), (2.0,)),
        ("window", 5, (5.0,)),
        ("options", [], ()),
        ("options", ["k", [1, 2], ["a", []]], ("k", (1.0, 2.0), ("a", ()))),
    ],
)
def test_own_parameters_are_stored_as_values_that_cannot_change(name, given, stored):
    par = Typed(**{name: given})
    value = getattr(par, name)
    assert value == stored
    assert type(value) is type(stored)
    assert hash(value) == hash(stored)
    assert Typed(**{name: value}) == par == par.copy()
    assert Typed.from_dict(json.loads(json.dumps(par.to_dict()))) == par


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("longest_ms", "long", "give a number"),
        ("longest_ms", 1j, "give a number"),
        ("longest_ms", [1, True], "give a number"),
        ("longest_ms", {"a": 1}, "give a number"),
        ("longest_ms", 10**400, "finite number that a double can hold"),
        ("longest_ms", [[1, 2], [3]], "equally many"),
        ("longest_ms", [1, [2]], "equally many"),
        ("longest_ms", [[[1]]], "give a number"),
        ("longest_ms", np.zeros((2, 2, 2)), "at most two dimensions, not 3"),
        ("longest_ms", np.zeros((0, 3)), r"give \[\] for an empty value"),
        ("longest_ms", [[]], r"give \[\] for an empty value"),
        ("gain", 1e39, "single can hold, up to 3.4"),
        ("shift", 128, "from -128 to 127"),
        ("shift", [1, -129], "from -128 to 127"),
        ("shift", [0.5], "whole number"),
        ("seed", 2**64, "from 0 to 18446744073709551615"),
        ("is_used", [0, 2], "True or False"),
        ("options", {"k": 1}, "give a list"),
        ("options", ["k", {"a": 1}], "give a number"),
        ("options", [np.array([1j])], "float64, float32, bool, or integers"),
        ("options", ["a\nb"], "line breaks"),
        ("spikeBinMs", np.inf, "finite"),
        ("spikeBinMs", [1, 2], "give a number"),
        ("num_samples_posterior", np.nan, "finite"),
        ("alignmentExtraArgs", ["k", [np.inf]], "finite"),
    ],
)
def test_what_a_class_cannot_hold_or_lfads_cannot_use_is_refused_by_name(name, wrong, words):
    with pytest.raises(ConfigError, match=f"{name} cannot be .*{words}"):
        setattr(Typed(), name, wrong)


def test_arrays_that_are_long_do_not_fill_the_message():
    with pytest.raises(ConfigError) as caught:
        Typed(shift=list(range(1000)))
    assert len(str(caught.value)) < 120


def test_own_parameters_are_shown_as_matlab_shows_them():
    par = Typed(
        longest_ms=float("nan"),
        gain=0.5,
        shift=[-1, 2],
        weights=[[1, 0.25], [-np.inf, 4]],
        window=[0.1, 2, 3, 4, 5, 1 / 3],
        is_used=[],
        options=["k", 2.5, True, np.array([1, 2], np.int8), ["a", []]],
    )
    assert par.get_diff_from_default() == (
        "longest_ms=NaN gain=0.5 shift=[-1 2] is_used=[] weights=[1 0.25;-Inf 4] window=[...] "
        "options={k, 2.5, true, [1 2], {a, {}}}"
    )
    shown = dict(line.strip().split(": ", 1) for line in str(par).splitlines() if ": " in line)
    assert shown["longest_ms"] == "NaN"
    assert shown["gain"] == "0.5000"
    assert shown["shift"] == "[-1 2]"
    assert shown["weights"] == "[2x2 double]"
    assert shown["window"] == "[0.1000 2 3 4 5 0.3333]"
    assert shown["is_used"] == "[]"
    assert shown["options"] == "{'k' [2.5000] [1] [1 2] {'a' {}}}"
    summary = par.generate_summary_text().splitlines()
    assert "window: [0.1 2 3 4 5 0.333333333333333]" in summary
    assert "longest_ms: Inf" in Typed().generate_summary_text().splitlines()
    assert "window: [1x20 double]" in str(Typed(window=range(20)))
    assert "options: {1x12 cell}" in str(Typed(options=["a"] * 12))


def test_sweeps_over_arrays():
    sweep = Typed().generate_sweep("weights", [np.eye(2), [[1, 2], [3, 4]]], window=[[], [0, 5]])
    assert [(one.weights[0], one.window) for one in sweep] == [
        ((1.0, 0.0), ()),
        ((1.0, 0.0), (0.0, 5.0)),
        ((1.0, 2.0), ()),
        ((1.0, 2.0), (0.0, 5.0)),
    ]
    assert len({one.param_hash for one in sweep}) == 4
    assert sweep[0] == Typed()


def test_an_array_that_was_given_can_change_and_the_setting_does_not():
    weights = np.eye(2)
    par = Typed(weights=weights)
    weights[0, 0] = 7
    assert par == Typed()


@pytest.mark.parametrize("default", [[1, 2], np.array([1, 2])])
def test_a_default_that_could_change_must_be_declared(default):
    with pytest.raises(ConfigError, match=r"window has a default.*hyperparam\("):
        type("Lab", (RunParams,), {"__annotations__": {"window": "tuple"}, "window": default})


@pytest.mark.parametrize(
    ("default", "words"),
    [
        (np.zeros((2, 2, 2)), "two dimensions"),
        (np.zeros(2, complex), "float64"),
        (np.zeros((0, 2)), "empty"),
    ],
)
def test_an_array_that_no_parameter_can_be_is_refused_as_a_default(default, words):
    with pytest.raises(ConfigError, match=words):
        hyperparam(default)


def test_a_nan_equals_itself_in_settings_so_that_they_can_be_compared():
    one, other = (Typed(longest_ms=float("nan"), window=[0, float("nan")]) for _ in range(2))
    assert one == other
    assert one.longest_ms == other.longest_ms
    assert (one.longest_ms != other.longest_ms) is False
    assert one.longest_ms != 0.0
    assert np.isnan(one.longest_ms)
    assert one.to_dict() == pickle.loads(pickle.dumps(other.to_dict()))
    assert one.window in [other.window]
    assert one != Typed(longest_ms=float("nan"), window=[float("nan"), 0])


def test_a_class_that_adjusts_values_in_its_constructor_is_copied_as_it_is():
    class Adjusting(RunParams):
        def __init__(self, **values):
            super().__init__(**{"spikeBinMs": 10, **values})

    par = Adjusting(c_gen_dim=64)
    par.spikeBinMs = 2
    assert par.copy() == par
    assert [one.spikeBinMs for one in par.generate_sweep(c_co_dim=[1, 2])] == [2, 2]
    assert Adjusting().data_hash == RunParams(spikeBinMs=10).data_hash
