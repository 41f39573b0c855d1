"""Ends the tasks of a worker that was killed: they would hold their runs and devices for days."""

from __future__ import annotations

import contextlib
import subprocess

__all__ = ["Guard"]

# Reads which process groups there are; once the pipe closes, because the worker has gone however it
# died, ends those that are left.
_SCRIPT = """
trap '' INT TERM HUP USR1 USR2; g=
while read -r sign p; do
    if [ "$sign" = + ]; then g="$g $p"; else
        n=; for q in $g; do [ "$q" = "$p" ] || n="$n $q"; done; g=$n
    fi
done
for p in $g; do kill -s TERM -- "-$p"; kill -s CONT -- "-$p"; done
s=0
while [ "$s" -lt "$1" ]; do
    n=; for p in $g; do kill -s 0 -- "-$p" && n="$n $p"; done; g=$n
    [ -n "$g" ] || exit 0
    sleep 1; s=$((s + 1))
done
for p in $g; do kill -s KILL -- "-$p"; done
"""


class Guard:
    """A small shell that outlives this process by as long as its tasks take to end.

    Parameters
    ----------
    grace_s : float
        How long they may take before they are killed [s].
    """

    def __init__(self, grace_s: float) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "lfadsq-guard", str(max(1, round(grace_s)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group_id: int) -> None:
        """Count a process group among those to end."""
        self._tell(f"+ {group_id}\n")

    def forget(self, group_id: int) -> None:
        """Leave a process group alone, for it has ended."""
        self._tell(f"- {group_id}\n")

    def close(self) -> None:
        """Let it go; what it still watches is ended."""
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # somebody killed it, or it is closed
                stdin.write(line.encode())
                stdin.flush()
