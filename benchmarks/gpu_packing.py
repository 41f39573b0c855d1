"""Real CUDA jobs through the queue on the GPUs of this machine: is memory filled, and none overrun?

Each job allocates memory through the CUDA driver and keeps its GPU busy for some seconds. The same
mix of jobs runs three times: one on each GPU at a time, packed by the memory they say they need,
and packed by what the queue learns ("auto").

    python benchmarks/gpu_packing.py [--jobs 36] [--at-once 6] [--seconds 2] [--gpus 0 1]
    python benchmarks/gpu_packing.py --stand-in 4     # no GPU needed: jobs only sleep
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lfadsq.errors import NoGpuError
from lfadsq.queue import run_lfads_queue
from lfadsq.queue.devices import Device, DeviceSource, find_devices
from lfadsq.queue.events import TaskStarted

_MB = 1024 * 1024
_STANDIN_FOLDER = Path(__file__).parents[1] / "tests" / "nvml_standin"
_GPUS_VARIABLE = "LFADSQ_STANDIN_GPUS"
_SAMPLE_S = 0.1
_OUT_OF_MEMORY = "out of GPU memory"

# Part of the smallest GPU's free memory, and length in units of --seconds.
_SHAPES = {"small": (0.08, 1.0), "medium": (0.2, 1.5), "large": (0.45, 2.5)}
_MIX = ("small", "medium", "small", "large", "medium", "small")


def run_job(mb: float, seconds: float) -> None:
    """Take memory of the GPU we are shown, and keep it busy; in a process of its own."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise SystemExit(f"the CUDA driver cannot be loaded: {error}") from error

    def call(name: str, *arguments: object) -> None:
        status = getattr(cuda, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            cuda.cuGetErrorName(status, ctypes.byref(text))
            raise SystemExit(f"{name}: {(text.value or b'unknown error').decode()}")

    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    size = ctypes.c_size_t(int(mb * _MB))
    call("cuInit", ctypes.c_uint(0))
    call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    end_s = time.monotonic() + seconds
    call("cuMemAlloc_v2", ctypes.byref(memory), size)
    pattern = 0
    while time.monotonic() < end_s:
        pattern = (pattern + 1) % 256
        call("cuMemsetD8_v2", memory, ctypes.c_ubyte(pattern), size)
        call("cuCtxSynchronize")
    call("cuMemFree_v2", memory)
    call("cuDevicePrimaryCtxRelease_v2", device)


@dataclass(frozen=True)
class Job:
    name: str
    shape: str
    mb: float
    seconds: float

    def command(self) -> str:
        numbers = [f"{self.mb:.0f}", str(self.seconds)]
        if _GPUS_VARIABLE in os.environ:
            program = str(_STANDIN_FOLDER / "take_gpu_memory.py")
            return shlex.join([sys.executable, "-I", "-S", program, *numbers])
        return shlex.join([sys.executable, str(Path(__file__).resolve()), "--job", *numbers])


def mix_of(num_jobs: int, unit_s: float, smallest_mb: float) -> list[Job]:
    """Make jobs of three shapes, in an order that is the same every time."""
    shapes = [_MIX[n % len(_MIX)] for n in range(num_jobs)]
    random.Random(1).shuffle(shapes)
    return [
        Job(f"{n:03d}-{shape}", shape, part * smallest_mb, length * unit_s)
        for n, shape in enumerate(shapes)
        for part, length in [_SHAPES[shape]]
    ]


@dataclass
class Watcher:
    """Notes which sessions are ours, and samples what is on the GPUs, until it is closed."""

    source: DeviceSource
    sessions: set[int] = field(default_factory=set)
    peak_by_session: dict[int, float] = field(default_factory=dict)
    least_free_mb: dict[str, float] = field(default_factory=dict)

    def report(self, event: object) -> None:
        if isinstance(event, TaskStarted) and event.attempt.pid is not None:
            self.sessions.add(event.attempt.pid)

    def close(self) -> None:
        """Nothing of the queue's is held."""

    @contextmanager
    def sampling(self) -> Iterator[None]:
        done = threading.Event()
        thread = threading.Thread(target=self._sample, args=(done,))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _sample(self, done: threading.Event) -> None:
        while not done.wait(_SAMPLE_S):
            for device in self.source.measure(frozenset(self.sessions)):
                key = device.device_id
                least = self.least_free_mb.get(key, device.memory_free_mb)
                self.least_free_mb[key] = min(least, device.memory_free_mb)
                for session, mb in device.taken_mb_by_session.items():
                    self.peak_by_session[session] = max(mb, self.peak_by_session.get(session, 0.0))


@dataclass(frozen=True)
class Outcome:
    num_done: int
    num_failed: int
    num_out_of_memory: int
    makespan_s: float
    bound_s: float
    idle: float
    filled: float
    overhead_mb: float | None

    def row(self, name: str) -> str:
        overhead = "   hidden" if self.overhead_mb is None else f"{self.overhead_mb:9.0f}"
        return (
            f"  {name:22s} {self.num_done:5d} {self.num_failed:7d} {self.num_out_of_memory:8d}"
            f" {self.makespan_s:10.2f} {self.bound_s:8.2f} {self.makespan_s / self.bound_s:7.2f}"
            f" {self.idle:7.1%} {self.filled:7.1%} {overhead}"
        )


def spec_of(job: Job, folder: Path, memory_req: float | str) -> dict[str, Any]:
    run = folder / job.name
    run.mkdir(parents=True)
    spec = {
        "name": job.name,
        "command": job.command(),
        "memory_req": memory_req,
        "outfile": str(run / "lfads.out"),
        "donefile": str(run / "lfads.done"),
        "expected_s": job.seconds,
    }
    return {**spec, "shape": job.shape} if memory_req == "auto" else spec


def seconds_of(attempt: Mapping[str, Any], key: str) -> float:
    return datetime.fromisoformat(attempt[key]).timestamp()


def run_mix(
    jobs: Sequence[Job],
    devices: Sequence[Device],
    folder: Path,
    options: argparse.Namespace,
    *,
    packed: bool,
    context_mb: float | None,
) -> Outcome:
    """Run all jobs in one way; `context_mb` is reserved beyond what they allocate, None: learn."""
    at_once = options.at_once * len(devices) if packed else len(devices)
    specs = [
        spec_of(job, folder, "auto" if context_mb is None else job.mb + context_mb) for job in jobs
    ]
    source = find_devices(options.gpus, max_tasks_on_gpu=1, num_cpu_slots=1)
    watcher = Watcher(source)
    with watcher.sampling():
        summary = run_lfads_queue(
            "gpu_packing",
            None,
            specs,
            gpu_list=options.gpus,
            one_task_per_gpu=not packed,
            max_tasks_simultaneously=at_once,
            reporter=watcher,
        )
    source.close()
    attempts: list[dict[str, Any]] = []
    overheads: list[float] = []
    lengths: list[float] = []
    filling = 0.0
    for job in jobs:
        record = json.loads((folder / job.name / "lfads.record.json").read_text())
        attempts += record["attempts"]
        last = attempts[-1]
        lengths.append(seconds_of(last, "ended_at") - seconds_of(last, "started_at"))
        filling += lengths[-1] * job.mb
        if last["pid"] in watcher.peak_by_session and last["outcome"] == "succeeded":
            overheads.append(watcher.peak_by_session[last["pid"]] - job.mb)
    spans = [
        (attempt["device"], seconds_of(attempt, "started_at"), seconds_of(attempt, "ended_at"))
        for attempt in attempts
    ]
    began_s, ended_s = min(s[1] for s in spans), max(s[2] for s in spans)
    bounds = [max(lengths), sum(lengths) / at_once]
    if packed:
        # As if a job could be cut into pieces of any size, and took what it allocates.
        bounds.append(filling / sum(device.memory_free_mb for device in devices))
    busy_s = sum(union_s([s[1:] for s in spans if s[0] == d.device_id]) for d in devices)
    free_before = {d.device_id: d.memory_free_mb for d in devices}
    filled = [1 - watcher.least_free_mb.get(key, mb) / mb for key, mb in free_before.items()]
    return Outcome(
        num_done=len(summary.finished),
        num_failed=len(summary.failed),
        num_out_of_memory=sum(attempt["cause"] == _OUT_OF_MEMORY for attempt in attempts),
        makespan_s=ended_s - began_s,
        bound_s=max(bounds),
        idle=1 - busy_s / (len(devices) * (ended_s - began_s)),
        filled=sum(filled) / len(filled),
        overhead_mb=max(overheads) if overheads else None,
    )


def union_s(spans: Sequence[tuple[float, float]]) -> float:
    """Give for how long at least one of the spans goes on [s]."""
    covered_s, reached_s = 0.0, float("-inf")
    for begin, end in sorted(spans):
        covered_s += max(0.0, end - max(begin, reached_s))
        reached_s = max(reached_s, end)
    return covered_s


def run_on_stand_in(num_gpus: int) -> int:
    """Run this program again where the driver is the tests' stand-in; give its exit status."""
    sys.path.insert(0, str(_STANDIN_FOLDER))
    from standin import StandInGpus, build_driver

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        machine = StandInGpus(folder / "gpus.txt", build_driver(folder))
        machine.put_alike(num_gpus)
        environment = {**os.environ, **machine.environment()}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=36)
    parser.add_argument("--at-once", type=int, default=6, help="jobs on one GPU at most")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long the shortest take")
    parser.add_argument("--gpus", nargs="+", default=None, help="by index, UUID or name")
    parser.add_argument("--context-mb", type=float, default=600, help="what CUDA takes for itself")
    parser.add_argument("--folder", type=Path, default=None, help="where the runs are written")
    parser.add_argument("--stand-in", type=int, default=0, metavar="N", help="N GPUs of the tests")
    parser.add_argument("--job", nargs=2, type=float, metavar=("MB", "S"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.job:
        run_job(*options.job)
        return
    if options.stand_in and _GPUS_VARIABLE not in os.environ:
        raise SystemExit(run_on_stand_in(options.stand_in))
    try:
        source = find_devices(options.gpus, max_tasks_on_gpu=1, num_cpu_slots=1)
    except NoGpuError as error:
        raise SystemExit(f"gpu_packing: {error}") from error
    devices, reason = source.measure(), source.reason
    source.close()
    if not all(device.is_gpu for device in devices):
        print(f"gpu_packing: nothing was measured: {reason}")
        return
    smallest_mb = min(device.memory_free_mb for device in devices)
    jobs = mix_of(options.jobs, options.seconds, smallest_mb)
    kind = "stand-in" if _GPUS_VARIABLE in os.environ else "real"
    print(f"{len(jobs)} jobs on {len(devices)} {kind} GPUs: {', '.join(d.name for d in devices)}")
    print(
        f"  {'':22s}  done  failed  no room  makespan    bound  m / b    idle  filled  beyond [MB]"
    )
    ways: dict[str, tuple[bool, float | None]] = {
        "one on a GPU": (False, options.context_mb),
        "packed": (True, options.context_mb),
        "packed, learned": (True, None),
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for way, (packed, context_mb) in ways.items():
            folder = Path(name) / way.replace(" ", "_")
            outcome = run_mix(jobs, devices, folder, options, packed=packed, context_mb=context_mb)
            print(outcome.row(way), flush=True)
    print("  no room: attempts that ran out of GPU memory; idle: GPU time without any job;")
    print("  filled: free memory of a GPU in use at the highest; beyond: what a job was seen to")
    print("  take, at most, beyond what it allocated (CUDA's context: compare --context-mb)")


if __name__ == "__main__":
    main()
