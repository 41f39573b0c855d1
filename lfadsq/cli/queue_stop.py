"""``lfadsq queue stop``: ask queues to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfadsq.cli.effects import finish
from lfadsq.cli.targets import collection_option, json_option, target_of
from lfadsq.errors import QueueError

if TYPE_CHECKING:
    from lfadsq.queue.wishes import Wishes

__all__ = ["stop"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="[COLLECTION]", required=False, type=click.Path(path_type=Path))
@click.option("--leave", is_flag=True, help="Let runs at work go on without the queue.")
@collection_option
@json_option
def stop(path: Path | None, leave: bool, collection: Path | None, as_json: bool) -> None:
    """Ask the queues that run to end; runs at work end too, with a checkpoint, unless you --leave.

    The next `python run_lfadsqueue.py` goes on with all of them.

    \b
    Examples:
      lfadsq queue stop
      lfadsq queue stop --leave               restart the queue without disturbing its runs
    """
    from lfadsq.queue.status import QueueState
    from lfadsq.queue.wishes import END, LEAVE

    overview = target_of(collection or path).look()
    if not overview.queues:
        raise QueueError(f"no queue of {overview.collection} runs", "there is nothing to stop")
    ids = [queue.queue_id for queue in overview.queues]

    def ask(wishes: Wishes) -> Wishes:
        # Those that died before they obeyed are forgotten on this occasion.
        gone = set(wishes.stops).difference(ids)
        return wishes.without_stops(gone).with_stops(ids, LEAVE if leave else END)

    overview.control.edit(ask)
    finish(
        overview,
        "stop",
        [],
        f"{len(ids)} queue{'' if len(ids) == 1 else 's'} asked to stop"
        + ("; runs at work go on" if leave else "; runs at work end with a checkpoint"),
        lambda queue: queue.state in (QueueState.STOPPING, QueueState.ENDED),
        "begun to end, or ended",
        as_json=as_json,
        is_about_all=True,
    )
