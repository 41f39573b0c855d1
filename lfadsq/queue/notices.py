"""Notices of what happens in a queue: a command that is run, a webhook that is called.

Both get the same, each in a thread of its own: the queue never waits for them, and nothing that
goes wrong with them reaches the training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.queue.couriers import CommandCourier, Courier, WebhookCourier
from lfadsq.queue.events import (
    Event,
    Failure,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskRetried,
)
from lfadsq.queue.mailbox import Mailbox
from lfadsq.queue.summary import summary_text
from lfadsq.queue.texts import failure_text, retry_text

__all__ = ["KINDS", "NoticeReporter"]

KINDS = ("finished", "failed", "retried", "cancelled", "done")
"""What notices can be of: a task that finished, that failed for good, that is tried again, that a
person cancelled; and the end of the queue."""

_CLOSE_S = 10.0
_LONGEST_TEXT = 1500
_logger = logging.getLogger(__name__)


def _log(noted: Noted) -> None:
    _logger.log(logging.WARNING if noted.is_warning else logging.INFO, "%s", noted.text)


class NoticeReporter:
    """Sends notices of some kinds of events.

    Parameters
    ----------
    command : str, optional
        A line for bash. What happened is in its environment, as ``LFADSQ_EVENT`` (the kind),
        ``LFADSQ_TASK``, ``LFADSQ_CAUSE``, ``LFADSQ_MESSAGE``, ``LFADSQ_QUEUE``, ``LFADSQ_LOG``,
        ``LFADSQ_DEVICE``, ``LFADSQ_NUM_FINISHED``, ``LFADSQ_NUM_FAILED`` and
        ``LFADSQ_NUM_CANCELLED``, and as JSON on its standard input; never in the line itself.
    webhook : str, optional
        An address that is sent the same JSON by HTTP POST: https, or http on this machine. Its
        ``text`` (for some services ``content``) is what chats show.
    on : collection of str, default ("failed", "done")
        Of what: any of `KINDS`.
    note : callable, optional
        Takes what is to be told of notices that fail, from any thread; by default it is logged.

    Raises
    ------
    ConfigError
        If there is no such kind, or the address cannot be used; it is not repeated in the message,
        since those who know it can write to the chat.
    """

    def __init__(
        self,
        command: str | None = None,
        webhook: str | None = None,
        on: Collection[str] = ("failed", "done"),
        *,
        note: Callable[[Noted], None] = _log,
    ) -> None:
        unknown = [kind for kind in on if kind not in KINDS] if not isinstance(on, str) else [on]
        if unknown:
            raise ConfigError(
                f"there are no notices of {', '.join(map(repr, unknown))}",
                f"choose some of {', '.join(KINDS)}",
            )
        couriers: list[Courier] = []
        if command is not None:
            couriers.append(CommandCourier(command))
        if webhook is not None:
            couriers.append(WebhookCourier(webhook))
        self._on = frozenset(on)
        self._channels = [_Channel(courier, note) for courier in couriers]
        self._queue_name = ""
        self._counts = {"finished": 0, "failed": 0, "cancelled": 0}

    def report(self, event: Event) -> None:
        """Take an event, and send a notice if it is of a kind that is wanted."""
        if isinstance(event, QueueStarted):
            self._queue_name = event.queue_name
        elif isinstance(event, TaskFinished):
            self._counts["finished"] += 1
            attempt = event.attempt
            device_name = attempt.device_name if attempt is not None else ""
            self._send(
                "finished", f"finished: {event.task.name}", event.task, device_name=device_name
            )
        elif isinstance(event, TaskFailed):
            self._counts["failed"] += 1
            self._send("failed", failure_text(event.failure), event.task, event.failure)
        elif isinstance(event, TaskRetried):
            self._send("retried", retry_text(event.failure, event.how), event.task, event.failure)
        elif isinstance(event, TaskCancelled):
            self._counts["cancelled"] += 1
            self._send("cancelled", f"cancelled: {event.task.name}", event.task)
        elif isinstance(event, QueueEnded):
            self._end(event.summary)

    def close(self) -> None:
        """Deliver what is pending, for 10 s at most."""
        deadline_s = time.monotonic() + _CLOSE_S
        for channel in self._channels:
            channel.close(deadline_s)

    def _end(self, summary: QueueSummary) -> None:
        self._queue_name = summary.queue_name
        counts = {
            "finished": summary.finished,
            "skipped": summary.skipped,
            "failed": summary.failed,
            "cancelled": summary.cancelled,
            "interrupted": summary.interrupted,
            "left": summary.left,
            "not_started": summary.not_started,
        }
        self._counts = {word: len(tasks) for word, tasks in counts.items()}
        self._send("done", summary_text(summary))

    def _send(
        self,
        kind: str,
        message: str,
        task: Any = None,
        failure: Failure | None = None,
        device_name: str = "",
    ) -> None:
        if kind not in self._on:
            return
        text = f"[{self._queue_name}] {message}"
        if len(text) > _LONGEST_TEXT:
            text = f"{text[:_LONGEST_TEXT]} ..."
        notice = {
            "text": text,
            "event": kind,
            "queue": self._queue_name,
            "task": task.name if task else "",
            "cause": failure.cause.value if failure else "",
            "message": message,
            "log": str(task.outfile) if task else "",
            "device": failure.device_name if failure else device_name,
            **{f"num_{word}": count for word, count in self._counts.items()},
        }
        for channel in self._channels:
            channel.post(notice)


class _Channel:
    """A courier with a mailbox before it; tells of its first failure, and of what got lost."""

    def __init__(self, courier: Courier, note: Callable[[Noted], None]) -> None:
        self._courier = courier
        self._note = note
        self._mailbox: Mailbox[dict[str, Any]] = Mailbox(self._deliver, f"notices by {courier}")
        self._has_failed = False

    def post(self, notice: dict[str, Any]) -> None:
        if not self._mailbox.post(notice):
            self._tell("notices come faster than they can be sent: some are left out")

    def close(self, deadline_s: float) -> None:
        num_lost = self._mailbox.close(max(0.0, deadline_s - time.monotonic()))
        if num_lost:
            self._note(Noted(f"{num_lost} notices by {self._courier} were not sent in time", True))

    def _deliver(self, notice: dict[str, Any]) -> None:
        problem = self._courier.deliver(notice, self._mailbox)
        if problem:
            self._tell(problem)

    def _tell(self, problem: str) -> None:
        _logger.info("%s: %s", self._courier, problem)
        if not self._has_failed:
            self._has_failed = True
            text = f"notices by {self._courier}: {problem} (the training goes on; told once)"
            self._note(Noted(text, True))
