"""What it costs a queue to keep the history of its GPUs: at most 0.5 % of a core, 1 MB a day each.

A queue measures its GPUs through NVML, and notes them every 5 s. Here the same is done as quickly
as it goes, with the clock moved on by 5 s each time, for several days; how hard the GPUs work, and
which runs are on them, changes as in a busy queue. Printed are, by number of GPUs,

- the processor that a tick takes: to measure the GPUs, to note what they did, and both as a share
  of one core at a tick every 5 s;
- what is on the disk, per GPU: of a day in samples of 5 s, and of a day later on, in minutes;
- how long reading all of it takes.

Without a GPU, or with ``--stand-in``, NVML is the stand-in of the tests, which reads a file in each
call: it takes longer than most drivers, but a driver may take longer still.

    python benchmarks/gpu_history.py [--gpus 1 8] [--days 4] [--ticks 300] [--stand-in]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lfadsq.errors import NoGpuError
from lfadsq.queue import devices as devices_module
from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths
from lfadsq.queue.devices import Device, find_devices
from lfadsq.queue.gpu_log import SAMPLE_S, GpuLog
from lfadsq.queue.nvml import Driver
from lfadsq.queue.places import Reservation
from lfadsq.watching.gpu_history import GpuHistory
from tests.nvml_standin.standin import StandInGpus, build_driver

_DAY_S = 86400
_RUN_S = 3600
MOST_CORE_SHARE, MOST_BYTES_A_DAY = 0.005, 1_000_000


class _Clock:
    def __init__(self) -> None:
        self.at_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at_s


def _has_gpu() -> bool:
    try:
        driver = Driver()
    except NoGpuError:
        return False
    num_gpus = len(driver.gpus())
    driver.close()
    return num_gpus > 0


def _stand_in(folder: Path) -> StandInGpus:
    import pynvml

    machine = StandInGpus(folder / "gpus.txt", build_driver(folder))
    os.environ.update(machine.environment())
    pynvml.nvmlLib = ctypes.CDLL(str(machine.library))
    pynvml._nvmlGetFunctionPointer_cache.clear()
    return machine


def _measuring_s(num_ticks: int, num_gpus: int) -> tuple[list[Device], float]:
    """Measure as each tick does, all readings anew; give the devices, and processor time [s]."""
    devices_module._ACTIVITY_HOLDS_S = 0.0
    source = find_devices(None, max_tasks_on_gpu=1, num_cpu_slots=1, environment={})
    try:
        source.measure()
        began_s = time.process_time()
        for _ in range(num_ticks):
            devices = source.measure()
        return devices[:num_gpus], (time.process_time() - began_s) / num_ticks
    finally:
        source.close()


def _noting_s(folder: Path, devices: Sequence[Device], days: float) -> float:
    """Note days of a busy queue; give the processor time of a tick [s]."""
    chance, clock = random.Random(1), _Clock()
    paths = ControlPaths(folder / FOLDER_NAME)
    log = GpuLog(paths, "benchmark-1", wall_s=clock, steady_s=clock)
    end_s = clock.at_s + days * _DAY_S
    spent_s, num_ticks = 0.0, 0
    while clock.at_s < end_s:
        now = [
            replace(
                device,
                memory_free_mb=chance.uniform(0, device.memory_total_mb),
                utilisation_percent=chance.uniform(0, 100),
                power_w=chance.uniform(60, 700),
            )
            for device in devices
        ]
        running = {
            f"lfads_param_Yw0JcR__run{int(clock.at_s // _RUN_S)}_{n}": Reservation(d.device_id, 1)
            for n, d in enumerate(devices)
        }
        began_s = time.process_time()
        log.follow(now, running)
        spent_s += time.process_time() - began_s
        num_ticks += 1
        clock.at_s += SAMPLE_S
    log.close()
    return spent_s / num_ticks


def _bytes_a_day(folder: Path, suffix: str, days: float, num_gpus: int) -> float:
    files = (folder / FOLDER_NAME / "gpus").glob(f"*{suffix}")
    return sum(file.stat().st_size for file in files) / days / num_gpus


def _row(num_gpus: int, measured: Sequence[Device], measuring_s: float, days: float) -> bool:
    more = range(len(measured), num_gpus)
    devices = [*measured, *(replace(measured[0], device_id=f"GPU-{n:032d}") for n in more)]
    devices = devices[:num_gpus]
    measuring_s *= num_gpus / len(measured)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noting_s = _noting_s(folder, devices, days)
        # Files of a simulated week are all of today: none is old enough to be removed.
        fine = _bytes_a_day(folder, ".samples", days, num_gpus)
        minutes = _bytes_a_day(folder, ".minutes", days, num_gpus)
        began_s = time.perf_counter()
        history = GpuHistory.load(folder)
        reading_s = time.perf_counter() - began_s
    assert all(len(device.runs) >= days * 23 for device in history.devices.values())
    share = (measuring_s + noting_s) / SAMPLE_S
    is_met = share < MOST_CORE_SHARE and fine + minutes < MOST_BYTES_A_DAY
    print(
        f"  {num_gpus:4d} {measuring_s * 1e3:11.3f} {noting_s * 1e3:9.3f} {share * 100:10.4f} %"
        f" {fine / 1e3:9.0f} {minutes / 1e3:11.1f} {reading_s:8.2f}  {'yes' if is_met else 'NO'}"
    )
    return is_met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--days", type=float, default=4)
    parser.add_argument("--ticks", type=int, default=300)
    parser.add_argument("--stand-in", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        machine = _stand_in(Path(name)) if options.stand_in or not _has_gpu() else None
        whose = "the stand-in of NVML" if machine else "this machine"
        print(f"GPUs of {whose}, {options.days:g} days")
        print(
            f"  {'GPUs':>4s} {'measure ms':>11s} {'note ms':>9s} {'of a core':>12s}"
            f" {'kB a day':>9s} {'later, kB':>11s} {'read s':>8s}  within the aims"
        )
        are_met = True
        for num_gpus in options.gpus:
            if machine is not None:
                machine.put_alike(num_gpus)
            measured, measuring_s = _measuring_s(options.ticks, num_gpus)
            are_met &= _row(num_gpus, measured, measuring_s, options.days)
    return 0 if are_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
