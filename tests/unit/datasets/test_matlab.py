"""MAT files of all versions give the same Python objects, shapes and types unchanged."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from lfadsq import Dataset, DatasetCollection
from lfadsq.errors import DatasetError
from lfadsq.manager.recordings import load_recording

NAMES = ["a.mat", "Affe Jürgen, Tag 1.mat", "猿 'x' \"y\".v2.mat", "no ending"]


class Mat73:
    """Writes as MATLAB's ``save -v7.3`` does: axes reversed, and each variable with its class."""

    def __init__(self, path):
        self.path = path
        self.num_references = 0

    def write(self, **variables):
        with h5py.File(self.path, "w", userblock_size=512) as stored:
            for name, value in variables.items():
                self.put(stored, name, value)
        with self.path.open("r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM")

    def put(self, group, name, value):
        if isinstance(value, dict):
            node = group.create_group(name)
            node.attrs["MATLAB_class"] = np.bytes_("struct")
            for field, one in value.items():
                self.put(node, field, one)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            node = group.create_group(name)
            node.attrs["MATLAB_class"] = np.bytes_("struct")
            for field in value[0]:
                node[field] = self.references(group.file, [one[field] for one in value])
        elif isinstance(value, list):
            self.set(group, name, self.references(group.file, value), "cell")
        elif isinstance(value, str):
            units = np.frombuffer(value.encode("utf-16-le"), "<u2").reshape(-1, 1)
            self.set(group, name, units, "char", MATLAB_int_decode=np.int32(2))
        elif scipy.sparse.issparse(value):
            node = group.create_group(name)
            node.attrs["MATLAB_class"] = np.bytes_("double")
            node.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
            node["jc"] = value.indptr.astype(np.uint64)
            if value.nnz:
                node["ir"], node["data"] = value.indices.astype(np.uint64), value.data
        else:
            self.put_array(group, name, value)

    def put_array(self, group, name, value):
        array = np.atleast_2d(value)
        dtype = array.dtype
        matlab_class = {"float64": "double", "float32": "single", "bool": "logical"}
        matlab_class = matlab_class.get(dtype.name, dtype.name)
        if array.size == 0:
            lengths = np.array(array.shape, np.uint64)
            self.set(group, name, lengths, matlab_class, MATLAB_empty=np.uint8(1))
        elif dtype.kind == "c":
            pairs = np.zeros(array.T.shape, [("real", "f8"), ("imag", "f8")])
            pairs["real"], pairs["imag"] = array.T.real, array.T.imag
            self.set(group, name, pairs, "double")
        elif dtype.kind == "b":
            stored = array.T.astype(np.uint8)
            self.set(group, name, stored, matlab_class, MATLAB_int_decode=np.int32(1))
        else:
            self.set(group, name, array.T, matlab_class)

    def references(self, stored, values):
        references = []
        for value in values:
            self.num_references += 1
            name = f"#refs#/{self.num_references}"
            self.put(stored, name, value)
            references.append(stored[name].ref)
        return np.array(references, h5py.ref_dtype).reshape(-1, 1)

    @staticmethod
    def set(group, name, value, matlab_class, **attributes):
        group[name] = value
        group[name].attrs["MATLAB_class"] = np.bytes_(matlab_class)
        group[name].attrs.update(attributes)


def write_mat73(path, variables):
    Mat73(path).write(**variables)


def as_cells(value):
    if isinstance(value, dict):
        return {name: as_cells(one) for name, one in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        structs = np.empty((1, len(value)), [(field, object) for field in value[0]])
        for index, one in enumerate(value):
            structs[0, index] = tuple(as_cells(field) for field in one.values())
        return structs
    if isinstance(value, list):
        cell = np.empty((1, len(value)), object)
        for index, one in enumerate(value):
            cell[0, index] = as_cells(one)
        return cell
    return value


def write_mat5(path, variables):
    with path.open("wb") as stream:
        scipy.io.savemat(stream, as_cells(variables), do_compression=True)


WRITERS = [write_mat5, write_mat73]
VARIABLES = {
    "spikes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "one_trial": np.arange(12, dtype=np.int16).reshape(1, 3, 4),
    "one_channel": np.arange(8, dtype=np.float32).reshape(2, 1, 4),
    "lfp": np.linspace(-1, 1, 24).reshape(2, 3, 4) * np.pi,
    "large": np.array([[2**62 + 1, -1]], np.int64),
    "scalar": np.array([[7.5]]),
    "wave": np.array([[1 + 2j, 3 - 1j]]),
    "good": np.array([[True, False, True]]),
    "nothing": np.zeros((0, 3)),
    "no_flags": np.zeros((0, 0), np.uint16),
    "subject": "Jürgen 猿 🐒",
    "letter": "J",
    "areas": ["M1", "PMd", np.array([[1.0, 2.0]]), ["nested"]],
    "no_cell_text": ["only one"],
    "session": {"day": np.array([[3.0]]), "rig": "A", "cells": ["x"], "deep": {"z": "y"}},
    "units": [{"id": np.array([[1.0]]), "name": "u1"}, {"id": np.array([[2.0]]), "name": "u2"}],
    "raster": scipy.sparse.csc_array(np.array([[0, 2.0, 0], [1.0, 0, 3.0]])),
    "silence": scipy.sparse.csc_array((2, 3)),
}


def assert_same(found, expected):
    if scipy.sparse.issparse(expected):
        assert isinstance(found, scipy.sparse.csc_array)
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
    elif isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, one in expected.items():
            assert_same(found[name], one)
    elif isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert type(found) is type(expected)
        assert found == expected


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "good"])
def test_every_class_comes_back_as_it_was_saved(tmp_path, write, name):
    write(tmp_path / "a.mat", {name: VARIABLES[name]})
    assert_same(load_recording(tmp_path / "a.mat"), {name: VARIABLES[name]})


@pytest.mark.parametrize("write", WRITERS)
def test_logical_keeps_its_values(tmp_path, write):
    """SciPy gives it as uint8."""
    write(tmp_path / "a.mat", {"good": VARIABLES["good"]})
    found = load_recording(tmp_path / "a.mat")["good"]
    assert found.dtype == (bool if write is write_mat73 else np.uint8)
    np.testing.assert_array_equal(found, [[1, 0, 1]])


def test_a_char_matrix_is_a_row_of_texts_in_both(tmp_path):
    rows = np.array(["left ", "right"])
    scipy.io.savemat(tmp_path / "5.mat", {"target": rows})
    units = np.array([[ord(letter) for letter in row] for row in rows], np.uint16)
    with h5py.File(tmp_path / "73.mat", "w") as stored:
        Mat73.set(stored, "target", units.T, "char")
    for file_name in ("5.mat", "73.mat"):
        found = load_recording(tmp_path / file_name)["target"]
        assert [text.rstrip() for text in found.tolist()] == ["left", "right"]


def test_empty_cells_structs_and_texts(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as stored:
        for matlab_class in ("cell", "struct", "char"):
            lengths = np.zeros(2, np.uint64)
            Mat73.set(stored, matlab_class, lengths, matlab_class, MATLAB_empty=np.uint8(1))
        Mat73.set(stored, "fieldless", np.ones(2, np.uint64), "struct", MATLAB_empty=np.uint8(1))
    data = load_recording(tmp_path / "a.mat")
    assert data == {"cell": [], "struct": [], "char": "", "fieldless": {}}


def test_matlab_objects_are_left_out_with_a_warning(tmp_path, caplog):
    with h5py.File(tmp_path / "a.mat", "w") as stored:
        Mat73.set(stored, "notes", np.zeros((1, 6), np.uint32), "string", MATLAB_object_decode=3)
        Mat73.set(stored, "timeMs", np.arange(3.0).reshape(3, 1), "double")
    with caplog.at_level(logging.WARNING):
        assert set(load_recording(tmp_path / "a.mat")) == {"timeMs"}
    assert "left out notes" in caplog.text


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(5, 3, 4), (1, 3, 4), (5, 1, 4), (1, 1, 4)])
def test_datasets_read_them_whatever_the_name_and_shape(tmp_path, write, name, shape):
    spikes = np.random.default_rng(1).poisson(1, shape).astype(np.uint8)
    conditions = np.arange(1.0, shape[0] + 1)[None]
    write(tmp_path / name, {"spikes": spikes, "timeMs": np.arange(4.0), "conditionId": conditions})
    dataset = Dataset(DatasetCollection(tmp_path), name)
    assert_same(dataset.load_data()["spikes"], spikes)
    dataset.load_info()
    assert (dataset.num_trials, dataset.num_channels) == shape[:2]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8, 0.99])
def test_a_truncated_file_is_refused(tmp_path, write, kept):
    path = tmp_path / "a.mat"
    write(path, {"spikes": np.random.default_rng(1).poisson(1, (40, 9, 50)).astype(np.uint8)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DatasetError, match="damaged, truncated"):
        load_recording(path)


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n" + bytes(200), b"MATLAB 5.0 MAT-file"]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.mat is damaged, .* override load_data"):
        load_recording(tmp_path / "a.mat")
