"""Hashes name folders that labs already have: they are pinned, as is the table they cover."""

from __future__ import annotations

import csv
import hashlib
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq import RunParams, hyperparam

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


def expected_hash(values):
    stream = b"struct" + pack("<QQQ", 2, 1, 1)
    for name in sorted(values):
        stream += name.encode("ascii") + expected_bytes(*values[name])
    text = b64encode(hashlib.md5(stream).digest()).decode().rstrip("=")
    return text.replace("/", "_").replace("+", "-")[:6]


def expected_bytes(matlab_class, value):
    if matlab_class in ("uint16", "uint32"):
        code, matlab_class = ("<H", "uint16") if value < 65536 else ("<I", "uint32")
        body, size = pack(code, value), (1, 1)
    elif matlab_class == "logical":
        body, size = (b"\1" if value else b"\0"), (1, 1)
    elif matlab_class == "double":
        row = value if isinstance(value, tuple) else (value,)
        body, size = b"".join(pack("<d", number) for number in row), (1, len(row))
    elif matlab_class == "char":
        body = b"".join(value[i : i + 1].encode("utf-16-le") for i in range(len(value)))
        size = (1, len(body) // 2)
    else:
        body = b"".join(expected_bytes(*element) for element in value)
        size = (1, len(value))
    if not body:
        size = (0, 0)
    return matlab_class.encode() + pack("<QQQ", 2, *size) + body


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


def typed_elements(cell):
    classes = {bool: "logical", str: "char", float: "double", int: "double"}
    return [(classes[type(element)], element) for element in cell]


@given(changes=settings_of_any_class(), version=st.sampled_from([20171106, 20171107, 20180131]))
def test_hashes_cover_exactly_what_differs_from_the_defaults(changes, version):
    par = RunParams(version=version, **{name: value for name, (_, value) in changes.items()})
    defaults = RunParams().to_dict()
    stored = {
        name: (matlab_class, typed_elements(value) if matlab_class == "cell" else value)
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
        "alignTo": ("char", "Tärget😀"),
        "window": ("double", (-50.0, 300.0)),
        "areas": ("cell", [("char", "M1"), ("char", "PMd")]),
        "smoothing": ("double", 2.0),
    }
    assert par.data_hash == expected_hash(own)
    assert par.param_hash == expected_hash(own | {"c_own_flag": ("uint16", 4)})


def test_cells_in_cells_are_cells_and_rows_of_numbers_are_doubles():
    nested = ["k", [1, 2], [], ["a", True]]
    stored = [
        ("char", "k"),
        ("double", (1.0, 2.0)),
        ("cell", []),
        ("cell", [("char", "a"), ("logical", True)]),
    ]
    par = RunParams(alignmentExtraArgs=nested)
    assert par.param_hash == expected_hash({"alignmentExtraArgs": ("cell", stored)})


def test_own_hyperparameters_at_their_defaults_leave_old_hashes_alone():
    assert LabParams(**WALKTHROUGH).param_hash == "YOs74u"
