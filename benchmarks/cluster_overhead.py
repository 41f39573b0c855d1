"""Time a queue on a cluster spends beyond the work itself: many short tasks on few workers.

The workers are processes of this machine, as a batch system would start them: TLS, locks, records
and all. Beside it Dask alone runs the same commands as the same number of its own tasks on as many
workers, without locks or records: what a queue on Dask costs at least.

    python benchmarks/cluster_overhead.py [--tasks 1000] [--workers 4] [--task-s 0.05]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_PROCESSOR_S = """
def processor_s():
    import os
    used = os.times()
    return used.user + used.system
"""

_QUEUE = (
    _PROCESSOR_S
    + """
import contextlib, os, subprocess, sys, time
from pathlib import Path
from lfadsq.queue.clusters.certificates import certificate_in
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.clusters.transport import ClusterTransport
from lfadsq.queue.options import QueueOptions
from lfadsq.queue.report import QuietReporter
from lfadsq.queue.runner import Runner
from lfadsq.queue.events import QueueEnded
from lfadsq.queue.tasks import tasks_from_specs

folder, num_tasks, num_workers, task_s = Path(sys.argv[1]), *map(float, sys.argv[2:])
num_tasks, num_workers = int(num_tasks), int(num_workers)
specs = []
for number in range(num_tasks):
    run = folder / f"run{number:04d}"
    run.mkdir()
    specs.append(dict(name=run.name, command=f"exec sleep {task_s}", memory_req=1,
                      outfile=str(run / "lfads.out"), donefile=str(run / "lfads.done")))
tasks = tasks_from_specs(specs)
workers = []

class Site:
    outlives_queue, has_gpus, text = False, False, "workers of this machine"
    max_tasks = num_workers
    source = Machines(lambda: num_workers - len(Site.source.addresses()))
    def open(self, queue_id, listener):
        certificate = certificate_in(folder)
        terms = Terms(queue_id, needs_gpu=False)
        transport = ClusterTransport(terms, self.source, listener, lambda name: None,
                                     certificate=certificate, interface="lo")
        for number in range(num_workers):
            argv = [sys.executable, "-m", "lfadsq.queue.clusters.worker", transport.address,
                    "--name", f"w{number}", "--nthreads", "1", "--interface", "lo",
                    f"--tls-ca-file={certificate}"]
            workers.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
        while sum(bool(m.devices) for m in self.source.all()) < num_workers:
            time.sleep(0.05)
        self.began_s, self.used_s = time.perf_counter(), processor_s()
        return transport
    def environment(self, device_id, num_tasks):
        return {}
    def want(self, num_tasks):
        pass
    def problem(self):
        return None
    def jobs(self):
        return ()

site = Site()
class Clock(QuietReporter):
    def report(self, event):
        if isinstance(event, QueueEnded):
            self.num_done = len(event.summary.finished)
        elif type(event).__name__ == "TaskFinished":
            self.wall_s = time.perf_counter() - site.began_s
            self.used_s = processor_s() - site.used_s
clock = Clock()
Runner(QueueOptions("overhead"), tasks, site, None).run(clock)
for worker in workers:
    worker.wait()
assert clock.num_done == num_tasks, clock.num_done
assert all((folder / s["name"] / "lfads.record.json").exists() for s in specs)
print(clock.wall_s, clock.used_s)
"""
)

_DASK = (
    _PROCESSOR_S
    + """
import logging, subprocess, sys, time
from distributed import Client, LocalCluster
num_tasks, num_workers, task_s = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def work(number):
    return subprocess.run(["sleep", task_s], check=True).returncode
if __name__ == "__main__":
    with LocalCluster(n_workers=num_workers, threads_per_worker=1, dashboard_address=None,
                      silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
        client.wait_for_workers(num_workers)
        began_s, used_s = time.perf_counter(), processor_s()
        assert sum(client.gather(client.map(work, range(num_tasks), pure=False))) == 0
        print(time.perf_counter() - began_s, processor_s() - used_s)
"""
)


def _run(program: str, *arguments: object) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.py"
        path.write_text(program)
        runs = Path(folder) / "runs"
        runs.mkdir()
        done = subprocess.run(
            [sys.executable, str(path), str(runs), *map(str, arguments)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    wall_s, used_s = map(float, done.stdout.split()[-2:])
    return wall_s, used_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--task-s", type=float, default=0.05)
    options = parser.parse_args()
    n, given = options.tasks, (options.tasks, options.workers, options.task_s)
    ideal_ms = options.task_s / options.workers * 1e3
    queue, dask = _run(_QUEUE, *given), _run(_DASK, *given)
    print(
        f"{n} tasks of {options.task_s} s on {options.workers} workers of this machine,"
        f" which has {os.cpu_count()} processors"
    )
    print(f"  {'':38s} ms a task")
    print(f"  {'the work itself, on so many workers':38s} {ideal_ms:9.2f}")
    for name, (wall_s, used_s) in {"queue (TLS, locks, records)": queue, "dask": dask}.items():
        print(f"  {name:38s} {wall_s / n * 1e3:9.2f}")
        print(f"  {'  of it processor time of its process':38s} {used_s / n * 1e3:9.2f}")
    print(f"  queue / dask: {queue[0] / dask[0]:.2f} of the time")
    print(f"  beyond the work itself: {queue[0] / n * 1e3 - ideal_ms:.2f} ms a task")


if __name__ == "__main__":
    main()
