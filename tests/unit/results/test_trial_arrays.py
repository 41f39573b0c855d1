"""Arrays that lie in two files, against the same arrays in memory."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.errors import ResultNotReadyError, ResultShapeError, StorageError
from lfadsq.results import trial_arrays
from lfadsq.results.trial_arrays import FileTrials, TrialArray, joined_trials

NUM_TRIALS, REST = 23, (5, 3)
VALUES = np.random.default_rng(1).normal(size=(NUM_TRIALS, *REST))
VALID = np.arange(NUM_TRIALS) % 4 == 0


def write_parts(folder: Path, chunks: tuple[int, ...] | None) -> TrialArray:
    parts = []
    for name, chosen in (("train", ~VALID), ("valid", VALID)):
        trials = np.flatnonzero(chosen)
        if name == "train":
            trials = trials[::-1]  # files need not be in the order of the recording
        path = folder / f"{name}{len(list(folder.iterdir()))}.h5"
        with h5py.File(path, "w") as stored:
            compression = None if chunks is None else "gzip"
            stored.create_dataset("x", data=VALUES[trials], chunks=chunks, compression=compression)
        parts.append(FileTrials(path, "x", trials, (len(trials), *REST)))
    return TrialArray(parts, VALUES.shape, VALUES.dtype)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> list[TrialArray]:
    folder = tmp_path_factory.mktemp("arrays")
    return [write_parts(folder, chunks) for chunks in (None, (1, *REST), (4, 2, 2))]


@pytest.fixture
def array(tmp_path) -> TrialArray:
    return write_parts(tmp_path, (1, *REST))


def keys(length: int) -> st.SearchStrategy:
    numbers = st.integers(-length, length - 1)
    return st.one_of(
        numbers,
        st.slices(length),
        st.lists(numbers, max_size=2 * length),
        st.lists(st.booleans(), min_size=length, max_size=length),
    )


@settings(max_examples=150, deadline=None)
@given(key=st.tuples(*map(keys, (NUM_TRIALS, *REST))), num_axes=st.integers(0, 3), data=st.data())
def test_any_index_gives_what_numpy_gives_axis_by_axis(arrays, key, num_axes, data):
    array = data.draw(st.sampled_from(arrays))
    key = key[:num_axes]
    expected = VALUES
    # Lists first, as a number takes its axis away and moves those behind it.
    for axis in reversed(range(num_axes)):
        one = key[axis]
        if isinstance(one, list):
            one = np.array(one, dtype=bool if one and isinstance(one[0], bool) else int)
        expected = expected[(*[slice(None)] * axis, one)]
    np.testing.assert_array_equal(array[key], expected)


def test_ellipsis_and_numpy_indices_are_understood(array):
    np.testing.assert_array_equal(array[..., 1], VALUES[..., 1])
    np.testing.assert_array_equal(array[2, ...], VALUES[2])
    np.testing.assert_array_equal(array[np.int64(3)], VALUES[3])
    np.testing.assert_array_equal(array[VALID, 1:], VALUES[VALID, 1:])
    np.testing.assert_array_equal(np.asarray(array), VALUES)
    np.testing.assert_array_equal(np.asarray(array, np.float32), VALUES.astype(np.float32))


@pytest.mark.parametrize("key", [NUM_TRIALS, [0, -24], (0, 0, 0, 0), "trial", 1.5, [[1]]])
def test_what_is_no_index_of_the_array_is_refused(array, key):
    with pytest.raises(IndexError):
        array[key]


@given(wanted=st.lists(st.integers(0, NUM_TRIALS - 1), unique=True), data=st.data())
@settings(max_examples=40, deadline=None)
def test_blocks_give_each_wanted_trial_once(arrays, wanted, data):
    array = data.draw(st.sampled_from(arrays))
    seen = []
    for trials, values in array.blocks(np.array(wanted, np.int64)):
        np.testing.assert_array_equal(values, VALUES[trials])
        seen += trials.tolist()
    assert sorted(seen) == sorted(wanted)


@pytest.mark.parametrize("most_bytes", [1, 500])
def test_reading_in_small_blocks_gives_the_same(arrays, monkeypatch, most_bytes):
    monkeypatch.setattr(trial_arrays, "_BLOCK_BYTES", most_bytes)
    for array in arrays:
        np.testing.assert_array_equal(array[...], VALUES)
        assert len(list(array.blocks())) > 2


def test_columns_and_scale_apply_before_an_index_does(array):
    np.testing.assert_array_equal(array.columns(1, 2)[4, :, 1], VALUES[4, :, 2])
    np.testing.assert_array_equal(array.scaled(4.0)[2:9], VALUES[2:9] * 4.0)
    both = array.columns(1, 2).scaled(2.0).scaled(3.0)
    assert both.shape == (NUM_TRIALS, 5, 2)
    np.testing.assert_array_equal(np.asarray(both), VALUES[..., 1:] * 6.0)


def test_arrays_are_joined_along_the_trials(array):
    joined = joined_trials([array, array.scaled(2.0)])
    np.testing.assert_array_equal(joined[20:26], np.concatenate([VALUES, 2 * VALUES])[20:26])
    with pytest.raises(ResultShapeError, match="other shapes"):
        joined_trials([array, array.columns(0, 2)])


def test_it_can_be_pickled_and_read_in_threads(array):
    copy = pickle.loads(pickle.dumps(array))
    with ThreadPoolExecutor(8) as pool:
        for trial, values in enumerate(pool.map(copy.__getitem__, range(NUM_TRIALS))):
            np.testing.assert_array_equal(values, VALUES[trial])


def test_no_file_stays_open(array):
    _ = array[...], next(array.blocks())
    held = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert not held & {str(part.path.resolve()) for part in array.parts}


def test_a_file_that_went_is_named(array):
    path = array.parts[1].path
    path.unlink()
    np.testing.assert_array_equal(array[1:4], VALUES[1:4])
    with pytest.raises(ResultNotReadyError, match=f"{path.name} is not there any more"):
        array[0]


def test_a_file_written_anew_with_other_trials_is_named(array):
    path = array.parts[0].path
    with h5py.File(path, "w") as stored:
        stored["x"] = VALUES
    with pytest.raises(ResultShapeError, match=f"{path.name} is not what it was"):
        array[1]


def test_a_damaged_file_is_named(array):
    path = array.parts[0].path
    with h5py.File(path) as stored:
        chunk = stored["x"].id.get_chunk_info(3)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    with pytest.raises(StorageError, match=f"{path.name}.*damaged"):
        array[...]
    path.write_bytes(content[:300])
    with pytest.raises(StorageError, match=f"{path.name}.*damaged"):
        array[...]


def test_trials_that_are_there_twice_or_not_at_all_are_refused(array):
    train, valid = array.parts
    twice = replace(valid, trials=valid.trials + 1)
    with pytest.raises(ResultShapeError, match="23 trials, which are not each of 23 once"):
        TrialArray([train, twice], array.shape, array.dtype)
    with pytest.raises(ResultShapeError, match="hold 17 trials"):
        TrialArray([train], array.shape, array.dtype)
