from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue import packing as policy
from lfadsq.queue.devices import CPU, Device
from lfadsq.queue.packing import (
    Need,
    Packing,
    Places,
    Reservation,
    WaitingLine,
    memory_left_mb,
)


def gpu(name: str, total: float = 1000, free: float | None = None, max_tasks: int = 100) -> Device:
    return Device(name, name, total, total if free is None else free, max_tasks, {})


def pack(
    needs: Iterable[Need],
    devices: Sequence[Device],
    running: Mapping[str, Reservation],
    max_tasks: int,
    now_s: float = 0.0,
) -> Packing:
    """Decide for needs that are equal but for memory, in the order given."""
    line = WaitingLine(replace(need, order=n) for n, need in enumerate(needs))
    return policy.pack(line, devices, running, max_tasks, now_s=now_s)


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
    assert packing.kept_device is None


def test_tasks_share_a_gpu_by_memory() -> None:
    packing = pack([Need(str(n), 300) for n in range(5)], [gpu("a")], {}, 10)
    assert placed(packing) == {"0": "a", "1": "a", "2": "a"}
    assert not packing.is_waiting_for_others


def test_tasks_spread_before_they_share() -> None:
    packing = pack([Need(str(n), 100) for n in range(4)], [gpu("a"), gpu("b", 2000)], {}, 10)
    assert Counter(placed(packing).values()) == {"a": 2, "b": 2}


def test_a_large_task_finds_room_although_more_wait_than_there_is_room_for() -> None:
    """Devices get full anyway: one after the other, so that there is room in one piece."""
    needs = [*(Need(f"s{n}", 200, priority=1) for n in range(5)), Need("large", 900)]
    devices = [gpu("a"), gpu("b")]
    assert placed(pack([*needs, Need("more", 300)], devices, {}, 10))["large"] == "b"
    # Where only a few may run at once there is no need to crowd.
    assert Counter(placed(pack(needs, devices, {}, 4)).values()) == {"a": 2, "b": 2}


def test_what_others_take_meanwhile_counts_for_what_there_is_room_for() -> None:
    line = WaitingLine(Need(str(n), 200, order=n) for n in range(3))
    places = Places([gpu("a"), gpu("b")], {})
    assert placed(places.pack(line, 10)) == {"0": "a", "1": "b", "2": "a"}
    others = [gpu("a", free=300), gpu("b", free=250)]
    for device in others:
        places.measure(device)
    assert placed(places.pack(line, 10)) == {"0": "b", "1": "a"}
    assert places.pack(line, 10) == policy.pack(line, others, {}, 10)


def test_one_task_a_gpu_goes_to_the_emptiest_however_many_wait() -> None:
    devices = [gpu("others use it", free=500, max_tasks=1), gpu("empty", max_tasks=1)]
    needs = [Need(str(n), 400) for n in range(9)]
    assert placed(pack(needs, devices, {}, 10)) == {"0": "empty", "1": "others use it"}


def test_large_tasks_go_before_longer_ones() -> None:
    """Small ones find room beside them, but not they beside small ones."""
    small = [Need(f"s{n}", 200, expected_s=20) for n in range(40)]
    quarter = Need("quarter", 250, expected_s=19)
    large = Need("large", 251, expected_s=10)
    packing = pack([*small, quarter, large], [gpu("a")], {}, 10)
    assert placed(packing).keys() == {"large", "s0", "s1", "s2"}
    alone = replace(quarter, is_alone=True)
    assert placed(pack([*small, alone], [gpu("a")], {}, 10)).keys() == {"quarter"}


def test_a_long_task_that_would_be_the_last_goes_before_large_ones() -> None:
    large = [Need(f"l{n}", 500, expected_s=10) for n in range(8)]
    # All of it takes 40 s and a little on all of the device.
    for long_s, first in [(100, "long"), (15, "l0")]:
        packing = pack([*large, Need("long", 10, expected_s=long_s)], [gpu("a")], {}, 4)
        assert packing.placements[0].name == first


def test_the_longest_goes_first_where_memory_is_not_short() -> None:
    """One task a GPU, or few at once on one: a large task finds its place in its turn."""
    needs = [Need("large", 500, expected_s=10), Need("long", 10, expected_s=20)]
    assert placed(pack(needs, [gpu("a", max_tasks=1)], {}, 5)).keys() == {"long"}
    assert placed(pack(needs, [gpu("a", max_tasks=4)], {}, 1)).keys() == {"long"}


def test_priority_goes_before_size_and_length() -> None:
    needs = [
        Need("large", 900, expected_s=10),
        Need("long", 200, expected_s=1000),
        Need("wanted", 200, priority=1, expected_s=1),
    ]
    assert placed(pack(needs, [gpu("a", 1000)], {}, 1)).keys() == {"wanted"}


def test_without_known_lengths_the_order_is_as_given() -> None:
    needs = [Need("first", 200), Need("large", 900)]
    assert placed(pack(needs, [gpu("a")], {}, 10)) == {"first": "a"}


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


def test_what_others_had_is_not_mistaken_for_ours_when_the_first_of_ours_ends() -> None:
    """Sessions cannot be seen, as in a container: what is left is still right."""
    running: dict[str, Reservation] = {}
    others_mb, taken_mb = 200.0, 0.0
    for name in ("first", "second"):
        device = gpu("a", free=1000 - others_mb - taken_mb)
        (placement,) = pack([Need(name, 300)], [device], running, 10).placements
        running[name] = placement.reservation
        taken_mb += 300
    device = gpu("a", free=200)
    assert memory_left_mb(device, list(running.values())) == 200
    del running["first"]
    assert memory_left_mb(gpu("a", free=500), list(running.values())) == 500


def test_equally_empty_the_smallest_device_is_taken() -> None:
    """So a large one stays free for a task that fits no other."""
    devices = [gpu("large", 80_000, 79_900, 1), gpu("small", 11_000, 10_900, 1)]
    needs = [Need("small task", 1000), Need("large task", 40_000)]
    assert placed(pack(needs, devices, {}, 9)) == {"small task": "small", "large task": "large"}


def test_who_is_known_to_end_soon_may_use_a_kept_device() -> None:
    running = {"r": Reservation("a", 600, ends_s=100)}
    needs = [
        Need("large", 900, expected_s=50),
        Need("too long", 200, expected_s=11),
        Need("brief", 200, expected_s=10),
        Need("unknown", 150),
    ]
    packing = pack(needs, [gpu("a", free=400)], running, 10, now_s=90)
    assert placed(packing) == {"brief": "a"}
    assert (packing.kept_for, packing.kept_device) == ("large", "a")


def test_who_would_end_later_may_not_use_a_kept_device() -> None:
    running = {"r": Reservation("a", 500, ends_s=100)}
    needs = [Need("large", 700, expected_s=500), Need("small", 150, expected_s=101)]
    assert not pack(needs, [gpu("a", free=500)], running, 10).placements
    assert placed(pack(needs, [gpu("a", free=500)], running, 10, now_s=-1)) == {"small": "a"}


def test_nothing_runs_beside_one_that_waits_to_be_alone_not_even_what_needs_nothing() -> None:
    running = {"r": Reservation("a", 500, ends_s=100)}
    needs = [Need("alone", 100, expected_s=1, is_alone=True), Need("nothing", 0)]
    assert not pack(needs, [gpu("a", free=500)], running, 10).placements


def test_the_device_that_is_free_soonest_is_kept() -> None:
    running = {
        "late": Reservation("a", 300, ends_s=900),
        "soon": Reservation("b", 900, ends_s=100),
        "unknown": Reservation("c", 200),
    }
    devices = [gpu("a", free=700), gpu("b", free=100), gpu("c", free=800)]
    needs = [Need("large", 950), Need("small", 500)]
    packing = pack(needs, devices, running, 10)
    assert packing.kept_device == "b"
    assert placed(packing) == {"small": "c"}
    running = {name: replace(one, ends_s=float("inf")) for name, one in running.items()}
    assert pack(needs, devices, running, 10).kept_device == "c"


def test_a_first_end_that_is_not_enough_is_not_what_is_waited_for() -> None:
    running = {
        "a1": Reservation("a", 50, ends_s=10),
        "a2": Reservation("a", 450, ends_s=900),
        "b1": Reservation("b", 500, ends_s=100),
    }
    packing = pack([Need("large", 800)], [gpu("a", free=500), gpu("b", free=500)], running, 10)
    assert packing.kept_device == "b"


def test_what_was_kept_is_given_away_when_nobody_wants_it_any_more() -> None:
    places = Places([gpu("a", free=400)], {"r": Reservation("a", 600)})
    line = WaitingLine([Need("large", 900), Need("small", 100, order=1)])
    assert places.pack(line, 10).kept_for == "large"
    line.remove("large")
    assert placed(places.pack(line, 10)) == {"small": "a"}


def test_a_task_alone_stays_alone() -> None:
    devices = [gpu("a"), gpu("b")]
    running = {"r": Reservation("a", 100)}
    needs = [Need("alone", 100, is_alone=True), Need("also", 100, is_alone=True), Need("c", 100)]
    packing = pack(needs, [gpu("a", free=900), devices[1]], running, 10)
    # The other device is kept, until what runs there has ended.
    assert placed(packing) == {"alone": "b"}
    assert (packing.kept_for, packing.kept_device) == ("also", "a")
    running["alone"] = packing.placements[0].reservation
    assert running["alone"].is_alone
    assert not pack([Need("c", 100)], devices[1:], running, 10).placements


def test_a_device_it_failed_on_is_the_last_resort() -> None:
    devices = [gpu("a"), gpu("b", 500, free=0)]
    need = Need("t", 400, avoids=frozenset({"a"}))
    assert not pack([need], devices, {}, 10).placements  # the other could hold it, some day
    assert placed(pack([replace(need, memory_mb=600)], devices, {}, 10)) == {"t": "a"}


def test_a_closed_device_takes_nothing_and_is_not_waited_for() -> None:
    closed = replace(gpu("a"), closed_because="in exclusive mode and in use by another process")
    packing = pack([Need("t", 100), Need("huge", 2000)], [closed], {}, 10)
    assert not packing.placements
    assert packing.kept_device is None
    assert packing.is_waiting_for_others
    assert packing.fits_nowhere == ("huge",)


def test_others_are_looked_at_while_our_own_run_for_days() -> None:
    """What somebody else holds may be free long before our own tasks end."""
    devices = [gpu("ours", free=0, max_tasks=1), gpu("theirs", free=50, max_tasks=1)]
    packing = pack([Need("t", 900)], devices, {"r": Reservation("ours", 1000)}, 10)
    assert packing.kept_device == "ours"
    assert packing.is_waiting_for_others
    packing = pack([Need("t", 900)], devices[:1], {"r": Reservation("ours", 1000)}, 10)
    assert not packing.is_waiting_for_others


needs_strategy = st.lists(
    st.builds(
        Need,
        st.just(""),
        st.integers(0, 1200).map(float),
        st.integers(-1, 1),
        st.sampled_from([0.0, 10.0, 300.0]),
        st.integers(0, 3),
        st.sampled_from([False, False, False, True]),
        st.frozensets(st.sampled_from(["d0", "d1", "d2"]), max_size=2),
    ),
    max_size=25,
).map(lambda needs: [replace(need, name=f"t{n}") for n, need in enumerate(needs)])
devices_strategy = st.lists(
    st.tuples(
        st.integers(1, 1000), st.floats(0, 1), st.integers(1, 4), st.sampled_from(["", "", "shut"])
    ),
    max_size=5,
).map(
    lambda sizes: [
        Device(f"d{n}", f"D{n}", total, total * free, places, {}, closed)
        for n, (total, free, places, closed) in enumerate(sizes)
    ]
)
running_strategy = st.lists(
    st.builds(
        Reservation,
        st.sampled_from(["d0", "d1", "d2", "d3", "gone"]),
        st.integers(0, 500).map(float),
        st.integers(0, 1000).map(float),
        st.none(),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([50.0, 200.0, float("inf")]),
    ),
    max_size=8,
).map(lambda reservations: {f"r{n}": one for n, one in enumerate(reservations)})


def shunned(need: Need, devices: Sequence[Device]) -> frozenset[str]:
    others = [d for d in devices if d.device_id not in need.avoids]
    return need.avoids if any(d.memory_total_mb >= need.memory_mb for d in others) else frozenset()


def turns(
    line: WaitingLine, devices: Sequence[Device], running: Mapping[str, Reservation]
) -> dict[str, int]:
    """Number tasks in the order of the policy: priority, then urgent, then large, then others."""
    reach_mb = 0
    for device in devices:
        mine = [r for r in running.values() if r.device_id == device.device_id]
        if not device.closed_because and device.max_tasks:
            all_mb = memory_left_mb(device, mine) + sum(r.memory_mb for r in mine)
            reach_mb += max(0, round(all_mb))
    all_mb_s = sum(round(need.memory_mb * need.expected_s) for need in line)
    urgent_s = 0.7 * all_mb_s / max(1, reach_mb)
    large_mb = max((device.memory_total_mb for device in devices), default=0) / 4

    def turn(need: Need) -> tuple[int, int]:
        is_large = need.memory_mb > large_mb or need.is_alone
        group = 0 if need.expected_s >= urgent_s else 1 if is_large else 2
        return (-need.priority, group)

    return {need.name: n for n, need in enumerate(sorted(line, key=turn))}


@given(devices_strategy, needs_strategy, running_strategy, st.integers(1, 12))
def test_invariants(
    devices: list[Device], needs: list[Need], running: dict[str, Reservation], max_tasks: int
) -> None:
    line = WaitingLine(needs)
    before, running_before = list(line), dict(running)
    packing = policy.pack(line, devices, running, max_tasks, now_s=40)
    assert (list(line), running) == (before, running_before)
    assert policy.pack(line, devices, running, max_tasks, now_s=40) == packing
    rank = turns(line, devices, running)
    by_name = {need.name: need for need in needs}
    on = {p.name: p.device_id for p in packing.placements}
    names = [p.name for p in packing.placements]

    assert len(names) == len(set(names))
    assert not set(names) & set(packing.fits_nowhere)
    assert not names or len(running) + len(names) <= max_tasks
    if devices:
        largest_mb = max(device.memory_total_mb for device in devices)
        too_large = [need.name for need in line if need.memory_mb > largest_mb]
        assert list(packing.fits_nowhere) == too_large
    if packing.kept_device is not None:
        assert packing.kept_for is not None
        assert packing.kept_device not in shunned(by_name[packing.kept_for], devices)
        assert packing.kept_for not in names
    for placement in packing.placements:
        need = by_name[placement.name]
        assert placement.device_id not in shunned(need, devices)
        assert placement.reservation.memory_mb == need.memory_mb
        assert placement.reservation.is_alone == need.is_alone
        ends_s = 40 + need.expected_s if need.expected_s else float("inf")
        assert placement.reservation.ends_s == ends_s
    for device in devices:
        mine = [r for r in running.values() if r.device_id == device.device_id]
        new = [by_name[name] for name in names if on[name] == device.device_id]
        left_mb = memory_left_mb(device, mine)
        if new:
            assert not device.closed_because
            assert len(mine) + len(new) <= device.max_tasks
            assert sum(need.memory_mb for need in new) <= left_mb + 1e-6
            is_alone = any(one.is_alone for one in [*mine, *new])
            assert not is_alone or len(mine) + len(new) == 1
        # Who waits on does so because of those before him, or the one for whom it is kept.
        if len(running) + len(names) >= max_tasks or device.closed_because:
            continue
        for need in line:
            if need.name in on or device.device_id in shunned(need, devices):
                continue
            if packing.kept_device == device.device_id and packing.kept_for != need.name:
                continue
            above = [one for one in new if rank[one.name] < rank[need.name]]
            beside = [*mine, *above]
            assert (
                len(beside) >= device.max_tasks
                or any(one.is_alone for one in beside)
                or (need.is_alone and beside)
                or need.memory_mb > left_mb - sum(one.memory_mb for one in above) - 1e-6
            )


def test_who_could_not_be_started_looks_everywhere_again() -> None:
    places = Places([gpu("a"), gpu("b")], {})
    line = WaitingLine([Need("t", 100.0)])
    [first] = places.pack(line, 100).placements
    places.measure(replace(gpu(first.device_id), closed_because="shut"))
    [second] = places.pack(line, 100).placements
    assert {first.device_id, second.device_id} == {"a", "b"}


@given(devices_strategy, needs_strategy, st.integers(0, 2**32))
def test_remembering_decides_as_from_scratch(
    devices: list[Device], needs: list[Need], seed: int
) -> None:
    """Tasks come, start, end and are cancelled; others come and go; devices are lost and found."""
    source = random.Random(seed)
    line = WaitingLine(needs[::2])
    late = needs[1::2]
    now = {device.device_id: device for device in devices}
    running: dict[str, Reservation] = {}
    places = Places(devices, {})
    for step in range(20):
        # Mostly one thing changes, as in life, so that there is something to remember.
        event = source.choice(["end", "end", "end", "end", "join", "cancel", "others", "device"])
        if event == "end" and running:
            name = source.choice(list(running))
            places.end(name)
            ended = running.pop(name)
            if source.random() < 0.5:  # what it had taken is free at once
                device = now.get(ended.device_id)
                if device is not None:
                    free_mb = min(device.memory_total_mb, device.memory_free_mb + ended.memory_mb)
                    now[device.device_id] = replace(device, memory_free_mb=free_mb)
                    places.measure(now[device.device_id])
        elif event == "join" and late:
            line.add(late.pop())
        elif event == "cancel" and line:
            line.remove(source.choice([need.name for need in line]))
        elif event == "others" and now:
            device = now[source.choice(list(now))]
            free_mb = source.random() * device.memory_total_mb
            closed = source.choice(["", "", "shut"])
            now[device.device_id] = replace(device, memory_free_mb=free_mb, closed_because=closed)
            places.measure(now[device.device_id])
        elif event == "device":
            device = gpu(f"new{step}", total=source.choice([300, 2000]))
            now[device.device_id] = device
            places.measure(device)
        max_tasks = source.choice([3, 100, 100, 100])
        fresh = policy.pack(line, list(now.values()), running, max_tasks, now_s=step)
        assert places.pack(line, max_tasks, now_s=step) == fresh
        for placement in fresh.placements:
            if source.random() < 0.9:  # the rest could not be started after all
                line.remove(placement.name)
                running[placement.name] = placement.reservation
                places.start(placement.name, placement.reservation)


@pytest.mark.parametrize("is_alone", [False, True])
@given(
    st.integers(1, 3),
    st.sampled_from([0.0, 1.0, 50.0, 1000.0]),
    st.lists(st.tuples(st.integers(50, 500), st.sampled_from([0.0, 5.0, 2000.0])), min_size=1),
    st.integers(501, 1000),
    st.integers(0, 2**32),
)
def test_a_never_ending_stream_of_small_tasks_starves_nobody(
    is_alone: bool,
    num_devices: int,
    expected_s: float,
    stream: list[tuple[int, float]],
    memory_mb: int,
    seed: int,
) -> None:
    """Small ones come as fast as they end, whatever they are said to take and really take."""
    source = random.Random(seed)
    wanted = Need("wanted", 100 if is_alone else memory_mb, 0, expected_s, 0, is_alone)
    line = WaitingLine([wanted])
    running: dict[str, Reservation] = {
        f"r{n}": Reservation(f"g{n % num_devices}", 300) for n in range(3 * num_devices)
    }
    ends = [(source.uniform(0, 100), name) for name in running]
    heapq.heapify(ends)
    now_s = 0.0
    for number, (small_mb, said_s) in enumerate(itertools.cycle(stream)):
        while len(line) < 8:
            line.add(Need(f"s{number}.{len(line)}", small_mb, 0, said_s, 1 + number))
        used = Counter[str]()
        for one in running.values():
            used[one.device_id] += int(one.memory_mb)
        devices = [gpu(f"g{n}", free=1000 - used[f"g{n}"]) for n in range(num_devices)]
        for placement in policy.pack(line, devices, running, 100, now_s=now_s).placements:
            line.remove(placement.name)
            running[placement.name] = placement.reservation
            heapq.heappush(ends, (now_s + source.uniform(1, 100), placement.name))
        if "wanted" in running:
            break
        now_s, ended = heapq.heappop(ends)
        del running[ended]
        assert number < 400, "it still waits"


@pytest.mark.parametrize("said_s", [10.0, 1000.0])
def test_a_never_ending_stream_of_large_tasks_starves_no_small_one(said_s: float) -> None:
    wanted = Need("wanted", 200, expected_s=5)
    line = WaitingLine([wanted, *(Need(f"other{n}", 200, expected_s=5) for n in range(3))])
    running: dict[str, Reservation] = {}
    for number in range(200):
        while len(line) < 8:
            line.add(Need(f"l{number}.{len(line)}", 900, expected_s=said_s, order=1 + number))
        for placement in policy.pack(line, [gpu("a")], running, 1, now_s=number).placements:
            line.remove(placement.name)
            running = {placement.name: placement.reservation}
        if "wanted" in running:
            return
        running = {}
    pytest.fail("it still waits")
