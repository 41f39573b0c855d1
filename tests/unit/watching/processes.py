"""Programs of the command line as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def lfadsq(*words: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command line as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "lfadsq", *map(str, words)],
        **{"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = 30.0) -> Any:
    until_s = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < until_s, f"waited in vain for {what}"
        time.sleep(0.02)
    return found
