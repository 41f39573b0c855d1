"""A sweep on disk as `prepare_for_lfads` leaves it, and trainings that say how far they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.records import iso_time
from lfadsq.queue.tasks import tasks_from_specs

from ..queue.conftest import _no_gpu as _no_gpu
from ..queue.conftest import gpus as gpus
from ..queue.conftest import nvml_library as nvml_library
from ..queue.conftest import start_queue as start_queue

SUMMARY_HEAD = """lab.Runs "sweep" ({num} runs total)
  Path: /somewhere

    [runSpec 1] lab.RunSpec "single.a" (1 datasets)
      [ds 1] lab.Dataset "a"

  ------------------------
"""


class Sweep:
    """Adds to a `FakeCollection` the folders of real runs, ``param_<HASH>/single.a``."""

    def __init__(self, collection: Any, num_runs: int = 4) -> None:
        self.collection = collection
        self.folder: Path = collection.folder
        self.hashes = [f"hash{number:02d}" for number in range(1, num_runs + 1)]
        # As lfadsq.manager names them: dots become underscores.
        self.names = [
            f"lfads_param_{one}_run{number:03d}_single_a"
            for number, one in enumerate(self.hashes, start=1)
        ]
        collection.names = self.names
        collection.specs = [self._spec(*pair) for pair in zip(self.names, self.hashes, strict=True)]
        collection.tasks = {task.name: task for task in tasks_from_specs(collection.specs)}
        self.runs = [f"param_{one}/single.a" for one in self.hashes]

    def _spec(self, name: str, param_hash: str) -> dict[str, Any]:
        run = self.folder / f"param_{param_hash}" / "single.a"
        (run / "lfadsInput").mkdir(parents=True)
        (run / "lfads_train.sh").write_text("true\n")
        return {
            "name": name,
            "command": f"bash {run}/lfads_train.sh",
            "memory_req": 1000,
            "outfile": str(run / "lfads.out"),
            "donefile": str(run / "lfads.done"),
        }

    def write_summary(self, *settings: str, defaults: str = "c_gen_dim: 64") -> None:
        lines = [SUMMARY_HEAD.format(num=len(settings))]
        hashes = [*self.hashes, "absent"]
        for number, text in enumerate(settings):
            listed = {line.partition(":")[0]: line for line in defaults.split("\n")}
            listed |= {pair.partition("=")[0]: pair.replace("=", ": ") for pair in text.split()}
            lines.append(f"    [{number + 1} param_{hashes[number]} data_4MaTKO] lab.Par {text}\n")
            lines += [f"         {line}" for line in listed.values()] + [""]
        (self.folder / "summary.txt").write_text("\n".join(lines))

    def say(self, number: int, state: str = "training", **changes: Any) -> Path:
        output = self.folder / self.runs[number] / "lfadsOutput"
        output.mkdir(exist_ok=True)
        told = {
            "version": 1,
            "state": state,
            "num_epochs": 12,
            "learning_rate": 0.0041,
            "total": [300.0, 310.5],
            "lowest_valid_total": 309.25,
            "steps_per_s": 35.2,
            "epoch_s": 0.5,
            "remaining_s": 75.0,
            "host": "node7",
            "pid": 4321,
            "updated": iso_time(time.time()),
        }
        (output / "progress.json").write_text(json.dumps({**told, **changes}))
        return output


@pytest.fixture
def sweep(collection: Any) -> Sweep:
    return Sweep(collection)
