"""The processes of one task, as a group that can be waited for and ended as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection

__all__ = ["TOKEN_VARIABLE", "ProcessGroup", "signal_tokens"]

TOKEN_VARIABLE = "LFADSQ_TASK_TOKEN"
"""Set for all processes of a task, by which those that left its group are found again."""

_LINGER_S = 2.0
"""How long processes that outlive their command may go on: a `tee` empties its pipe."""

_TERMINATE_S = 5.0
"""How long they get after SIGTERM."""

_SETTLE_S = 0.1
"""How long a signal waits for a process that has just started: between the fork of the command and
its exec, a shell that traps signals loses them, and the task would never learn of it."""

_POLL_S = 0.02


class ProcessGroup:
    """A running session and process group, led by the process that was started.

    Parameters
    ----------
    process : subprocess.Popen
        Started with ``start_new_session=True``.
    token : str
        Its value of `TOKEN_VARIABLE`.

    Attributes
    ----------
    pid : int
        Of the leader; also the id of session and group.
    started_s : float
        When the leader began [s since 1970]; with `pid` it names the process for good.
    was_signalled : bool
        Whether it was sent a signal before its leader ended.
    """

    def __init__(self, process: subprocess.Popen[bytes], token: str) -> None:
        import psutil  # not on import of lfadsq.queue, which has to be quick

        self._process = process
        self._lock = threading.Lock()
        self._settled_s = time.monotonic() + _SETTLE_S
        self._has_ended = False
        self._is_gone = False
        self.was_signalled = False
        self.token = token
        self.pid = process.pid
        # The leader cannot vanish before `wait` collects it, not even if it has ended.
        self.started_s = float(psutil.Process(process.pid).create_time())

    def wait(self, is_stopping: Callable[[], bool]) -> int:
        """Wait until the command has ended and nothing of its group is left.

        What the command left behind in its group may go on for a moment, and is then ended: it
        would fight the next task for the device. While the queue stops, that is left to the
        queue's own, longer patience.

        Returns
        -------
        int
            Status of the leader, negative if a signal ended it.
        """
        # Without WNOWAIT the pid could be given to a stranger between its end and a signal.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            self._has_ended = True
            status = self._process.wait()
            self._is_gone = not _group_exists(self.pid)
        if not self._is_gone:
            self._end_stragglers(is_stopping)
        return status

    def send(self, number: signal.Signals) -> None:
        """Signal every process of the group; does nothing once all are gone."""
        if number != signal.SIGKILL:
            time.sleep(max(0.0, self._settled_s - time.monotonic()))
        with self._lock:
            if not self._is_gone:
                self.was_signalled = self.was_signalled or not self._has_ended
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, number)
                    if number == signal.SIGTERM:
                        # A stopped process would see it only when continued.
                        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the whole group at once, and collect the leader."""
        if not self._is_gone:
            self.send(signal.SIGKILL)
            with self._lock:
                self._process.wait()
                self._is_gone = True

    def _end_stragglers(self, is_stopping: Callable[[], bool]) -> None:
        began_s = time.monotonic()
        terminated = killed = False
        while _group_exists(self.pid) and _live_members(self.pid):
            waited_s = time.monotonic() - began_s
            if is_stopping():
                began_s = time.monotonic()
            elif not terminated and waited_s > _LINGER_S:
                self.send(signal.SIGTERM)
                terminated = True
            elif not killed and waited_s > _LINGER_S + _TERMINATE_S:
                self.send(signal.SIGKILL)
                killed = True
            time.sleep(_POLL_S)
        with self._lock:
            self._is_gone = True


def signal_tokens(
    tokens: Collection[str],
    number: signal.Signals,
    already: set[tuple[int, float]],
    *,
    except_groups: Collection[int] = (),
) -> bool:
    """Signal all processes of tasks, wherever they went; tell whether there are any.

    A process that made a session of its own (``setsid``, daemons) has left its task's group, and is
    found by its environment. While a process is in the middle of an exec it shows none: call again
    until nothing is left.

    Parameters
    ----------
    tokens : collection of str
        Of the tasks.
    number : signal.Signals
        What to send.
    already : set of (int, float)
        Processes that had it, by pid and start; they get no second one, which to many programs
        means hurry. Extended by this call.
    except_groups : collection of int
        Process groups that had it.
    """
    import psutil

    found = False
    for process in psutil.process_iter() if tokens else ():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(TOKEN_VARIABLE) not in tokens:
                continue
            found = True
            key = (process.pid, process.create_time())
            if key not in already:
                already.add(key)
                if os.getpgid(process.pid) not in except_groups:
                    # psutil checks that the pid still names the same process.
                    process.send_signal(number)
    return found


def _group_exists(group_id: int) -> bool:
    try:
        os.killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _live_members(group_id: int) -> bool:
    """Tell whether anything in a group still runs: a zombie nobody collects does not count."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group_id and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
