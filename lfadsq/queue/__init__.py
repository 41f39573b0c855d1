"""Where and when: tasks, devices, packing, and the processes that train."""

from __future__ import annotations

from lfadsq.queue.events import QueueSummary as QueueSummary
from lfadsq.queue.events import Reporter as Reporter
from lfadsq.queue.runner import run_lfads_queue as run_lfads_queue

__all__ = ["QueueSummary", "Reporter", "run_lfads_queue"]
