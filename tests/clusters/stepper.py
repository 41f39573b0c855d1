"""A program that works in steps as a trainer does, and notices when it is not alone.

It notes each step in a file when it is done. On SIGTERM it writes a checkpoint and leaves with a
status of its own; from that the next start goes on, without one from what was saved every tenth
step. Two of them in one run, or on one GPU, tell of each other.

Usage: stepper.py RUN_FOLDER GPU_FOLDER NUM_STEPS STEP_S
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

SAVED_EVERY = 10
LEFT = 12


def note(path: Path, line: str) -> None:
    """Append a line in one write."""
    with path.open("ab", buffering=0) as stream:
        stream.write(f"{line}\n".encode())


def hold(path: Path, run: Path) -> int:
    """Lock a file for as long as this process lives; tell if another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note(run / "overlaps", f"{path.name}, seen by {os.getpid()} at {time.time():.3f}")
    return descriptor


def main() -> int:
    """Do what is left of the steps."""
    run, gpus = Path(sys.argv[1]), Path(sys.argv[2])
    num_steps, step_s = int(sys.argv[3]), float(sys.argv[4])
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    held = hold(run / "alone", run), hold(gpus / (gpu or "cpu"), run)
    job = os.environ.get("SLURM_JOB_ID") or os.environ.get("JOB_ID", "none")
    note(run / "starts", f"{time.time():.3f} {os.getpid()} {job} {gpu or 'cpu'}")
    checkpoint = run / "checkpoint"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    while step < num_steps and not asked:
        time.sleep(step_s)  # a signal does not cut it short
        step += 1
        note(run / "steps", str(step))
        if step % SAVED_EVERY == 0:
            save(checkpoint, step)
    if step < num_steps:
        save(checkpoint, step)
        return LEFT
    note(run / "finishes", f"{time.time():.3f} {os.getpid()} {job}")
    del held
    return 0


def save(checkpoint: Path, step: int) -> None:
    """Write a checkpoint in one step."""
    aside = checkpoint.with_name("checkpoint.new")
    aside.write_text(str(step))
    aside.replace(checkpoint)


if __name__ == "__main__":
    raise SystemExit(main())
