"""The machines of a cluster as devices, and what they tell of themselves."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.clusters import machines as module
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Machine, result_from_dict, result_to_dict
from lfadsq.queue.devices import Device
from lfadsq.queue.execution import Result
from lfadsq.queue.locks import Journal
from lfadsq.queue.records import Attempt

GPU = Device("GPU-1", "GPU 0 (A100)", 40000, 30000, 2, {17: 500.0})
_TEXT = st.text(st.characters(codec=None))  # also what is no valid text


def _machine(name: str = "w1", address: str = "tls://a:1", **given: object) -> Machine:
    return Machine(name, address, "node7", devices=(GPU,), **given)  # type: ignore[arg-type]


@given(
    name=_TEXT,
    host=_TEXT,
    left_s=st.none() | st.floats(-1e6, 1e6),
    is_leaving=st.booleans(),
    sessions=st.dictionaries(st.integers(1, 1 << 22), st.floats(0, 1e6)),
    power_w=st.none() | st.floats(0, 1000),
    users=st.lists(_TEXT, max_size=3),
)
def test_a_machine_survives_its_journey(
    name: str,
    host: str,
    left_s: float | None,
    is_leaving: bool,
    sessions: dict[int, float],
    power_w: float | None,
    users: list[str],
) -> None:
    device = replace(
        GPU,
        taken_mb_by_session=sessions,
        utilisation_percent=93.0,
        power_w=power_w,
        other_users=tuple(users),
    )
    machine = Machine(
        name, "tls://a:1", host, devices=(device,), left_s=left_s, is_leaving=is_leaving
    )
    travelling = json.dumps(machine.to_dict())
    travelling.encode("ascii")
    assert Machine.from_dict(json.loads(travelling)) == machine


@given(
    problem=_TEXT,
    pid=st.none() | st.integers(1, 99),
    kind=st.sampled_from(["ended", "held", "returned", "refused"]),
    has_attempt=st.booleans(),
)
def test_a_result_survives_its_journey(
    problem: str, pid: int | None, kind: str, has_attempt: bool
) -> None:
    attempt = Attempt(3, problem, "node7", "cpu", "cpu", "2026-01-01T00:00:00+00:00", 7)
    result = Result(
        kind,  # type: ignore[arg-type]
        attempt if has_attempt else None,
        problem,
        Journal({"number": 3}, name=problem, pid=pid),
    )
    travelling = json.dumps(result_to_dict(result))
    travelling.encode("ascii")
    assert result_from_dict(json.loads(travelling)) == result


def test_two_jobs_may_be_shown_the_same_gpu() -> None:
    machines = Machines()
    machines.note(_machine())
    machines.note(_machine("w2", "tls://b:1"))
    first, second = machines.measure()
    assert (first.device_id, second.device_id) == ("GPU-1@w1", "GPU-1@w2")
    assert first.is_gpu
    assert first.name == "GPU 0 (A100) of node7"
    found = machines.find(second.device_id)
    assert found is not None
    assert (found[0].address, found[1]) == ("tls://b:1", "GPU-1")
    machines.remove("tls://b:1")
    assert machines.find(second.device_id) is None


def test_a_name_with_an_at_is_found() -> None:
    machines = Machines()
    machines.note(_machine("a@b"))
    assert machines.find("GPU-1@a@b") is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"problem": "no GPU"}, "no GPU"),
        ({"closed_because": "its job ends"}, "takes nothing more: its job ends"),
        ({}, ""),
    ],
)
def test_a_machine_that_takes_nothing_is_closed(change: dict[str, str], words: str) -> None:
    machines = Machines()
    machines.note(_machine(**change))
    closed = machines.measure()[0].closed_because
    assert words in closed
    assert bool(closed) == bool(words)


def test_a_silent_machine_is_closed_until_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines()
    at_work = replace(
        GPU, utilisation_percent=93, power_w=300, temperature_c=70, other_users=("ada",)
    )
    busy = replace(_machine(), devices=(at_work,))
    machines.note(busy)
    seen = machines.measure()[0]
    assert (seen.power_w, seen.other_users, seen.host) == (300, ("ada",), busy.host)
    now_s = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s + 31)
    (device,) = machines.measure()
    assert "silent for 31 s" in device.closed_because
    assert (device.utilisation_percent, device.power_w) == (None, None)
    assert (device.temperature_c, device.other_users) == (None, ())
    machines.note(busy)
    (device,) = machines.measure()
    assert device.closed_because == ""
    assert device.utilisation_percent == 93


def test_time_left_runs_on_without_news(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines()
    machines.note(_machine(left_s=100.0))
    now_s = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s + 30)
    (machine,) = machines.all()
    assert machine.left_s == pytest.approx(70, abs=1)


def test_news_is_what_matters() -> None:
    machines = Machines()
    assert machines.note(_machine()) == (True, True)
    assert machines.note(_machine()) == (False, False)
    a_little = replace(_machine(left_s=5.0), devices=(replace(GPU, memory_free_mb=30010),))
    assert machines.note(a_little) == (False, False)
    at_work = replace(GPU, utilisation_percent=93, temperature_c=80, other_users=("ada",))
    assert machines.note(replace(_machine(), devices=(at_work,))) == (False, False)
    much = replace(_machine(), devices=(replace(GPU, memory_free_mb=10000),))
    assert machines.note(much) == (False, True)
    assert machines.measure()[0].memory_free_mb == 10000
    assert machines.note(_machine(is_leaving=True)) == (False, True)


def test_what_fits_nowhere_waits_while_machines_are_still_to_come() -> None:
    num_expected = 0
    machines = Machines(lambda: num_expected)
    assert machines.num_missing == 1, "before the first"
    machines.note(_machine())
    assert machines.num_missing == 0
    num_expected = 2
    assert machines.num_missing == 2
