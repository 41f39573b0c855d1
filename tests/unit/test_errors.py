"""Errors survive the way between processes and say what to do next."""

from __future__ import annotations

import pickle

import pytest

from lfadsq import errors

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_error_pickles_with_its_text(cls):
    arguments = (
        ("c_gen", ["c_gen_dim"]) if cls is errors.UnknownHyperParamError else ("broken", "mend it")
    )
    error = cls(*arguments)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert isinstance(error, errors.LfadsqError)


def test_the_tree_in_the_docstring_names_every_error():
    assert all(name in errors.__doc__ for name in errors.__all__)


def test_the_nearest_name_is_found_in_any_case():
    text = str(errors.UnknownHyperParamError("C_GEN_DIM", ["c_ic_dim", "c_gen_dim"]))
    assert "did you mean 'c_gen_dim'?" in text


def test_an_unknown_hyperparameter_without_a_near_one_lists_all():
    text = str(errors.UnknownHyperParamError("zzzz", ["c_gen_dim", "c_ic_dim"]))
    assert "c_gen_dim, c_ic_dim" in text
