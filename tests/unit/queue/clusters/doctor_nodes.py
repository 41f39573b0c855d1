"""Nodes that are not as they should be: what their Python finds when it starts."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

__all__ = ["NO_FLOCK", "NO_LOCK_SERVICE", "NO_NETWORK", "OTHER_DASK", "Node", "ahead"]

NO_FLOCK = """
import fcntl
fcntl.flock = lambda *_: None
"""
NO_LOCK_SERVICE = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
NO_NETWORK = """
import errno, socket
def connect(self, address):
    raise OSError(errno.EHOSTUNREACH, "No route to host")
socket.socket.connect = connect
"""
OTHER_DASK = """
from importlib import metadata
version = metadata.version
metadata.version = lambda name: "1.2.3" if name == "dask" else version(name)
"""

_TENSORFLOW = """
__version__ = "2.99.0"
class config:
    @staticmethod
    def list_physical_devices(kind):
        return [kind] * {num_gpus}
"""


def ahead(seconds: float) -> str:
    """Let the clock of a node be ahead."""
    return f"import time\nhere = time.time\ntime.time = lambda: here() + {seconds}\n"


class Node:
    """A folder that comes first where the Python of a node looks for modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.has_tensorflow(0)

    def has_tensorflow(self, num_gpus: int) -> None:
        """Give it a TensorFlow that loads at once and sees so many GPUs."""
        self.has_module("tensorflow", _TENSORFLOW.format(num_gpus=num_gpus))

    def has_module(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(text)

    def starts_with(self, text: str) -> None:
        self.has_module("sitecustomize", text)

    @property
    def setup(self) -> str:
        """The line of a job that makes a node like this."""
        paths = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return f"export PYTHONPATH={shlex.quote(':'.join(paths))}"

    def program(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path
