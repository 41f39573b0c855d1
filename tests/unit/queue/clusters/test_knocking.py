"""Whether anybody listens at an address."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lfadsq.queue.clusters import knocking
from lfadsq.queue.clusters.knocking import refused_for

from .conftest import free_port


@pytest.fixture
def listen() -> Iterator[Callable[..., socket.socket]]:
    """Listen at a port, and accept nobody; ``full`` answers nobody either."""
    with ExitStack() as stack:

        def make(port: int = 0, *, full: bool = False) -> socket.socket:
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))
            one.listen(0 if full else 50)
            for _ in range(2 if full else 0):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(one.getsockname())
            return one

        yield make


def refused_within(port: int, patience_s: float, timeout_s: float) -> float | None:
    """Give after how long it was told that nobody listens [s]; None if not in time."""

    async def wait() -> None:
        await asyncio.wait_for(refused_for("127.0.0.1", port, patience_s, 0.05), timeout_s)

    began_s = time.monotonic()
    try:
        asyncio.run(wait())
    except asyncio.TimeoutError:
        return None
    return time.monotonic() - began_s


def test_refused_for_long_enough_is_told() -> None:
    took_s = refused_within(free_port(), patience_s=0.5, timeout_s=20)
    assert took_s is not None
    assert took_s >= 0.5


def test_who_listens_and_says_nothing_is_there(listen: Callable[..., socket.socket]) -> None:
    assert refused_within(listen().getsockname()[1], patience_s=0.1, timeout_s=1) is None


def test_no_answer_is_no_refusal(
    listen: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a firewall drops what is sent, or a network is slow."""
    monkeypatch.setattr(knocking, "_TIMEOUT_S", 0.1)
    port = listen(full=True).getsockname()[1]
    with socket.socket() as one:
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.connect(("127.0.0.1", port))
    assert refused_within(port, patience_s=0.1, timeout_s=1) is None


def test_refusals_count_without_a_break(listen: Callable[..., socket.socket]) -> None:
    port = free_port()

    async def come_and_go() -> float:
        knocks = asyncio.create_task(refused_for("127.0.0.1", port, 1.0, 0.05))
        await asyncio.sleep(0.7)
        there = listen(port)
        await asyncio.sleep(0.5)
        there.close()
        gone_s = time.monotonic()
        await asyncio.wait_for(knocks, 20)
        return time.monotonic() - gone_s

    assert asyncio.run(come_and_go()) >= 0.9
