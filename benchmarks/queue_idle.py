"""How well the queue keeps devices busy: 200 tasks of 1 to 3 s on 8 devices, then 10,000 waiting.

Each task notes by itself when it began and ended. Printed are

- the idle fraction: time of all devices, from the first start until less than a full set of tasks
  is left, in which none of them worked;
- the delay from the end of a task to the start of the next on the same device;
- the makespan against its lower bound (the work divided by the devices, or the longest task);
- the memory of a queue's process with 10,000 tasks waiting, start-up of Python and Dask included.

GNU parallel does the same beside it, if installed. Devices are slots of the processors: the tasks
sleep, and so many of them do not disturb each other.

    python benchmarks/queue_idle.py [--tasks 200] [--devices 8] [--waiting 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_QUEUE = """
import json, os, sys
os.environ["CUDA_VISIBLE_DEVICES"] = ""
from lfadsq.queue import run_lfads_queue
from lfadsq.queue.reporters import QuietReporter
specs, num_devices = json.load(open(sys.argv[1])), int(sys.argv[2])
try:
    summary = run_lfads_queue("idle", None, specs, max_tasks_simultaneously=num_devices,
                              reporter=QuietReporter())
except KeyboardInterrupt:
    raise SystemExit(130)
assert summary.exit_status == 0, summary
"""


def _spec(root: Path, number: int, command: str) -> dict[str, object]:
    folder = root / f"run{number:05d}"
    folder.mkdir()
    return {
        "name": folder.name,
        "command": command,
        "memory_req": 1,
        "outfile": str(folder / "lfads.out"),
        "donefile": str(folder / "lfads.done"),
    }


def _work(note: Path, length_s: float) -> str:
    tell = f"echo $EPOCHREALTIME >> {shlex.quote(str(note))}"
    return f"{tell}; sleep {length_s:.3f}; {tell}"


def _intervals(notes: Sequence[Path]) -> list[tuple[float, float]]:
    intervals = []
    for note in notes:
        start, end = map(float, note.read_text().split())
        intervals.append((start, end))
        note.unlink()
    return sorted(intervals)


def _report(name: str, intervals: list[tuple[float, float]], num_devices: int) -> None:
    began_s = intervals[0][0]
    last_start_s = intervals[-1][0]
    span_s = last_start_s - began_s
    busy_s = sum(min(end, last_start_s) - start for start, end in intervals)
    idle = 1 - busy_s / (num_devices * span_s)
    ends = sorted(end for _, end in intervals)
    # The n-th start after the first full set uses the place that the n-th end made free.
    starts = [start for start, _ in intervals[num_devices:]]
    delays_ms = [(start - end) * 1e3 for start, end in zip(starts, ends, strict=False)]
    lengths = [end - start for start, end in intervals]
    bound_s = max(sum(lengths) / num_devices, max(lengths))
    makespan_s = ends[-1] - began_s
    print(
        f"  {name:14s} {idle * 100:8.2f} % {statistics.median(delays_ms):10.1f}"
        f" {sorted(delays_ms)[int(len(delays_ms) * 0.99)]:10.1f} {makespan_s / bound_s:12.3f}"
    )


def _idle(root: Path, num_tasks: int, num_devices: int) -> None:
    chance = random.Random(1)
    lengths = [chance.uniform(1, 3) for _ in range(num_tasks)]
    print(f"{num_tasks} tasks of 1 to 3 s on {num_devices} devices")
    print(f"  {'':14s} {'idle':>10s} {'delay ms':>10s} {'99 %':>10s} {'x its bound':>12s}")
    specs, notes = [], []
    for number, length_s in enumerate(lengths):
        note = root / f"note{number}"
        specs.append(_spec(root, number, _work(note, length_s)))
        notes.append(note)
    file = root / "specs.json"
    file.write_text(json.dumps(specs))
    subprocess.run([sys.executable, "-c", _QUEUE, str(file), str(num_devices)], check=True)
    _report("queue", _intervals(notes), num_devices)
    if shutil.which("parallel"):
        lines = "".join(f"{spec['command']}\n" for spec in specs)
        subprocess.run(
            ["parallel", f"-j{num_devices}", "--joblog", str(root / "joblog")],
            input=lines,
            text=True,
            check=True,
            env={**os.environ, "PARALLEL_SHELL": shutil.which("bash") or "bash"},
        )
        _report("GNU parallel", _intervals(notes), num_devices)


def _memory(root: Path, num_waiting: int) -> None:
    import psutil

    up = root / "up"
    specs = [_spec(root, 0, f"touch {shlex.quote(str(up))}; sleep 1000")]
    specs += [_spec(root, number, "true") for number in range(1, num_waiting + 1)]
    file = root / "specs.json"
    file.write_text(json.dumps(specs))
    empty = subprocess.run(
        [
            sys.executable,
            "-c",
            "import distributed, psutil; print(psutil.Process().memory_info().rss)",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    began_s = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", _QUEUE, str(file), "1"]) as queue:
        while not up.exists():
            assert queue.poll() is None
            time.sleep(0.01)
        started_s = time.perf_counter() - began_s
        process = psutil.Process(queue.pid)
        time.sleep(4)  # the first snapshots
        highest = 0
        cpu_s = sum(process.cpu_times()[:2])
        for _ in range(50):
            highest = max(highest, process.memory_info().rss)
            time.sleep(0.1)
        cpu_share = (sum(process.cpu_times()[:2]) - cpu_s) / 5
        queue.send_signal(signal.SIGTERM)
        queue.wait(60)
    print(f"{num_waiting} tasks waiting, one running")
    print(f"  memory of the queue's process:    {highest / 1e6:8.0f} MB")
    print(f"  of Python with Dask imported:     {int(empty) / 1e6:8.0f} MB")
    print(f"  until the first task has started: {started_s:8.2f} s")
    print(f"  processor while it waits:         {cpu_share * 100:8.1f} % of one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--waiting", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        _idle(Path(name), options.tasks, options.devices)
    with tempfile.TemporaryDirectory() as name:
        _memory(Path(name), options.waiting)


if __name__ == "__main__":
    main()
