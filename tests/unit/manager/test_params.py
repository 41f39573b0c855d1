"""`RunParams` as a value: assignment, copies, sweeps, dictionaries, and classes derived from it."""

from __future__ import annotations

import copy
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
    assert par.get_diff_from_default() == "c_max_grad_norm=1234.5 window=[-50 0.5] areas={M1 PMd}"


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
