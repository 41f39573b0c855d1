"""Everyone who is told of what a queue does."""

from __future__ import annotations

from collections.abc import Callable

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.events import Noted, Reporter
from lfadsq.queue.options import QueueOptions
from lfadsq.queue.reporters import Reporters

__all__ = ["audience"]


def audience(
    options: QueueOptions,
    given: Reporter | None,
    control: ControlFolder | None,
    note: Callable[[Noted], None],
) -> Reporter:
    """Gather whoever is to be told.

    Parameters
    ----------
    options : QueueOptions
        What asks for notices and tmux.
    given : Reporter or None
        In place of the console.
    control : ControlFolder or None
        To its log everything is added as plain lines, so that it outlives the terminal.
    note : callable
        Takes what is to be told about the telling, from any thread.

    Raises
    ------
    ConfigError
        If tmux is asked for and missing, or a webhook cannot be used.
    """
    # Not on import of lfadsq.queue, which has to be quick.
    reporters: list[Reporter] = []
    if options.tmux:
        from lfadsq.queue.tmux import TmuxReporter

        reporters.append(TmuxReporter(note))
    if options.notify_command is not None or options.notify_webhook is not None:
        from lfadsq.queue.notices import NoticeReporter

        reporters.append(
            NoticeReporter(
                options.notify_command, options.notify_webhook, options.notify_on, note=note
            )
        )
    if control is not None:
        from lfadsq.queue.log_report import LogReporter

        # Whoever may say what the queue does may also run one, and write to its log.
        reporters.append(LogReporter(control.paths.log, control.paths.file_mode))
    if given is None:
        from lfadsq.queue.report import ConsoleReporter

        given = ConsoleReporter()
    # The console last: what the others have to say at their end, it can still show.
    return Reporters(*reporters, given)
