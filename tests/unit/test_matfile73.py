"""MAT v7.3, read back as HDF5 and by the reader that was checked on MATLAB's own files."""

from __future__ import annotations

import h5py
import numpy as np

from lfadsq.datasets.matlab import read_hdf5
from lfadsq.matfile import StreamedArray
from lfadsq.matfile73 import write_mat73

VALUES = np.arange(24.0).reshape(2, 3, 4)


def test_variables_of_every_kind_are_read_back(tmp_path):
    path = tmp_path / "a.mat"
    texts = ["left", "", "猿"]
    write_mat73(
        path,
        {
            "number": 2.5,
            "single": np.float32([[1, 2, 3]]),
            "flag": np.array([[True, False]]),
            "text": "猿 J",
            "empty": np.zeros((0, 3)),
            "cell": texts,
            "arrays": [np.ones((2, 3)), np.zeros((1, 1), np.uint8)],
            "struct": {"c_gen_dim": 64.0, "name": "", "list": [1.0, 2.0], "on": True},
        },
        {"rates": StreamedArray((4, 3, 2), "<f8", [VALUES[:1], VALUES[1:]])},
    )
    head = path.read_bytes()[:512]
    assert head.startswith(b"MATLAB 7.3 MAT-file")
    assert head[116:128] == b"\0" * 8 + b"\x00\x02IM"
    with h5py.File(path) as stored:
        found = read_hdf5(stored)
        assert stored["rates"].attrs["MATLAB_class"] == b"double"
        assert stored["single"].shape == (3, 1)
    assert found["number"].tolist() == [[2.5]]
    assert (found["single"].dtype, found["single"].shape) == (np.float32, (1, 3))
    assert found["flag"].tolist() == [[True, False]]
    assert found["text"] == "猿 J"
    assert found["empty"].shape == (0, 3)
    assert found["cell"] == texts
    assert [one.shape for one in found["arrays"]] == [(2, 3), (1, 1)]
    assert found["struct"]["c_gen_dim"].tolist() == [[64.0]]
    assert (found["struct"]["name"], found["struct"]["on"].tolist()) == ("", [[True]])
    np.testing.assert_array_equal(found["rates"], VALUES.T)
