"""Chaos by hand: ``python -m tests.chaos --minutes 5 --seed 1 --queues 2``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .collection import KINDS
from .monkey import Plan, play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--queues", type=int, default=2)
    parser.add_argument("--runs", type=int, default=27)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--round-s", type=float, default=20.0, help="chaos before each calm [s]")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--root", type=Path, default=None, help="where to work; kept")
    given = parser.parse_args()
    root = given.root or Path(tempfile.mkdtemp(prefix="chaos-"))
    end_s = time.monotonic() + 60 * given.minutes
    seed, num_bad = given.seed, 0
    while True:
        plan = Plan(
            seed=seed,
            duration_s=given.round_s,
            num_queues=given.queues,
            num_runs=given.runs,
            num_slots=given.slots,
            kinds=tuple(given.kinds.split(",")),
        )
        folder = root / f"seed{seed}"
        folder.mkdir(parents=True)
        problems, happened = play(folder, plan)
        sys.stdout.write(f"{happened}\n")
        for problem in problems:
            sys.stdout.write(f"  {problem}\n")
        sys.stdout.flush()
        num_bad += bool(problems)
        seed += 1
        if time.monotonic() > end_s:
            return 1 if num_bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
