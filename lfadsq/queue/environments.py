"""What a task finds in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["child_environment", "thread_counts"]


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Build the environment of a task from our own.

    The programs of the environment that runs the queue come first on ``PATH``, so that
    ``venv/bin/python run_lfadsqueue.py`` finds its trainer without activating anything.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **extra}
    programs = str(Path(sys.executable).parent)
    path = environment.get("PATH") or os.defpath
    environment["PATH"] = path if path.split(":")[0] == programs else f"{programs}:{path}"
    return environment


def thread_counts(num_threads: int) -> dict[str, str]:
    """Share the processors out: tells a task's libraries how many threads to use.

    What the user has set stays. The operations of LFADS are small: on two cores two of them side by
    side take 23 ms a step, each of them split in two 33 ms. So TensorFlow may run as many at once
    as there are threads, and split one over half of them.
    """
    counts = {
        "OMP_NUM_THREADS": num_threads,
        "TF_NUM_INTEROP_THREADS": num_threads,
        "TF_NUM_INTRAOP_THREADS": num_threads // 2,
    }
    return {name: str(max(1, count)) for name, count in counts.items() if name not in os.environ}
