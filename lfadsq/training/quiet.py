"""Loading TensorFlow without what it tells every user about its own build."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from importlib import import_module

from lfadsq.errors import ConfigError

__all__ = ["INSTALL_TENSORFLOW", "import_tensorflow_quietly"]

INSTALL_TENSORFLOW = "pip install 'lfadsq[cpu]', or 'lfadsq[gpu]' for an NVIDIA GPU"
"""What to do where it is missing."""

_NOISE = re.compile(r"^(I\d{4} |.*: I |WARNING: All log messages before absl)")


def import_tensorflow_quietly() -> None:
    """Import TensorFlow, keeping its informational messages off standard error.

    Its native code writes them before any of its own switches works. Whoever sets
    ``TF_CPP_MIN_LOG_LEVEL`` sees what that level shows. Warnings and errors are passed on.

    Raises
    ------
    ConfigError
        If TensorFlow is not installed, or does not load.
    """
    try:
        _import_tensorflow()
    except ImportError as error:
        raise ConfigError(f"TensorFlow cannot be imported: {error}", INSTALL_TENSORFLOW) from error


def _import_tensorflow() -> None:
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        import_module("tensorflow")
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import_module("tensorflow")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.writelines(line for line in lines if not _NOISE.match(line))
