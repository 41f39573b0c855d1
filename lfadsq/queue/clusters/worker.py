"""The program of a batch job, ``python -m lfadsq.queue.clusters.worker``, for dask-jobqueue.

A Dask worker without a web server, of which the signals of the batch system and the end of its job
are no surprise: what runs in it is told in time to write a checkpoint and leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from lfadsq.queue.clusters.agent import Job, agents, set_job
from lfadsq.queue.clusters.scheduler import SETTINGS, security_of
from lfadsq.queue.records import Cause
from lfadsq.queue.transport import quiet_dask

__all__ = ["job_id_in", "main"]

_logger = logging.getLogger("lfadsq.worker")

_JOB_VARIABLES = (
    "MOAB_JOBID",  # also where it gives its jobs to SLURM or PBS
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "OAR_JOB_ID",
    "JOB_ID",
)
_CONDOR_VARIABLE = "_CONDOR_JOB_AD"
_END_VARIABLE = "SLURM_JOB_END_TIME"
_NOT_REACHED = 3
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


@click.command()
@click.argument("scheduler")
@click.option("--name", required=True)
@click.option("--nthreads", type=int, help="How many processors the job has asked for.")
@click.option("--memory-limit", help="Of no meaning: the batch system limits the job.")
@click.option("--death-timeout", type=float, default=90.0)
@click.option("--local-directory", help="Of no meaning: Dask stores nothing here.")
@click.option("--interface")
@click.option("--protocol")
@click.option("--tls-ca-file", help="Has the key too.")
@click.option("--walltime-s", type=float, help="From the start of the job to its end.")
@click.option("--warned-s", type=float, default=120.0, help="A signal so soon before is its end.")
def main(**options: Any) -> None:
    """Work for the queue at SCHEDULER until it, or this job, ends."""
    with _logged():
        _logger.info("%s on %s, %s", options["name"], socket.getfqdn(), sys.executable)
        ends_at_s = _end_of_job_s(options["walltime_s"])
        set_job(Job(options["name"], job_id_in(os.environ), ends_at_s, options["nthreads"]))
        with quiet_dask():
            status = asyncio.run(_work(options, ends_at_s))
        for agent in agents():
            agent.wait()
        _logger.info("ended")
    raise SystemExit(status)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Write to the job's log: it is all that a person has who looks for what went wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("lfadsq")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def job_id_in(environment: Mapping[str, str]) -> str:
    """Find the id of the batch job that we are, as its batch system calls it; empty if unknown.

    Parameters
    ----------
    environment : mapping of str to str
        Of this process.
    """
    for name in _JOB_VARIABLES:
        if environment.get(name):
            return str(environment[name])
    with contextlib.suppress(KeyError, OSError, ValueError):
        text = Path(environment[_CONDOR_VARIABLE]).read_text(encoding="utf-8")
        numbers = [re.search(rf"(?im)^{key} *= *(\d+)", text) for key in ("ClusterId", "ProcId")]
        return ".".join(number[1] for number in numbers if number)
    return ""


def _end_of_job_s(walltime_s: float | None) -> float | None:
    import psutil

    # The script of the job became us by exec: we are as old as the job, whatever it did before.
    began_s = float(psutil.Process().create_time())
    ends = [] if walltime_s is None else [began_s + walltime_s]
    with contextlib.suppress(KeyError, ValueError):
        ends.append(float(os.environ[_END_VARIABLE]))
    return min(ends, default=None)


async def _work(options: dict[str, Any], ends_at_s: float | None) -> int:
    import dask
    from distributed import Worker
    from distributed.comm.addressing import get_address_host
    from distributed.utils import get_ip

    class PortlessWorker(Worker):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    # Not annotated in distributed.
    host_of: Any = get_address_host
    ask_for_ip: Any = get_ip
    scheduler, interface = options["scheduler"], options["interface"]
    with (
        tempfile.TemporaryDirectory(prefix="lfadsq-") as folder,
        dask.config.set(SETTINGS),
    ):
        worker: Any = PortlessWorker(
            scheduler,
            # A job that is started once more has the name of before, which Dask may still hold.
            name=f"{options['name']}-{uuid.uuid4().hex[:8]}",
            nthreads=1,
            memory_limit=0,
            local_directory=folder,
            death_timeout=options["death_timeout"],
            interface=interface,
            # Dask would listen on every interface, where only one is known to the queue.
            host=None if interface else ask_for_ip(host_of(scheduler)),
            protocol=options["protocol"],
            security=security_of(options["tls_ca_file"]) if options["tls_ca_file"] else None,
            dashboard=False,
        )
        work = asyncio.current_task()
        assert work is not None
        leaving = _Leaving(work, ends_at_s, options["warned_s"])
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, leaving.on_signal, number)
        try:
            async with worker:
                _logger.info("connected to the queue at %s", scheduler)
                await worker.finished()
        except asyncio.CancelledError:
            return 0
        except Exception as error:
            why = error.__cause__ or error
            _logger.error(
                "cannot work for the queue at %s from %s: %s: %s",
                *(scheduler, socket.gethostname(), type(why).__name__, why),
            )
            return _NOT_REACHED
    return 0


class _Leaving:
    """What the batch system's signals come to."""

    def __init__(self, work: asyncio.Task[Any], ends_at_s: float | None, warned_s: float) -> None:
        self._work = work
        self._ends_at_s = ends_at_s
        self._warned_s = warned_s

    def on_signal(self, number: signal.Signals) -> None:
        left_s = None if self._ends_at_s is None else self._ends_at_s - time.time()
        is_end = left_s is not None and left_s <= self._warned_s
        cause = Cause.WALLTIME if is_end else Cause.PREEMPTED
        why = f"{signal.Signals(number).name} of the batch system ({cause.value})"
        for agent in agents():
            agent.leave(cause, why=why)
        if not agents():
            # There is no queue yet.
            _logger.info("leaves: %s", why)
            self._work.cancel()


if __name__ == "__main__":
    main()
