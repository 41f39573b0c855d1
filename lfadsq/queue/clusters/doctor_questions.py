"""What `lfadsq doctor` asks a node: GPUs, files, locks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError, LfadsqError
from lfadsq.files import write_text
from lfadsq.queue.clusters.doctor_here import WITHOUT_LOCKS
from lfadsq.queue.clusters.doctor_letters import Letters
from lfadsq.queue.clusters.doctor_report import Level, Tell, ok, problem, warning
from lfadsq.queue.clusters.doctor_verdicts import (
    clock_finding,
    gpu_findings,
    locks_findings,
    replacing_finding,
)
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.probe import LAST
from lfadsq.queue.locks import RunLock
from lfadsq.texts import duration_text

__all__ = ["Questions"]

_ANSWERS_S = 60.0
_TENSORFLOW_S = 180.0
_FREE_S = 30.0
_SETTLES_S = 10.0
_POLL_S = 0.25
_REPLACING_S = 0.5
_SLOW_S = 10.0
_SIZE = 4096
_LOCK_OF_JOB = "lock-of-job"


class Questions:
    """Asks a node, and tells what its answers mean.

    Parameters
    ----------
    letters : Letters
    folder : Path
        Through which the letters go.
    options : ClusterOptions
        Of the job.
    tell, say : callable
        As for `lfadsq.queue.clusters.doctor.ClusterDoctor`.
    """

    def __init__(
        self,
        letters: Letters,
        folder: Path,
        options: ClusterOptions,
        tell: Tell,
        say: Callable[[str], None],
    ) -> None:
        self._letters = letters
        self._folder = folder
        self._options = options
        self._tell = tell
        self._say = say
        self._has_locks = False

    def hold_lock(self) -> None:
        """Let the node hold a lock as long as its job lives, if there are locks."""
        if self._has_locks:
            self.ask("locks", "lock", name=_LOCK_OF_JOB)

    def gpus(self) -> None:
        """Compare GPUs with what was asked for, and load TensorFlow."""
        gpus = self.ask("gpus", "gpus")
        self._say("loading TensorFlow on the node")
        wait_s = _TENSORFLOW_S + _ANSWERS_S
        tensorflow = self.ask("tensorflow", "tensorflow", wait_s, timeout_s=_TENSORFLOW_S)
        if gpus is not None and tensorflow is not None:
            for finding in gpu_findings(self._options, gpus, tensorflow):
                self._tell(finding)

    def files(self) -> None:
        """Measure how long files take from here to there and back, and the clock of the node."""
        self._say("exchanging files with the node")
        trips = []
        for _ in range(3):
            sent_s, began_s = time.time(), time.monotonic()
            told = self.ask("folder", "echo")
            if told is None:
                return
            took_s = time.monotonic() - began_s
            trips.append((took_s, told["time_s"] - (sent_s + took_s / 2)))
        slowest_s = max(trips)[0]
        text = f"files written here are read on the node, and the reverse, within {slowest_s:.2f} s"
        if slowest_s > _SLOW_S:
            remedy = "displays and `lfadsq queue` will lag by that much; results are not harmed"
            self._tell(warning("folder", text, remedy))
        else:
            self._tell(ok("folder", text))
        fastest_s, offset_s = min(trips)
        self._tell(clock_finding(offset_s, fastest_s / 2))

    def locks(self) -> None:
        """See whether locks hold between here and there."""
        self._say("trying locks")
        try:
            finding = locks_findings(*self._try_lock_of_ours(), *self._try_lock_of_node())
            self._has_locks = finding.level is Level.OK
            self._tell(finding)
        except LfadsqError as error:
            self._tell(problem("locks", error.problem, WITHOUT_LOCKS))

    def _try_lock_of_ours(self) -> tuple[bool, bool]:
        name = "lock-here"
        ours = RunLock.try_acquire(self._folder / name)
        if ours is None:
            raise ClusterError("a lock that nobody holds cannot be had here")
        try:
            sees = not self._letters.ask("lock", _ANSWERS_S, name=name)["is_taken"]
            self._letters.ask("unlock", _ANSWERS_S)
        finally:
            ours.release()
        gets = _eventually(lambda: self._letters.ask("lock", _ANSWERS_S, name=name)["is_taken"])
        self._letters.ask("unlock", _ANSWERS_S)
        return sees, gets

    def _try_lock_of_node(self) -> tuple[bool, bool]:
        name = "lock-there"
        if not self._letters.ask("lock", _ANSWERS_S, name=name)["is_taken"]:
            raise ClusterError("a lock that nobody holds cannot be had on the node")
        sees = not self._can_lock(name)
        self._letters.ask("unlock", _ANSWERS_S)
        return sees, _eventually(lambda: self._can_lock(name))

    def _can_lock(self, name: str) -> bool:
        lock = RunLock.try_acquire(self._folder / name)
        if lock is not None:
            lock.release()
        return lock is not None

    def replacing(self) -> None:
        """Let the node read a file while it is replaced here again and again."""
        path = self._folder / "replaced"
        write_text(path, "a" * _SIZE, durable=False)
        arguments = {"name": path.name, "size": _SIZE, "timeout_s": _ANSWERS_S / 2}
        number = self._letters.post("watch", **arguments)
        deadline_s, count = time.monotonic() + _REPLACING_S, 0
        while time.monotonic() < deadline_s:
            count += 1
            write_text(path, chr(ord("a") + count % 26) * _SIZE, durable=False)
        write_text(path, LAST, durable=False)
        try:
            self._tell(replacing_finding(self._letters.answer_to(number, _ANSWERS_S)))
        except ClusterError as error:
            self._tell(problem("rename", error.problem, "see that the node itself is well"))

    def lock_of_the_dead(self) -> None:
        """See that the lock of `hold_lock` is free once its job is gone."""
        if not (self._folder / _LOCK_OF_JOB).exists():
            return
        started_s = time.monotonic()
        is_free = _eventually(lambda: self._can_lock(_LOCK_OF_JOB), _FREE_S)
        took = duration_text(time.monotonic() - started_s)
        if is_free:
            self._tell(ok("locks of ended jobs", f"free {took} after the job was gone"))
            return
        self._tell(
            problem(
                "locks of ended jobs",
                f"a lock that the job held is not free {took} after the job was gone",
                "a run whose job dies is taken up only when the file system gives its lock free:"
                " ask how long that takes there, and use another one if it never does",
            )
        )

    def ask(
        self, topic: str, verb: str, wait_s: float = _ANSWERS_S, /, **arguments: Any
    ) -> dict[str, Any] | None:
        """Ask the node; what goes wrong is a problem of its own, and all else goes on."""
        try:
            return self._letters.ask(verb, wait_s, **arguments)
        except ClusterError as error:
            self._tell(problem(topic, error.problem, "see that the node itself is well"))
            return None


def _eventually(condition: Callable[[], bool], within_s: float = _SETTLES_S) -> bool:
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True
