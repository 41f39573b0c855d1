"""Queues that die at the k-th thing they do to the disk, for every k.

A program: it loads the libraries once, then forks a queue for each k, so that a whole queue costs
less than 0.1 s. What it does to the disk is counted at the outer edge, by audit events of the
interpreter and by ``os.write`` and ``os.fsync``; the queue knows nothing of it. What came of it
goes to the standard output, a line of JSON for each crash.

Usage: crashing.py '{"root": ..., "victims": ..., "waits": ..., "specs": [...], "again": [...]}'

Without an argument it serves: a line of JSON on the standard input, with ``folder``, ``specs``,
``num_queues``, ``options``, ``victims``, ``waits`` and ``step`` (0 for no crash of the first
queue), starts queues at the same time; when they have ended, their statuses are a line of the
standard output.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CASE_VARIABLE = "LFADSQ_CRASH_CASE"
MOST_STEPS = 200

_AGAIN_WITHIN_S = 20
_TASK_WITHIN_S = 10.0
_MOST_MIXES = 6
_PATH_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}
_DESCRIPTOR_EVENTS = {"os.truncate", "fcntl.flock"}


class Silent:
    """A reporter that says nothing."""

    def report(self, event: object) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class Disk:
    """What of a folder is safe from a loss of power: only what was flushed.

    Names are safe once their folder was flushed, contents once their file was.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.names: dict[str, int] = {}
        self.contents: dict[int, bytes] = {}
        self.times: dict[int, int] = {}
        for path in root.rglob("*"):
            self._flushed_names(path.parent)

    def flushed(self, path: Path) -> None:
        """Take note of a file or folder that was flushed."""
        if path.is_dir():
            self._flushed_names(path)
        elif path.exists():
            self.contents[path.stat().st_ino] = path.read_bytes()

    def _flushed_names(self, folder: Path) -> None:
        for name in [n for n in self.names if (self._root / n).parent == folder]:
            del self.names[name]
        for path in folder.iterdir():
            found = path.lstat()
            self.names[str(path.relative_to(self._root))] = found.st_ino
            self.times[found.st_ino] = found.st_mtime_ns

    def survivors(
        self, chance: random.Random
    ) -> Iterator[tuple[dict[str, bytes | None], dict[str, int]]]:
        """Give folders that a loss of power at this moment may leave; None stands for a folder.

        Each with the times at which its files were changed [ns].
        """
        for path in self._root.rglob("*"):
            self.times[path.lstat().st_ino] = path.lstat().st_mtime_ns
        now = {str(p.relative_to(self._root)): p.lstat().st_ino for p in self._root.rglob("*")}
        current = {
            path.stat().st_ino: None if path.is_dir() else path.read_bytes()
            for path in self._root.rglob("*")
        }
        # A file that a flushed name leads to and that is gone by now had its content flushed too.
        folders = {inode for inode, content in current.items() if content is None}
        changed = [n for n in sorted({*now, *self.names}) if now.get(n) != self.names.get(n)]
        choices = list(itertools.product([False, True], repeat=min(len(changed), 8)))
        mixes = [choices[0], choices[-1]]
        mixes += chance.sample(choices[1:-1], min(len(choices[1:-1]), _MOST_MIXES - 2))
        for mix, has_contents in itertools.product(mixes, [False, True]):
            names = dict(self.names)
            for name, is_new in zip(changed, mix, strict=False):
                names.pop(name, None)
                inode = now.get(name) if is_new else self.names.get(name)
                if inode is not None:
                    names[name] = inode
            tree: dict[str, bytes | None] = {}
            for name, inode in sorted(names.items()):
                if inode in folders:
                    tree[name] = None
                else:
                    safe = self.contents.get(inode, b"")
                    tree[name] = (current.get(inode) or safe) if has_contents else safe
            yield tree, {name: self.times[inode] for name, inode in names.items()}


class Edge:
    """Counts what a queue does to a folder, and calls `at_step` before the k-th."""

    def __init__(self, root: Path, step: int, at_step: Callable[[str], None]) -> None:
        self._root, self._step, self._at_step = str(root), step, at_step
        self._num_seen = 0
        self._is_busy = False
        self.disk = Disk(root)
        real_write, real_fsync = os.write, os.fsync

        def write(descriptor: int, data: Any) -> int:
            self._see("os.write", _path_of(descriptor))
            return real_write(descriptor, data)

        def fsync(descriptor: int) -> None:
            path = _path_of(descriptor)
            self._see("os.fsync", path)
            real_fsync(descriptor)
            if path.startswith(self._root):
                self.disk.flushed(Path(path))

        os.write, os.fsync = write, fsync  # type: ignore[assignment]
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            self._see(event, self._root)
        elif event in _PATH_EVENTS and isinstance(arguments[0], (str, bytes, os.PathLike)):
            if event != "open" or arguments[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                self._see(event, os.fsdecode(arguments[0]))
        elif event in _DESCRIPTOR_EVENTS and isinstance(arguments[0], int):
            self._see(event, _path_of(arguments[0]))

    def _see(self, event: str, path: str) -> None:
        if self._is_busy or not path.startswith(self._root):
            return
        self._num_seen += 1
        if self._num_seen == self._step:
            self._is_busy = True
            self._at_step(f"{event} {Path(path).name}")
            self._is_busy = False


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return ""


def processes_of(case: str) -> dict[int, str]:
    """Find the live processes of a case and their command lines, wherever they went."""
    found = {}
    mark = f"{CASE_VARIABLE}={case}".encode()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    command = (folder / "cmdline").read_bytes()
                    found[int(folder.name)] = command.replace(b"\0", b" ").decode()
    return found


def kill(case: str, *, only_supervisors: bool = False) -> None:
    """Kill the tasks of a case, or only what supervises them."""
    mine = {os.getpid(), os.getppid()}
    num_empty = 0
    while num_empty < 2:  # a process in the middle of an exec shows no environment
        found = {
            pid
            for pid, command in processes_of(case).items()
            if pid not in mine and (not only_supervisors or "lfadsq-task" in command)
        }
        num_empty = 0 if found else num_empty + 1
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition, within reason."""
    end_s = time.monotonic() + _TASK_WITHIN_S
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.002)


class Case:
    """One crash, and the queue after it."""

    def __init__(self, request: dict[str, Any], folder: Path, step: int) -> None:
        self.request, self.folder, self.step = request, folder, step
        self.run = self.folder / "run"
        # What tasks note is no part of the run: a loss of power must not take it from us.
        self.notes = self.folder / "notes"
        for made in (self.run, self.notes):
            made.mkdir(parents=True, exist_ok=True)
        self.facts: dict[str, Any] = {"step": step, "event": "", "mix": 0}

    def specs(self, key: str) -> list[dict[str, Any]]:
        """Give task specs with this case's folder in them."""
        text = json.dumps(self.request[key]).replace("{run}", str(self.run))
        return list(json.loads(text.replace("{notes}", str(self.notes))))

    def crash(self) -> bool:
        """Let a queue die at the step; tell whether it came so far."""
        note = self.folder / "event"
        ended = self._fork(self.doomed_queue)
        crashed = note.exists()
        if crashed:
            self.facts["event"] = note.read_text()
        elif ended != 0:
            self.facts["event"] = f"no crash, and status {ended}"
        return crashed

    def doomed_queue(self) -> int:
        """Run a queue in this process, which dies at the step."""
        note = self.folder / "event"
        victims = self.request["victims"]
        edge: Edge | None = None

        def die(event: str) -> None:
            note.write_text(event)
            assert edge is not None
            if self.request["waits"]:
                # What was started ends by itself, and only then the queue is killed.
                wait_until(
                    lambda: not (set(processes_of(str(self.folder))) - {os.getpid(), parent})
                )
            if victims == "power":
                self._power(edge.disk)
            elif victims == "all":
                kill(str(self.folder))
            elif victims != "queue":
                kill(str(self.folder), only_supervisors=True)
            if victims != "supervisor":
                os.kill(os.getpid(), signal.SIGKILL)

        parent = os.getppid()
        edge = Edge(self.run, self.step, die)
        return self.queue("specs")

    def _power(self, disk: Disk) -> None:
        """Write down what a loss of power may leave; the first kill is of everything."""
        kill(str(self.folder))
        chance = random.Random(self.step)
        known: list[dict[str, bytes | None]] = []
        for tree, times in disk.survivors(chance):
            if tree not in known:
                known.append(tree)
                mix = self.folder / "mixes" / str(len(known))
                mix.mkdir(parents=True)
                for name, content in tree.items():
                    path = mix / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if content is None:
                        path.mkdir(exist_ok=True)
                    else:
                        path.write_bytes(content)
                        os.utime(path, ns=(times[name], times[name]))
        marks = [name for name in disk.names if "lfads.done" in name and not name.endswith(".tmp")]
        (self.folder / "durable").write_text(json.dumps(marks))

    def queue(self, key: str) -> int:
        """Run a queue in this process."""
        import lfadsqueue

        options = self.request.get("options", {})
        summary = lfadsqueue.run_lfads_queue(
            "crash",
            None,
            self.specs(key),
            max_tasks_simultaneously=1,
            reporter=Silent(),
            **options,
        )
        return int(summary.exit_status)

    def _fork(self, work: Callable[[], int]) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.start(work), 0)[1])

    def start(self, work: Callable[[], int]) -> int:
        """Start a process for some work; return its pid."""
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                os.environ[CASE_VARIABLE] = str(self.folder)
                signal.alarm(_AGAIN_WITHIN_S)
                status = work()
            except BaseException as error:
                sys.stderr.write(f"step {self.step}: {type(error).__name__}: {error}\n")
            os._exit(status)
        return pid

    def again(self) -> Iterator[dict[str, Any]]:
        """Run a fresh queue after the crash, for each state it may have left; give the facts."""
        mixes = sorted((self.folder / "mixes").glob("*"))
        shutil.copytree(self.notes, self.folder / "notes before")
        if not mixes:
            yield self._fresh_queue()
        for number, mix in enumerate(mixes, start=1):
            # In the same place: records and journals hold absolute paths.
            shutil.rmtree(self.run)
            shutil.copytree(mix, self.run)
            shutil.rmtree(self.notes)
            shutil.copytree(self.folder / "notes before", self.notes)
            self.facts["mix"] = number
            yield self._fresh_queue()

    def _fresh_queue(self) -> dict[str, Any]:
        durable = self.folder / "durable"
        before = self._look()
        status = self._fork(lambda: self.queue("again"))
        left = processes_of(str(self.folder))
        kill(str(self.folder))
        return {
            **self.facts,
            "status": status,
            "left": sorted(left.values()),
            "durable": json.loads(durable.read_text()) if durable.exists() else [],
            "before": before,
            "after": self._look(),
        }

    def _look(self) -> dict[str, Any]:
        files = {}
        for folder in (self.run, self.notes):
            for path in folder.rglob("*"):
                # What still runs may remove what it has just made.
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG(path.stat().st_mode):
                        name = str(path.relative_to(self.folder))
                        files[name] = path.read_text(errors="replace")
        return files


def serve() -> None:
    """Run queues as asked for on the standard input."""
    for line in sys.stdin:
        asked = json.loads(line)
        case = Case(asked, Path(asked["folder"]), asked["step"])

        def doomed(case: Case = case) -> int:
            return case.doomed_queue()

        def whole(case: Case = case) -> int:
            return case.queue("specs")

        first = doomed if asked["step"] else whole
        pids = [case.start(work) for work in [first, *[whole] * (asked["num_queues"] - 1)]]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        sys.stdout.write(json.dumps(statuses) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Crash at every step until the queue runs through, and say what came of each."""
    import lfadsqueue  # noqa: F401, I001
    import distributed  # noqa: F401
    import psutil  # noqa: F401

    if len(sys.argv) == 1:
        serve()
        return
    request = json.loads(sys.argv[1])
    for step in range(request.get("first", 1), MOST_STEPS, request.get("stride", 1)):
        case = Case(request, Path(request["root"]) / f"step{step}", step)
        crashed = case.crash()
        for facts in case.again():
            sys.stdout.write(json.dumps({"crashed": crashed, **facts}) + "\n")
        shutil.rmtree(case.folder)
        if not crashed:
            return
    raise SystemExit(f"more than {MOST_STEPS} steps")


if __name__ == "__main__":
    main()
