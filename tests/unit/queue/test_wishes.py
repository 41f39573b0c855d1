from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.wishes import END, LEAVE, Wishes

# Lone surrogates too: a file name need not be valid UTF-8.
names = st.text(st.characters(exclude_categories=()), max_size=8)
sets = st.frozensets(names, max_size=4)
specs = st.dictionaries(names, st.text() | st.floats(allow_nan=False) | st.integers(), max_size=3)
wishes = st.builds(
    Wishes,
    is_paused=st.booleans(),
    ends_running_when_paused=st.booleans(),
    paused=sets,
    paused_now=sets,
    cancelled=sets,
    priorities=st.dictionaries(names, st.integers(), max_size=3),
    forgiven=st.dictionaries(names, st.integers(0), max_size=3),
    added=st.lists(specs, max_size=2).map(tuple),
    stops=st.dictionaries(names, st.sampled_from([END, LEAVE]), max_size=3),
)


@given(wishes)
def test_what_is_written_is_read(wished: Wishes) -> None:
    assert Wishes.from_dict(json.loads(json.dumps(wished.to_dict()))) == wished


@given(wishes, sets.filter(bool), names)
def test_what_is_taken_back_is_no_longer_wished(
    wished: Wishes, chosen: frozenset[str], other: str
) -> None:
    held = wished.with_paused(chosen, now=True).with_cancelled(chosen)
    assert all(held.holds_back(name) and held.ends(name) for name in chosen)
    back = held.with_resumed(chosen)
    assert all(back.holds_back(name) == wished.is_paused for name in chosen)
    if other not in chosen:
        assert back.holds_back(other) == wished.holds_back(other)
        assert back.ends(other) == wished.ends(other)


def test_a_pause_of_all_ends_what_runs_only_if_asked_to() -> None:
    paused = Wishes().with_paused()
    assert paused.holds_back("a")
    assert not paused.ends("a")
    assert Wishes().with_paused(now=True).ends("a")
    assert not Wishes().with_paused(now=True).with_paused(now=False).ends("a")
    assert paused.with_resumed() == Wishes()


def test_pausing_one_at_once_does_not_end_another() -> None:
    wished = Wishes().with_paused(["a"]).with_paused(["b"], now=True)
    assert (wished.ends("a"), wished.ends("b")) == (False, True)
    assert wished.holds_back("a")
    assert not wished.with_paused(["b"]).ends("b")


def test_a_resume_of_all_does_not_take_a_cancel_back() -> None:
    wished = Wishes().with_cancelled(["a"]).with_paused(["b"]).with_resumed()
    assert wished.holds_back("a")
    assert not wished.holds_back("b")


def test_retry_takes_cancel_back_and_forgives_what_was_tried() -> None:
    wished = Wishes().with_cancelled(["a", "b"]).with_retried({"a": 3, "b": 0})
    assert wished.cancelled == frozenset()
    assert wished.forgiven == {"a": 3}


@pytest.mark.parametrize(
    "damage",
    [
        {"is_paused": 1},
        {"paused": "a"},
        {"paused": [1]},
        {"cancelled": {"a": 1}},
        {"priorities": {"a": "high"}},
        {"priorities": {"a": True}},
        {"forgiven": []},
        {"added": [1]},
        {"stops": {"q": "explode"}},
    ],
)
def test_what_nobody_can_wish_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Wishes.from_dict({**Wishes().to_dict(), **damage})
