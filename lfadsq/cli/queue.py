"""``lfadsq queue``: see and control the queues of a collection from any terminal."""

from __future__ import annotations

import click

from lfadsq.cli.lazy import LazyGroup

__all__ = ["queue"]

_VERBS = {
    "add": ("lfadsq.cli.queue_add:add", "add tasks to the queues of a collection"),
    "cancel": ("lfadsq.cli.queue_cancel:cancel", "give runs up; those at work end"),
    "pause": ("lfadsq.cli.queue_pause:pause", "start nothing more, or hold single runs back"),
    "priority": ("lfadsq.cli.queue_priority:priority", "let runs start before or after others"),
    "resume": ("lfadsq.cli.queue_pause:resume", "take pause or cancel back"),
    "retry": ("lfadsq.cli.queue_retry:retry", "try runs again that failed or were cancelled"),
    "run": ("lfadsq.cli.queue_run:run", "run a queue script, also one that MATLAB wrote"),
    "status": ("lfadsq.cli.queue_status:status", "what runs where, what waits and why"),
    "stop": ("lfadsq.cli.queue_stop:stop", "ask the queues themselves to end"),
}


@click.group(
    cls=LazyGroup,
    lazy_verbs=_VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def queue() -> None:
    """See and control the queues of a collection, from any terminal.

    COLLECTION is its folder, its run_lfadsqueue.py, or any folder inside; by default the current
    folder. RUN is the name of a task, the path of its run directory, a pattern such as
    '*_run003_*', or a part of one name.

    What you want is kept in COLLECTION/.lfadsqueue until you take it back: queues that run obey
    within a second, and so does one that is started later. Whoever may write to that folder may
    control the queues; it is made for you alone (chmod opens it to your group).

    \b
    Examples:
      lfadsq queue status ~/runs/my_collection
      lfadsq queue pause --now              free the GPUs; runs wait with a checkpoint
      lfadsq queue resume
      lfadsq queue cancel '*_run003_*'
      lfadsq queue retry --failed
    """
