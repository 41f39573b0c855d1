"""A queue as the program of a batch job: ``python -m lfadsq.queue.clusters.in_job``.

The job's script becomes this process by ``exec``, so that the batch system's signals reach it. It
takes its seat, runs the queue until all is done or the job comes to its end, and has another job go
on if that is right (`lfadsq.queue.clusters.successors`).
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lfadsq.errors import LfadsqError
from lfadsq.queue.clusters.job_end import JobEnd, end_of_job_s
from lfadsq.queue.clusters.seats import Seat
from lfadsq.queue.clusters.successors import Ending, judge, submit_again
from lfadsq.queue.clusters.witness import Witness
from lfadsq.queue.command_line import queue_options, run_queue
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.events import QueueSummary

__all__ = ["LOCAL_OPTIONS", "main", "program_of", "queue_words"]

LOCAL_OPTIONS = (
    "one_task_per_gpu",
    "max_tasks_simultaneously",
    "max_tasks_per_gpu",
    "notify_command",
    "notify_webhook",
    "notify_on",
    "grace_s",
)
"""Options of a queue that hold in a job of an array as on any machine."""

_MODULE = "lfadsq.queue.clusters.in_job"
_LATE_S = 10.0


def program_of(
    python: str, script: Path, job: Mapping[str, Any], queue_argv: Sequence[str]
) -> tuple[str, ...]:
    """Write down the call of this program.

    Parameters
    ----------
    python : str
        Of the job.
    script : Path
        That runs the queue.
    job : dict
        Values of the options of this program, without ``job_``; false ones are left out.
    queue_argv : sequence of str
        Options of the queue.
    """
    words = [python, "-m", _MODULE]
    for key, value in job.items():
        if value is True:
            words.append(f"--job-{key.replace('_', '-')}")
        elif value is not False:
            words.append(f"--job-{key.replace('_', '-')}={value}")
    return (*words, *queue_argv, "--", str(script))


def queue_words(values: Mapping[str, Any]) -> list[str]:
    """Write options of a queue as on a command line.

    Parameters
    ----------
    values : dict
        Of `queue_options`; those that were not given are None, or empty. Other names are passed
        over.
    """
    words = []
    for option in _queue_params():
        value = values.get(option.name or "")
        if value is None or value == () or (value is False and not option.secondary_opts):
            continue
        if option.is_flag:
            words.append((option.opts if value else option.secondary_opts)[0])
        elif option.multiple:
            words += [f"{option.opts[0]}={one}" for one in value]
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"{option.opts[0]}={text}")
    return words


@functools.cache
def _queue_params() -> tuple[click.Option, ...]:
    @click.command()
    @queue_options
    def nothing(**_: Any) -> None:
        """Do nothing."""

    return tuple(param for param in nothing.params if isinstance(param, click.Option))


@click.command()
@click.argument("script", type=click.Path(path_type=Path))
@click.option("--job-seat", required=True, help="Name of its seats.")
@click.option("--job-num-seats", type=int, default=1)
@click.option("--job-system", required=True, help="The batch system.")
@click.option("--job-successor", type=click.Path(path_type=Path), required=True, help="A script.")
@click.option("--job-walltime-s", type=float, required=True)
@click.option("--job-margin-s", type=float, required=True, help="The queue ends so long before.")
@click.option("--job-min-left-s", type=float, default=0.0, help="Later, nothing is started.")
@click.option("--job-in-array", is_flag=True, help="A queue of this machine, among others.")
@queue_options
def main(script: Path, **given: Any) -> None:
    """Run the queue of SCRIPT until this job ends."""
    job = {key: given.pop(key) for key in list(given) if key.startswith("job_")}
    try:
        raise SystemExit(_run(script.absolute(), job, given))
    except LfadsqError as error:
        raise SystemExit(f"error: {error}") from None


def _run(script: Path, job: Mapping[str, Any], wanted: dict[str, Any]) -> int:
    from lfadsq.queue.clusters.systems import system_of

    end = JobEnd(end_of_job_s(job["job_walltime_s"]), job["job_margin_s"])
    system = system_of(job["job_system"])
    control = ControlFolder.of(script.parent)
    seat = Seat.take(control.paths, job["job_seat"], job["job_num_seats"])
    if seat is None:
        whose = "jobs enough" if job["job_in_array"] else "another submitted queue"
        _say(f"{whose} of {script} are alive: this one is not needed, and ends")
        return 0
    try:
        with end:
            ending = _run_queue(script, job, wanted, end, seat.num_fruitless)
        verdict = judge(ending)
        seat.note(verdict.num_fruitless)
    finally:
        # Before another job may start that wants to sit here.
        seat.leave()
    if not verdict.goes_on:
        _say(f"no other job goes on: {verdict.why}")
        return verdict.exit_status
    job_id = submit_again(system, job["job_successor"], end.ends_at_s)
    _say(f"{verdict.why}: job {job_id} goes on")
    return verdict.exit_status


def _run_queue(
    script: Path, job: Mapping[str, Any], wanted: dict[str, Any], end: JobEnd, num_fruitless: int
) -> Ending:
    in_array = bool(job["job_in_array"])
    starts_until_s = min(end.ends_at_s - job["job_min_left_s"], end.deadline_s)
    wanted, witness = dict(wanted), Witness(_reporter(bool(wanted["quiet"])))
    # Nobody could look at it from outside; and what is told is told by the witness.
    wanted |= {"no_tensorboard": True, "quiet": False, "as_json": False}
    arguments = _arguments(script, in_array) | {
        "reporter": witness,
        "deadline_s": end.deadline_s,
        "starts_until_s": starts_until_s,
        "cause_of_stop": end.cause,
        "waits_for_others": not in_array,
    }
    summary: QueueSummary | None = None
    was_signalled = False
    try:
        summary = run_queue(arguments, wanted)
    except KeyboardInterrupt:
        was_signalled = True
        summary = witness.summary
    ended_s = time.time()
    was_told = was_signalled and not end.was_announced
    return Ending(
        summary=summary,
        is_by_clock=end.was_announced or ended_s >= starts_until_s,
        is_by_person=was_told
        or witness.was_stopped_by_person
        or witness.was_told_again_before(end.ends_at_s - _LATE_S),
        has_progressed=witness.has_progressed(),
        num_fruitless=num_fruitless,
        waits_for_others=not in_array,
    )


def _arguments(script: Path, in_array: bool) -> dict[str, Any]:
    from lfadsq.queue.task_lists import read_task_list

    task_list = read_task_list(script)
    options = dict(task_list.options)
    if in_array:
        # Which GPUs, and how many, is what this job was given; the cluster is another's business.
        known = (*LOCAL_OPTIONS, "collection")
        options = {key: value for key, value in options.items() if key in known}
        options["detach"] = False
    else:
        # Those that submitted us have been obeyed.
        options |= {"dry_run": False, "no_dask": False}
    return {
        **options,
        "queue_name": task_list.queue_name,
        "tensorboard_script": task_list.tensorboard_script,
        "task_specs": task_list.specs,
        "script": script,
    }


def _reporter(is_quiet: bool) -> Any:
    if is_quiet:
        from lfadsq.queue.reporters import QuietReporter

        return QuietReporter()
    from lfadsq.queue.report import ConsoleReporter

    return ConsoleReporter()


def _say(text: str) -> None:
    click.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
