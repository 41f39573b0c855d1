"""What ``run_lfadsqueue.py`` scripts import: the queue's entry, under its published name."""

from lfadsq.errors import LfadsqError
from lfadsq.queue import run_lfads_queue

__all__ = ["LfadsqError", "run_lfads_queue"]
