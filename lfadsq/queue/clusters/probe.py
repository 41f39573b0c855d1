"""What `lfadsq doctor` runs on a node: ``python -m lfadsq.queue.clusters.probe FOLDER [...]``.

With the rest of its arguments it starts a worker, as a job of a queue would. It answers questions
that lie in a folder which both machines should see (`lfadsq.queue.clusters.doctor_letters`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from lfadsq.queue.clusters.doctor_letters import answer, next_question
from lfadsq.queue.clusters.job_end import END_VARIABLE
from lfadsq.queue.environments import child_environment

__all__ = ["LAST", "about_here", "gpus_here", "interfaces_here", "main", "tensorflow_here"]

LAST = "last"
"""What a file that is replaced again and again holds at the end."""

_MODULE_NAMES = ("lfadsq", "dask", "distributed", "tensorflow")
_MIB = 1024 * 1024
_PATIENCE_S = 300.0
_SAYS_LINES = 8
_NO_FOLDER = 4
_TENSORFLOW = """
import json
from lfadsq.training.quiet import import_tensorflow_quietly
import_tensorflow_quietly()
import tensorflow
gpus = tensorflow.config.list_physical_devices("GPU")
print("\\n" + json.dumps({"version": tensorflow.__version__, "num_gpus": len(gpus)}))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Answer until told to end, or until nobody asks any more."""
    folder, *worker = sys.argv[1:] if argv is None else argv
    # The job's log is all that a person has who looks for what went wrong.
    sys.stdout.write(f"lfadsq doctor on {socket.getfqdn()}, {sys.executable}\n")
    sys.stdout.flush()
    if not Path(folder).is_dir():
        sys.stdout.write(f"{folder} is not there\n")
        return _NO_FOLDER
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        tempfile.TemporaryFile() as log,
        contextlib.closing(_Node(Path(folder), worker, log)) as node,
    ):
        node.run()
    return 0


class _Node:
    """The answers to all questions, each a method that is named as it is."""

    def __init__(self, folder: Path, worker: Sequence[str], log: IO[bytes]) -> None:
        self._folder = folder
        self._log = log
        self._worker: subprocess.Popen[bytes] | None = None
        if worker:
            self._worker = subprocess.Popen(
                [sys.executable, *worker],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                cwd="/",
            )
        self._lock: Any = None

    def run(self) -> None:
        answer(self._folder, 0, {"host": socket.gethostname(), "pid": os.getpid()})
        number = 0
        while True:
            number += 1
            letter = next_question(self._folder, number, _PATIENCE_S)
            if letter is None:
                sys.stdout.write("nobody asks any more\n")
                return
            try:
                told = getattr(self, f"tell_{letter.verb}")(**letter.arguments)
            except Exception as error:
                # Whatever is wrong on this node is what the doctor wants to hear.
                told = {"error": f"{type(error).__name__}: {error}"}
            answer(self._folder, number, told)

    def close(self) -> None:
        if self._worker is not None and self._worker.poll() is None:
            self._worker.terminate()
            try:
                self._worker.wait(3)
            except subprocess.TimeoutExpired:
                self._worker.kill()
                self._worker.wait()

    def tell_echo(self) -> dict[str, Any]:
        return {"time_s": time.time()}

    def tell_about(self) -> dict[str, Any]:
        return about_here(self._folder)

    def tell_gpus(self) -> dict[str, Any]:
        return gpus_here()

    def tell_tensorflow(self, timeout_s: float) -> dict[str, Any]:
        return tensorflow_here(timeout_s)

    def tell_worker(self) -> dict[str, Any]:
        status = None if self._worker is None else self._worker.poll()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return {"status": status, "said": "\n".join(lines[-_SAYS_LINES:])}

    def tell_worker_end(self) -> dict[str, Any]:
        if self._worker is not None:
            self._worker.terminate()
        return {}

    def tell_connect(self, host: str, port: int, timeout_s: float) -> dict[str, Any]:
        try:
            socket.create_connection((host, port), timeout_s).close()
        except OSError as error:
            return {"problem": str(error)}
        return {"problem": ""}

    def tell_lock(self, name: str) -> dict[str, Any]:
        """Take a lock and keep it, if it can be had."""
        from lfadsq.queue.locks import RunLock

        self._lock = RunLock.try_acquire(self._folder / name)
        return {"is_taken": self._lock is not None}

    def tell_unlock(self) -> dict[str, Any]:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        return {}

    def tell_watch(self, name: str, size: int, timeout_s: float) -> dict[str, Any]:
        """Read a file that is replaced again and again, until it holds the last word."""
        path = self._folder / name
        num_reads = num_missing = num_torn = num_stale = 0
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            num_reads += 1
            try:
                content = path.read_text(encoding="utf-8")
            except OSError as error:
                # The server may drop a file that another machine replaced while we read it.
                is_stale = error.errno == errno.ESTALE
                num_stale, num_missing = num_stale + is_stale, num_missing + (not is_stale)
                continue
            if content == LAST:
                break
            num_torn += len(content) != size or len(set(content)) != 1
        return {
            "num_reads": num_reads,
            "num_missing": num_missing,
            "num_torn": num_torn,
            "num_stale": num_stale,
            "is_last_seen": time.monotonic() < deadline_s,
        }


def about_here(folder: Path) -> dict[str, Any]:
    """Tell of this machine, this process and its surroundings.

    Parameters
    ----------
    folder : Path
        Of the collection, or in it.
    """
    from lfadsq.queue.machine import num_usable_cpus, usable_memory_mb

    temporary = tempfile.gettempdir()
    total_mb, free_mb = usable_memory_mb()
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": {name: _version_of(name) for name in _MODULE_NAMES},
        "num_cpus": num_usable_cpus(),
        "memory_mb": total_mb * _MIB / 1e6,
        "memory_free_mb": free_mb * _MIB / 1e6,
        "granted_s": _granted_s(os.environ),
        "trainer": shutil.which("run_lfads.py", path=child_environment({})["PATH"]) or "",
        "temporary": temporary,
        "temporary_free_mb": shutil.disk_usage(temporary).free / 1e6,
        "free_mb": shutil.disk_usage(folder).free / 1e6,
        "interfaces": interfaces_here(),
    }


def _version_of(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return ""


def _granted_s(environment: Mapping[str, str]) -> float | None:
    """Tell how long this job may run in all, as the batch system told it [s]."""
    import psutil

    try:
        ends_s = float(environment[END_VARIABLE])
    except (KeyError, ValueError):
        return None
    return ends_s - float(psutil.Process().create_time())


def interfaces_here() -> list[list[str]]:
    """List network interfaces with IPv4: name, address and mask."""
    import psutil

    return [
        [name, one.address, one.netmask or "255.255.255.255"]
        for name, addresses in psutil.net_if_addrs().items()
        for one in addresses
        if one.family == socket.AF_INET
    ]


def gpus_here() -> dict[str, Any]:
    """List the GPUs that NVML sees and this process may use, as a queue does."""
    from lfadsq.errors import LfadsqError
    from lfadsq.queue.devices import find_devices

    try:
        with contextlib.closing(find_devices(None, max_tasks_on_gpu=1, num_cpu_slots=1)) as source:
            devices = source.measure()
            reason = source.reason
    except LfadsqError as error:
        return {"names": [], "reason": str(error), "mask": os.environ.get("CUDA_VISIBLE_DEVICES")}
    return {
        "names": [device.name for device in devices if device.is_gpu],
        "reason": reason,
        "mask": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def tensorflow_here(timeout_s: float) -> dict[str, Any]:
    """Load TensorFlow in a process of its own, as a training would.

    Parameters
    ----------
    timeout_s : float
        After which the process is killed [s].

    Returns
    -------
    dict
        ``version`` and ``num_gpus``, or ``problem``; and ``took_s``.
    """
    started_s = time.monotonic()
    environment = child_environment({"TF_FORCE_GPU_ALLOW_GROWTH": "true"})
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _TENSORFLOW],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"it had not loaded after {timeout_s:g} s", "took_s": timeout_s}
    took_s = time.monotonic() - started_s
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
        last = said[-1] if said else f"it ended with status {ended.returncode}"
        return {"problem": last, "took_s": took_s}
    told: dict[str, Any] = json.loads(ended.stdout.decode("utf-8").splitlines()[-1])
    return {**told, "took_s": took_s}


if __name__ == "__main__":
    sys.exit(main())
