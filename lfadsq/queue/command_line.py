"""A queue as a program: its options, which come before the arguments of its script."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.queue.clusters.option_flags import GroupedCommand, cluster_click_options
from lfadsq.queue.clusters.option_table import OPTIONS

if TYPE_CHECKING:
    from lfadsq.queue.events import QueueSummary

__all__ = ["CLUSTER_WORDS", "queue_options", "run_as_program", "run_queue"]

CLUSTER_WORDS = tuple(option.name for option in OPTIONS)
"""Names of options that say what is asked of a cluster."""

_KINDS = ("finished", "failed", "retried", "cancelled", "done")


def _read_gpus(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> list[int | str] | None:
    if value is None:
        return None
    words = [word.strip() for word in value.split(",")]
    if not all(words):
        raise click.BadParameter(f"{value!r} is no list of GPUs such as 0,2 or GPU-5a1f,0:1")
    return [int(word) if word.isdecimal() else word for word in words]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--gpu-list",
        metavar="LIST",
        callback=_read_gpus,
        help="GPUs to use, by index, UUID or name, with commas; by default all that may be used.",
    ),
    click.option(
        "--one-task-per-gpu/--share-gpus",
        default=None,
        help="One task at a time on each GPU, or as many as its memory allows.",
    ),
    click.option(
        "--max-tasks-simultaneously",
        type=click.IntRange(min=1),
        help="Tasks at a time in all; by default one less than there are processors.",
    ),
    click.option(
        "--max-tasks-per-gpu", type=click.IntRange(min=1), help="Tasks that share a GPU at most."
    ),
    click.option("--ignore-donefile", is_flag=True, default=None, help="Run again what is done."),
    click.option(
        "--detach/--no-detach",
        default=None,
        help="If the queue is interrupted, leave its running tasks to the next queue, or end them"
        " with a checkpoint; by default you are asked.",
    ),
    click.option("--tmux", is_flag=True, default=None, help="Show each log in a tmux session."),
    click.option(
        "--check/--no-check",
        default=None,
        help="Look at the collection when it starts, as `lfadsq check --quick` does, and tell what"
        " would fail or mislead.  [default: check]",
    ),
    click.option("--no-tensorboard", is_flag=True, default=False, help="Do not start TensorBoard."),
    click.option("--notify-command", help="A line for the shell to run on what --notify-on says."),
    click.option("--notify-webhook", help="An https address to tell in the same way."),
    click.option(
        "--notify-on",
        type=click.Choice(_KINDS),
        multiple=True,
        help="When; may be repeated.  [default: failed, done]",
    ),
    click.option("--grace-s", type=float, help="How long tasks may take to end.  [default: 20]"),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout."),
    click.option("--quiet", is_flag=True, help="Print nothing but errors."),
)


def queue_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a queue; those not used are None, or empty."""
    for option in reversed((*_OPTIONS, *cluster_click_options)):
        command = option(command)
    return command


def run_queue(arguments: Mapping[str, Any], wanted: Mapping[str, Any]) -> QueueSummary:
    """Run a queue with the arguments of a script, and what the command line wants in their place.

    Parameters
    ----------
    arguments : dict
        Of `lfadsq.queue.run_lfads_queue`.
    wanted : dict
        Values of `queue_options`.

    Returns
    -------
    QueueSummary
    """
    from lfadsq.queue.entry import run_with

    options = dict(wanted)
    words = {name: options.pop(name, None) for name in CLUSTER_WORDS}
    as_json, is_quiet = options.pop("as_json"), options.pop("quiet")
    final = dict(arguments)
    if options.pop("no_tensorboard"):
        # The collection is still where it was, and with it the folder of `lfadsq queue`.
        script = final.get("tensorboard_script")
        if script is not None and final.get("collection") is None:
            final["collection"] = Path(script).expanduser().absolute().parent
        final["tensorboard_script"] = None
    final |= {key: value for key, value in options.items() if value not in (None, ())}
    if "max_tasks_per_gpu" in options and options["max_tasks_per_gpu"] is not None:
        # Saying how many share a GPU says that they share.
        final["one_task_per_gpu"] = bool(options.get("one_task_per_gpu"))
    if is_quiet:
        from lfadsq.queue.reporters import QuietReporter

        final["reporter"] = QuietReporter()
    elif as_json:
        from rich.console import Console

        from lfadsq.queue.report import ConsoleReporter

        final["reporter"] = ConsoleReporter(Console(stderr=True, soft_wrap=True, highlight=False))
    # What is printed in place of running, such as a job script, is no JSON.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        summary = run_with(final, words)
    if as_json:
        from lfadsq.queue.summary import summary_dict

        click.echo(json.dumps(summary_dict(summary), indent=2))
    return summary


def run_as_program(arguments: Mapping[str, Any], argv: Sequence[str]) -> QueueSummary:
    """Run a queue as a program: options come before the arguments.

    Parameters
    ----------
    arguments : dict
        Of `lfadsq.queue.run_lfads_queue`.
    argv : sequence of str
        What follows the program's name on the command line.

    Raises
    ------
    SystemExit
        0 after ``--help``, 2 if an option cannot be.
    """
    program = Path(sys.argv[0]).name

    @click.command(
        name=program,
        cls=GroupedCommand,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=_help_text(program),
    )
    @queue_options
    def queue(**wanted: Any) -> dict[str, Any]:
        return wanted

    try:
        wanted = queue.main(args=list(argv), prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    if not isinstance(wanted, dict):
        raise SystemExit(0)  # --help was all there was to do
    return run_queue(arguments, wanted)


def _help_text(name: str) -> str:
    return f"""Run every task of this collection that is not done.

    What is done is skipped, what was interrupted goes on from its checkpoint, and what another
    queue runs is waited for: starting this again is always safe. `lfadsq queue status` shows from
    any terminal what happens; `lfadsq queue --help` has pause, cancel, retry and more.

    \b
    Examples:
      python {name}
      python {name} --gpu-list 0,1 --share-gpus --max-tasks-per-gpu 3
      python {name} --detach                 logging out leaves what runs
      python {name} --cluster slurm --partition gpu --walltime 12:00:00
      python {name} --cluster slurm --dry-run
      python {name} --notify-command 'mail -s "$LFADSQ_EVENT" me@lab.org <<< "$LFADSQ_MESSAGE"'
    """
