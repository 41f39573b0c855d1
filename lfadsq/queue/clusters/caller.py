"""Calls to the agents on the machines: in order for each machine, and none waits for another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from lfadsq.errors import QueueError

__all__ = ["Caller", "call_all"]


def call_all(
    topic: str, calls: Sequence[tuple[str, tuple[Any, ...]]], dask_worker: Any = None
) -> list[str]:
    """Call methods of an agent, on its worker: for ``Client.run``.

    Returns
    -------
    list of str
        What went wrong with each; empty where nothing did.
    """
    faults = []
    for method, arguments in calls:
        try:
            getattr(dask_worker.plugins[topic], method)(*arguments)
            faults.append("")
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
    return faults


class Caller:
    """Calls agents through a client of Dask, from any thread, without waiting.

    Dask promises no order among calls, and a task that is told to end before it has come would run
    on. So each machine gets its next calls, all at once, when it has answered the last ones.

    Parameters
    ----------
    client : distributed.Client
    topic : str
        Under which the agents of this queue are known.
    """

    def __init__(self, client: Any, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        # Of the loop's thread.
        self._waiting: dict[str, list[tuple[str, tuple[Any, ...], Future[None]]]] = {}
        self._senders: set[asyncio.Task[None]] = set()

    def call(self, address: str, method: str, *arguments: Any) -> Future[None]:
        """Call a method of the agent at an address.

        Returns
        -------
        Future
            Done once the method has returned there; `QueueError` if it failed, or may have. Never
            done if Dask is closed meanwhile.
        """
        done: Future[None] = Future()
        try:
            self._loop.call_soon_threadsafe(self._add, address, (method, arguments, done))
        except RuntimeError as error:  # we are closing
            done.set_exception(QueueError(f"Dask is closed: {error}"))
        return done

    def call_if_free(self, address: str, method: str) -> None:
        """Call a method if that machine has answered all calls before."""
        if address not in self._waiting:
            self.call(address, method)

    def _add(self, address: str, one: tuple[str, tuple[Any, ...], Future[None]]) -> None:
        if address in self._waiting:
            self._waiting[address].append(one)
            return
        self._waiting[address] = [one]
        sender = self._loop.create_task(self._send(address))
        self._senders.add(sender)
        sender.add_done_callback(self._senders.discard)

    async def _send(self, address: str) -> None:
        while calls := self._waiting[address]:
            self._waiting[address] = []
            plain = [(method, arguments) for method, arguments, _ in calls]
            try:
                answers = await self._client.run(
                    call_all, self._topic, plain, workers=[address], nanny=False
                )
                faults = answers[address]
            except Exception as error:
                faults = [f"{type(error).__name__}: {error}"] * len(calls)
            for (_, _, done), fault in zip(calls, faults, strict=True):
                if fault:
                    done.set_exception(QueueError(fault))
                else:
                    done.set_result(None)
        del self._waiting[address]
