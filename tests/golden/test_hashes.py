"""Hashes name folders that labs already have: they are pinned, as is the table they cover."""

from __future__ import annotations

import csv
import hashlib
import pickle
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq import RunParams, hyperparam
from lfadsq.errors import ConfigError
from lfadsq.manager.hashing import typed_stream
from lfadsq.manager.matlab_values import MatlabCell

TABLE = Path(__file__).parent / "data" / "run_params.csv"
WALKTHROUGH = {
    "c_co_dim": 0,
    "c_batch_size": 150,
    "c_factors_dim": 8,
    "c_gen_dim": 64,
    "c_ic_enc_dim": 64,
    "c_learning_rate_stop": 1e-3,
}


@pytest.mark.parametrize(
    ("changes", "param_hash", "data_hash"),
    [
        ({}, "YOs74u", "4MaTKO"),
        ({"c_factors_dim": 2}, "Z1-4Ne", "cq1HAe"),
        ({"useAlignmentMatrix": True}, "Qr2PeG", "RE1kuL"),
    ],
)
def test_hashes_of_collections_that_matlab_made(changes, param_hash, data_hash):
    par = RunParams(**(WALKTHROUGH | changes))
    assert (par.param_hash, par.data_hash) == (param_hash, data_hash)
    assert par.param_hash_string == f"param_{param_hash}"
    assert par.data_hash_string == f"data_{data_hash}"


def table():
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_of_hyperparameters_is_the_published_one():
    def parsed(row):
        text = row["default"]
        matlab_class = row["matlab_class"].replace("untyped (double)", "double")
        default = {
            "char": lambda: text,
            "logical": lambda: text == "true",
            "double": lambda: float(text),
            "cell": lambda: () if text == "{}" else pytest.fail(text),
        }.get(matlab_class, lambda: int(text))()
        flags = [row[key] == "yes" for key in ("in_param_hash", "in_data_hash")]
        # What is not in the param hash is a label: no flag and no data hash either.
        return (row["name"], matlab_class, default, row["group"], *flags, row["passed_to_trainer"])

    ours = [
        (
            hyper.name,
            hyper.matlab_class,
            hyper.default,
            hyper.group,
            hyper.in_param_hash,
            hyper.in_data_hash,
            "yes" if hyper.passed_to_trainer else "no",
        )
        for hyper in RunParams.hyperparams()
    ]
    assert ours == [parsed(row) for row in table()]
    assert [type(hyper[2]) for hyper in ours] == [type(parsed(row)[2]) for row in table()]


# --- the typed stream of bytes, written a second time straight from its description ---------------


@dataclass(frozen=True)
class M:
    """A value as MATLAB holds it: a table of numbers, one text, or one row of further values."""

    matlab_class: str
    rows: tuple[tuple[object, ...], ...] = ()


CODES = {
    "logical": "?",
    "double": "d",
    "single": "f",
    **{"int8": "b", "int16": "h", "int32": "i", "int64": "q"},
    **{"uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q"},
}
NARROWED = (
    ("uint64", "uint32", 0, 2**32 - 1),
    ("uint32", "uint16", 0, 2**16 - 1),
    # Not up to 2**31 - 1: LFADS Run Manager compares with < there.
    ("int64", "int32", -(2**31), 2**31 - 2),
    ("int32", "int16", -(2**15), 2**15 - 1),
)


def text(value):
    return M("char", ((value,),) if value else ())


def scalar(matlab_class, value):
    return M(matlab_class, ((value,),))


def row(matlab_class, *values):
    return M(matlab_class, (values,) if values else ())


def expected_hash(values):
    stream = b"struct" + pack("<QQQ", 2, 1, 1)
    for name in sorted(values):
        stream += name.encode("ascii") + expected_bytes(values[name])
    coded = b64encode(hashlib.md5(stream).digest()).decode().rstrip("=")
    return coded.replace("/", "_").replace("+", "-")[:6]


def expected_bytes(value):
    if not value.rows:
        return value.matlab_class.encode() + pack("<QQQ", 2, 0, 0)
    if value.matlab_class == "char":
        body = value.rows[0][0].encode("utf-16-le")
        return b"char" + pack("<QQQ", 2, 1, len(body) // 2) + body
    size = (len(value.rows), len(value.rows[0]))
    elements = [value.rows[i][j] for j in range(size[1]) for i in range(size[0])]
    if value.matlab_class == "cell":
        return b"cell" + pack("<QQQ", 2, *size) + b"".join(map(expected_bytes, elements))
    stored = value.matlab_class
    for wide, narrow, smallest, largest in NARROWED:
        if stored == wide and all(smallest <= element <= largest for element in elements):
            stored = narrow
    nan = {"double": bytes([0] * 6 + [0xF8, 0xFF]), "single": bytes([0, 0, 0xC0, 0xFF])}
    return (
        stored.encode()
        + pack("<QQQ", 2, *size)
        + b"".join(nan[stored] if e != e else pack("<" + CODES[stored], e) for e in elements)
    )


def test_the_description_agrees_with_what_the_author_of_the_hash_published():
    # The two answers that the help of DataHash prints, which were made without narrowing.
    for stream in (expected_bytes(M("double")), typed_stream((), "double")):
        assert hashlib.md5(stream).hexdigest() == "5b302b7b2099a97ba2a276640a192485"
    wide = b"int32" + pack("<QQQ", 2, 1, 10) + pack("<10i", *range(1, 11))
    assert b64encode(hashlib.md5(wide).digest()).decode() == "+tJN9yeF89h3jOFNN55XLg=="
    assert expected_bytes(row("int32", *range(1, 11))) == (
        b"int16" + pack("<QQQ", 2, 1, 10) + pack("<10h", *range(1, 11))
    )


TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=20)
DOUBLE = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
VALUES = {
    "char": TEXT,
    "logical": st.booleans(),
    "double": DOUBLE,
    "uint16": st.integers(0, 2**16 - 1),
    "uint32": st.integers(0, 2**32 - 1) | st.integers(0, 2**17),
    "cell": st.lists(TEXT | st.booleans() | DOUBLE | st.integers(-1000, 1000), max_size=4),
}


@st.composite
def settings_of_any_class(draw):
    rows = [row for row in table() if row["in_param_hash"] == "yes"]
    changes = {}
    for row in draw(st.lists(st.sampled_from(rows), unique_by=lambda row: row["name"])):
        matlab_class = row["matlab_class"].replace("untyped (double)", "double")
        value = draw(VALUES[matlab_class])
        if row["name"] == "c_feedback_factors_or_rates":
            value = draw(st.sampled_from(["factors", "rates"]))
        if row["name"] == "c_output_dist":
            value = draw(st.sampled_from(["poisson", "gaussian"]))
        changes[row["name"]] = (matlab_class, value)
    return changes


def typed(matlab_class, value):
    if matlab_class == "char":
        return text(value)
    if matlab_class != "cell":
        return scalar(matlab_class, value)
    classes = {bool: "logical", str: "char", float: "double", int: "double"}
    return row("cell", *(typed(classes[type(element)], element) for element in value))


@given(changes=settings_of_any_class(), version=st.sampled_from([20171106, 20171107, 20180131]))
def test_hashes_cover_exactly_what_differs_from_the_defaults(changes, version):
    par = RunParams(version=version, **{name: value for name, (_, value) in changes.items()})
    defaults = RunParams().to_dict()
    stored = {
        name: typed(matlab_class, value)
        for name, (matlab_class, value) in changes.items()
        if (tuple(value) if matlab_class == "cell" else value) != defaults[name]
    }
    in_data = {
        name: value
        for name, value in stored.items()
        if not name.startswith("c_") or (name == "c_factors_dim" and version >= 20171107)
    }
    assert par.param_hash == expected_hash(stored)
    assert par.data_hash == expected_hash(in_data)


def test_labels_and_how_to_sample_change_no_hash():
    par = RunParams(
        name="a",
        version=20180131,
        posterior_mean_kind="posterior_push_mean",
        num_samples_posterior=7,
    )
    assert par.param_hash == RunParams().param_hash == expected_hash({})
    assert par.data_hash == RunParams().data_hash


def test_before_20171107_factors_changed_no_data():
    old, new = (RunParams(version=version, c_factors_dim=2) for version in (20171106, 20171107))
    assert old.data_hash == RunParams().data_hash
    assert new.data_hash == "cq1HAe"
    assert old.param_hash == new.param_hash


@dataclass
class LabParams(RunParams):
    alignTo: str = hyperparam("GoCue")
    window: tuple[float, ...] = hyperparam((-100, 400))
    areas: tuple[str, ...] = hyperparam(("M1",))
    smoothing: float = 5
    c_own_flag: int = hyperparam(3, matlab_class="uint16")
    note: str = hyperparam("", in_param_hash=False)


def test_own_hyperparameters_count_in_both_hashes_unless_they_say_otherwise():
    par = LabParams(
        alignTo="Tärget😀",
        window=[-50, 300],
        areas=["M1", "PMd"],
        smoothing=2,
        note="x",
        c_own_flag=4,
    )
    own = {
        "alignTo": text("Tärget😀"),
        "window": row("double", -50, 300),
        "areas": row("cell", text("M1"), text("PMd")),
        "smoothing": scalar("double", 2),
        # MATLAB leaves out of the data hash only those names with c_ that its own class has.
        "c_own_flag": scalar("uint16", 4),
    }
    assert par.param_hash == par.data_hash == expected_hash(own)


def test_cells_in_cells_are_cells_and_rows_of_numbers_are_doubles():
    nested = ["k", [1, 2], [], ["a", True]]
    stored = row(
        "cell",
        text("k"),
        row("double", 1, 2),
        row("cell"),
        row("cell", text("a"), scalar("logical", True)),
    )
    par = RunParams(alignmentExtraArgs=nested)
    assert par.param_hash == expected_hash({"alignmentExtraArgs": stored})


def test_own_hyperparameters_at_their_defaults_leave_old_hashes_alone():
    assert LabParams(**WALKTHROUGH).param_hash == "YOs74u"


# --- own hyperparameters of every class -----------------------------------------------------------


def integers(name):
    lowest, highest = int(np.iinfo(name).min), int(np.iinfo(name).max)
    return st.integers(lowest, highest) | st.integers(max(-300, lowest), 100)


NUMBERS = {
    "logical": st.booleans(),
    "double": st.floats() | st.integers(-(2**53), 2**53),
    "single": st.floats(width=32) | st.integers(-(2**24), 2**24),
    **{name: integers(name) for name in CODES if "int" in name},
}
DTYPES = {name: name for name in CODES}
DTYPES |= {"logical": "bool", "double": "float64", "single": "float32"}


@st.composite
def tables(draw, matlab_class):
    """Rows of numbers; none, for an empty value."""
    num_rows, num_columns = draw(
        st.sampled_from([(0, 0), (1, 1), (1, 2), (1, 5), (2, 1), (2, 3), (3, 2)])
    )
    numbers = st.tuples(*[NUMBERS[matlab_class]] * num_columns)
    return draw(st.tuples(*[numbers] * num_rows))


@st.composite
def arrays(draw, matlab_class):
    """What a user may give for a table of numbers, and what MATLAB holds then."""
    rows = draw(tables(matlab_class))
    dtype = DTYPES[matlab_class]
    ways = [[list(one) for one in rows], rows, np.array(rows, dtype)]
    if len(rows) == 1:
        ways += [list(rows[0]), np.array(rows[0], dtype)]
        ways += [rows[0][0]] if len(rows[0]) == 1 else []
    return draw(st.sampled_from(ways)), M(matlab_class, rows)


@st.composite
def numpy_arrays(draw):
    """An array whose dtype alone says the class."""
    matlab_class = draw(st.sampled_from(sorted(CODES)))
    rows = draw(tables(matlab_class))
    return np.array(rows, DTYPES[matlab_class]), M(matlab_class, rows)


def rows_of_doubles(numbers):
    return list(numbers), row("double", *numbers)


def as_cell(elements):
    """Make of pairs (given, stored) the pair for the cell of them."""
    return [given for given, _ in elements], row("cell", *(stored for _, stored in elements))


def cells_of(elements):
    pairs = st.lists(elements, max_size=4).map(as_cell)
    # A list of nothing but numbers is a row of doubles: as a cell it must be given by that name.
    explicit = pairs.map(lambda pair: (MatlabCell(pair[0]), pair[1]))
    return explicit | pairs.filter(lambda pair: not holds_only_numbers(pair[0]))


def holds_only_numbers(given):
    return bool(given) and all(type(one) in (int, float) for one in given)


ELEMENTS = st.recursive(
    TEXT.map(lambda value: (value, text(value)))
    | st.booleans().map(lambda value: (value, scalar("logical", value)))
    | NUMBERS["double"].map(lambda value: (value, scalar("double", value)))
    | st.lists(NUMBERS["double"], min_size=1, max_size=4).map(rows_of_doubles)
    | numpy_arrays(),
    cells_of,
    max_leaves=8,
)
GIVEN = {
    "char": TEXT.map(lambda value: (value, text(value))),
    "cell": st.lists(ELEMENTS, max_size=4).map(as_cell),
    **{name: arrays(name) for name in CODES},
}
DEFAULTS = {"char": "none", "cell": ("none",), "logical": True}
TypedParams = type(
    "TypedParams",
    (RunParams,),
    {
        "__annotations__": {f"own_{name}": "object" for name in GIVEN},
        **{f"own_{name}": hyperparam(DEFAULTS.get(name, 7), matlab_class=name) for name in GIVEN},
    },
)
STORED_DEFAULTS = {
    "char": text("none"),
    "cell": row("cell", text("none")),
    **{name: scalar(name, DEFAULTS.get(name, 7)) for name in CODES},
}


@settings(max_examples=80)
@given(data=st.data(), names=st.sets(st.sampled_from(sorted(GIVEN))))
def test_own_hyperparameters_of_every_class_hash_as_matlab_would(data, names):
    pairs = {name: data.draw(GIVEN[name], label=name) for name in names}
    par = TypedParams(**{f"own_{name}": given for name, (given, _) in pairs.items()})
    stored = {
        f"own_{name}": stored
        for name, (_, stored) in pairs.items()
        if stored != STORED_DEFAULTS[name]
    }
    assert par.param_hash == par.data_hash == expected_hash(stored)

    twins = [par.copy(), TypedParams.from_dict(par.to_dict()), pickle.loads(pickle.dumps(par))]
    assert all(twin == par and twin.param_hash == par.param_hash for twin in twins)
    assert hash(tuple(par.to_dict().values())) == hash(tuple(twins[1].to_dict().values()))
    assert str(par) == str(twins[2])


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (np.array([1, 2]), row("int16", 1, 2)),
        (np.array([[1.5, 2], [3, 4]], np.float32), M("single", ((1.5, 2), (3, 4)))),
        (np.array([True, False]), row("logical", True, False)),
        (np.array(3, np.uint8), scalar("uint8", 3)),
        (np.array([3], np.int8), scalar("int8", 3)),
        (np.array(["M1", "PMd"]), row("cell", text("M1"), text("PMd"))),
        (np.int16(3), scalar("double", 3)),
        (3, scalar("double", 3)),
        ([1, 2], row("double", 1, 2)),
        ([[1, 2], [3, 4]], row("cell", row("double", 1, 2), row("double", 3, 4))),
        ([1, "a"], row("cell", scalar("double", 1), text("a"))),
        (True, scalar("logical", True)),
    ],
)
def test_without_a_declared_class_the_default_decides(given, stored):
    class Lab(RunParams):
        own: object = hyperparam(given)

    (hyper,) = (hyper for hyper in Lab.hyperparams() if hyper.name == "own")
    assert Lab().param_hash == RunParams().param_hash
    assert typed_stream(hyper.default, hyper.matlab_class) == expected_bytes(stored)


@pytest.mark.parametrize(
    ("matlab_class", "numbers", "hashed_as"),
    [
        ("uint64", (2**16 - 1,), "uint16"),
        ("uint32", (0, 2**16), "uint32"),
        ("uint64", (2**32 - 1,), "uint32"),
        ("uint64", (2**32,), "uint64"),
        ("int64", (-(2**15), 2**15 - 1), "int16"),
        ("int32", (2**15,), "int32"),
        ("int32", (-(2**15) - 1,), "int32"),
        ("int64", (2**31 - 2, -(2**31)), "int32"),
        ("int64", (2**31 - 1,), "int64"),
        ("int32", (2**31 - 1,), "int32"),
        ("int16", (1,), "int16"),
        ("uint8", (1,), "uint8"),
        ("int8", (1,), "int8"),
        ("uint64", (), "uint64"),
        ("int32", (), "int32"),
    ],
)
def test_integers_are_hashed_as_the_smallest_class_of_16_bits_or_more(
    matlab_class, numbers, hashed_as
):
    size = (1, len(numbers)) if numbers else (0, 0)
    assert typed_stream(numbers, matlab_class) == (
        hashed_as.encode()
        + pack("<QQQ", 2, *size)
        + pack(f"<{len(numbers)}{CODES[hashed_as]}", *numbers)
    )


def test_nothing_equals_a_nan_so_it_is_hashed_even_as_the_default():
    class Lab(RunParams):
        maxDelay: float = float("nan")
        window: tuple[float, ...] = (0.0, float("nan"))

    def stored(delay, *window):
        return expected_hash(
            {"maxDelay": scalar("double", delay), "window": row("double", *window)}
        )

    nan = float("nan")
    assert Lab().param_hash == stored(nan, 0, nan)
    assert (
        Lab(maxDelay=np.nan) == Lab() == Lab.from_dict(pickle.loads(pickle.dumps(Lab().to_dict())))
    )
    assert Lab().to_dict() == pickle.loads(pickle.dumps(Lab().to_dict()))
    assert Lab(maxDelay=3).param_hash == stored(3, 0, nan)
    assert Lab(maxDelay=3) != Lab()
    assert "maxDelay=NaN window=[0 NaN]" in Lab().get_diff_from_default()


def test_zeros_of_both_signs_are_equal_but_not_hashed_alike():
    class Lab(RunParams):
        shift: float = 0
        gain: float = 1

    assert Lab(shift=-0.0).param_hash == Lab().param_hash
    assert Lab(gain=-0.0).param_hash == expected_hash({"gain": scalar("double", -0.0)})
    assert Lab(gain=0.0).param_hash == expected_hash({"gain": scalar("double", 0.0)})
    assert Lab(gain=0.0) != Lab(gain=-0.0)
    assert RunParams(c_l2_gen_scale=-0.0).param_hash == RunParams(c_l2_gen_scale=0).param_hash


# --- names that enter no hash ---------------------------------------------------------------------


def test_names_may_be_kept_out_of_hashes_as_in_matlab():
    class Lab(RunParams):
        repeat: int = hyperparam(1, matlab_class="uint16")
        note: str = ""

        def get_list_properties_not_affecting_hash(self):
            return [*super().get_list_properties_not_affecting_hash(), "note"]

        def get_list_properties_not_affecting_input_data_hash(self):
            return [
                *super().get_list_properties_not_affecting_input_data_hash(),
                *(["repeat"] if self.spikeBinMs == 2 else []),
            ]

    plain = Lab().param_hash
    assert Lab(note="x").param_hash == plain
    assert Lab(note="x").data_hash == Lab().data_hash
    assert Lab(repeat=2).param_hash == expected_hash({"repeat": scalar("uint16", 2)}) != plain
    assert Lab(repeat=2).data_hash == Lab().data_hash
    assert Lab(repeat=2, spikeBinMs=4).data_hash == expected_hash(
        {"repeat": scalar("uint16", 2), "spikeBinMs": scalar("double", 4)}
    )
    assert Lab(c_factors_dim=2).data_hash == "cq1HAe"
    assert Lab(c_factors_dim=2, version=20171106).data_hash == Lab().data_hash
    assert Lab(**WALKTHROUGH, posterior_mean_kind="posterior_push_mean").param_hash == "YOs74u"


def test_a_hook_need_not_name_the_labels_and_cannot_name_what_is_not_there():
    class Bare(RunParams):
        def get_list_properties_not_affecting_hash(self):
            return []

    class Wrong(RunParams):
        def get_list_properties_not_affecting_input_data_hash(self):
            return ["c_gen_dims"]

    assert Bare(name="x", version=20180131).param_hash == RunParams().param_hash
    assert Bare(num_samples_posterior=7).param_hash == expected_hash(
        {"num_samples_posterior": scalar("double", 7)}
    )
    with pytest.raises(ConfigError, match=r"affecting_input_data_hash.*did you mean 'c_gen_dim'"):
        _ = Wrong().data_hash


def test_what_changes_the_data_must_change_the_folder_of_the_run():
    class Lab(RunParams):
        own: int = hyperparam(1, in_param_hash=False, in_data_hash=True)

    with pytest.raises(ConfigError, match="own enters the data hash and not the param hash"):
        Lab()
