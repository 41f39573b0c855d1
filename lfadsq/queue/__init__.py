"""Where and when: tasks, devices, packing, and the processes that train."""

from __future__ import annotations

from lfadsq.queue.entry import run_lfads_queue as run_lfads_queue
from lfadsq.queue.events import QueueSummary as QueueSummary
from lfadsq.queue.events import Reporter as Reporter

__all__ = ["QueueSummary", "Reporter", "run_lfads_queue"]
