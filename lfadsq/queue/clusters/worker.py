"""The program of a batch job, ``python -m lfadsq.queue.clusters.worker``, for dask-jobqueue.

A Dask worker without a web server, of which the signals of the batch system and the end of its job
are no surprise: what runs in it is told in time to write a checkpoint and leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from typing import Any

import click

from lfadsq.queue.clusters.agent import Job, agents, set_job
from lfadsq.queue.records import Cause

__all__ = ["main"]

_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "OAR_JOB_ID", "JOB_ID")
_END_VARIABLE = "SLURM_JOB_END_TIME"
_NOT_REACHED = 3
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


@click.command()
@click.argument("scheduler")
@click.option("--name", required=True)
@click.option("--nthreads", type=int, help="Of no meaning: tasks are processes of their own.")
@click.option("--memory-limit", help="Of no meaning: the batch system limits the job.")
@click.option("--death-timeout", type=float, default=120.0)
@click.option("--local-directory", help="Of no meaning: Dask stores nothing here.")
@click.option("--interface")
@click.option("--protocol")
@click.option("--tls-ca-file")
@click.option("--tls-cert")
@click.option("--tls-key")
@click.option("--walltime-s", type=float, help="From now to the end of the job.")
@click.option("--warned-s", type=float, default=120.0, help="A signal so soon before is its end.")
def main(**options: Any) -> None:
    """Work for the queue at SCHEDULER until it, or this job, ends."""
    # The job's log is all that a person has who looks for what went wrong.
    _say(f"{options['name']} on {socket.getfqdn()}, {sys.executable}")
    ends_at_s = _end_of_job_s(options["walltime_s"])
    set_job(Job(job_id=_job_id(), ends_at_s=ends_at_s))
    status = asyncio.run(_work(options, ends_at_s))
    for agent in agents():
        agent.wait()
    raise SystemExit(status)


def _say(text: str) -> None:
    click.echo(f"lfadsq worker: {text}")
    sys.stdout.flush()


def _job_id() -> str:
    return next((os.environ[name] for name in _JOB_VARIABLES if os.environ.get(name)), "")


def _end_of_job_s(walltime_s: float | None) -> float | None:
    ends = [] if walltime_s is None else [time.time() + walltime_s]
    with contextlib.suppress(KeyError, ValueError):
        ends.append(float(os.environ[_END_VARIABLE]))
    return min(ends, default=None)


async def _work(options: dict[str, Any], ends_at_s: float | None) -> int:
    import dask
    from distributed import Worker
    from distributed.security import Security

    class PortlessWorker(Worker):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    # Not annotated in distributed.
    make_security: Any = Security
    security = None
    if options["tls_ca_file"]:
        security = make_security(
            require_encryption=True,
            tls_ca_file=options["tls_ca_file"],
            tls_worker_cert=options["tls_cert"],
            tls_worker_key=options["tls_key"],
        )
    settings = {
        "distributed.diagnostics.nvml": False,
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "1h",
        "distributed.admin.tick.interval": "1 minute",
        "distributed.admin.tick.limit": "1h",
    }
    with tempfile.TemporaryDirectory(prefix="lfadsq-") as folder, dask.config.set(settings):
        worker: Any = PortlessWorker(
            options["scheduler"],
            name=options["name"],
            nthreads=1,
            memory_limit=0,
            local_directory=folder,
            death_timeout=options["death_timeout"],
            interface=options["interface"],
            protocol=options["protocol"],
            security=security,
            dashboard=False,
        )
        ask_to_leave = _Leaving(worker, ends_at_s, options["warned_s"])
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, ask_to_leave.on_signal, number)
        try:
            async with worker:
                await worker.finished()
        except (OSError, asyncio.TimeoutError) as error:
            where = f"{options['scheduler']} from {socket.gethostname()}"
            _say(f"cannot reach the queue at {where}: {error}")
            return _NOT_REACHED
    return 0


class _Leaving:
    """What the batch system's signals come to."""

    def __init__(self, worker: Any, ends_at_s: float | None, warned_s: float) -> None:
        self._worker = worker
        self._ends_at_s = ends_at_s
        self._warned_s = warned_s

    def on_signal(self, number: signal.Signals) -> None:
        left_s = None if self._ends_at_s is None else self._ends_at_s - time.time()
        is_end = left_s is not None and left_s <= self._warned_s
        cause = Cause.WALLTIME if is_end else Cause.PREEMPTED
        _say(f"{signal.Signals(number).name} ({cause.value})")
        for agent in agents():
            agent.leave(cause)
        if not agents():
            self._worker.loop.add_callback(self._worker.close, reason=cause.value)


if __name__ == "__main__":
    main()
