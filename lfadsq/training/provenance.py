"""With what a training was done, recorded beside its outputs: ``provenance.json``.

One entry for every process that trained: versions, flags, machine, device, and the SHA-256 of the
data. A training that was resumed elsewhere, by another version, or on other data, shows it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import socket
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from lfadsq.errors import StorageError
from lfadsq.files import storage_errors, write_text

__all__ = ["ProvenanceRecord", "describe_device", "package_versions"]

logger = logging.getLogger(__name__)

_VERSION = 1
"""Of the file. Raise it when a field changes its meaning, not when one is added."""

_PACKAGES = ("lfadsq", "tensorflow", "numpy", "scipy", "h5py")
# TensorFlow is installed under several names.
_OTHER_NAMES = {"tensorflow": ("tensorflow-cpu", "tf-nightly", "tensorflow-rocm")}
_CHUNK_BYTES = 8 * 2**20


def package_versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that decide numbers."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        for name in (package, *_OTHER_NAMES.get(package, ())):
            try:
                versions[package] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return versions


def describe_device(device: str) -> str:
    """Give a device's short name, with that of its maker for a GPU.

    >>> describe_device("/job:localhost/replica:0/task:0/device:CPU:0")
    'CPU:0'
    """
    short = device.rpartition("device:")[2]
    kind, _, number = short.partition(":")
    if kind != "GPU":
        return short
    gpus = tf.config.list_physical_devices("GPU")
    index = int(number or 0)
    if index >= len(gpus):
        return short
    details = tf.config.experimental.get_device_details(gpus[index])
    return f"{short} ({details.get('device_name', 'unknown')})"


class ProvenanceRecord:
    """The record of one training.

    Reading gigabytes takes seconds, so files are hashed in a thread, while the graph is built.

    Parameters
    ----------
    path : Path
        ``provenance.json``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: threading.Thread | None = None
        self._is_ending = threading.Event()

    def begin(
        self, *, step: int, device: str, flags: Mapping[str, Any], files: Sequence[Path]
    ) -> None:
        """Add the entry of this process, and begin to hash the data.

        Files that differ from those that the training began with are warned of; training goes on,
        as preparing the same data again may well give other bytes.

        Parameters
        ----------
        step : int
            Updates done before.
        device : str
            What TensorFlow computes on.
        flags : mapping of str to object
            As ``hyperparameters-<step>.txt`` holds them, the seed that was drawn among them.
        files : sequence of Path
            The data.

        Raises
        ------
        StorageError
            If the entry cannot be written.
        """
        earlier = self._read()
        if earlier is None:
            return
        entry: dict[str, Any] = {
            "began": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "step": step,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "platform": platform.platform(),
            "device": device,
            "cpus": len(os.sched_getaffinity(0)),
            "versions": package_versions(),
            "seed": flags["seed"],
            "flags": dict(flags),
            "data": [_described(path) for path in files],
        }
        self._write([*earlier, entry])
        arguments = (earlier, entry, list(files))
        self._thread = threading.Thread(target=self._hash, args=arguments, name="hash-data")
        self._thread.start()

    def end(self, *, completely: bool) -> None:
        """End the hashing.

        Parameters
        ----------
        completely : bool
            Wait until all is hashed. Otherwise what is not hashed yet stays without.
        """
        if not completely:
            self._is_ending.set()
        if self._thread is not None:
            self._thread.join()

    def _hash(
        self, earlier: Sequence[dict[str, Any]], entry: dict[str, Any], files: Sequence[Path]
    ) -> None:
        try:
            for described, path in zip(entry["data"], files, strict=True):
                described["sha256"] = self._digest(path)
                if described["sha256"] is None:
                    return
            self._warn_of_other_data(earlier, entry)
            self._write([*earlier, entry])
        except StorageError as error:
            logger.warning("the hashes of the data are not recorded: %s", error)

    def _digest(self, path: Path) -> str | None:
        """Give the SHA-256 of a file; None if there is no time left."""
        digest = hashlib.sha256()
        with storage_errors(path, "read"), path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if self._is_ending.is_set():
                    return None
                digest.update(chunk)
        return digest.hexdigest()

    def _warn_of_other_data(self, earlier: Sequence[dict[str, Any]], entry: dict[str, Any]) -> None:
        known = {
            described["file"]: (described["sha256"], one.get("began", "earlier"))
            for one in earlier
            for described in one.get("data", [])
            if described.get("sha256")
        }
        differing = [
            f"{described['file']} (as of {known[described['file']][1]})"
            for described in entry["data"]
            if known.get(described["file"], (described["sha256"],))[0] != described["sha256"]
        ]
        if differing and entry["step"]:
            logger.warning(
                "data have changed since this model was last trained on: %s; training goes on with"
                " them as they are now; to train on them from the start, give another"
                " --lfads_save_dir",
                ", ".join(differing),
            )

    def _read(self) -> list[dict[str, Any]] | None:
        """Give the entries so far; None if they are not to be touched."""
        if not self._path.exists():
            return []
        with storage_errors(self._path, "read"):
            text = self._path.read_text(encoding="utf-8", errors="replace")
        try:
            stored = json.loads(text)
            version, starts = stored["version"], stored["starts"]
            is_ours = all(isinstance(one, dict) for one in starts)
        except (ValueError, KeyError, TypeError):
            version, is_ours = None, False
        if version != _VERSION or not is_ours:
            logger.warning("%s is not of this version of lfadsq and is left as it is", self._path)
            return None
        entries: list[dict[str, Any]] = starts
        return entries

    def _write(self, starts: Sequence[Mapping[str, Any]]) -> None:
        text = json.dumps({"version": _VERSION, "starts": list(starts)}, indent=1)
        write_text(self._path, text + "\n")


def _described(path: Path) -> dict[str, Any]:
    with storage_errors(path, "read"):
        size = path.stat().st_size
    return {"file": path.name, "path": str(path.resolve()), "bytes": size, "sha256": None}
