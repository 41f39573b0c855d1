"""``lfadsq queue run``: any queue script, with options that come before its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lfadsq.queue.command_line import queue_options, run_queue

__all__ = ["run"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@queue_options
def run(script: Path, **wanted: Any) -> int:
    """Run the tasks of SCRIPT that are not done.

    SCRIPT is a run_lfadsqueue.py, also one that LFADS Run Manager wrote in MATLAB: its task list
    and arguments are taken from it, and options given here come first. Tasks that are added to the
    script while the queue runs are run too.

    \b
    Examples:
      lfadsq queue run ~/runs/my_collection/run_lfadsqueue.py --detach
      lfadsq queue run run_lfadsqueue.py --share-gpus --max-tasks-per-gpu 3
    """
    from lfadsq.queue.task_lists import read_task_list

    task_list = read_task_list(script)
    arguments = {
        **task_list.options,
        "queue_name": task_list.queue_name,
        "tensorboard_script": task_list.tensorboard_script,
        "task_specs": task_list.specs,
        "script": script,
    }
    return run_queue(arguments, wanted).exit_status
