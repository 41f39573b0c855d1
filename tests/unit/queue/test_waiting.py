from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.waiting import Limits, Need, WaitingLine


def in_order(needs: list[Need]) -> list[Need]:
    """The documented order, said in another way: stable sorts from the last key to the first."""
    needs = sorted(needs, key=lambda need: need.name)
    needs = sorted(needs, key=lambda need: need.order)
    needs = sorted(needs, key=lambda need: need.expected_s, reverse=True)
    return sorted(needs, key=lambda need: need.priority, reverse=True)


def fits(need: Need, limits: Limits) -> bool:
    return need.memory_mb <= (limits.alone_mb if need.is_alone else limits.shared_mb)


def in_turn(needs: list[Need], limits: Limits, urgent_s: float, large_mb: float) -> list[Need]:
    """The documented turns: in each priority, each of the four groups in order."""

    def group(need: Need) -> int:
        is_brief = 0 < need.expected_s <= limits.brief_s and need.memory_mb <= limits.brief_mb
        if not fits(need, limits):
            return 3 if is_brief and not need.is_alone else 4
        if need.expected_s >= urgent_s:
            return 0
        return 1 if need.is_alone or need.memory_mb > large_mb else 2

    ordered = sorted(in_order(needs), key=lambda need: (-need.priority, group(need)))
    return [need for need in ordered if group(need) < 4]


def random_need(name: str, source: random.Random) -> Need:
    return Need(
        name,
        source.randrange(0, 30),
        source.randrange(-1, 2),
        source.choice([0, 1, 2.5, 40]),
        source.randrange(3),
        source.random() < 0.2,
    )


def test_priority_then_longest_then_as_given() -> None:
    line = WaitingLine(
        [
            Need("second given", 1, order=2),
            Need("first given", 1, order=1),
            Need("long", 1, expected_s=50, order=9),
            Need("urgent", 1, priority=1, order=9),
        ]
    )
    assert [need.name for need in line] == ["urgent", "long", "first given", "second given"]


@pytest.mark.parametrize("num_tasks", [7, 2500])
def test_it_is_what_a_sorted_list_would_be(num_tasks: int) -> None:
    """2,500 tasks fill several blocks, which are split and emptied again."""
    source = random.Random(num_tasks)
    needs = {f"t{n}": random_need(f"t{n}", source) for n in range(num_tasks)}
    line = WaitingLine(needs.values())
    for step in range(2 * num_tasks):
        name = source.choice(list(needs)) if needs else ""
        action = source.randrange(3 if needs else 1)
        if action == 0 and len(needs) < 2 * num_tasks:
            needs[f"new{step}"] = random_need(f"new{step}", source)
            line.add(needs[f"new{step}"])
        elif action == 1:
            needs[name] = random_need(name, source)
            line.change(needs[name])
        elif name:
            assert line.remove(name) == needs.pop(name)
        if step % max(1, num_tasks // 20) == 0:
            check(line, list(needs.values()), source)
    for name in list(needs):
        line.remove(name)
    check(line, [], source)


def check(line: WaitingLine, needs: list[Need], source: random.Random) -> None:
    expected = in_order(needs)
    assert list(line) == expected
    assert len(line) == len(needs)
    assert line.least_mb == min((need.memory_mb for need in needs), default=math.inf)
    assert line.most_mb == max((need.memory_mb for need in needs), default=0)
    assert line.total_mb == sum(need.memory_mb for need in needs)
    assert line.total_mb_s == sum(round(need.memory_mb * need.expected_s) for need in needs)
    for _ in range(5):
        limits = Limits(*(source.randrange(-1, 30) for _ in range(3)), source.choice([0, 2, 50]))
        urgent_s, large_mb = source.choice([0, 1, 3, 99]), source.randrange(30)
        fitting = line.fitting(lambda limits=limits: limits, urgent_s=urgent_s, large_mb=large_mb)
        assert list(fitting) == in_turn(expected, limits, urgent_s, large_mb)
        larger = list(line.larger_than(limits.shared_mb))
        assert larger == [need for need in expected if need.memory_mb > limits.shared_mb]
    assert all(need.name in line and line[need.name] == need for need in needs)


def test_limits_may_fall_on_the_way() -> None:
    line = WaitingLine([Need(str(n), memory, order=n) for n, memory in enumerate([5, 9, 3, 1])])
    left = [10.0]
    taken = []
    for need in line.fitting(lambda: Limits(left[0], -1)):
        left[0] -= need.memory_mb
        taken.append(need.name)
    assert taken == ["0", "2", "3"]


def test_names_are_unique_and_known() -> None:
    line = WaitingLine([Need("a", 1)])
    with pytest.raises(ValueError, match="'a' waits already"):
        line.add(Need("a", 2))
    with pytest.raises(ValueError, match="'b' waits already"):
        WaitingLine([Need("b", 1), Need("b", 2)])
    with pytest.raises(KeyError):
        line.remove("b")
    with pytest.raises(KeyError):
        line.change(Need("b", 1))
    assert list(line) == [Need("a", 1)]
    assert "b" not in line


def test_the_version_tells_when_somebody_new_came() -> None:
    line = WaitingLine([Need("a", 1), Need("b", 1)])
    seen = line.version
    line.remove("a")
    assert line.version == seen
    line.add(Need("a", 1))
    assert line.version > seen
    seen = line.version
    line.change(Need("a", 2))
    assert line.version > seen


def test_nobody_is_overtaken_in_a_line_that_only_empties() -> None:
    line = WaitingLine([Need(str(n), 1, expected_s=n) for n in range(50)])
    for n in reversed(range(50)):
        line.remove(str(n))
        assert not list(line.overtaken())


def test_who_is_passed_by_newcomers_for_ever_is_overtaken() -> None:
    line = WaitingLine([Need(str(n), 1, expected_s=1 + n) for n in range(3)])
    for n in range(100, 104):
        assert not list(line.overtaken())
        line.add(Need(str(n), 1, expected_s=n))
        line.remove(str(n))
    assert [need.name for need in line.overtaken()] == ["2", "1", "0"]
    line.change(replace(line["2"], memory_mb=5))
    line.remove("1")
    assert [need.name for need in line.overtaken()] == ["2", "0"]
    # Only its own priority counts, and only the highest is asked for.
    line.add(Need("urgent", 1, priority=1))
    assert not list(line.overtaken())


@given(st.lists(st.integers(0, 5), max_size=60))
def test_overtaken_are_those_whom_later_ones_left_behind(choices: list[int]) -> None:
    """Against a count kept for each task apart."""
    line = WaitingLine()
    bars: dict[str, int | None] = {}
    num_joined = num_left = 0
    for step, choice in enumerate(choices):
        if choice < 3 or not bars:
            name = f"t{step}"
            line.add(Need(name, 1, order=step))
            bars[name] = None
            num_joined += 1
        else:
            name = list(bars)[choice % len(bars)]
            bars = {n: num_joined if bar is None else bar for n, bar in bars.items()}
            line.remove(name)
            del bars[name]
            num_left += 1
            if not bars:
                num_joined = num_left = 0
        expected = {name for name, bar in bars.items() if bar is not None and num_left >= bar}
        assert {need.name for need in line.overtaken()} == expected
