"""The tasks that chaos is let loose on, and what each of them promises."""

from __future__ import annotations

import random
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["KINDS", "Run", "make_runs"]

KINDS = (
    "plain",
    "pair",
    "piped",
    "fails once",
    "nan",
    "family",
    "orphans",
    "polite",
    "saves long",
    "wrapped",
)
"""Plain; two tasks on one run directory; with the command line and the line of success of MATLAB's
scripts; exit status 1 the first time; not a number every time; leaves a process that keeps the
lock's descriptor; leaves one that does not; ends with status 0 when asked to end; does so too,
but takes its time; started by a program that hands no descriptor on."""

_TRAINER = Path(__file__).with_name("trainer.py")
_STEP_MS = (20, 60)


@dataclass(frozen=True)
class Run:
    """A task, as the queue and as the judge see it."""

    folder: Path
    part: str
    kind: str
    num_steps: int
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def donefile(self) -> Path:
        return Path(self.spec["donefile"])

    @property
    def record(self) -> Path:
        suffix = self.donefile.name.removeprefix("lfads.done")
        return self.folder / f"lfads.record.json{suffix}"

    def lines(self, name: str) -> list[list[str]]:
        """Read what its trainers noted."""
        path = self.folder / f"{self.part}.{name}"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def make_runs(
    root: Path,
    num_runs: int,
    kinds: tuple[str, ...],
    chance: random.Random,
    num_steps_between: tuple[int, int] = (15, 60),
) -> list[Run]:
    """Make run directories, and the tasks in them."""
    runs = []
    for number in range(num_runs):
        kind = kinds[number % len(kinds)]
        folder = root / f"{number:03d} {kind}"
        folder.mkdir(parents=True)
        for part in ("train", "sample") if kind == "pair" else ("train",):
            num_steps = chance.randint(*num_steps_between)
            words = [sys.executable, "-IS", _TRAINER, folder, part, kind, num_steps]
            words.append(chance.randint(*_STEP_MS))
            command = shlex.join(map(str, words))
            outfile = folder / f"{part}.out"
            if kind == "piped":
                command += f" 2>&1 | tee {shlex.quote(str(outfile))}"
            marker = "lfads.done" if part == "train" else "lfads.done.posteriorMeanOnly"
            spec = {
                "name": f"{folder.name} {part}",
                "command": command,
                "memory_req": 1,
                "outfile": str(outfile),
                "donefile": str(folder / marker),
            }
            runs.append(Run(folder, part, kind, num_steps, spec))
    return runs
