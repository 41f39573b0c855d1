"""Time the queue spends beyond the work itself: many tasks that do nothing, a few at a time.

The peers run the same number of `true` with the same number of slots on the same machine, right
beside: a pool of subprocesses (no records, no locks: the floor), Dask alone, GNU parallel and
task-spooler where installed. Of these only parallel keeps a record (--joblog), not a durable one.

    python benchmarks/queue_overhead.py [--tasks 400] [--slots 4] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_QUEUE = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from lfadsq.queue import run_lfads_queue
from lfadsq.queue.events import QueueEnded, TaskStarted
from lfadsq.queue.report import QuietReporter
folder, num_tasks, num_slots = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
specs = []
for number in range(num_tasks):
    run = folder / f"run{number:04d}"
    run.mkdir()
    specs.append(dict(name=run.name, command="true", memory_req=1, outfile=str(run / "lfads.out"),
                      donefile=str(run / "lfads.done")))
class Clock(QuietReporter):
    first = None
    def report(self, event):
        if isinstance(event, TaskStarted) and self.first is None:
            self.first = time.perf_counter()
        if isinstance(event, QueueEnded):
            self.last = time.perf_counter()
clock = Clock()
summary = run_lfads_queue("overhead", None, specs, max_tasks_simultaneously=num_slots,
                          reporter=clock)
assert len(summary.finished) == num_tasks, summary
assert all((folder / s["name"] / "lfads.done").exists() for s in specs)
assert all((folder / s["name"] / "lfads.record.json").exists() for s in specs)
print(clock.last - clock.first)
"""

_DASK = """
import logging, subprocess, sys
from distributed import Client, LocalCluster, as_completed
num_tasks, num_slots = int(sys.argv[1]), int(sys.argv[2])
def work(number):
    return subprocess.run(["true"], check=True).returncode
with LocalCluster(processes=False, n_workers=1, threads_per_worker=num_slots,
                  dashboard_address=None, silence_logs=logging.CRITICAL) as cluster:
    with Client(cluster) as client:
        assert sum(client.gather(client.map(work, range(num_tasks), pure=False))) == 0
"""


def _wall_s(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _queue(num_tasks: int, num_slots: int, root: Path) -> tuple[float, float]:
    folder = Path(tempfile.mkdtemp(dir=root))
    command = [sys.executable, "-c", _QUEUE, str(folder), str(num_tasks), str(num_slots)]
    began = time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall_s = time.perf_counter() - began
    shutil.rmtree(folder)
    return wall_s, float(output)


def _subprocess_pool(num_tasks: int, num_slots: int) -> None:
    with ThreadPoolExecutor(num_slots) as pool:
        list(pool.map(lambda _: subprocess.run(["true"], check=True), range(num_tasks)))


def _dask(num_tasks: int, num_slots: int) -> None:
    subprocess.run([sys.executable, "-c", _DASK, str(num_tasks), str(num_slots)], check=True)


def _parallel(num_tasks: int, num_slots: int, log: Path) -> None:
    lines = "".join(f"true {number}\n" for number in range(num_tasks))
    command = ["parallel", f"-j{num_slots}", "--joblog", str(log)]
    subprocess.run(command, input=lines, text=True, check=True, capture_output=True)


def _task_spooler(num_tasks: int, num_slots: int, socket: Path) -> None:
    environment = {**os.environ, "TS_SOCKET": str(socket), "TS_MAXFINISHED": str(num_tasks)}
    for arguments in [["-S", str(num_slots)], *[["-n", "true"]] * num_tasks, ["-w"], ["-K"]]:
        subprocess.run(["tsp", *arguments], env=environment, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the runs are written")
    options = parser.parse_args()
    n, slots = options.tasks, options.slots
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        walls, insides, floors = [], [], []
        for _ in range(options.repeats):
            wall_s, inside_s = _queue(n, slots, root)
            walls.append(wall_s)
            insides.append(inside_s)
            floors.append(_wall_s(lambda: _subprocess_pool(n, slots)))
        whole_s, inside_s = statistics.median(walls), statistics.median(insides)
        floor_s = statistics.median(floors)
        peers = {
            "subprocess pool (floor)": floor_s,
            "dask futures": _wall_s(lambda: _dask(n, slots)),
        }
        if shutil.which("parallel"):
            peers["GNU parallel"] = _wall_s(lambda: _parallel(n, slots, root / "joblog"))
        if shutil.which("tsp"):
            peers["task-spooler"] = _wall_s(lambda: _task_spooler(n, slots, root / "socket"))
    print(f"{n} tasks that do nothing, {slots} at a time, median of {options.repeats}")
    print(f"  {'':28s} ms a task   queue / it")
    print(f"  {'queue, start-up included':28s} {whole_s / n * 1e3:9.2f}")
    print(f"  {'queue, first start to end':28s} {inside_s / n * 1e3:9.2f}")
    for peer, wall_s in peers.items():
        print(f"  {peer:28s} {wall_s / n * 1e3:9.2f} {whole_s / wall_s:12.2f}")
    beyond_ms = (whole_s - floor_s) / n * 1e3
    print(f"  beyond the work itself (queue with start-up less floor): {beyond_ms:.2f} ms a task")


if __name__ == "__main__":
    main()
