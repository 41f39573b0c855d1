"""What `lfadsq watch` costs while it stands there: processor time, and bytes over the line.

    python benchmarks/watch_refresh.py [--num-runs 1000 10000] [--seconds 60] [--folder FOLDER]

It is run in a real terminal (a pty) of 80x24 on the made-up sweep of ``status_many_runs.py``, of
which one run in a hundred is at work. Measured once all is on the screen, over so many seconds, at
the default interval of 2 s, are its processor time (as a share of one core, and a look) and the
bytes that it writes to the terminal:

- while nothing changes, and no queue runs;
- while a queue runs, of which eight tasks are at work and end an epoch every 2 s: each writes its
  ``progress.json`` and a line of its ``fitlog.csv``, and the queue its snapshot of all tasks;
- how long a key takes to be on the screen meanwhile, the median and the longest of 20; and its
  memory at the end.

Beside it: ``lfadsq status`` started anew every 2 s, as ``watch -n 2 lfadsq status`` would, by its
processor time and output each time. The share of that is what a person would pay otherwise.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import psutil
from status_many_runs import _NAME, make_collection, progress

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.records import iso_time
from lfadsq.queue.status import DeviceStatus, Snapshot, TaskState, TaskStatus

INTERVAL_S = 2.0
NUM_AT_WORK = 8


class View:
    """The view in a terminal."""

    def __init__(self, collection: Path) -> None:
        self.num_bytes = 0
        self.news = threading.Event()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = psutil.Popen(
            [sys.executable, "-m", "lfadsq", "watch", str(collection)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        while True:
            select.select([self._ours], [], [])
            try:
                data = os.read(self._ours, 65536)
            except OSError:
                return
            self.num_bytes += len(data)
            self.news.set()

    def wait_until_quiet(self) -> None:
        """Wait until all is on the screen."""
        deadline_s = time.monotonic() + 120
        while time.monotonic() < deadline_s:
            before = self.num_bytes
            time.sleep(3 * INTERVAL_S)
            if before == self.num_bytes > 2000:
                return
        raise SystemExit("the view does not come to rest")

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def key_s(self, key: bytes) -> float:
        """Press a key, and tell how long until something is written."""
        self.news.clear()
        began_s = time.perf_counter()
        os.write(self._ours, key)
        if not self.news.wait(20):
            raise SystemExit("a key did nothing")
        return time.perf_counter() - began_s

    def end(self) -> None:
        os.write(self._ours, b"q")
        self.process.wait(20)


class Queue:
    """A queue that shows itself, and whose tasks end an epoch every 2 s; none of them trains."""

    def __init__(self, collection: Path, num_runs: int) -> None:
        self._collection = collection
        hashes = [f"{number:06d}" for number in range(num_runs)]
        self._tasks = [self._task(one, TaskState.DONE) for one in hashes]
        for number in range(NUM_AT_WORK):
            self._tasks[number] = self._task(hashes[number], TaskState.RUNNING)
        self._runs = [collection / f"param_{one}" / _NAME for one in hashes[:NUM_AT_WORK]]
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _task(self, param_hash: str, state: TaskState) -> TaskStatus:
        run = self._collection / f"param_{param_hash}" / _NAME
        return TaskStatus(
            f"lfads_param_{param_hash}_run001_{_NAME}",
            state,
            device="GPU-1",
            device_name="GPU 0 (NVIDIA A100)",
            outfile=str(run / "lfads.out"),
            donefile=str(run / "lfads.done"),
            command=f"bash {run}/lfads_train.sh",
        )

    def __enter__(self) -> Queue:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def _work(self) -> None:
        began = iso_time(time.time())
        names = tuple(task.name for task in self._tasks[:NUM_AT_WORK])
        epoch = 200
        with ControlFolder.of(self._collection).join("bench") as presence:
            while not self._has_ended.is_set():
                device = DeviceStatus(
                    "GPU-1", "GPU 0 (NVIDIA A100)", 40960, 30000, 9000, 8, names,
                    utilisation_percent=float(epoch % 100), power_w=250.0, power_limit_w=400.0,
                    temperature_c=61.0,
                )  # fmt: skip
                presence.publish(
                    Snapshot(
                        "bench", "bench", "node7", 1, began, iso_time(time.time()),
                        devices=(device,), tasks=tuple(self._tasks),
                    )
                )  # fmt: skip
                epoch += 1
                for number, run in enumerate(self._runs):
                    self._end_epoch(run, epoch, number)
                self._has_ended.wait(INTERVAL_S)

    def _end_epoch(self, run: Path, epoch: int, number: int) -> None:
        output = run / "lfadsOutput"
        told = json.loads(progress("training", number)) | {"num_epochs": epoch}
        aside = output / "progress.new"
        aside.write_text(json.dumps(told))
        aside.replace(output / "progress.json")
        cost, gap = 300 + 100 / epoch, " " * 6
        with (output / "fitlog.csv").open("a") as log:
            log.write(
                f"epoch,{epoch}, step,{8 * epoch}, total,{cost:.2f},{cost + 2:.2f}, {gap}"
                f"recon,9.00,9.00, kl,9.00,9.00, l2,0.50000, {gap}klweight,1.00, l2weight,1.00\n"
            )


def measure(view: View, seconds: float) -> tuple[float, float]:
    """Give processor time [s] and bytes written, of each interval."""
    cpu_s, num_bytes = view.cpu_s(), view.num_bytes
    time.sleep(seconds)
    num_looks = seconds / INTERVAL_S
    return (view.cpu_s() - cpu_s) / num_looks, (view.num_bytes - num_bytes) / num_looks


def tell(title: str, cpu_s: float, num_bytes: float, status_s: float) -> None:
    print(
        f"  {title:40} {cpu_s / INTERVAL_S:7.2%} of a core, {1000 * cpu_s:7.1f} ms"
        f" ({cpu_s / status_s:.3f} of status) and {num_bytes:6.0f} bytes every {INTERVAL_S:g} s",
        flush=True,
    )


def status_cost(collection: Path) -> tuple[float, int]:
    """Give processor time [s] and output [bytes] of one `lfadsq status`."""
    costs = []
    for _ in range(3):
        before = os.times()
        command = [sys.executable, "-m", "lfadsq", "status", str(collection)]
        done = subprocess.run(command, check=False, capture_output=True)
        after = os.times()
        user_s = after.children_user - before.children_user
        costs.append(user_s + after.children_system - before.children_system)
    return statistics.median(costs), len(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num-runs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    for num_runs in options.num_runs:
        with tempfile.TemporaryDirectory(dir=options.folder) as made:
            collection = Path(made) / "sweep"
            make_collection(collection, num_runs, with_progress=True)
            status_s, num_bytes = status_cost(collection)
            print(f"{num_runs} runs")
            tell("lfadsq status, started every 2 s", status_s, num_bytes, status_s)
            view = View(collection)
            view.wait_until_quiet()
            tell("watch: nothing changes, no queue", *measure(view, options.seconds), status_s)
            with Queue(collection, num_runs):
                time.sleep(5 * INTERVAL_S)
                tell("watch: a queue, 8 end an epoch", *measure(view, options.seconds), status_s)
                keys = []
                for number in range(20):
                    time.sleep(0.3)
                    keys.append(view.key_s(b"j" if number % 2 == 0 else b"k"))
                print(
                    f"  {'a key is on the screen after':40} {1000 * statistics.median(keys):7.1f}"
                    f" ms, at most {1000 * max(keys):.1f} ms"
                )
            memory_mb = view.process.memory_info().rss / 2**20
            print(f"  {'memory of the view':40} {memory_mb:7.0f} MB", flush=True)
            view.end()


if __name__ == "__main__":
    main()
