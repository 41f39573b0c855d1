"""A scan of the data, against NumPy on all of it at once."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lfadsq.preflight import scans
from lfadsq.preflight.scans import ChannelScan, scan_data


def write(path: Path | io.BytesIO, train: np.ndarray, valid: np.ndarray, **options: object) -> None:
    with h5py.File(path, "w") as stored:
        stored.create_dataset("train_data", data=train, **options)
        stored.create_dataset("valid_data", data=valid, **options)


trials = st.integers(1, 4).flatmap(
    lambda num_channels: st.tuples(
        hnp.arrays(np.int64, (5, 3, num_channels), elements=st.integers(-1, 3)),
        hnp.arrays(np.int64, (2, 3, num_channels), elements=st.integers(-1, 3)),
    )
)


@settings(max_examples=60)
@given(trials, st.sampled_from([1, 70, 10**6]), st.booleans())
def test_a_scan_in_blocks_finds_what_is_there(splits, block_bytes, as_floats):
    train, valid = splits
    both = np.concatenate([train, valid]).reshape(-1, train.shape[2])
    kind = np.float64 if as_floats else np.int64
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "_BLOCK_BYTES", block_bytes)
        path = Path(folder) / "lfads_x.h5"
        write(path, train.astype(kind), valid.astype(kind))
        found = scan_data(path, bin_ms=2.0)
    assert found is not None
    assert (found.total == both.sum(axis=0)).all()
    assert (found.smallest == both.min(axis=0)).all()
    assert (found.largest == both.max(axis=0)).all()
    assert (found.num_high == (both > 2).sum(axis=0)).all()
    assert (found.num_bins, found.num_trials) == (21, 7)
    for split, values in (("train", train), ("valid", valid)):
        assert found.splits[split].num_negative == (values < 0).sum()
        assert found.splits[split].num_empty_trials == (~values.any(axis=(1, 2))).sum()
        first = found.splits[split].first_wrong
        assert first == (tuple(np.argwhere(values < 0)[0]) if (values < 0).any() else None)
    for one in range(both.shape[1]):
        for other in range(one):
            are_same = (both[:, one] == both[:, other]).all()
            assert (found.fingerprint[one] == found.fingerprint[other]) == are_same


def test_values_that_are_no_counts_are_counted(tmp_path):
    train = np.ones((4, 3, 2))
    train[1, 0, 1], train[2, 1, 0], train[2, 2, 0], train[3, 0, 0] = np.nan, 0.5, -1, 2.0**60
    write(tmp_path / "x.h5", train, np.zeros((0, 3, 2)))
    found = scan_data(tmp_path / "x.h5")
    split = found.splits["train"]
    assert (split.num_not_finite, split.num_fractions) == (1, 1)
    assert (split.num_negative, split.num_too_large) == (1, 1)
    assert split.first_wrong == (1, 0, 1)
    assert np.isfinite(found.total).all()


def test_two_zeros_are_one_value(tmp_path):
    values = np.stack([np.full((6, 4), 0.0), np.full((6, 4), -0.0)], axis=2)
    write(tmp_path / "x.h5", values, values[:2])
    found = scan_data(tmp_path / "x.h5")
    assert found.fingerprint[0] == found.fingerprint[1]


def test_damage_within_the_data_is_told(tmp_path):
    path = tmp_path / "x.h5"
    values = np.random.default_rng(0).integers(0, 9, (8, 50, 6))
    write(path, values, values[:2], chunks=(1, 50, 6), compression=1)
    with h5py.File(path) as stored:
        chunk = stored["train_data"].id.get_chunk_info(5)
    content = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(content)
    found = scan_data(path)
    assert isinstance(found, ChannelScan)
    assert found.damage


def test_what_is_not_there_is_not_scanned(tmp_path):
    write(tmp_path / "x.h5", np.ones((2, 2, 2)), np.ones((2, 2, 2)))
    assert scan_data(tmp_path / "x.h5", kind="ext_input") is None
