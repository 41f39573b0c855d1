from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.devices import CPU, Device
from lfadsq.queue.peaks import MemoryNeed, PeakBook, taken_by_task, with_margin
from lfadsq.queue.places import Reservation
from lfadsq.queue.tasks import Task

MEMORY = st.floats(1, 1e6)


def task(estimate_mb: float = 0, shape: str = "s", name: str = "t", *, learns: bool = True) -> Task:
    out = Path("/nowhere") / name
    return Task(name, "true", estimate_mb, out, out, shape=shape, learns_memory=learns)


def test_a_task_that_does_not_learn_gets_what_it_asks_for() -> None:
    book = PeakBook()
    book.learn("s", 9000)
    book.learn_shortage("s", 9000)
    book.note_sample("other", "s", 9000)
    assert book.need_of(task(100, learns=False)) == MemoryNeed(100, False)
    assert book.need_of(task(0, learns=False), 50) == MemoryNeed(0, False)


def test_the_first_run_teaches_the_rest() -> None:
    book = PeakBook()
    assert book.need_of(task()) == MemoryNeed(0, True)
    book.note_sample("first", "s", 300)
    book.note_sample("first", "s", 2900)
    book.note_sample("first", "s", 2500)
    assert book.peak_of("first") == 2900
    # What it took so far says nothing of what it will take.
    assert book.need_of(task()).is_alone
    book.learn("s", 2900)
    assert book.need_of(task()) == MemoryNeed(3190, False)
    assert book.need_of(task(shape="another")) == MemoryNeed(0, True)


def test_what_belongs_to_no_shape_teaches_nobody() -> None:
    book = PeakBook()
    book.note_sample("gone", "", 9000)
    assert book.peak_of("gone") == 9000
    assert book.need_of(task(3000, shape="")) == MemoryNeed(3000, False)


def test_an_estimate_counts_until_one_has_finished() -> None:
    book = PeakBook()
    assert book.need_of(task(3000)) == MemoryNeed(3000, False)
    book.note_sample("first", "s", 1000)
    assert book.need_of(task(3000)) == MemoryNeed(3000, False)
    book.note_sample("first", "s", 5000)
    assert book.need_of(task(3000)) == MemoryNeed(5500, False)
    book.learn("s", 5200)
    assert book.need_of(task(3000)) == MemoryNeed(5720, False)
    assert book.need_of(task(30000)) == MemoryNeed(5720, False)


def test_a_running_one_may_pass_the_peak_of_those_before() -> None:
    book = PeakBook()
    book.learn("s", 1000)
    book.note_sample("second", "s", 4000)
    assert book.need_of(task()) == MemoryNeed(4400, False)


def test_an_attempt_has_a_peak_of_its_own() -> None:
    book = PeakBook()
    assert book.peak_of("t") is None
    book.note_sample("t", "s", 700)
    book.forget("t")
    book.forget("t")
    assert book.peak_of("t") is None
    book.note_sample("t", "s", 200)
    assert book.peak_of("t") == 200
    assert book.need_of(task(1)).memory_mb == with_margin(700)


def test_running_out_of_memory_means_more_and_alone_until_one_has_finished() -> None:
    book = PeakBook()
    book.learn_shortage("s", 4000)
    assert book.need_of(task(4000)) == MemoryNeed(4400, True)
    assert book.need_of(task()) == MemoryNeed(4400, True)
    book.learn("s", 3000)  # that one had bad company: still, it is not believed too soon
    assert book.need_of(task()) == MemoryNeed(4400, False)


def test_a_margin_alone_does_not_make_a_task_too_large() -> None:
    book = PeakBook()
    book.learn("s", 39000)
    assert book.need_of(task(), 40000) == MemoryNeed(39000, True)
    assert book.need_of(task(), 80000) == MemoryNeed(42900, False)
    assert book.need_of(task(), 38000) == MemoryNeed(42900, False)


def test_without_a_shape_nothing_is_learned_of_others() -> None:
    book = PeakBook()
    book.learn("", 500)
    book.note_sample("t", "", 800)
    book.learn_shortage("", 900)
    assert book.peak_of("t") == 800
    assert book.need_of(task(shape="")) == MemoryNeed(0, True)
    assert book.need_of(task(70, shape="")) == MemoryNeed(70, False)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["sample", "learn", "shortage"]), st.sampled_from("ab"), MEMORY)
)


def told(events: list[tuple[str, str, float]]) -> PeakBook:
    book = PeakBook()
    for kind, shape, mb in events:
        if kind == "sample":
            book.note_sample(f"of {shape}", shape, mb)
        elif kind == "learn":
            book.learn(shape, mb)
        else:
            book.learn_shortage(shape, mb)
    return book


@given(EVENTS, st.one_of(st.just(0.0), MEMORY), st.one_of(st.just(math.inf), MEMORY))
def test_whatever_happened_a_need_covers_all_that_is_known(
    events: list[tuple[str, str, float]], estimate_mb: float, largest_mb: float
) -> None:
    need = told(events).need_of(task(estimate_mb, "a"), largest_mb)
    of_a = [(kind, mb) for kind, shape, mb in events if shape == "a"]
    most_mb = max((mb for _, mb in of_a), default=0.0)
    has_finished = any(kind == "learn" for kind, _ in of_a)
    assert need.memory_mb >= most_mb
    if not need.is_alone and of_a:
        assert need.memory_mb >= most_mb + max(256.0, 0.1 * most_mb) - 1e-6
    if not has_finished:
        assert need.memory_mb >= estimate_mb
        assert need.is_alone or estimate_mb > 0
    # Never reserved much beyond what somebody claimed or took.
    claimed_mb = most_mb if has_finished else max(most_mb, estimate_mb)
    assert need.memory_mb <= claimed_mb + max(256.0, 0.1 * most_mb) + 1e-6
    # Too large for every device only if it is so without any margin.
    assert (need.memory_mb > largest_mb) == (claimed_mb > largest_mb)


@given(EVENTS, st.one_of(st.just(0.0), MEMORY))
def test_the_order_of_events_and_other_shapes_do_not_matter(
    events: list[tuple[str, str, float]], estimate_mb: float
) -> None:
    wanted = task(estimate_mb, "a")
    need = told(events).need_of(wanted)
    assert told(events[::-1]).need_of(wanted) == need
    assert told([event for event in events if event[1] == "a"]).need_of(wanted) == need


def gpu(free_mb: float, taken: dict[int, float], num_others: int = 0, name: str = "g") -> Device:
    return Device(name, name, 10000, free_mb, 9, taken, num_others=num_others)


def test_what_the_driver_shows_is_taken() -> None:
    running = {
        "a": Reservation("g", 1000, session=11),
        "b": Reservation("g", 1000, session=12),
        "c": Reservation("h", 1000, session=13),
        "not yet": Reservation("h", 1000),
    }
    devices = [gpu(5000, {11: 400, 12: 600}, 3), gpu(9000, {13: 0}, name="h")]
    assert taken_by_task(devices, running) == {"a": 400, "b": 600, "c": 0}


@pytest.mark.parametrize(
    ("num_others", "taken", "companions", "expected"),
    [
        (0, {}, 0, {"a": 2500}),
        (1, {}, 0, {}),  # it may have been theirs
        (0, {}, 1, {}),
        (0, {12: 700}, 1, {"b0": 700}),
    ],
)
def test_where_processes_are_hidden_growth_is_put_down_to_the_only_task(
    num_others: int, taken: dict[int, float], companions: int, expected: dict[str, float]
) -> None:
    running = {"a": Reservation("g", 1, used_before_mb=500, session=11)}
    running |= {f"b{n}": Reservation("g", 1, session=12 + n) for n in range(companions)}
    assert taken_by_task([gpu(7000, taken, num_others)], running) == expected


def test_what_was_not_measured_or_did_not_grow_is_not_known() -> None:
    running = {"a": Reservation("g", 1, used_before_mb=500, session=11)}
    assert taken_by_task([], running) == {}
    assert taken_by_task([gpu(9500, {})], running) == {}
    assert taken_by_task([gpu(9600, {})], running) == {}
    on_cpu = {"a": Reservation(CPU, 1, session=11)}
    assert taken_by_task([gpu(5000, {}, name=CPU)], on_cpu) == {}
