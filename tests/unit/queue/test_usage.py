from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.devices import CPU
from lfadsq.queue.usage import UsageMeter

DEVICES = ["GPU-0", "GPU-1", CPU]
# A GPU counts once; all five tasks may be on the processors at once.
PLACES = {"GPU-0": 3, "GPU-1": 1, "GPU-2": 5, CPU: 5}
NUM_PLACES = 3 + 5
NAMES = "abcde"

# What happens, one after the other, each a number of seconds after the one before.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(NAMES),
        st.sampled_from([*DEVICES, None]),  # None: it ends
    ),
    max_size=25,
)


def by_brute_force(
    steps: list[tuple[int, str, str | None]], until_s: int
) -> tuple[dict[str, float], float, float, float | None]:
    """Look at every second which task is where."""
    spans: list[tuple[str, str, int, int]] = []  # name, device, start, end
    begun: dict[str, tuple[str, int]] = {}
    times = [*itertools.accumulate(wait_s for wait_s, _, _ in steps), *[until_s] * len(NAMES)]
    changes = [(name, device) for _, name, device in steps] + [(name, None) for name in NAMES]
    for at_s, (name, device) in zip(times, changes, strict=True):
        if name in begun:
            spans.append((name, *begun.pop(name), at_s))
        if device is not None:
            begun[name] = (device, at_s)
    task_s = dict.fromkeys(NAMES, 0.0)
    gpu_s = cpu_s = 0
    for second in range(until_s):
        now = {name: device for name, device, from_s, to_s in spans if from_s <= second < to_s}
        for name in now:
            task_s[name] += 1
        gpu_s += len(set(now.values()) - {CPU})
        cpu_s += list(now.values()).count(CPU)
    span_s = max((span[3] for span in spans), default=0) - min(
        (span[2] for span in spans), default=0
    )
    idle = 1 - (gpu_s + cpu_s) / (span_s * NUM_PLACES) if span_s else None
    return task_s, gpu_s, cpu_s, idle


@given(STEPS, st.integers(0, 3))
def test_it_agrees_with_looking_at_every_second(
    steps: list[tuple[int, str, str | None]], rest_s: int
) -> None:
    meter = UsageMeter()
    now_s = 0
    for wait_s, name, device in steps:
        now_s += wait_s
        if device is None:
            meter.ended(name, now_s)
        else:
            meter.started(name, device, device != CPU, now_s)
    until_s = now_s + rest_s
    usage = meter.usage(PLACES, until_s)
    task_s, gpu_s, cpu_s, idle = by_brute_force(steps, until_s)
    assert {name: usage.task_s.get(name, 0) for name in NAMES} == pytest.approx(task_s)
    assert (usage.gpu_s, usage.cpu_s) == pytest.approx((gpu_s, cpu_s))
    if idle is None:
        assert usage.idle_fraction is None
    else:
        assert usage.idle_fraction == pytest.approx(idle)
    assert meter.usage(PLACES, until_s) == usage


def test_tasks_side_by_side_make_a_gpu_busy_once() -> None:
    meter = UsageMeter()
    meter.started("a", "GPU-0", True, 0)
    meter.started("b", "GPU-0", True, 5)
    meter.ended("a", 10)
    meter.ended("b", 15)
    usage = meter.usage({"GPU-0": 2, "GPU-1": 2}, 100)
    assert usage.gpu_s == 15
    assert usage.task_s == {"a": 10, "b": 10}
    assert usage.idle_fraction == 0.5


def test_each_slot_of_the_processors_counts() -> None:
    meter = UsageMeter()
    meter.started("a", CPU, False, 0)
    meter.started("b", CPU, False, 0)
    meter.ended("b", 5)
    meter.ended("a", 10)
    usage = meter.usage({CPU: 2}, 10)
    assert (usage.gpu_s, usage.cpu_s) == (0, 15)
    assert usage.idle_fraction == 0.25


def test_a_device_that_was_lost_was_there_when_it_was_used() -> None:
    meter = UsageMeter()
    meter.started("a", "GPU-0", True, 0)
    meter.ended("a", 10)
    assert meter.usage({}, 10).idle_fraction == 0
    assert meter.usage({"GPU-1": 1}, 10).idle_fraction == 0.5


def test_nothing_ran() -> None:
    usage = UsageMeter().usage({CPU: 2}, 10)
    assert (usage.gpu_s, usage.cpu_s, usage.idle_fraction) == (0, 0, None)
