"""Reading on a thread of its own."""

from __future__ import annotations

import threading
import time

from lfadsq.errors import LfadsqError
from lfadsq.watching.live.polling import Poller

_DEADLINE_S = 20.0


def test_results_and_expected_errors_are_handed_on_and_a_fault_ends_it() -> None:
    script: list[object] = [1, LfadsqError("away", "wait"), 2, ValueError("a fault")]
    told: list[object] = []
    ended = threading.Event()

    def work() -> object:
        one = script.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    Poller(work, told.append, 0.001, "test", ended.set).start()
    assert ended.wait(_DEADLINE_S)
    assert told[0] == 1
    assert isinstance(told[1], LfadsqError)
    assert told[2] == 2
    assert isinstance(told[3], ValueError)


def test_it_waits_between_looks_unless_it_is_woken() -> None:
    told: list[float] = []
    seen = threading.Semaphore(0)

    def take(result: object) -> None:
        told.append(time.monotonic())
        seen.release()

    poller = Poller(lambda: None, take, 3600, "test")
    poller.start()
    assert seen.acquire(timeout=_DEADLINE_S)
    poller.wake()
    assert seen.acquire(timeout=_DEADLINE_S)
    poller.stop(waits=True)
    assert len(told) == 2


def test_the_end_does_not_wait_for_what_hangs_and_its_result_is_dropped() -> None:
    goes_on, began, ended = threading.Event(), threading.Event(), threading.Event()
    told: list[object] = []

    def hang() -> int:
        began.set()
        goes_on.wait(_DEADLINE_S)
        return 1

    poller = Poller(hang, told.append, 0.001, "test", ended.set)
    poller.start()
    assert began.wait(_DEADLINE_S)
    began_s = time.monotonic()
    poller.stop(waits=True)
    assert time.monotonic() - began_s < 5
    assert not ended.is_set(), "what it uses is let go only when it uses it no more"
    goes_on.set()
    assert ended.wait(_DEADLINE_S)
    assert told == []
