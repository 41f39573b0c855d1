from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.devices import CPU, Device
from lfadsq.queue.packing import Need, Packing, Reservation, memory_left_mb, pack


def gpu(name: str, total: float = 1000, free: float | None = None, max_tasks: int = 100) -> Device:
    return Device(name, name, total, total if free is None else free, max_tasks, {})


def placed(packing: Packing) -> dict[str, str]:
    return {p.name: p.device_id for p in packing.placements}


def test_one_task_a_gpu_the_emptiest_first() -> None:
    devices = [
        gpu("a", free=400, max_tasks=1),
        gpu("b", max_tasks=1),
        gpu("c", free=700, max_tasks=1),
    ]
    needs = [Need(str(n), 100) for n in range(5)]
    assert placed(pack(needs, devices, {}, 10)) == {"0": "b", "1": "c", "2": "a"}


def test_a_gpu_others_have_filled_is_left_alone() -> None:
    devices = [gpu("a", free=50, max_tasks=1)]
    packing = pack([Need("t", 100)], devices, {}, 10)
    assert not packing.placements
    assert packing.is_waiting_for_others
    assert not packing.fits_nowhere


def test_tasks_share_a_gpu_by_memory() -> None:
    packing = pack([Need(str(n), 300) for n in range(5)], [gpu("a")], {}, 10)
    assert placed(packing) == {"0": "a", "1": "a", "2": "a"}
    assert not packing.is_waiting_for_others


def test_tasks_spread_before_they_share() -> None:
    packing = pack([Need(str(n), 100) for n in range(4)], [gpu("a"), gpu("b", 2000)], {}, 10)
    assert Counter(placed(packing).values()) == {"a": 2, "b": 2}


def test_no_more_at_once_than_allowed() -> None:
    running = {"r": Reservation("a", 10)}
    packing = pack([Need(str(n), 10) for n in range(9)], [gpu("a"), gpu("b")], running, 3)
    assert len(packing.placements) == 2


def test_what_was_promised_is_kept_until_it_is_taken() -> None:
    started = Reservation("a", 600, used_before_mb=0)
    assert memory_left_mb(gpu("a"), [started]) == 400
    # It has taken 500 of its 600: 100 are still to come.
    assert memory_left_mb(gpu("a", free=500), [started]) == 400
    # It took more than it asked for: what is free is all there is.
    assert memory_left_mb(gpu("a", free=300), [started]) == 300


def test_memory_of_others_is_not_put_down_to_us_where_sessions_are_seen() -> None:
    device = replace(gpu("a", free=500), taken_mb_by_session={7: 100.0, 99: 400.0})
    ours = Reservation("a", 300, used_before_mb=0, session=7)
    assert memory_left_mb(device, [ours]) == 300


def test_memory_in_use_before_counts_for_nobody() -> None:
    started = Reservation("a", 300, used_before_mb=400)
    assert memory_left_mb(gpu("a", free=600), [started]) == 300
    assert memory_left_mb(gpu("a", free=400), [started]) == 300


def test_a_task_too_large_for_any_device_is_told_so() -> None:
    packing = pack([Need("huge", 5000), Need("small", 10)], [gpu("a")], {}, 10)
    assert packing.fits_nowhere == ("huge",)
    assert placed(packing) == {"small": "a"}


def test_small_tasks_do_not_starve_a_large_one() -> None:
    """Small tasks keep coming; the large one still starts once those that run have ended."""
    running = {"s0": Reservation("a", 300), "s1": Reservation("a", 300)}
    waiting = [Need("large", 900), *(Need(f"s{n}", 300) for n in range(2, 50))]
    steps = 0
    while "large" not in running:
        device = gpu("a", free=1000 - sum(r.memory_mb for r in running.values()))
        reserved = {n: replace(r, used_before_mb=0) for n, r in running.items()}
        packing = pack(waiting, [device], reserved, 10)
        running.update({p.name: p.reservation for p in packing.placements})
        waiting = [need for need in waiting if need.name not in running]
        if "large" not in running:
            running.pop(next(iter(running)))
        steps += 1
        assert steps < 10


def test_small_tasks_pass_a_large_one_that_waits_for_others() -> None:
    packing = pack([Need("large", 900), Need("small", 100)], [gpu("a", free=200)], {}, 10)
    assert placed(packing) == {"small": "a"}
    assert packing.is_waiting_for_others


def test_slots_of_the_processors_are_limited_by_number_and_memory() -> None:
    cpu = Device(CPU, CPU, 8000, 8000, 4, {})
    assert len(pack([Need(str(n), 100) for n in range(9)], [cpu], {}, 9).placements) == 4
    assert len(pack([Need(str(n), 3000) for n in range(9)], [cpu], {}, 9).placements) == 2


def test_without_any_device_nothing_is_decided() -> None:
    assert pack([Need("t", 1)], [], {}, 1) == Packing((), (), False)


devices_strategy = st.lists(
    st.tuples(st.integers(1, 1000), st.floats(0, 1), st.integers(1, 4)), max_size=5
)
needs_strategy = st.lists(st.integers(0, 1200), max_size=30)
running_strategy = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 500), st.integers(0, 1000)), max_size=8
)


@given(devices_strategy, needs_strategy, running_strategy, st.integers(1, 12))
def test_invariants(
    sizes: list[tuple[int, float, int]],
    memories: list[int],
    busy: list[tuple[int, int, int]],
    max_tasks: int,
) -> None:
    devices = [
        Device(f"d{n}", f"d{n}", total, total * free, places, {})
        for n, (total, free, places) in enumerate(sizes)
    ]
    needs = [Need(f"t{n}", memory) for n, memory in enumerate(memories)]
    running = {f"r{n}": Reservation(f"d{d}", mb, used) for n, (d, mb, used) in enumerate(busy)}
    packing = pack(needs, devices, running, max_tasks)
    by_name = {need.name: need for need in needs}
    names = [p.name for p in packing.placements]

    assert len(names) == len(set(names))
    assert set(names) <= set(by_name)
    assert not set(names) & set(packing.fits_nowhere)
    assert not names or len(running) + len(names) <= max_tasks
    for device in devices:
        mine = [r for r in running.values() if r.device_id == device.device_id]
        new = [p for p in packing.placements if p.device_id == device.device_id]
        assert not new or len(mine) + len(new) <= device.max_tasks
        taken = sum(by_name[p.name].memory_mb for p in new)
        assert not new or taken <= memory_left_mb(device, mine) + 1e-6
        assert taken <= device.memory_free_mb + 1e-6
    for name in packing.fits_nowhere:
        assert all(by_name[name].memory_mb > device.memory_total_mb for device in devices)
    # Whatever is placed was promised what it asked for.
    assert all(p.reservation.memory_mb == by_name[p.name].memory_mb for p in packing.placements)
    # No device is left idle that the first waiting task would fit.
    first = next((n for n in needs if n.name not in packing.fits_nowhere), None)
    if first is not None and first.name not in names and len(running) + len(names) < max_tasks:
        for device in devices:
            mine = [r for r in running.values() if r.device_id == device.device_id]
            if len(mine) < device.max_tasks:
                assert first.memory_mb > memory_left_mb(device, mine)


@given(needs_strategy, st.integers(1, 12))
def test_it_is_a_function(memories: list[int], max_tasks: int) -> None:
    devices = [gpu("a"), gpu("b", 700, max_tasks=2)]
    needs = [Need(f"t{n}", memory) for n, memory in enumerate(memories)]
    assert pack(needs, devices, {}, max_tasks) == pack(iter(needs), devices, {}, max_tasks)
