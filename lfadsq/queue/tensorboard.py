"""TensorBoard beside the queue: started once, on a free local port, ended with the queue."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from lfadsq.queue.events import Noted
from lfadsq.queue.execution import child_environment
from lfadsq.queue.failures import last_lines, log_tail

__all__ = ["TensorBoard"]

# A pipe from the queue ends with it, however it dies, and then so does TensorBoard.
_GUARD = (
    'exec 3<&0 </dev/null; { read -r _ <&3; kill -TERM 0; } & exec 3<&-; exec bash "$1" "--port=$2"'
)
_MISSING = 127
_TERMINATE_S = 5.0


class TensorBoard:
    """Runs a collection's TensorBoard script while a ``with`` block lasts.

    Whatever goes wrong with it is a note and never an error: training matters more.

    Parameters
    ----------
    script : str, Path or None
        Called with ``--port=<port>``; its output goes to a file beside it, ending in ``.log``. None
        for no TensorBoard.
    note : callable
        Takes what is to be told, from any thread.
    """

    def __init__(self, script: str | Path | None, note: Callable[[Noted], None]) -> None:
        self._script = None if script is None else Path(script).expanduser().absolute()
        self._note = note
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._is_closing = False

    def __enter__(self) -> TensorBoard:
        if self._script is None:
            return self
        if not self._script.is_file():
            self._note(Noted(f"no TensorBoard: {self._script} does not exist", True))
            return self
        port = _free_port()
        log_path = self._script.with_suffix(".log")
        try:
            with log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD, "tensorboard", str(self._script), str(port)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # TensorBoard needs no GPU, and would take memory of the first one.
                    env=child_environment({"CUDA_VISIBLE_DEVICES": ""}),
                    start_new_session=True,
                )
        except OSError as error:
            self._note(Noted(f"no TensorBoard: {log_path}: {error.strerror}", True))
            return self
        self._note(Noted(f"TensorBoard: http://localhost:{port}"))
        self._watcher = threading.Thread(
            target=self._watch, args=(self._process, log_path), name="tensorboard", daemon=True
        )
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closing = True
        if self._process is None or self._watcher is None:
            return
        self._signal(signal.SIGTERM)
        self._watcher.join(_TERMINATE_S)
        self._signal(signal.SIGKILL)
        self._watcher.join()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _watch(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Its guard and its helpers are in the group, which keeps the id from being used again.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._is_closing:
            return
        if status == _MISSING:
            self._note(
                Noted("no TensorBoard: the program is missing (pip install tensorboard)", True)
            )
        else:
            said = last_lines(log_tail(log_path), 1)
            why = f": {said[0]}" if said else ""
            self._note(
                Noted(f"TensorBoard ended with exit status {status}{why} (see {log_path})", True)
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
