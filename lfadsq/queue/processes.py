"""The processes of one task, as a group that can be waited for and ended as a whole."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lfadsq.queue.records import Cause

__all__ = [
    "JOURNAL_DESCRIPTOR",
    "TOKEN_VARIABLE",
    "GroupEnd",
    "LeftGroup",
    "ProcessGroup",
    "has_open",
    "signal_tokens",
]

JOURNAL_DESCRIPTOR = 9
"""Where the supervisor of a task holds its lock's journal open."""

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


@dataclass(frozen=True)
class GroupEnd:
    """How a process group ended.

    Attributes
    ----------
    status : int
        Of its leader, negative if a signal ended it.
    peak_rss_mb : float
        The most memory that one of its processes had resident [MB].
    """

    status: int
    peak_rss_mb: float


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
    end_cause : Cause or None
        Why it was told to end, if that was before its leader ended.
    """

    def __init__(self, process: subprocess.Popen[bytes], token: str) -> None:
        import psutil  # not on import of lfadsq.queue, which has to be quick

        self._process = process
        self._lock = threading.Lock()
        self._settled_s = time.monotonic() + _SETTLE_S
        self._has_ended = False
        self._is_gone = False
        self._is_left = False
        self.end_cause: Cause | None = None
        self._peak_rss_mb = 0.0
        self.token = token
        self.pid = process.pid
        # The leader cannot vanish before `wait` collects it, not even if it has ended.
        self.started_s = float(psutil.Process(process.pid).create_time())

    def wait(self, left: int) -> GroupEnd | None:
        """Wait until the command has ended and nothing of its group is left.

        What the command left behind in its group may go on for a moment, and is then ended: it
        would fight the next task for the device. If the group was told to end, that is left to the
        longer patience of whoever told it.

        Parameters
        ----------
        left : int
            Descriptor of a pipe; once its other end is closed, the group goes on without us.

        Returns
        -------
        GroupEnd or None
            None if the group is left to itself; `kill` then does nothing.
        """
        if not self._has_ended_or_is_left(left):
            with self._lock:
                self._is_left = True
            return None
        with self._lock:
            self._has_ended = True
            end = self._collect()
            self._is_gone = not _group_exists(self.pid)
        if not self._is_gone:
            self._end_stragglers()
        return end

    def send(self, number: signal.Signals, cause: Cause) -> None:
        """Signal every process of the group, for a cause; does nothing once all are gone."""
        if number != signal.SIGKILL:
            time.sleep(max(0.0, self._settled_s - time.monotonic()))
        with self._lock:
            if not self._is_gone:
                if not self._has_ended and self.end_cause is None:
                    self.end_cause = cause
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, number)
                    if number == signal.SIGTERM:
                        # A stopped process would see it only when continued.
                        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the whole group at once, and collect the leader; not if it was left to itself."""
        if not self._is_gone and not self._is_left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with self._lock:
                self._collect()
                self._is_gone = True

    def _has_ended_or_is_left(self, left: int) -> bool:
        """Wait for the leader without collecting it; tell whether it ended, else it is left."""
        with contextlib.ExitStack() as stack:
            poll = select.poll()
            poll.register(left, select.POLLHUP)
            patience_ms = None
            try:
                watched = os.pidfd_open(self.pid)
                stack.callback(os.close, watched)
                poll.register(watched, select.POLLIN)
            except (OSError, AttributeError):
                patience_ms = _POLL_S * 1000  # kernels before 5.3
            while True:
                ready = {descriptor for descriptor, _ in poll.poll(patience_ms)}
                # Without WNOWAIT the pid could be given to a stranger between end and signal.
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                    return True
                if left in ready:
                    return False

    def _collect(self) -> GroupEnd:
        if self._process.returncode is None:
            _, status, used = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._peak_rss_mb = used.ru_maxrss / 1024
        return GroupEnd(self._process.returncode, self._peak_rss_mb)

    def _end_stragglers(self) -> None:
        began_s = time.monotonic()
        terminated = killed = False
        while _group_exists(self.pid) and _live_members(self.pid):
            waited_s = time.monotonic() - began_s
            if self.end_cause is not None:
                began_s = time.monotonic()
            elif not terminated and waited_s > _LINGER_S:
                self._signal_rest(signal.SIGTERM)
                terminated = True
            elif not killed and waited_s > _LINGER_S + _TERMINATE_S:
                self._signal_rest(signal.SIGKILL)
                killed = True
            time.sleep(_POLL_S)
        with self._lock:
            self._is_gone = True

    def _signal_rest(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def signal_tokens(
    signals: Mapping[str, signal.Signals],
    already: set[tuple[int, float, signal.Signals]],
    *,
    except_groups: Collection[int] = (),
) -> set[str]:
    """Signal all processes of tasks, wherever they went; give the tokens of those there are.

    A process that made a session of its own (``setsid``, daemons) has left its task's group, and is
    found by its environment. While a process is in the middle of an exec it shows none: call again
    until nothing is left.

    Parameters
    ----------
    signals : dict of str to signal.Signals
        What to send, by the token of the task.
    already : set of (int, float, signal.Signals)
        Processes that had one, by pid and start; they get no second, which to many programs
        means hurry. Extended by this call.
    except_groups : collection of int
        Process groups that had it.
    """
    import psutil

    found = set()
    for process in psutil.process_iter() if signals else ():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            token = process.environ().get(TOKEN_VARIABLE)
            if token not in signals:
                continue
            found.add(token)
            key = (process.pid, process.create_time(), signals[token])
            if key not in already:
                already.add(key)
                if os.getpgid(process.pid) not in except_groups:
                    # psutil checks that the pid still names the same process.
                    process.send_signal(signals[token])
    return found


class LeftGroup:
    """The process group of a task that another queue, now dead, left behind on this machine.

    Parameters
    ----------
    pid : int
        Of its leader, as the lock's journal has it.
    lock_path : Path
        The lock that it holds.
    token : str, optional
        As the journal has it; by default it is read from the process.

    Attributes
    ----------
    token : str
        Its value of `TOKEN_VARIABLE`.
    """

    def __init__(self, pid: int, lock_path: Path, token: str = "") -> None:
        self._pid = pid
        self._lock_path = lock_path
        self.token = token
        if token:
            return
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                name, _, value = entry.partition(b"=")
                if name.decode(errors="replace") == TOKEN_VARIABLE:
                    self.token = value.decode(errors="replace")

    def is_alive(self) -> bool:
        """Tell whether its leader runs: a pid may be given again, but not with this lock open."""
        try:
            held = Path(f"/proc/{self._pid}/fd/{JOURNAL_DESCRIPTOR}").stat()
            return os.path.samestat(held, self._lock_path.stat())
        except OSError:
            return False


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open; if we may not look at it, whether it lives."""
    try:
        wanted = path.stat()
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed since it was listed
                if os.path.samestat(entry.stat(), wanted):
                    return True
    except PermissionError:
        return True
    except OSError:
        return False
    return False


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
