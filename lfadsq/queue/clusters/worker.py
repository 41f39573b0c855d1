"""The program of a batch job, ``python -m lfadsq.queue.clusters.worker``, for dask-jobqueue.

A Dask worker without a web server, of which the signals of the batch system and the end of its job
are no surprise: what runs in it is told in time to write a checkpoint and leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import Any

import click

from lfadsq.queue.clusters.agent import agents
from lfadsq.queue.clusters.job_end import end_of_job_s
from lfadsq.queue.clusters.knocking import refused_for
from lfadsq.queue.clusters.own_job import Job, job_id_in, set_own_job
from lfadsq.queue.clusters.scheduler import SETTINGS, security_of
from lfadsq.queue.records import Cause
from lfadsq.queue.transport import quiet_dask

__all__ = ["main"]

_logger = logging.getLogger("lfadsq.worker")

_NOT_REACHED = 3
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


@click.command()
@click.argument("scheduler")
@click.option("--name", required=True)
@click.option("--nthreads", type=int, help="How many processors the job has asked for.")
@click.option("--memory-limit", help="Of no meaning: the batch system limits the job.")
@click.option("--death-timeout", type=float, default=90.0)
# A queue listens before it asks for jobs: who is refused then has none any more.
@click.option("--refused-s", type=float, default=10.0, help="The same if nobody listens there.")
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
        walltime_s = options["walltime_s"]
        ends_at_s = None if walltime_s is None else end_of_job_s(walltime_s)
        set_own_job(Job(options["name"], job_id_in(os.environ), ends_at_s, options["nthreads"]))
        with quiet_dask():
            status = asyncio.run(_work(options, ends_at_s))
        for agent in agents():
            agent.wait()
        _logger.info("ended")
    # What Dask would clear up as the program ends has gone with its folder, and it would complain.
    logging.disable()
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


async def _work(options: dict[str, Any], ends_at_s: float | None) -> int:
    import dask
    from distributed import Worker
    from distributed.comm.addressing import get_address_host_port
    from distributed.utils import get_ip

    class PortlessWorker(Worker):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    # Not annotated in distributed.
    host_and_port_of: Any = get_address_host_port
    ask_for_ip: Any = get_ip
    scheduler, interface = options["scheduler"], options["interface"]
    host, port = host_and_port_of(scheduler)
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
            host=None if interface else ask_for_ip(host),
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
        knocking = asyncio.create_task(refused_for(host, port, options["refused_s"]))
        knocking.add_done_callback(lambda done: done.cancelled() or work.cancel())
        try:
            async with worker:
                knocking.cancel()
                _logger.info("connected to the queue at %s", scheduler)
                await worker.finished()
        except asyncio.CancelledError:
            if knocking.cancelled() or not knocking.done():
                return 0
            problem = "nobody listens there: the queue has ended, or a firewall is between"
        except Exception as error:
            why = error.__cause__ or error
            problem = f"{type(why).__name__}: {why}"
        else:
            return 0
        finally:
            knocking.cancel()
        here = socket.gethostname()
        _logger.error("cannot work for the queue at %s from %s: %s", scheduler, here, problem)
        return _NOT_REACHED


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
