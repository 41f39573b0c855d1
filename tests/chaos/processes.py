"""The processes of one chaos: found by a variable of their environment, whatever became of them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CHAOS_VARIABLE", "Found", "find_processes", "kill_all", "send", "wait_for"]

CHAOS_VARIABLE = "LFADSQ_CHAOS"
_TOKEN_VARIABLE = "LFADSQ_TASK_TOKEN"
_RUN = re.compile(r"/runs/(.+? (?:train|sample)) ")


@dataclass(frozen=True)
class Found:
    """A live process."""

    pid: int
    role: str
    token: str
    command: str

    def __str__(self) -> str:
        run = _RUN.search(self.command)
        return f"{self.role} {self.pid}" + (f" ({run[1]})" if run else "")


def find_processes(chaos_id: str) -> list[Found]:
    """List the live processes of a chaos, queues among them."""
    found = []
    mark = f"{CHAOS_VARIABLE}={chaos_id}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes().split(b"\0")
            if mark not in environment or not is_alive(int(folder.name)):
                continue
            variables = dict(item.decode().partition("=")[::2] for item in environment if item)
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            token = variables.get(_TOKEN_VARIABLE, "")
            if not token:
                role = "queue"
            elif "lfadsq-task" in command:
                role = "supervisor"
            else:
                role = "trainer" if "trainer.py" in command else "other"
            found.append(Found(int(folder.name), role, token, command))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def send(pid: int, number: signal.Signals, *, group: bool = False) -> None:
    """Signal a process, or the group it leads, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, number)


def kill_all(chaos_id: str, deadline_s: float = 10.0) -> int:
    """Kill every process of a chaos, as a loss of power does; return how many there were."""
    end_s = time.monotonic() + deadline_s
    killed: set[int] = set()
    num_empty = 0
    # A process in the middle of an exec shows no environment: it must be seen to be none twice.
    while num_empty < 2:
        found = find_processes(chaos_id)
        num_empty = 0 if found else num_empty + 1
        for process in found:
            send(process.pid, signal.SIGKILL)
            killed.add(process.pid)
        if time.monotonic() > end_s:
            raise TimeoutError(f"cannot be killed: {', '.join(map(str, found))}")
        time.sleep(0.01)
    return len(killed)


def wait_for(condition: Callable[[], Any], what: str, within_s: float = 20.0) -> Any:
    """Wait until a condition holds; give what it says."""
    end_s = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"did not happen within {within_s} s: {what}"
        time.sleep(0.01)
    return value
