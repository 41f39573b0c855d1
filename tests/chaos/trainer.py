"""A program that behaves like a trainer, and notices when it is not alone in its run.

It works in numbered steps, notes each in a file, and writes a checkpoint after every few of them,
from which the next start goes on. Whoever kills it loses the steps since then, and nothing else.

Usage: trainer.py FOLDER PART KIND NUM_STEPS STEP_MS
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time

CHECKPOINT_EVERY = 3
OVERLAPPED = 9

_GONE_WITHIN_S = 0.3
_SAVES_FOR_S = 0.8


class Trainer:
    """One start of a training in a run directory.

    Parameters
    ----------
    folder : str
        The run directory; two tasks may share it, and must not run at the same time.
    part : str
        Which of its tasks: tells their files apart.
    kind : str
        How it behaves (`collection.KINDS`).
    """

    def __init__(self, folder: str, part: str, kind: str) -> None:
        self.folder, self.part, self.kind = folder, part, kind
        self.is_asked_to_end = False
        self.insist_on_being_alone()
        self.note("starts", f"{os.getpid()} {os.environ.get('LFADSQ_TASK_TOKEN')}")
        if kind in ("polite", "saves long"):
            signal.signal(signal.SIGTERM, self._take_signal)

    def _take_signal(self, *_: object) -> None:
        self.is_asked_to_end = True

    def path(self, name: str) -> str:
        """Give the path of a file of this part."""
        return f"{self.folder}/{self.part}.{name}"

    def note(self, name: str, line: str) -> None:
        """Append a line in one write."""
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o664)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    def insist_on_being_alone(self) -> None:
        """End, and leave a note, if another start is alive: by a lock, and by who is busy."""
        # Not inherited by what we start, and closed by the kernel before the queue's descriptor 9.
        self.own_lock = os.open(f"{self.folder}/alone", os.O_RDWR | os.O_CREAT, 0o664)
        try:
            fcntl.flock(self.own_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.tell_overlap("locked")
        busy = f"{self.folder}/busy"
        while True:
            try:
                descriptor = os.open(busy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o664)
                break
            except FileExistsError:
                with open(busy) as file:  # noqa: PTH123
                    noted = file.read().split()
                # A process that was killed is listed for a moment after its locks are free.
                end_s = time.monotonic() + _GONE_WITHIN_S
                while len(noted) == 2 and born(int(noted[0])) == noted[1]:
                    if time.monotonic() > end_s:
                        self.tell_overlap(f"busy is {noted[0]}")
                    time.sleep(0.01)
                os.unlink(busy)  # noqa: PTH108
        os.write(descriptor, f"{os.getpid()} {born(os.getpid())}".encode())
        os.close(descriptor)

    def tell_overlap(self, how: str) -> None:
        """Note that two are at work in one run, and end."""
        self.note("overlaps", f"{how}, seen by {os.getpid()} at {time.time():.3f}")
        raise SystemExit(OVERLAPPED)

    def train(self, num_steps: int, step_s: float) -> int:
        """Do what is left of the steps; return the exit status."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("checkpoint.aside"))  # noqa: PTH108
        step = self.checkpoint()
        while step < num_steps:
            if self.is_asked_to_end:
                if self.kind == "saves long":
                    time.sleep(_SAVES_FOR_S)
                self.save(step)
                say(f"asked to end at step {step}")
                return 0
            time.sleep(step_s)
            step += 1
            self.note("steps", f"{os.getpid()} {step}")
            if step == num_steps // 2 and (status := self.stumble()):
                return status
            if step % CHECKPOINT_EVERY == 0 or step == num_steps:
                self.save(step)
        if self.kind in ("family", "orphans"):
            # One that keeps what it inherited open, as a shell's does, or one that does not.
            subprocess.Popen(["sleep", "300"], close_fds=self.kind == "orphans")
        self.note("finishes", str(os.getpid()))
        say("Stopping optimization: all steps are done")
        os.unlink(f"{self.folder}/busy")  # noqa: PTH108
        return 0

    def stumble(self) -> int:
        """Fail, if this kind does so half way."""
        if self.kind == "nan":
            say("error: the cost became NaN")
            os.unlink(f"{self.folder}/busy")  # noqa: PTH108
            return 1
        if self.kind == "fails once" and not os.path.exists(self.path("failed")):  # noqa: PTH110
            self.note("failed", "once")
            return 1
        return 0

    def checkpoint(self) -> int:
        """Give the step to go on from."""
        try:
            with open(self.path("checkpoint")) as file:  # noqa: PTH123
                return int(file.read())
        except FileNotFoundError:
            return 0

    def save(self, step: int) -> None:
        """Write a checkpoint in one step."""
        with open(self.path("checkpoint.aside"), "w") as file:  # noqa: PTH123
            file.write(str(step))
        os.replace(self.path("checkpoint.aside"), self.path("checkpoint"))  # noqa: PTH105


def say(line: str) -> None:
    """Write a line to the log."""
    sys.stdout.write(f"{line}\n")


def born(pid: int) -> str:
    """Give when a live process began; nothing for one that has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def main() -> int:
    """Train, possibly through a launcher that hands no open file on."""
    folder, part, kind, num_steps, step_ms = sys.argv[1:]
    if kind == "wrapped":
        return subprocess.call(
            [sys.executable, "-IS", __file__, folder, part, "plain", *sys.argv[4:]]
        )
    return Trainer(folder, part, kind).train(int(num_steps), int(step_ms) / 1000)


if __name__ == "__main__":
    raise SystemExit(main())
