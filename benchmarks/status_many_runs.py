"""How long `lfadsq status` takes for a collection of 10,000 runs, from a cold start of the process.

    python benchmarks/status_many_runs.py [--num-runs 10000] [--num-repeats 5] [--folder FOLDER]

Made up are the folders of a sweep as a queue and our trainer leave them: of 100 runs 90 are done,
1 trains, 2 failed, 2 were interrupted, and 5 wait. Each that was begun has a ``progress.json``, a
``fitlog.csv`` of 200 epochs and, unless it is done, a record; the summary lists all settings. Then
``python -m lfadsq status`` is timed, for people and with ``--json``: wall and processor time, the
median of some repeats, files in the disk's cache. Beside it: a bare Python that lists the same
folders and reads the same files, which is the least it can take, and one that does nothing. A
second collection, as the original trainer leaves it, has no ``progress.json``: there, all logs of
costs have to be read.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lfadsq.queue.records import Attempt, AttemptState, Cause, Outcome, Record, iso_time

_NUM_EPOCHS = 200
_BEGAN = "2018-01-31T00:00:00.000+00:00"
_NAME = "single_dataset001"

# What has to be looked at, and nothing else: the folders, and one small file of each run.
_LIMIT = """
import os, sys
for param in os.scandir(sys.argv[1]):
    if param.name.startswith("param_"):
        for run in os.scandir(param.path):
            names = {entry.name for entry in os.scandir(run.path)}
            wanted = ["lfadsOutput/" + sys.argv[2]] if "lfadsOutput" in names else []
            if "lfads.done" not in names and "lfads.record.json" in names:
                wanted.append("lfads.record.json")
            for name in wanted:
                with open(f"{run.path}/{name}", "rb", buffering=0) as file:
                    file.read()
open(sys.argv[1] + "/summary.txt", "rb").read()
"""


def fit_log(seed: int) -> str:
    gap = " " * 6
    lines = []
    for epoch in range(_NUM_EPOCHS):
        cost, weight = 300 + 50 / (1 + epoch) + seed % 97 / 10, min(1.0, epoch / 100)
        lines.append(
            f"epoch,{epoch}, step,{8 * epoch + 8}, total,{cost:.2f},{cost + 2:.2f}, {gap}"
            f"recon,{cost - 9:.2f},{cost - 7:.2f}, kl,9.00,9.00, l2,0.50000, {gap}"
            f"klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
        )
    return "".join(lines)


def progress(state: str, seed: int) -> str:
    cost = 300 + 50 / _NUM_EPOCHS + seed % 97 / 10
    return json.dumps(
        {
            "version": 1,
            "state": state,
            "num_epochs": _NUM_EPOCHS,
            "step": 8 * _NUM_EPOCHS,
            "learning_rate": 0.0041,
            "total": [cost, cost + 2],
            "recon": [cost - 9, cost - 7],
            "kl": [9.0, 9.0],
            "l2": 0.5,
            "kl_weight": 1.0,
            "l2_weight": 1.0,
            "lowest_valid_total": cost + 2,
            "steps_per_s": 35.2,
            "epoch_s": 0.3,
            "drops_left": 40,
            "epochs_left": 500.0,
            "remaining_s": 1234.5,
            "is_lower_bound": False,
            "host": "node1",
            "pid": 4321,
            "updated": iso_time(time.time()),
        }
    )


def attempt(folder: Path, outcome: Outcome | None) -> Attempt:
    is_over = outcome is not None
    return Attempt(
        number=1,
        command=f"bash {folder}/lfads_train.sh",
        host="node1",
        device="GPU-1",
        device_name="GPU 0 (NVIDIA A100)",
        started_at=_BEGAN,
        log_offset=0,
        state=AttemptState.ENDED if is_over else AttemptState.RUNNING,
        ended_at=_BEGAN if is_over else None,
        outcome=outcome,
        cause=Cause.GPU_MEMORY if outcome is Outcome.FAILED else None,
        exit_status=1 if outcome is Outcome.FAILED else None,
    )


def make_run(folder: Path, number: int, *, with_progress: bool) -> None:
    part = number % 100
    output = folder / "lfadsOutput"
    output.mkdir(parents=True)
    (folder / "lfadsInput").mkdir()
    (folder / "lfads_train.sh").write_text("true\n", encoding="ascii")
    if part >= 95:
        output.rmdir()
        return
    (output / "fitlog.csv").write_text(fit_log(number), encoding="ascii")
    state = "finished" if part < 90 else "training" if part == 90 else "stopped"
    if with_progress:
        (output / "progress.json").write_text(progress(state, number), encoding="ascii")
    (folder / "lfads.lock").touch()
    if part < 90:
        (folder / "lfads.done").touch()
        outcome = Outcome.SUCCEEDED
    elif part == 90:
        return
    else:
        outcome = Outcome.FAILED if part < 93 else Outcome.INTERRUPTED
    name = f"lfads_{folder.parent.name}_run001_{_NAME}"
    Record(name, (attempt(folder, outcome),)).write(folder / "lfads.record.json", durable=False)


def make_collection(folder: Path, num_runs: int, *, with_progress: bool) -> None:
    folder.mkdir(parents=True)
    defaults = "".join(f"         c_other_{number}: 0.0001\n" for number in range(55))
    head = '  Path: x\n\n    [runSpec 1] My.RunSpec "single_dataset001" (1 datasets)\n\n'
    settings = [head]
    for number in range(num_runs):
        param_hash = f"{number:06d}"
        make_run(folder / f"param_{param_hash}" / _NAME, number, with_progress=with_progress)
        dim, rate = 1 + number % 100, 0.01 / (1 + number // 100)
        settings.append(
            f"    [{number + 1} param_{param_hash} data_4MaTKO] My.RunParams"
            f" c_learning_rate_init={rate:.6g} c_gen_dim={dim}\n\n"
            f"         c_learning_rate_init: {rate:.6g}\n         c_gen_dim: {dim}\n{defaults}\n"
        )
    (folder / "summary.txt").write_text("".join(settings), encoding="utf-8")


def measure(title: str, words: list[str], num_repeats: int) -> None:
    walls, cpus = [], []
    for _ in range(num_repeats + 1):
        before = os.times()
        start = time.perf_counter()
        done = subprocess.run(words, check=False, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - start)
        after = os.times()
        cpus.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"{words} ended with {done.returncode}")
    # The first brings what it reads, and the modules, into the disk's cache.
    wall_s, cpu_s = statistics.median(walls[1:]), statistics.median(cpus[1:])
    print(f"{title:44} {wall_s:6.2f} s, {cpu_s:6.2f} s of a processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num-runs", type=int, default=10_000)
    parser.add_argument("--num-repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    status = [sys.executable, "-m", "lfadsq", "status"]
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        collection = Path(made) / "sweep"
        make_collection(collection, options.num_runs, with_progress=True)
        repeats = options.num_repeats
        measure(f"{options.num_runs} runs", [*status, str(collection)], repeats)
        measure("the same with --json", [*status, "--json", str(collection)], repeats)
        limit = [sys.executable, "-c", _LIMIT]
        measure("reading the same files alone", [*limit, str(collection), "progress.json"], repeats)
        measure("a Python that does nothing", [sys.executable, "-c", "pass"], repeats)
        measure("lfadsq --help", [sys.executable, "-m", "lfadsq", "--help"], repeats)
        original = Path(made) / "original"
        make_collection(original, options.num_runs, with_progress=False)
        title = f"{options.num_runs} runs of the original trainer"
        measure(title, [*status, str(original)], repeats)
        measure("reading the same files alone", [*limit, str(original), "fitlog.csv"], repeats)


if __name__ == "__main__":
    main()
