"""Collections of programs that work in steps, and their queues as a user starts them."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..nvml_standin.standin import StandInGpus
from .batch_systems import BatchSystem, wait_until

__all__ = ["Queue", "StepCollection", "StepRun"]

_STEPPER = Path(__file__).with_name("stepper.py")
_SCRIPT = """
import json, sys
from pathlib import Path
import lfadsqueue as lq
here = Path(__file__).resolve().parent
try:
    summary = lq.run_lfads_queue(
        "steps", None, json.loads((here / "specs.json").read_text()),
        script=__file__, argv=sys.argv[1:],
    )
except KeyboardInterrupt:
    raise SystemExit(130)
except lq.LfadsqError as error:
    raise SystemExit(f"error: {error}")
raise SystemExit(summary.exit_status)
"""


@dataclass(frozen=True)
class StepRun:
    """One run of a collection."""

    folder: Path
    num_steps: int
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def is_done(self) -> bool:
        return Path(self.spec["donefile"]).exists()

    def lines(self, name: str) -> list[list[str]]:
        """Read what its programs noted."""
        path = self.folder / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def steps(self) -> list[int]:
        return [int(step) for (step,) in self.lines("steps")]

    @property
    def job_ids(self) -> list[str]:
        """The jobs in which it was started, in order."""
        return [job_id for _, _, job_id, _ in self.lines("starts")]

    @property
    def attempts(self) -> list[dict[str, Any]]:
        path = self.folder / "lfads.record.json"
        return list(json.loads(path.read_text())["attempts"]) if path.exists() else []

    @property
    def outcomes(self) -> list[str | None]:
        return [attempt["outcome"] for attempt in self.attempts]


class Queue:
    """A queue in a process of its own, whose output goes to files."""

    def __init__(self, argv: Sequence[str | Path], cwd: Path, environment: dict[str, str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="output-", dir=cwd))
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
            )
        self.pid = self._process.pid

    @property
    def said(self) -> str:
        """What it printed for people."""
        return self._err.read_text(errors="replace")

    @property
    def printed(self) -> str:
        """What it printed for programs."""
        return self._out.read_text(errors="replace")

    @property
    def summary(self) -> dict[str, Any]:
        """What it says it did, once it has ended."""
        return dict(json.loads(self.printed))

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def wait(self, deadline_s: float = 120.0) -> int:
        """Wait for its end, and give its exit status."""
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"runs after {deadline_s} s; it said:\n{self.said}") from None

    def kill(self) -> None:
        """Kill it, so that it can do nothing about it."""
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)


class StepCollection:
    """A collection and its queue script.

    Parameters
    ----------
    folder : Path
        Is made.
    num_tasks : int
    gpus : StandInGpus
        What the jobs find on their node.
    system : BatchSystem
        Where its queues run.
    num_steps : int
        Of each task.
    step_s : float
        How long each takes [s].
    names : sequence of str, optional
        Of the tasks.
    """

    def __init__(
        self,
        folder: Path,
        num_tasks: int,
        gpus: StandInGpus,
        system: BatchSystem,
        *,
        num_steps: int = 10,
        step_s: float = 0.1,
        names: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._gpus = gpus
        self._system = system
        self._queues: list[Queue] = []
        self._gpu_locks = folder / "gpu locks"
        self._gpu_locks.mkdir(parents=True)
        names = names or [f"run{number:03d}" for number in range(1, num_tasks + 1)]
        self.runs = [self._make_run(name, num_steps, step_s) for name in names]
        self.script = folder / "run_lfadsqueue.py"
        self.script.write_text(_SCRIPT)
        self._write_specs()

    def _make_run(self, name: str, num_steps: int, step_s: float) -> StepRun:
        folder = self.folder / name
        folder.mkdir()
        words = [sys.executable, "-IS", _STEPPER, folder, self._gpu_locks, num_steps, step_s]
        spec = {
            "name": name,
            "command": shlex.join(map(str, words)),
            "memory_req": 1,
            "outfile": str(folder / "lfads.out"),
            "donefile": str(folder / "lfads.done"),
        }
        return StepRun(folder, num_steps, spec)

    def _write_specs(self) -> None:
        (self.folder / "specs.json").write_text(json.dumps([run.spec for run in self.runs]))

    def set_pace(self, step_s: float) -> None:
        """Let the steps of all tasks take another time from the next start on [s]."""
        for run in self.runs:
            words = shlex.split(run.spec["command"])
            run.spec["command"] = shlex.join([*words[:-1], str(step_s)])
        self._write_specs()

    def lengthen(self, number: int, num_steps: int, step_s: float = 0.1) -> None:
        """Give one task another length, before any queue starts."""
        name = self.runs[number].name
        self.runs[number].folder.rmdir()
        self.runs[number] = self._make_run(name, num_steps, step_s)
        self._write_specs()

    def start(self, *options: str) -> Queue:
        """Start a queue as a user would, in the folder of the collection."""
        setup = [
            word
            for name, value in self._gpus.environment().items()
            for word in ("--setup", f"export {name}={shlex.quote(value)}")
        ]
        usual = f"{self._system.options} --gpus-per-job 1 --cores-per-job 1 --max-jobs 4"
        usual += " --memory-per-job 500MB --walltime 0:10:00 --interface lo --json"
        words = [sys.executable, self.script.name, *usual.split(), *setup, *options]
        # GPUs are the node's: where the queue runs there is none.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
        self._queues.append(Queue(words, self.folder, environment))
        return self._queues[-1]

    def kill_queues(self) -> None:
        for queue in self._queues:
            queue.kill()

    def wait_for_starts(self, num: int, queue: Queue, deadline_s: float = 60.0) -> list[StepRun]:
        """Wait until so many runs are being worked on, and give them."""

        def started() -> list[StepRun] | None:
            assert not queue.is_over, f"the queue has ended; it said:\n{queue.said}"
            runs = [run for run in self.runs if run.steps and not run.lines("finishes")]
            return runs if len(runs) >= num else None

        return list(wait_until(started, f"{num} runs start; {queue.said}", deadline_s))

    def problems(self) -> list[str]:
        """Name everything that must not be, once no queue and no job runs any more."""
        found = [problem for run in self.runs for problem in _problems_of(run)]
        pieces = [
            (attempt["device"], attempt["started_at"], attempt["ended_at"], run.name)
            for run in self.runs
            for attempt in run.attempts
        ]
        pieces.sort()
        for one, other in itertools.pairwise(pieces):
            if one[0] == other[0] and other[1] < one[2]:
                found.append(f"two at a time on one GPU, by the records: {one}, {other}")
        return found


def _problems_of(run: StepRun) -> list[str]:
    found = [f"{run.name}: two at a time: {' '.join(line)}" for line in run.lines("overlaps")]
    if not run.is_done:
        found.append(f"{run.name}: no done-marker")
    if run.outcomes.count("succeeded") != 1 or run.outcomes[-1] != "succeeded":
        found.append(f"{run.name}: ended {run.outcomes}")
    if any(attempt["state"] != "ended" for attempt in run.attempts):
        found.append(f"{run.name}: an attempt goes on for ever: {run.attempts}")
    if "failed" in run.outcomes:
        found.append(f"{run.name}: charged: {run.attempts}")
    if len(run.lines("finishes")) != 1:
        found.append(f"{run.name}: finished {len(run.lines('finishes'))} times")
    if set(run.steps) != set(range(1, run.num_steps + 1)):
        found.append(f"{run.name}: of {run.num_steps} steps only {sorted(set(run.steps))}")
    return found
