"""Makespan of the packer against a lower bound, in a simulated machine room.

A discrete-event simulation calls the real packer each time a task ends. Beside it, in the same run
and with the same tasks, a naive queue: each time there is room on a device, the first task in the
order of submission that fits it.

Lower bounds, of which the largest counts; each holds for any schedule whatsoever, even one that
knows all lengths, moves running tasks and knows the future:

- longest: no schedule is shorter than its longest task.
- area: what tasks hold, memory times time, cannot be more than all devices have in that time.
- many: of tasks that need at least m MB, a device with C MB runs at most floor(C / m) at once
  (and at most its limit of tasks), so p in all: the sum of their lengths, divided by p. And one of
  the p places must run k + 1 of the kp + 1 longest ones, one after the other, for any k: not less
  than the k + 1 shortest of these.
- weights: give each size of task any weight. The tasks on a device with C MB weigh at most W(C) at
  any moment, the best that a knapsack can hold (memory rounded down, which only adds room). So the
  sum of weight times length, divided by the sum of W over the devices. The weights come from a
  linear program by column generation, and say how much of each device the given sizes can fill at
  all; but the bound holds for any weights, so it does not rest on the solver.

    python benchmarks/packing_makespan.py [--quick] [--gpus 1000] [--tasks 100000]
"""

from __future__ import annotations

import argparse
import heapq
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

from lfadsq.queue.devices import Device
from lfadsq.queue.packing import Need, Places, WaitingLine
from lfadsq.queue.waiting import Limits

_GRID_MB = 100
_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_MAX_SIZES = 60
_MAX_CAPACITIES = 12
_MAX_COLUMNS_ROUNDS = 80


@dataclass(frozen=True)
class Mix:
    """Tasks as they are, and what the queue is told of their lengths."""

    name: str
    memory_mb: np.ndarray
    length_s: np.ndarray


def devices_of(num_gpus: int, max_tasks: int, rng: np.random.Generator) -> list[Device]:
    """GPUs of 11 to 80 GB; a fifth of them are partly taken by others."""
    devices = []
    for number in range(num_gpus):
        total_mb = float(rng.choice([11264, 24576, 40960, 81920]))
        taken = rng.uniform(0.1, 0.6) if rng.random() < 0.2 else 0.0
        free_mb = total_mb - round(taken * total_mb)
        devices.append(
            Device(f"gpu{number:04d}", f"GPU {number}", total_mb, free_mb, max_tasks, {})
        )
    return devices


def mix_of(name: str, num_tasks: int, rng: np.random.Generator) -> Mix:
    """Make tasks of one kind; memory is what people write, in steps of 100 MB."""
    if name == "sweep":  # one dataset, six shapes of model, the larger the longer
        shape = rng.integers(0, 6, num_tasks)
        memory_mb = np.array([1200, 1800, 2600, 3500, 5200, 7000.0])[shape]
        hours = np.array([1, 1.4, 2, 2.6, 4, 5.0])[shape]
        return Mix(name, memory_mb, hours * _HOUR_S * np.exp(rng.normal(0, 0.25, num_tasks)))
    spread = rng.normal(0, 1, num_tasks)
    length_s = np.clip(2 * _HOUR_S * np.exp(1.2 * spread), 120, 2 * _DAY_S)
    if name == "large":  # three in ten need more than half of some GPU
        is_large = rng.random(num_tasks) < 0.3
        large = rng.choice([6500.0, 14000.0, 22000.0, 45000.0], num_tasks, p=[0.4, 0.3, 0.2, 0.1])
        small = rng.choice([1000.0, 1500.0, 2000.0, 3000.0], num_tasks)
        return Mix(name, np.where(is_large, large, small), length_s)
    other = rng.normal(0, 1, num_tasks)
    size = other if name == "uncorrelated" else 0.8 * spread + 0.6 * other
    memory_mb = np.clip(np.round(30 * np.exp(0.7 * size)) * 100, 500, 30000)
    return Mix(name, memory_mb, length_s)


def told(length_s: np.ndarray, knowledge: str, rng: np.random.Generator) -> np.ndarray:
    if knowledge == "unknown":
        return np.zeros_like(length_s)
    if knowledge == "factor 2":
        return length_s * 2 ** rng.uniform(-1, 1, len(length_s))
    return length_s


def simulate(devices: list[Device], mix: Mix, expected_s: np.ndarray) -> tuple[float, float, int]:
    """Give the makespan [s], the packer's own time [s], and the number of decisions."""
    began = time.perf_counter()
    line = WaitingLine(
        Need(f"t{i:06d}", float(m), expected_s=float(e), order=i)
        for i, (m, e) in enumerate(zip(mix.memory_mb, expected_s, strict=True))
    )
    places = Places(devices, {})
    packer_s = time.perf_counter() - began
    free_mb = {device.device_id: device.memory_free_mb for device in devices}
    by_id = {device.device_id: device for device in devices}
    max_tasks = len(mix.memory_mb)
    ends: list[tuple[float, str, str]] = []
    now_s, num_decisions = 0.0, 0

    def measured(device_id: str) -> Device:
        return replace(by_id[device_id], memory_free_mb=free_mb[device_id])

    while True:
        began = time.perf_counter()
        packing = places.pack(line, max_tasks, now_s=now_s)
        packer_s += time.perf_counter() - began
        num_decisions += 1
        for placement in packing.placements:
            name, device_id = placement.name, placement.device_id
            task = int(name[1:])
            free_mb[device_id] -= float(mix.memory_mb[task])
            assert free_mb[device_id] >= 0, "the packer overfilled a device"
            heapq.heappush(ends, (now_s + float(mix.length_s[task]), name, device_id))
            device = measured(device_id)
            began = time.perf_counter()
            line.remove(name)
            places.start(name, placement.reservation)
            places.measure(device)
            packer_s += time.perf_counter() - began
        if not ends:
            break
        now_s, name, device_id = heapq.heappop(ends)
        free_mb[device_id] += float(mix.memory_mb[int(name[1:])])
        device = measured(device_id)
        began = time.perf_counter()
        places.end(name)
        places.measure(device)
        packer_s += time.perf_counter() - began
    assert len(line) == 0, f"{len(line)} tasks never started"
    return now_s, packer_s, num_decisions


def simulate_naive(devices: list[Device], mix: Mix) -> float:
    """Give the makespan of a queue that starts the first task that fits, as submitted [s]."""
    line = WaitingLine(Need(f"t{i:06d}", float(m), order=i) for i, m in enumerate(mix.memory_mb))
    left_mb = {device.device_id: device.memory_free_mb for device in devices}
    left_tasks = {device.device_id: device.max_tasks for device in devices}
    ends: list[tuple[float, str, str]] = []
    now_s = 0.0
    open_ids = [device.device_id for device in devices]
    while True:
        for device_id in open_ids:
            while left_tasks[device_id] > 0:
                limits = Limits(left_mb[device_id], -1)
                need = next(line.fitting(lambda limits=limits: limits), None)
                if need is None:
                    break
                line.remove(need.name)
                left_mb[device_id] -= need.memory_mb
                left_tasks[device_id] -= 1
                length_s = float(mix.length_s[int(need.name[1:])])
                heapq.heappush(ends, (now_s + length_s, need.name, device_id))
        if not ends:
            return now_s
        now_s, name, device_id = heapq.heappop(ends)
        left_mb[device_id] += float(mix.memory_mb[int(name[1:])])
        left_tasks[device_id] += 1
        open_ids = [device_id]


def lower_bound(devices: list[Device], mix: Mix) -> tuple[float, str]:
    """Give the largest of the bounds above [s], and its name."""
    capacity_mb = np.array([device.memory_free_mb for device in devices])
    max_tasks = devices[0].max_tasks
    bounds = [
        (float(mix.length_s.max()), "longest"),
        (float((mix.memory_mb * mix.length_s).sum() / capacity_mb.sum()), "area"),
        *((bound_s, "many") for bound_s in _many_bounds(capacity_mb, max_tasks, mix)),
    ]
    if max_tasks > 1:
        bounds.append((_weights_bound(capacity_mb, mix), "weights"))
    return max(bounds)


def _many_bounds(capacity_mb: np.ndarray, max_tasks: int, mix: Mix) -> Iterator[float]:
    for least_mb in np.unique(mix.memory_mb):
        num_places = int(np.minimum(np.floor(capacity_mb / least_mb), max_tasks).sum())
        lengths_s = np.sort(mix.length_s[mix.memory_mb >= least_mb])[::-1]
        yield float(lengths_s.sum() / num_places)
        for k in range(1, min(10, (len(lengths_s) - 1) // num_places) + 1):
            longest_s = lengths_s[: k * num_places + 1]
            yield float(longest_s[-(k + 1) :].sum())


def _weights_bound(capacity_mb: np.ndarray, mix: Mix) -> float:
    sizes, load_s = _loads(mix)
    cells, num_of_cells = np.unique((capacity_mb // _GRID_MB).astype(int), return_counts=True)
    # The program sees a few capacities only; the bound itself is taken over all.
    picks = np.unique(np.linspace(0, len(cells) - 1, _MAX_CAPACITIES).astype(int))
    groups = np.searchsorted(picks, np.arange(len(cells)), side="right") - 1
    num_in_group = np.bincount(groups, weights=num_of_cells)
    columns: list[tuple[int, np.ndarray]] = [
        (group, np.eye(len(sizes))[s] * (cells[pick] // sizes[s]))
        for group, pick in enumerate(picks)
        for s in range(len(sizes))
        if sizes[s] <= cells[pick]
    ]
    best_s = 0.0
    for _ in range(_MAX_COLUMNS_ROUNDS):
        weights, time_s = _best_weights(columns, load_s, num_in_group)
        value, last = _knapsack(weights, sizes, int(cells[-1]))
        best_s = max(best_s, float(weights @ load_s / (value[cells] @ num_of_cells)))
        if best_s >= time_s * (1 - 1e-4):
            break
        columns += [(g, _contents(last, sizes, int(cells[p]))) for g, p in enumerate(picks)]
    return best_s


def _loads(mix: Mix) -> tuple[np.ndarray, np.ndarray]:
    """Sum lengths by size [cells], where sizes are rounded down to few."""
    size = np.maximum(1, mix.memory_mb // _GRID_MB).astype(int)
    edges = np.unique(size)
    if len(edges) > _MAX_SIZES:
        wanted = np.geomspace(edges[0], edges[-1], _MAX_SIZES)
        edges = np.unique(edges[np.searchsorted(edges, wanted - 1e-9)])
    which = np.searchsorted(edges, size, side="right") - 1
    return edges, np.bincount(which, weights=mix.length_s, minlength=len(edges))


def _best_weights(
    columns: list[tuple[int, np.ndarray]], load_s: np.ndarray, num_in_group: np.ndarray
) -> tuple[np.ndarray, float]:
    """Solve: the least time in which these contents of devices can run all loads."""
    num_sizes, num_groups = len(load_s), len(num_in_group)
    matrix = np.zeros((num_sizes + num_groups, len(columns) + 1))
    for c, (group, contents) in enumerate(columns):
        matrix[:num_sizes, c] = -contents
        matrix[num_sizes + group, c] = 1
    scale = load_s.sum() / num_in_group.sum()
    matrix[num_sizes:, -1] = -num_in_group
    right = np.concatenate([-load_s / scale, np.zeros(num_groups)])
    cost = np.zeros(len(columns) + 1)
    cost[-1] = 1
    solved = linprog(cost, A_ub=matrix, b_ub=right, method="highs")
    return np.maximum(0, -solved.ineqlin.marginals[:num_sizes]), float(solved.fun * scale)


def _knapsack(weights: np.ndarray, sizes: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the most weight for each number of cells, and which size was put in last."""
    value, last = np.zeros(most + 1), np.full(most + 1, -1)
    for cell in range(1, most + 1):
        num = int(np.searchsorted(sizes, cell, side="right"))
        value[cell], last[cell] = value[cell - 1], -1
        if num:
            gains = value[cell - sizes[:num]] + weights[:num]
            pick = int(gains.argmax())
            if gains[pick] > value[cell]:
                value[cell], last[cell] = gains[pick], pick
    return value, last


def _contents(last: np.ndarray, sizes: np.ndarray, cell: int) -> np.ndarray:
    contents = np.zeros(len(sizes))
    while cell > 0:
        if last[cell] < 0:
            cell -= 1
        else:
            contents[last[cell]] += 1
            cell -= int(sizes[last[cell]])
    return contents


def line_mb(num_tasks: int) -> float:
    """Measure the memory of a line [MB]."""
    tracemalloc.start()
    line = WaitingLine(
        Need(f"data_0a1b2c/param_3d4e5f/run{i:06d}", 1000.0 + i, expected_s=3600.0 + i, order=i)
        for i in range(num_tasks)
    )
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(line) == num_tasks
    return size / 1024**2


def report(
    num_gpus: int, num_tasks: int, max_tasks: int, mix_name: str, knows: list[str], seed: int
) -> None:
    rng = np.random.default_rng([num_gpus, num_tasks, seed])
    devices = devices_of(num_gpus, max_tasks, rng)
    mix = mix_of(mix_name, num_tasks, rng)
    # What fits no device is refused at the start and never simulated.
    fits = mix.memory_mb <= max(device.memory_free_mb for device in devices)
    mix = Mix(mix_name, mix.memory_mb[fits], mix.length_s[fits])
    bound_s, bound_name = lower_bound(devices, mix)
    naive_s = simulate_naive(devices, mix)
    for knowledge in knows:
        expected_s = told(mix.length_s, knowledge, rng)
        makespan_s, packer_s, num_decisions = simulate(devices, mix, expected_s)
        ratio = makespan_s / bound_s
        print(
            f"{mix_name:13s} {'one' if max_tasks == 1 else 'shared':6s} {num_gpus:5d} "
            f"{len(mix.memory_mb):7d} {knowledge:9s} {bound_s / _HOUR_S:8.1f} {bound_name:8s} "
            f"{ratio:6.3f}{' ' if ratio <= 1.05 else '*'} {naive_s / bound_s:6.3f} "
            f"{packer_s:8.2f} {packer_s / num_decisions * 1e6:7.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="20 GPUs and 2,000 tasks")
    parser.add_argument("--mix", action="append", help="only this mix; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    gpus, tasks = (20, 2000) if options.quick else (options.gpus, options.tasks)
    knows = ["exact", "factor 2", "unknown"]
    mixes = options.mix or ["sweep", "uncorrelated", "correlated", "large"]
    print(
        f"{'mix':13s} {'a GPU':6s} {'GPUs':>5s} {'tasks':>7s} {'lengths':9s} {'bound [h]':>8s}"
        f" {'by':8s} {'ours':>6s}  {'naive':>6s} {'packer [s]':>8s} {'us each':>7s}"
    )
    for num_gpus, num_tasks in dict.fromkeys(
        [(gpus, tasks), (max(1, gpus // 20), tasks // 20), (8, 200), (gpus, 5 * gpus)]
    ):
        for mix_name in mixes:
            for max_tasks in (tasks, 1):
                report(num_gpus, num_tasks, max_tasks, mix_name, knows, options.seed)
    print("* further than 5 % from the bound")
    for num_tasks in (10_000, 100_000):
        print(f"memory of {num_tasks} waiting tasks: {line_mb(num_tasks):.1f} MB")


if __name__ == "__main__":
    main()
