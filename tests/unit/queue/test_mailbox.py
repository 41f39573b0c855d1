from __future__ import annotations

import threading
import time

import pytest

from lfadsq.queue.mailbox import Mailbox

from .conftest import wait_until


def test_items_are_delivered_in_order_by_another_thread() -> None:
    got: list[tuple[int, str]] = []
    mailbox: Mailbox[int] = Mailbox(
        lambda item: got.append((item, threading.current_thread().name)), "post"
    )
    assert all(mailbox.post(number) for number in range(100))
    assert mailbox.close(5) == 0
    assert got == [(number, "post") for number in range(100)]
    assert not mailbox.post(100)


def test_more_than_it_holds_is_refused_at_once() -> None:
    go_on = threading.Event()
    got: list[int] = []

    def deliver(item: int) -> None:
        go_on.wait(20)
        got.append(item)

    mailbox = Mailbox(deliver, "post", max_items=2)
    assert mailbox.post(0)
    wait_until(lambda: mailbox.post(1), "room")  # the first one is out of it once it is begun
    wait_until(lambda: mailbox.post(2), "room")
    assert not mailbox.post(3)
    go_on.set()
    assert mailbox.close(5) == 0
    assert got == [0, 1, 2]


def test_one_that_fails_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    got: list[float] = []
    mailbox: Mailbox[int] = Mailbox(lambda item: got.append(1 / item), "post")
    for item in (0, 1):
        mailbox.post(item)
    assert mailbox.close(5) == 0
    assert got == [1]
    assert "post failed" in caplog.text


def test_what_hangs_is_left_behind_in_time() -> None:
    forever = threading.Event()
    begun: list[int] = []

    def deliver(item: int) -> None:
        begun.append(item)
        forever.wait(20)

    mailbox: Mailbox[int] = Mailbox(deliver, "what hangs")
    for item in range(3):
        mailbox.post(item)
    began_s = time.monotonic()
    assert mailbox.close(0.2) == 2
    assert time.monotonic() - began_s < 5
    forever.set()
    wait_until(lambda: "what hangs" not in {t.name for t in threading.enumerate()}, "its end")
    assert begun == [0]


def test_a_rest_ends_when_it_is_closed() -> None:
    left_s: list[float] = []

    def deliver(item: int) -> None:
        left_s.append(mailbox.left_s())
        mailbox.pause(15)
        left_s.append(mailbox.left_s())

    mailbox: Mailbox[int] = Mailbox(deliver, "post")
    mailbox.post(0)
    wait_until(lambda: left_s, "the first")
    began_s = time.monotonic()
    assert mailbox.close(10) == 0
    assert time.monotonic() - began_s < 8
    before, after = left_s
    assert before == float("inf")
    assert 2 < after <= 10
