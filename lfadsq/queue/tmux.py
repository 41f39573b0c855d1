"""Tasks in tmux, for those who like to look: a session each, of the old names, with its log.

The tasks themselves do not run there. Closing a session, or ending what shows the log, harms
nothing; ``tmux attach -t <name of the task>`` opens one.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from lfadsq.errors import ConfigError
from lfadsq.queue.events import (
    Event,
    Noted,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskInterrupted,
    TaskLeft,
    TaskRetried,
    TaskStarted,
)
from lfadsq.queue.mailbox import Mailbox
from lfadsq.queue.tasks import Task

__all__ = ["TmuxReporter", "session_name"]

_logger = logging.getLogger(__name__)

# Keys are read beside the log, so that `q` closes the session as it closes a pager.
_FOLLOW = """
tail -n +1 -F -- "$1" 2>/dev/null &
trap 'kill "$!" 2>/dev/null' EXIT
while IFS= read -rsn1 key && [ "$key" != q ]; do :; done
"""
# $2: the last line; $3: for how long it is shown [s], empty for until `q`.
_ENDED = """
tail -n 10000 -- "$1"
printf '\\n%s\\n' "$2"
while IFS= read -rsn1 ${3:+-t "$3"} key && [ "$key" != q ]; do :; done
"""
_LINGER_S = "3"
_MARK = "@lfadsq"
_WIDTH, _HEIGHT = "200", "50"
_PATIENCE_S = 5.0
_CLOSE_S = 5.0
_NOT_IN_NAMES = re.compile(r"[^\w+-]")


def session_name(task_name: str) -> str:
    """Name the session of a task: its own name, and ``_`` for what tmux or shells would read.

    >>> session_name("lfads_param_YOs74u_run001_single_dataset001")
    'lfads_param_YOs74u_run001_single_dataset001'
    >>> session_name("day 3.2: #(reboot)")
    'day_3_2____reboot_'
    """
    return _NOT_IN_NAMES.sub("_", task_name)


@dataclass(frozen=True)
class _Call:
    """What the thread shall do: show a task's log, or its end."""

    task: Task
    ending: str = ""
    is_success: bool = False


class TmuxReporter:
    """Shows the log of every running task in a tmux session.

    The session of a task that succeeded closes a moment later; that of one that did not stays
    until the task is tried again, somebody closes it, or the queue ends.

    Parameters
    ----------
    note : callable, optional
        Takes what is to be told, from a thread of this class; by default it is logged.

    Raises
    ------
    ConfigError
        If tmux is not installed.
    """

    def __init__(self, note: Callable[[Noted], None] | None = None) -> None:
        program = shutil.which("tmux")
        if program is None:
            raise ConfigError(
                "tasks cannot be shown in tmux: the program is not on PATH",
                "install tmux, or start the queue without --tmux",
            )
        self._program = program
        self._note = note or _log
        self._sessions: dict[str, tuple[Task, str]] = {}
        self._has_hinted = self._has_failed = False
        self._mailbox: Mailbox[_Call] = Mailbox(self._act, "tmux", max_items=10_000)

    def report(self, event: Event) -> None:
        """Take an event; tmux itself is called in a thread."""
        if isinstance(event, TaskStarted):
            self._mailbox.post(_Call(event.task))
        elif isinstance(event, TaskFinished):
            self._mailbox.post(_Call(event.task, "finished", is_success=True))
        elif isinstance(event, (TaskFailed, TaskRetried)):
            failure = event.failure
            how = f"; next: {event.how}" if isinstance(event, TaskRetried) else ""
            ending = f" ({failure.ending})" if failure.ending else ""
            self._mailbox.post(_Call(event.task, f"failed: {failure.cause.value}{ending}{how}"))
        elif isinstance(event, TaskInterrupted):
            later = ", goes on later" if event.will_go_on else ""
            self._mailbox.post(_Call(event.task, f"interrupted{later}"))
        elif isinstance(event, TaskCancelled):
            self._mailbox.post(_Call(event.task, "cancelled"))
        elif isinstance(event, TaskLeft):
            self._mailbox.post(_Call(event.task, "goes on without the queue"))

    def close(self) -> None:
        """Close all sessions."""
        self._mailbox.close(_CLOSE_S)
        for task, name in list(self._sessions.values()):
            if self._mark(name) == _mark_of(task):
                self._tmux("kill-session", "-t", f"={name}")
        self._sessions.clear()

    def _act(self, call: _Call) -> None:
        if call.ending:
            self._end(call)
        else:
            self._show(call.task)

    def _show(self, task: Task) -> None:
        name = self._free_name(task)
        self._sessions[task.name] = task, name
        if self._tmux(
            *("new-session", "-d", "-x", _WIDTH, "-y", _HEIGHT, "-s", name),
            *_argv(_FOLLOW, str(task.outfile)),
            *(";", "set-option", "-t", f"={name}:", _MARK, _argument(_mark_of(task))),
            # Some have it on for all their windows: then a session would never close.
            *(";", "set-option", "-w", "-t", f"={name}:", "remain-on-exit", "off"),
            must_work=True,
        ):
            self._hint(name)

    def _end(self, call: _Call) -> None:
        _, name = self._sessions.get(call.task.name, (None, ""))
        if not name or self._mark(name) != _mark_of(call.task):
            return  # it never ran here, or somebody closed it
        linger_s = _LINGER_S if call.is_success else ""
        line = f"=== {call.task.name} {call.ending} (q closes this)"
        argv = _argv(_ENDED, str(call.task.outfile), line, linger_s)
        self._tmux("respawn-pane", "-k", "-t", f"={name}:", *argv, must_work=True)

    def _free_name(self, task: Task) -> str:
        """Give a name that no session has; one of an earlier attempt of the same task is closed."""
        wanted = name = session_name(task.name)
        number = 1
        while self._tmux("has-session", "-t", f"={name}"):
            if self._mark(name).partition(" ")[2] == str(task.outfile):
                self._tmux("kill-session", "-t", f"={name}")
                break
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _mark(self, name: str) -> str:
        """Read what `_show` wrote into a session; empty if it is somebody else's, or none."""
        ended = self._call(("show-options", "-v", "-t", f"={name}:", _MARK))
        return ended.stdout.rstrip("\n") if ended is not None and ended.returncode == 0 else ""

    def _hint(self, name: str) -> None:
        if not self._has_hinted:
            self._has_hinted = True
            text = f"tmux: every task has a session of its name, such as: tmux attach -t {name}"
            self._note(Noted(text))

    def _tmux(self, *arguments: str, must_work: bool = False) -> bool:
        ended = self._call(arguments)
        works = ended is not None and ended.returncode == 0
        if must_work and not works and not self._has_failed:
            self._has_failed = True
            said = "it did not answer" if ended is None else ended.stderr.strip()
            self._note(Noted(f"tmux cannot show a task: {said} (told once)", True))
        return works

    def _call(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
        ended = self._run(arguments)
        if ended is not None and ended.returncode and "server exited" in ended.stderr:
            # The last session closed while we spoke, and with it went the server: begin another.
            ended = self._run(arguments)
        return ended

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
        # -u: names in any language, whatever the locale of the queue.
        try:
            return subprocess.run(
                [self._program, "-u", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=_PATIENCE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None


def _log(noted: Noted) -> None:
    _logger.log(logging.WARNING if noted.is_warning else logging.INFO, "%s", noted.text)


def _mark_of(task: Task) -> str:
    return f"{os.getpid()} {task.outfile}"


def _argv(script: str, *arguments: str) -> list[str]:
    """Give a command for tmux to run as it is, without a shell of the user's choice."""
    return ["bash", "-c", script, "lfadsq", *map(_argument, arguments)]


def _argument(text: str) -> str:
    # A semicolon at its end would begin tmux's next command.
    return f"{text[:-1]}\\;" if text.endswith(";") else text
