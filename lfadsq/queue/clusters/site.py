"""A cluster as the site of a queue: its machines come as jobs, and go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lfadsq.errors import ClusterError, QueueError
from lfadsq.queue.clusters.certificates import certificate_in
from lfadsq.queue.clusters.dashboards import PORT_OF_DASHBOARD
from lfadsq.queue.clusters.fleet import Fleet
from lfadsq.queue.clusters.fleet_plan import WorkerView
from lfadsq.queue.clusters.job_files import cancel_leftovers
from lfadsq.queue.clusters.jobs import JobStatus
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.submission import job_folder, make_job_folder
from lfadsq.queue.clusters.system_names import is_address
from lfadsq.queue.clusters.systems import system_of
from lfadsq.queue.clusters.systems.base import Launch
from lfadsq.queue.clusters.transport import ClusterTransport
from lfadsq.queue.control_paths import ControlPaths
from lfadsq.queue.events import Noted
from lfadsq.queue.options import QueueOptions
from lfadsq.queue.records import Cause
from lfadsq.queue.sites import Dashboard, Listener, Transport
from lfadsq.texts import count_text

__all__ = ["ClusterSite", "launch_of"]

_CLOSE_S = 60.0
_DEATH_TIMEOUT_S = 90


class ClusterSite:
    """Machines of a batch system, or those of a Dask scheduler that is there already.

    Parameters
    ----------
    options : QueueOptions
    cluster : ClusterOptions
    paths : ControlPaths
        Of the collection: certificates and the logs of jobs lie there.
    """

    outlives_queue = False

    def __init__(
        self,
        options: QueueOptions,
        cluster: ClusterOptions,
        paths: ControlPaths,
    ) -> None:
        self._options = options
        self._cluster = cluster
        self._paths = paths
        self._fleet: Fleet | None = None
        self._transport: ClusterTransport | None = None
        self._gave_up: ClusterError | None = None
        self._changed: Callable[[], None] = _nothing
        self._idle_since_s: dict[str, float] = {}
        self.dashboard = Dashboard()
        self.source = Machines(self._num_expected)
        self.has_gpus = cluster.gpus_per_job > 0
        self.text = _text_of(cluster)
        self._max_tasks_on_gpu = 1 if options.one_task_per_gpu else options.max_tasks_per_gpu
        self.max_tasks: int | None = options.max_tasks_simultaneously
        if self.max_tasks is None and not is_address(cluster.system):
            self.max_tasks = cluster.max_jobs * cluster.num_places(self._max_tasks_on_gpu)

    def open(self, queue_id: str, listener: Listener) -> Transport:
        """Start the scheduler, or go to the one that is there, and begin to ask for jobs."""
        cluster = self._cluster
        is_ours = not is_address(cluster.system)
        certificate = certificate_in(self._paths.folder) if is_ours else None
        terms = Terms(
            queue_id=queue_id,
            max_tasks_on_gpu=self._max_tasks_on_gpu,
            needs_gpu=self.has_gpus and is_ours,
            num_gpus=cluster.gpus_per_job if is_ours else None,
            min_time_left_s=max(cluster.min_time_left_s, cluster.end_margin_s) if is_ours else 0.0,
            end_margin_s=cluster.end_margin_s if is_ours else 0.0,
            grace_s=self._options.grace_s,
            hears_queue=not is_ours,
        )
        self._changed = listener.changed
        with contextlib.ExitStack() as stack:
            self._transport = transport = ClusterTransport(
                terms,
                self.source,
                replace(listener, changed=self._on_changed),
                self._cause_of,
                certificate=certificate,
                interface=cluster.interface,
                address="" if is_ours else cluster.system,
            )
            stack.callback(transport.close)
            self.dashboard = transport.dashboard
            if self.dashboard.address:
                listener.note(Noted(_dashboard_text(self.dashboard)))
            if is_ours:
                system = system_of(cluster.system)
                # Jobs write their logs there, and batch systems make no folders.
                make_job_folder(job_folder(self._paths))
                cancel_leftovers(system, job_folder(self._paths), listener.note)
                self._fleet = Fleet(
                    system,
                    cluster,
                    lambda name: launch_of(
                        name, transport.address, certificate, cluster, self._paths
                    ),
                    self._workers,
                    lambda name, why: transport.finish(name),
                    listener.note,
                    self._on_gave_up,
                    queue_id,
                    places_per_job=cluster.num_places(self._max_tasks_on_gpu),
                )
            stack.pop_all()
        return _Closing(transport, self._fleet)

    def environment(self, device_id: str, num_tasks: int) -> dict[str, str]:
        """Give nothing: each machine knows best what its tasks need."""
        return {}

    def want(self, num_tasks: int) -> None:
        """Ask for as many jobs as tasks can use."""
        if self._fleet is not None:
            self._fleet.want(num_tasks)

    def jobs(self) -> tuple[JobStatus, ...]:
        """List the jobs, for displays."""
        return self._fleet.jobs() if self._fleet is not None else ()

    def problem(self) -> QueueError | None:
        """Say why no job will come any more, if there is none left."""
        if self._gave_up is not None and not self._workers():
            return self._gave_up
        return None

    def _num_expected(self) -> int:
        if self._fleet is None or self._gave_up is not None:
            return 0
        return sum(not job.state.is_finished and not job.host for job in self._fleet.jobs())

    def _on_changed(self) -> None:
        if self._fleet is not None:
            self._fleet.look_again()
        self._changed()

    def _on_gave_up(self, error: ClusterError) -> None:
        self._gave_up = error
        self._changed()

    def _cause_of(self, worker_name: str) -> Cause | None:
        return self._fleet.cause_of(worker_name) if self._fleet is not None else None

    def _workers(self) -> dict[str, WorkerView]:
        views = {}
        now_s = time.monotonic()
        num_tasks_at = self._transport.num_tasks() if self._transport is not None else {}
        before_s, self._idle_since_s = self._idle_since_s, {}
        for machine in self.source.all():
            name, num_tasks = machine.name, num_tasks_at.get(machine.address, 0)
            is_idle = not num_tasks and bool(machine.devices or machine.problem)
            # By address: a job that is started once more has the name of before.
            idle_since_s = before_s.get(machine.address, now_s) if is_idle else None
            if idle_since_s is not None:
                self._idle_since_s[machine.address] = idle_since_s
            views[name] = WorkerView(
                name=name,
                job_id=machine.job_id,
                host=machine.host,
                num_places=sum(device.max_tasks for device in machine.devices),
                num_tasks=num_tasks,
                idle_since_s=idle_since_s,
                # To one that leaves early, its end is now.
                ends_in_s=0.0 if machine.is_leaving else machine.left_s,
                problem=machine.problem,
            )
        return views


def _nothing() -> None:
    """Do nothing."""


def _text_of(cluster: ClusterOptions) -> str:
    if is_address(cluster.system):
        return f"the workers of {cluster.system}"
    title = system_of(cluster.system).title
    return f"{count_text(cluster.max_jobs, 'job')} of {title} at most"


def _dashboard_text(dashboard: Dashboard) -> str:
    lines = [f"Dask dashboard: {dashboard.address}"]
    if dashboard.tunnel:
        lines.append(f"  from your own computer: {dashboard.tunnel}")
        lines.append(f"  and there: http://localhost:{PORT_OF_DASHBOARD}/status")
    return "\n".join(lines)


class _Closing:
    """A transport that ends its jobs too."""

    def __init__(self, transport: ClusterTransport, fleet: Fleet | None) -> None:
        self._transport = transport
        self._fleet = fleet
        self.submit = transport.submit
        self.tell_to_end = transport.tell_to_end
        self.tell_left_to_end = transport.tell_left_to_end
        self.kill = transport.kill
        self.leftovers = transport.leftovers
        self.leave = transport.leave

    def close(self) -> None:
        if self._fleet is not None:
            self._fleet.want(0)
        self._transport.close()
        if self._fleet is not None:
            self._fleet.close(_CLOSE_S)


def launch_of(
    name: str,
    address: str,
    certificate: Path | None,
    cluster: ClusterOptions,
    paths: ControlPaths,
) -> Launch:
    """Describe the job of a worker.

    Parameters
    ----------
    name : str
        Of the worker.
    address : str
        Of the scheduler.
    certificate : Path or None
        For TLS.
    cluster : ClusterOptions
    paths : ControlPaths
        Of the collection.
    """
    arguments = [
        "--death-timeout",
        str(_DEATH_TIMEOUT_S),
        "--walltime-s",
        str(cluster.walltime_s),
        "--warned-s",
        str(cluster.end_margin_s + 60),
    ]
    if certificate is not None:
        arguments += ["--tls-ca-file", str(certificate)]
    return Launch(name, address, tuple(arguments), job_folder(paths))
