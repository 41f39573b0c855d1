"""Chaos itself: queues on one collection, and a monkey that kills at random."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lfadsq
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.wishes import END, LEAVE, Wishes

from .collection import KINDS, Run, make_runs
from .processes import CHAOS_VARIABLE, Found, find_processes, kill_all, send
from .verdict import History, attempts_of, problems_of

__all__ = ["Chaos", "Plan", "play"]

_QUEUE_PROGRAM = Path(__file__).with_name("queue_program.py")

_PAUSE_S = (0.02, 0.6)
_FREEZE_S = (0.05, 2.5)
_CHANGES_MIND_S = (0.05, 4.0)
_HUSHED_WITHIN_S = 40.0
_LOOKS_APART_S = 0.1
_QUIET_FOR_S = 0.5


@dataclass(frozen=True)
class Plan:
    """How much chaos.

    Attributes
    ----------
    seed : int
        The same tasks and the same sequence of choices; their moments are the machine's.
    duration_s : float
        How long the monkey plays [s].
    num_queues : int
        Queues that are kept alive.
    num_runs : int
        Run directories.
    num_slots : int
        Tasks of one queue at once.
    kinds : tuple of str
        Of tasks.
    num_steps_between : tuple of int
        How many steps a task has.
    last_queue_within_s : float
        How long the last queue may take, undisturbed [s].
    """

    seed: int
    duration_s: float = 20.0
    num_queues: int = 2
    num_runs: int = 27
    num_slots: int = 4
    kinds: tuple[str, ...] = KINDS
    num_steps_between: tuple[int, int] = (15, 60)
    last_queue_within_s: float = 60.0


@dataclass
class Chaos:
    """One collection under attack.

    Parameters
    ----------
    root : Path
        Empty folder for everything.
    plan : Plan
    """

    root: Path
    plan: Plan
    num_kills: int = 0
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.chaos_id = uuid.uuid4().hex
        self._chance = random.Random(self.plan.seed)
        self.runs: list[Run] = make_runs(
            self.root / "runs",
            self.plan.num_runs,
            self.plan.kinds,
            self._chance,
            self.plan.num_steps_between,
        )
        (self.root / "runs").mkdir(parents=True, exist_ok=True)
        self.control = ControlFolder.of(self.root / "runs")
        self._specs = self.root / "specs.json"
        self._specs.write_text(json.dumps([run.spec for run in self.runs]))
        self._queues: list[subprocess.Popen[bytes]] = []
        self._num_started = 0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._began_s = time.monotonic()
        self._log = (self.root / "chaos.log").open("a", buffering=1)

    def note(self, text: str) -> None:
        """Write a line of the log by which a cause is found."""
        now = time.time()
        self._log.write(f"{now:.3f} {time.monotonic() - self._began_s:7.3f} {text}\n")

    def close(self) -> None:
        """Leave no process."""
        kill_all(self.chaos_id)
        for queue in self._queues:
            queue.wait()
        self._log.close()

    def start_queue(self, **given: Any) -> subprocess.Popen[bytes]:
        """Start a queue in a folder of its own, with its output in files."""
        self._num_started += 1
        cwd = self.root / "queues" / str(self._num_started)
        scratch = self.root / "scratch"
        for folder in (cwd, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        options = {
            "max_tasks_simultaneously": self.plan.num_slots,
            "grace_s": self._chance.choice([0.3, 2.0]),
            "detach": self._chance.choice([True, False, None]),
            **given,
        }
        with (cwd / "stdout").open("wb") as out, (cwd / "stderr").open("wb") as err:
            queue = subprocess.Popen(
                [sys.executable, _QUEUE_PROGRAM, self._specs, json.dumps(options)],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    **os.environ,
                    CHAOS_VARIABLE: self.chaos_id,
                    "CUDA_VISIBLE_DEVICES": "",
                    "PYTHONPATH": str(Path(lfadsq.__file__).parents[1]),
                    "TMPDIR": str(scratch),
                },
            )
        self._queues.append(queue)
        self.note(f"started queue {self._num_started}, process {queue.pid}: {options}")
        return queue

    def rage(self) -> None:
        """Kill, freeze and start again, until the time is over or every task is done."""
        end_s = time.monotonic() + self.plan.duration_s
        while time.monotonic() < end_s and not self._is_all_done():
            self._reap()
            missing = self.plan.num_queues - len(self._queues)
            for _ in range(max(0, missing)):
                self.start_queue()
            self._wait(self._chance.uniform(*_PAUSE_S))
            action = self._chance.choices([a for a, _ in _ACTIONS], [w for _, w in _ACTIONS])[0]
            action(self)
        for _, act in self._later:
            act()
        self._later.clear()

    def hush(self) -> list[str]:
        """Want nothing to run: a single queue ends whatever others have left behind."""
        self.note("hush")
        self._kill_queues()
        self.wish("pause all now", lambda wishes: wishes.with_paused(now=True))
        self.start_queue()
        end_s = time.monotonic() + _HUSHED_WITHIN_S
        while (left := self._processes("supervisor")) and time.monotonic() < end_s:
            self._wait(_LOOKS_APART_S)
        num_starts = self.num_starts()
        self._wait(_QUIET_FOR_S)
        num_more = self.num_starts() - num_starts
        problems = [f"ran on though all was paused: {process}" for process in left]
        problems += [f"{num_more} were started though all was paused"] if num_more else []
        self.wish("resume all", lambda wishes: wishes.with_resumed())
        return problems

    def calm(self) -> list[str]:
        """Let one queue run to its end undisturbed; give what went wrong."""
        self.note("calm")
        self._kill_queues()
        # A task that fails once may do so only now; a person would start the queue again.
        for _ in range(2):
            queue = self.start_queue()
            try:
                self._wait_for(queue)
            except subprocess.TimeoutExpired:
                within_s = self.plan.last_queue_within_s
                left = [f"{process}: {process.command}" for process in self._processes()]
                return [f"the last queue did not end within {within_s} s: {left}"]
            self.note(f"the last queue ended with {queue.returncode}")
        problems = []
        for queue in self._queues:
            if queue.returncode not in (0, 1):
                problems.append(f"an undisturbed queue ended with {queue.returncode}")
        left = [f"{process}: {process.command}" for process in self._processes()]
        return problems + [f"still runs: {one}" for one in left]

    def judge(self) -> list[str]:
        """Name everything that must not be."""
        self.history.look(self.runs)
        problems = self.history.problems + problems_of(self.runs, self.root / "runs")
        return problems + self._errors()

    def num_starts(self) -> int:
        """Count the starts of all tasks."""
        return sum(len(run.lines("starts")) for run in self.runs)

    def wish(self, what: str, change: Callable[[Wishes], Wishes]) -> None:
        """Want something of all queues."""
        self.note(f"wish: {what}")
        self.control.edit(change)

    def _kill_queues(self) -> None:
        for queue in self._queues:
            queue.kill()
            queue.wait()
        self._queues.clear()

    def _errors(self) -> list[str]:
        """Give what queues said in the end, unless they were asked to stop; each only once."""
        by_text: dict[str, str] = {}
        for path in sorted(self.root.glob("queues/*/stderr")):
            last = (path.read_text().rstrip().splitlines() or [""])[-1]
            # SIGINT before the queue has it in its hands ends any Python.
            if last and not last.startswith("KeyboardInterrupt"):
                by_text.setdefault(last, f"{path}: {last}")
        return list(by_text.values())

    def _wait_for(self, queue: subprocess.Popen[bytes]) -> None:
        end_s = time.monotonic() + self.plan.last_queue_within_s
        while queue.poll() is None:
            if time.monotonic() > end_s:
                raise subprocess.TimeoutExpired("queue", self.plan.last_queue_within_s)
            self.history.look(self.runs)
            time.sleep(_LOOKS_APART_S)

    def _wait(self, pause_s: float) -> None:
        end_s = time.monotonic() + pause_s
        while (now_s := time.monotonic()) < end_s:
            for one in [one for one in self._later if one[0] <= now_s]:
                self._later.remove(one)
                one[1]()
            time.sleep(min(_LOOKS_APART_S, max(0.0, end_s - now_s)))
        self.history.look(self.runs)

    def _is_all_done(self) -> bool:
        return all(run.donefile.exists() for run in self.runs if run.kind != "nan")

    def _reap(self) -> None:
        self._queues = [queue for queue in self._queues if queue.poll() is None]

    def _processes(self, *roles: str) -> list[Found]:
        found = find_processes(self.chaos_id)
        return [process for process in found if not roles or process.role in roles]

    def _pick(self, *roles: str) -> Found | None:
        found = sorted(self._processes(*roles), key=lambda process: process.pid)
        return self._chance.choice(found) if found else None

    def _signal(self, roles: Sequence[str], number: signal.Signals, *, group: bool = False) -> None:
        process = self._pick(*roles)
        if process is not None:
            whom = f"the group of {process}" if group else str(process)
            self.note(f"{number.name} to {whom}")
            send(process.pid, number, group=group)
            self.num_kills += 1

    def kill_queue(self) -> None:
        self._signal(["queue"], signal.SIGKILL)

    def interrupt_queue(self) -> None:
        self._signal(["queue"], self._chance.choice([signal.SIGINT, signal.SIGTERM]))

    def interrupt_queue_twice(self) -> None:
        """As somebody does who is in a hurry."""
        process = self._pick("queue")
        if process is not None:
            self.note(f"SIGINT and SIGINT to {process}")
            send(process.pid, signal.SIGINT)
            time.sleep(self._chance.uniform(0, 0.5))
            send(process.pid, signal.SIGINT)

    def hang_up(self) -> None:
        self._signal(["queue"], signal.SIGHUP)

    def stop_queue(self) -> None:
        live = [snapshot.queue_id for snapshot, lives in self.control.queues() if lives]
        if live:
            chosen, how = self._chance.choice(sorted(live)), self._chance.choice([END, LEAVE])
            self.wish(f"stop {chosen}: {how}", lambda wishes: wishes.with_stops([chosen], how))

    def cancel_and_retry(self) -> None:
        runs = self._choose_runs()

        def retry() -> None:
            # As `lfadsq queue retry` does.
            newest = {run.name: len(attempts_of(run)) for run in runs}
            self.wish(f"retry {newest}", lambda wishes: wishes.with_retried(newest))

        names = [run.name for run in runs]
        self.wish(f"cancel {names}", lambda wishes: wishes.with_cancelled(names))
        self._do_later(retry, _CHANGES_MIND_S)

    def pause_and_resume(self) -> None:
        names = [run.name for run in self._choose_runs()] if self._chance.random() < 0.5 else []
        now = self._chance.random() < 0.7
        self.wish(
            f"pause {names or 'all'}{' now' if now else ''}",
            lambda wishes: wishes.with_paused(names, now=now),
        )
        self._do_later(
            lambda: self.wish(f"resume {names or 'all'}", lambda w: w.with_resumed(names)),
            _CHANGES_MIND_S,
        )

    def interrupt_and_kill_queue(self) -> None:
        """As a shutting down machine does: politely, and soon no more."""
        process = self._pick("queue")
        if process is not None:
            self.note(f"SIGTERM and SIGKILL to {process}")
            send(process.pid, signal.SIGTERM)
            time.sleep(self._chance.uniform(0, 0.3))
            send(process.pid, signal.SIGKILL)
            self.num_kills += 1

    def kill_supervisor(self) -> None:
        self._signal(["supervisor"], signal.SIGKILL)

    def kill_trainer(self) -> None:
        self._signal(["trainer"], signal.SIGKILL)

    def end_trainer(self) -> None:
        """Ask a trainer alone to end, unless it then ends with status 0, as if it was done."""
        found = [p for p in self._processes("trainer") if " polite " not in p.command]
        if found:
            process = self._chance.choice(found)
            number = self._chance.choice([signal.SIGINT, signal.SIGTERM])
            self.note(f"{number.name} to {process}")
            send(process.pid, number)
            self.num_kills += 1

    def kill_group(self) -> None:
        self._signal(["supervisor"], signal.SIGKILL, group=True)

    def kill_anything(self) -> None:
        self._signal([], signal.SIGKILL)

    def kill_many(self) -> None:
        """Kill each process with a chance of one half, in any order."""
        found = self._processes()
        self._chance.shuffle(found)
        chosen = [process for process in found if self._chance.random() < 0.5]
        self.note(f"SIGKILL to {', '.join(map(str, chosen))}")
        for process in chosen:
            send(process.pid, signal.SIGKILL)
            self.num_kills += 1

    def cut_power(self) -> None:
        num_killed = kill_all(self.chaos_id)
        self.note(f"power: {num_killed} processes killed")
        self.num_kills += num_killed

    def freeze(self) -> None:
        process = self._pick("queue", "supervisor", "trainer")
        if process is not None:
            for_s = self._chance.uniform(*_FREEZE_S)
            self.note(f"SIGSTOP to {process} for {for_s:.2f} s")
            send(process.pid, signal.SIGSTOP)
            self._do_later(lambda: send(process.pid, signal.SIGCONT), (for_s, for_s))

    def _choose_runs(self) -> list[Run]:
        left = [run for run in self.runs if not run.donefile.exists()]
        return self._chance.sample(left, min(len(left), self._chance.randint(1, 4)))

    def _do_later(self, act: Callable[[], None], between_s: tuple[float, float]) -> None:
        self._later.append((time.monotonic() + self._chance.uniform(*between_s), act))

    def start_another(self) -> None:
        if len(self._queues) <= self.plan.num_queues:
            self.start_queue()

    def do_nothing(self) -> None:
        self._wait(self._chance.uniform(0.2, 1.5))


_ACTIONS: tuple[tuple[Callable[[Chaos], None], float], ...] = (
    (Chaos.kill_queue, 4),
    (Chaos.interrupt_queue, 3),
    (Chaos.interrupt_queue_twice, 1),
    (Chaos.hang_up, 1),
    (Chaos.stop_queue, 2),
    (Chaos.cancel_and_retry, 3),
    (Chaos.pause_and_resume, 3),
    (Chaos.interrupt_and_kill_queue, 2),
    (Chaos.kill_supervisor, 2),
    (Chaos.kill_trainer, 2),
    (Chaos.end_trainer, 1),
    (Chaos.kill_group, 2),
    (Chaos.kill_anything, 3),
    (Chaos.kill_many, 2),
    (Chaos.cut_power, 1),
    (Chaos.freeze, 4),
    (Chaos.start_another, 2),
    (Chaos.do_nothing, 4),
)


def play(root: Path, plan: Plan) -> tuple[list[str], str]:
    """Let chaos loose on a collection, then judge what has become of it.

    Parameters
    ----------
    root : Path
        An empty folder for everything.
    plan : Plan

    Returns
    -------
    list of str
        What must not be; empty if all is well.
    str
        What happened, in a line.
    """
    chaos = Chaos(root, plan)
    try:
        chaos.rage()
        num_done = sum(run.donefile.exists() for run in chaos.runs)
        problems = chaos.hush()
        problems += chaos.calm()
        problems += chaos.judge()
    finally:
        chaos.close()
    num_starts = chaos.num_starts()
    happened = (
        f"seed {plan.seed}: {chaos.num_kills} kills, {num_starts} starts of {len(chaos.runs)}"
        f" tasks, {num_done} done before the calm; {root}"
    )
    return problems, happened
