"""TensorBoard beside the queue: once per collection, on a free local port, ended with the queue."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lfadsq.errors import QueueError, StorageError
from lfadsq.queue.environments import child_environment
from lfadsq.queue.events import Noted
from lfadsq.queue.failures import last_lines, log_tail
from lfadsq.queue.tensorboard_claim import Address, Claim, read_address
from lfadsq.queue.tunnels import host_name, tunnel_line, user_name

__all__ = ["Serving", "TensorBoard"]

# A pipe from the queue ends with it, however it dies, and then so does TensorBoard. It is nice:
# reading the events of a thousand runs must not slow the trainings down.
_GUARD = 'exec 3<&0 </dev/null; { read -r _ <&3; kill -TERM 0; } & exec 3<&-; exec nice -n 10 "$@"'
_MISSING = 127
_TERMINATE_S = 5.0
_START_S = 60.0
_POLL_S = 0.1
_SHORT_S = 0.5
_REQUEST_S = 2.0
_MAX_PORTS = 5
_PORT_OF_TENSORBOARD = 6006
_ANY_HOST = ("0.0.0.0", "::")
_PORT_TAKEN = re.compile(r"already in use|could not bind", re.IGNORECASE)

# Whatever proxy is set, it does not lead to this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Serving:
    """What a TensorBoard is run with.

    Attributes
    ----------
    command : tuple of str
        Called with ``--port=<port>`` at its end.
    log : Path
        Where its output goes.
    collection : Path or None
        With whose queues it is shared; None for nobody.
    port : int or None
        None for any that is free.
    host : str
        On which it listens.
    """

    command: tuple[str, ...]
    log: Path
    collection: Path | None = None
    port: int | None = None
    host: str = "localhost"

    @classmethod
    def of_script(cls, script: Path) -> Serving:
        """Give that of a collection's script, shared with its queues."""
        return cls(("bash", str(script)), script.with_suffix(".log"), script.parent)

    def url(self, port: int) -> str:
        """Give its address as a browser on this machine takes it."""
        host = "localhost" if self.host in _ANY_HOST else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class TensorBoard:
    """Runs a collection's TensorBoard script while a ``with`` block lasts.

    If another queue of the same collection, the folder of the script, runs one already, its
    address is told instead; that one ends with its own queue. Whatever goes wrong is a note and
    never an error: training matters more.

    Parameters
    ----------
    script : str, Path, Serving or None
        Called with ``--port=<port>``; its output goes to a file beside it, ending in ``.log``. None
        for no TensorBoard.
    note : callable
        Takes what is to be told, from any thread: the address once it answers, or what went wrong.
    """

    def __init__(self, script: str | Path | Serving | None, note: Callable[[Noted], None]) -> None:
        self._script: Path | None = None
        self._serving: Serving | None = None
        if isinstance(script, Serving):
            self._serving = script
        elif script is not None:
            self._script = Path(script).expanduser().absolute()
            self._serving = Serving.of_script(self._script)
        self._note = note
        self._url = self._tunnel = ""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Where it answers on its machine; empty while it does not."""
        return self._url

    @property
    def tunnel(self) -> str:
        """How it is reached from another computer (`tunnel_line`); empty while it is not there."""
        return self._tunnel

    def __enter__(self) -> TensorBoard:
        if self._serving is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._serving,), name="tensorboard", daemon=True
            )
            self._thread.start()
        return self

    def wait(self) -> None:
        """Wait until it has ended, or the address of another one was told."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(_SHORT_S)  # for ever, it would let no signal through

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is None:
            return
        with self._lock:
            self._closing.set()
        self._signal(signal.SIGTERM)
        self._thread.join(_TERMINATE_S)
        self._signal(signal.SIGKILL)
        self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _warn(self, text: str) -> None:
        self._note(Noted(text, True))

    def _run(self, serving: Serving) -> None:
        if self._script is not None and not self._script.is_file():
            self._warn(f"no TensorBoard: {self._script} does not exist")
            return
        if serving.collection is None:
            self._serve(serving, None)
            return
        deadline_s = time.monotonic() + _START_S
        while not self._closing.is_set():
            try:
                claim = Claim.try_acquire(serving.collection)
            except (OSError, QueueError):
                # Somebody else's collection, or one on a disk without locks: not shared, then.
                self._serve(serving, None)
                return
            if claim is not None:
                try:
                    self._serve(serving, claim)
                finally:
                    claim.release()
                return
            address = read_address(serving.collection)
            if address and (address.host != host_name() or _answers(address.url)):
                self._tell(
                    address,
                    address.url,
                    " (that of another queue, or of another `lfadsq tensorboard`)",
                )
                return
            if time.monotonic() >= deadline_s:
                self._warn(
                    "no TensorBoard: another queue of this collection starts one, which has not"
                    f" answered for {_START_S:g} s"
                )
                return
            self._closing.wait(_POLL_S)

    def _serve(self, serving: Serving, claim: Claim | None) -> None:
        """Start it, and again on another port if somebody took the first one meanwhile."""
        num_ports = _MAX_PORTS if serving.port is None else 1
        for number in range(num_ports):
            port = _free_port() if serving.port is None else serving.port
            try:
                process = self._start(serving, port)
            except OSError as error:
                self._warn(f"no TensorBoard: {serving.log}: {error.strerror}")
                return
            if process is None:
                return
            self._wait_for_answer(process, serving, port, claim)
            status = _wait(process)
            self._url = self._tunnel = ""
            if claim is not None:
                claim.withdraw()
            if self._closing.is_set():
                return
            if status == _MISSING:
                self._warn("no TensorBoard: the program is missing (pip install tensorboard)")
                return
            tail = log_tail(serving.log)
            if not _PORT_TAKEN.search(tail) or number == num_ports - 1:
                why = "".join(f": {line}" for line in last_lines(tail, 1))
                self._warn(f"TensorBoard ended with exit status {status}{why} (see {serving.log})")
                return

    def _start(self, serving: Serving, port: int) -> subprocess.Popen[bytes] | None:
        with self._lock, serving.log.open("wb") as log:
            if self._closing.is_set():
                return None
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "tensorboard", *serving.command, f"--port={port}"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # TensorBoard needs no GPU, and would take memory of the first one.
                env=child_environment({"CUDA_VISIBLE_DEVICES": ""}),
                start_new_session=True,
            )
        return self._process

    def _wait_for_answer(
        self,
        process: subprocess.Popen[bytes],
        serving: Serving,
        port: int,
        claim: Claim | None,
    ) -> None:
        """Wait until it answers, and tell; or until it ends."""
        url = serving.url(port)
        address = Address(host_name(), port, user_name())
        deadline_s = time.monotonic() + _START_S
        while not self._closing.is_set() and _is_running(process):
            # Somebody else may have taken the port meanwhile, and would answer in its place.
            if _listens(process.pid, port) and _answers(url):
                if claim is not None:
                    with contextlib.suppress(StorageError):
                        claim.publish(address)
                self._tell(address, url)
                return
            if time.monotonic() >= deadline_s:
                self._warn(f"TensorBoard has not answered for {_START_S:g} s (see {serving.log})")
                return
            self._closing.wait(_POLL_S)

    def _tell(self, address: Address, url: str, whose: str = "") -> None:
        self._url = url
        self._tunnel = tunnel_line(url, _PORT_OF_TENSORBOARD, user=address.user, host=address.host)
        self._note(
            Noted(
                f"TensorBoard: {url}{whose}\n"
                f"  from your own computer: {self._tunnel}\n"
                f"  and there: http://localhost:{_PORT_OF_TENSORBOARD}"
            )
        )


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    # Without collecting it: its pid must stay its own until its group is killed.
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, process.pid, flags) is None


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait until it has ended, end what it left behind, and give its status."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    # Its guard and its helpers are in the group, which keeps the id from being used again.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    if process.stdin is not None:
        process.stdin.close()
    return status


def _listens(group_id: int, port: int) -> bool:
    """Tell whether a process of a group has a port open."""
    import psutil  # not on import of lfadsq.queue, which has to be quick

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) != group_id:
                continue
            # psutil 6 renamed it.
            connections: Any = getattr(process, "net_connections", None) or process.connections
            for one in connections("tcp"):
                if one.status == psutil.CONN_LISTEN and one.laddr.port == port:
                    return True
    return False


def _answers(url: str) -> bool:
    try:
        with _opener.open(url, timeout=_REQUEST_S):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, http.client.HTTPException):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
