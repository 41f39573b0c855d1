"""Queues run in this process, and what they told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lfadsqueue
from lfadsq.queue import QueueSummary
from lfadsq.queue.events import (
    Event,
)


class Listener:
    """Keeps what happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.num_closed = 0

    def report(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.num_closed += 1

    def all_of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def run(
    specs: list[dict[str, Any]], listener: Listener | None = None, **arguments: Any
) -> QueueSummary:
    arguments.setdefault("max_tasks_simultaneously", 4)
    return lfadsqueue.run_lfads_queue(
        "q",
        arguments.pop("tensorboard_script", None),
        specs,
        reporter=listener or Listener(),
        **arguments,
    )


def log_of(spec: dict[str, Any]) -> str:
    return Path(spec["outfile"]).read_text()
