"""Calls of the command line, and queues that answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from click.testing import CliRunner, Result

from lfadsq.cli.main import lfadsq
from lfadsq.errors import LfadsqError
from lfadsq.queue.status import Snapshot, TaskState
from lfadsq.queue.wishes import Wishes


def call(*words: object, answer: str | None = None) -> Result:
    """Call the command line; what it raises comes through."""
    result = CliRunner().invoke(lfadsq, list(map(str, words)), input=answer)
    if isinstance(result.exception, LfadsqError):
        raise result.exception
    return result


def said(*words: object, answer: str | None = None) -> str:
    result = call(*words, answer=answer)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@contextlib.contextmanager
def obeying_queue(
    collection: Any, snapshot: Snapshot, obey: Callable[[Wishes, Snapshot], Snapshot]
) -> Iterator[None]:
    """A queue that looks at wishes and shows that it obeys, as a real one does."""
    is_over = threading.Event()

    def run() -> None:
        with collection.control.join(snapshot.queue_id) as presence:
            presence.publish(snapshot)
            is_there.set()
            seen = None
            while not is_over.wait(0.01):
                now = collection.control.fingerprint()
                if now != seen:
                    seen = now
                    presence.publish(obey(collection.control.read(), snapshot), at_once=True)

    is_there = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert is_there.wait(10)
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def with_cancelled(wishes: Wishes, snapshot: Snapshot) -> Snapshot:
    tasks = tuple(
        replace(task, state=TaskState.CANCELLED) if task.name in wishes.cancelled else task
        for task in snapshot.tasks
    )
    return replace(snapshot, tasks=tasks)


def statuses(collection: Any, *states: TaskState) -> list[Any]:
    return [
        collection.status(name, state)
        for name, state in zip(collection.names, states, strict=False)
    ]
