"""A small lab for pictures: four stand-in GPUs, a sweep of twelve runs, and a queue that trains it.

Nothing is drawn by hand: a real queue starts real processes, which are no trainings but take memory
of the GPUs and write costs (`standin_training`).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec, TrainerCommands
from lfadsq.datasets.lorenz import generate_demo_datasets

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "nvml_standin"))

from standin import StandInGpu, StandInGpus, build_driver  # noqa: E402

_TRAINING = Path(__file__).with_name("standin_training.py")
_IDLE_W, _BUSY_W = 55, 318
_DEADLINE_S = 300
_LIVELY_S = 1.0
NUM_AT_A_TIME = 3


def make_collection(root: Path) -> RunCollection:
    """Prepare a sweep over two hyperparameters."""
    generate_demo_datasets(
        root / "datasets", 1, num_conditions=10, num_trials_per_condition=(30, 30), duration_ms=200
    )
    datasets = DatasetCollection(root / "datasets")
    Dataset(datasets, "dataset001.mat")
    program = shlex.join([sys.executable, "-u", str(_TRAINING)])
    trainer = TrainerCommands(program, posterior_mean="true", write_model_params="true")
    runs = RunCollection(root, "reaching", datasets, version=20180131, trainer=trainer)
    params = RunParams(spikeBinMs=10, c_batch_size=50, c_factors_dim=12, c_co_dim=0)
    sweep = params.generate_sweep(
        "c_gen_dim", [64, 100, 128, 200], "c_keep_prob", [0.9, 0.95, 0.98]
    )
    runs.add_params(sweep)
    runs.add_run_spec(RunSpec("single_dataset001", datasets, [0]))
    runs.prepare_for_lfads()
    runs.write_run_queue_script(gpu_memory_required=9000)
    return runs


@dataclass
class StandInLab:
    """The lab while its queue runs.

    Attributes
    ----------
    folder : Path
        Where its collection lies, and where commands are typed.
    environment : dict of str to str
        What a process needs to see its GPUs.
    """

    folder: Path
    environment: dict[str, str]
    gpus: StandInGpus
    runs: RunCollection
    queue: subprocess.Popen[bytes] | None = None
    _has_ended: threading.Event = field(default_factory=threading.Event)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something to be so.

        Raises
        ------
        TimeoutError
            If it is not within minutes.
        """
        end_s = time.monotonic() + _DEADLINE_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"did not happen within {_DEADLINE_S} s: {what}")
            time.sleep(0.1)

    def num_done(self) -> int:
        """Count the runs that are finished."""
        return sum(run.is_done for run in self.runs.runs)

    def are_all_in_the_middle(self) -> bool:
        """Tell whether as many train as may, and none of them began or ends just now."""
        outputs = [run.paths.output for run in self.runs.runs if not run.is_done]
        logs = [output.fit_log() for output in outputs if output.fit_log().exists()]
        now_s = time.time()
        lively = [log for log in logs if now_s - log.stat().st_mtime < _LIVELY_S]
        num_epochs = [log.read_bytes().count(b"\n") for log in lively]
        return len(num_epochs) == NUM_AT_A_TIME and 10 <= min(num_epochs) <= max(num_epochs) <= 75

    def wait_for_the_end(self) -> None:
        """Wait until nothing is left to train."""
        assert self.queue is not None
        self.queue.wait(_DEADLINE_S)

    def keep_gpus_lively(self) -> None:
        """Let each GPU look busy as long as somebody has taken memory of it."""
        number = 0
        while not self._has_ended.wait(0.5):
            number += 1
            for place, gpu in enumerate(self.gpus.gpus):
                alive = [
                    pid for pid in self.gpus.taken_mb(gpu.uuid) if Path(f"/proc/{pid}").exists()
                ]
                is_busy = bool(alive) or gpu.used > 0
                gpu.util = 84 + (7 * number + 5 * place) % 14 if is_busy else 0
                gpu.power = _BUSY_W + (11 * number + 23 * place) % 60 if is_busy else _IDLE_W
                gpu.temp = 61 + (number // 8 + 3 * place) % 9 if is_busy else 33 + place
            self.gpus.write()


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[StandInLab]:
    """Set the lab up, let its queue train, and end everything in the end."""
    machine = folder / "machine"
    machine.mkdir(parents=True)
    gpus = StandInGpus(machine / "gpus.txt", build_driver(machine))
    gpus.put(
        *(StandInGpu(f"GPU-{n:08d}-standin", "NVIDIA A100-PCIE-40GB", 40960) for n in range(3)),
        # Somebody else computes on the fourth.
        StandInGpu("GPU-00000003-standin", "NVIDIA A100-PCIE-40GB", 40960, used=37400),
    )
    environment = {**os.environ, **gpus.environment(), "PYTHONPATH": str(ROOT)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    runs = make_collection(folder)
    here = StandInLab(runs.path, environment, gpus, runs)
    lively = threading.Thread(target=here.keep_gpus_lively)
    lively.start()
    # A GPU is believed to be used by a process only if that has the driver open.
    log = (folder / "queue.log").open("wb")
    here.queue = subprocess.Popen(
        [sys.executable, str(runs.file_shell_script_run_queue), "--no-tensorboard"]
        + ["--max-tasks-simultaneously", str(NUM_AT_A_TIME)],
        cwd=here.folder,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield here
    finally:
        with contextlib.suppress(ProcessLookupError):
            here.queue.send_signal(signal.SIGTERM)
        here.queue.wait(_DEADLINE_S)
        log.close()
        here._has_ended.set()
        lively.join()
