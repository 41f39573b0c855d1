"""A look at the collection beside the queue's start: what would fail or mislead, said at once.

`lfadsq check --quick` runs as a process of its own, for the queue needs neither NumPy nor HDF5.
Nothing waits for it, and whatever goes wrong with it harms no training.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lfadsq.queue.environments import child_environment
from lfadsq.queue.events import Noted
from lfadsq.texts import count_text, printable

__all__ = ["Preflight", "has_prepared_runs"]

_TIMEOUT_S = 300.0
_NICENESS = 10
_MOST_PLACES = 3
_PREPARED_RUNS = "param_*/*/lfadsInput"
_SHOWN = ("error", "warning")


def has_prepared_runs(folder: Path) -> bool:
    """Tell whether there is anything to look at: a run of a collection with its input."""
    with contextlib.suppress(OSError):
        return any(True for _ in folder.glob(_PREPARED_RUNS))
    return False


class Preflight:
    """Looks at a collection while a ``with`` block lasts, and tells what it finds.

    Parameters
    ----------
    folder : Path or None
        Of the collection; nothing is started if there is none, or no runs were prepared in it.
    note : callable
        Takes what is to be told, from any thread. Errors and warnings are; notes are not.
    timeout_s : float, default 300
        After this it is given up [s].
    """

    def __init__(
        self, folder: Path | None, note: Callable[[Noted], None], timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._folder = folder
        self._note = note
        self._timeout_s = timeout_s
        self._is_over = False
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Preflight:
        if self._folder is None or not has_prepared_runs(self._folder):
            return self
        words = [sys.executable, "-m", "lfadsq", "check", "--quick", "--json", str(self._folder)]
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment({"CUDA_VISIBLE_DEVICES": ""}),
                # Ctrl-C is the queue's to answer.
                start_new_session=True,
            )
        except OSError as error:
            self._note(Noted(f"the collection was not checked: {error.strerror}"))
            return self
        with contextlib.suppress(OSError):
            # The first trainings start at the same time, and matter more.
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)
        self._thread = threading.Thread(
            target=self._listen, args=(self._process,), name="preflight", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None or self._thread is None:
            return
        self._is_over = True
        self._kill()
        self._thread.join()

    def _kill(self) -> None:
        with self._lock:
            # Until it is collected, its id is its own.
            if self._process is not None and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        timer = threading.Timer(self._timeout_s, self._give_up)
        timer.daemon = True
        timer.start()
        assert process.stdout is not None
        with process.stdout:
            printed = process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            process.wait()
        timer.cancel()
        if self._is_over:
            return
        noted = _as_told(printed)
        if noted is None:
            path = self._folder
            self._note(
                Noted(f"the collection could not be checked; `lfadsq check {path}` says why")
            )
        elif noted.text:
            self._note(noted)

    def _give_up(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._note(Noted(f"the collection was not checked within {self._timeout_s:g} s"))
            self._kill()


def _as_told(printed: bytes) -> Noted | None:
    """Give what is to be told of a report; None if it is none, and no text if all is well."""
    try:
        report = json.loads(printed)
        groups = [group for group in report["findings"] if group["severity"] in _SHOWN]
        if not groups:
            return Noted("")
        counts = ", ".join(
            count_text(number, severity)
            for severity in _SHOWN
            if (number := sum(group["severity"] == severity for group in groups))
        )
        lines = [f"the check of this collection found {counts}; the queue goes on"]
        lines += [line for group in groups for line in _lines(group)]
        lines.append(f"  all of it: lfadsq check {report['collection']}")
        return Noted("\n".join(map(printable, lines)), is_warning=True)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _lines(group: Mapping[str, Any]) -> list[str]:
    mark = "ERROR" if group["severity"] == "error" else "warning"
    lines = [f"  {mark} {group['code']}: {group['problem']}"]
    places = group["places"]
    for place in places[:_MOST_PLACES]:
        where = ", ".join(filter(None, (place["run"] or place["path"], place["dataset"])))
        lines.append("    " + ": ".join(filter(None, (where, place["detail"]))))
    if len(places) > _MOST_PLACES:
        lines.append(f"    and {len(places) - _MOST_PLACES} more like these")
    if group["remedy"]:
        lines.append(f"    what to do: {group['remedy']}")
    return lines
