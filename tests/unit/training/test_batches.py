from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.training.batches import epoch_batches, jittered


@st.composite
def epochs(draw: st.DrawFn) -> tuple[list[int], int, int]:
    batch_size = draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(batch_size, 60), min_size=1, max_size=4))
    return sizes, batch_size, draw(st.integers(0, 2**32))


@given(epochs())
def test_every_trial_is_seen_once_or_twice_in_full_batches(
    epoch: tuple[list[int], int, int],
) -> None:
    sizes, batch_size, seed = epoch
    batches = epoch_batches(sizes, batch_size, np.random.default_rng(seed))
    for dataset, size in enumerate(sizes):
        mine = [batch.trials for batch in batches if batch.dataset == dataset]
        assert len(mine) == math.ceil(size / batch_size)
        assert all(len(trials) == batch_size for trials in mine)
        seen = np.bincount(np.concatenate(mine), minlength=size)
        assert len(seen) == size
        assert seen.min() >= 1
        assert seen.max() <= 2
        if size % batch_size == 0:
            assert seen.max() == 1


@given(epochs())
def test_an_epoch_follows_from_its_stream(epoch: tuple[list[int], int, int]) -> None:
    sizes, batch_size, seed = epoch
    first, second = (
        epoch_batches(sizes, batch_size, np.random.default_rng(seed)) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert one.dataset == other.dataset
        np.testing.assert_array_equal(one.trials, other.trials)


def test_datasets_are_mixed_within_an_epoch() -> None:
    batches = epoch_batches([40, 40], 4, np.random.default_rng(0))
    order = [batch.dataset for batch in batches]
    assert order != sorted(order)


def test_no_trials_give_no_batches() -> None:
    assert epoch_batches([0], 5, np.random.default_rng(0)) == []


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 1000))
def test_jitter_keeps_the_spikes_of_each_trial_and_channel(
    width: int, num_bins: int, seed: int
) -> None:
    stream = np.random.default_rng(seed)
    counts = stream.poisson(0.8, (3, num_bins, 2)).astype(np.float32)
    moved = jittered(counts, width, stream)
    np.testing.assert_array_equal(moved.sum(1), counts.sum(1))
    assert (moved >= 0).all()


def test_jitter_is_from_minus_width_to_width_minus_one() -> None:
    counts = np.zeros((4000, 21, 1), np.float32)
    counts[:, 10] = 1
    moved = jittered(counts, 3, np.random.default_rng(0)).sum((0, 2))
    assert set(np.flatnonzero(moved)) == {7, 8, 9, 10, 11, 12}
    # Uniform over six bins: 667 each, with a standard deviation of 24.
    assert np.abs(moved[7:13] - 4000 / 6).max() < 120


def test_jitter_reflects_at_both_ends() -> None:
    """The first and the last bin are mirrors, as in the original: they do not count twice."""
    counts = np.zeros((4000, 10, 2), np.float32)
    counts[:, 0, 0] = 1
    counts[:, 9, 1] = 1
    first, last = jittered(counts, 2, np.random.default_rng(0)).sum(0).T / 4000
    # From 0 by -2, -1, 0 or 1; from 9 likewise.
    np.testing.assert_allclose(first, [0.25, 0.5, 0.25, 0, 0, 0, 0, 0, 0, 0], atol=0.04)
    np.testing.assert_allclose(last, [0, 0, 0, 0, 0, 0, 0, 0.25, 0.5, 0.25], atol=0.04)


def test_jitter_wider_than_the_trial_is_reflected_again() -> None:
    counts = np.zeros((4000, 3, 1), np.float32)
    counts[:, 1] = 1
    moved = jittered(counts, 5, np.random.default_rng(0)).sum((0, 2)) / 4000
    # From 1 by -5 to 4: to bins -4 to 5, which are 0, 1, 2, 1, 0, 1, 2, 1, 0, 1.
    np.testing.assert_allclose(moved, [0.3, 0.5, 0.2], atol=0.04)
