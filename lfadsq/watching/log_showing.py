"""Showing logs: their ends, or all that comes until the runs end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO

from lfadsq.errors import ConfigError, ResultNotReadyError
from lfadsq.files import storage_errors
from lfadsq.watching.log_lines import JsonLogWriter, LogWriter, PiecesWriter
from lfadsq.watching.log_reading import LogFollower, begin_of_tail, read_range
from lfadsq.watching.run_ends import EndWatch
from lfadsq.watching.run_logs import RunLog, short_names

__all__ = ["follow_logs", "show_logs"]

_POLL_S = 0.25
# Each is an open file, or two.
_MOST_FOLLOWED = 200


def _writers(
    logs: Sequence[RunLog], out: BinaryIO, *, is_terminal: bool, as_json: bool
) -> Sequence[PiecesWriter]:
    if as_json:
        return [JsonLogWriter(out, log.name) for log in logs]
    names = short_names([log.name for log in logs])
    width = max(map(len, names), default=0)
    prefixes = [f"{name:{width}} | " if len(logs) > 1 else "" for name in names]
    return [LogWriter(out, prefix, is_terminal=is_terminal) for prefix in prefixes]


def show_logs(
    logs: Sequence[RunLog],
    out: BinaryIO,
    num_lines: int | None,
    *,
    attempt: int | None = None,
    is_terminal: bool = False,
    as_json: bool = False,
    tell: Callable[[str], None],
) -> None:
    """Write the ends of logs, one after another.

    Parameters
    ----------
    logs : sequence of RunLog
        If there are several, each line begins with the run it is of.
    out : binary file
    num_lines : int or None
        So many lines at the end; None for all.
    attempt : int, optional
        Only what this attempt printed (`RunLog.part_of_attempt`).
    is_terminal : bool
        Whether control characters are to be made harmless.
    as_json : bool, default False
        Each line as an object (`JsonLogWriter`).
    tell : callable
        Takes what is to be told about one of several logs that cannot be shown.

    Raises
    ------
    ResultNotReadyError
        If there is no log yet of the only run, or of none of several.
    LfadsqError
        If there is no such attempt, or a log cannot be read.
    BrokenPipeError
        If nobody reads any more.
    """
    num_shown = 0
    for log, writer in zip(
        logs, _writers(logs, out, is_terminal=is_terminal, as_json=as_json), strict=True
    ):
        begin, end = (0, None) if attempt is None else log.part_of_attempt(attempt)
        try:
            for block in _blocks(log, num_lines, begin, end):
                writer.write(block)
        except FileNotFoundError:
            tell(f"{log.name} has no log yet")
            continue
        writer.end()
        out.flush()
        num_shown += 1
    if logs and not num_shown:
        which = f"{logs[0].name} has no" if len(logs) == 1 else f"none of {len(logs)} runs has a"
        raise ResultNotReadyError(
            f"{which} log yet ({logs[0].path})",
            "it comes when the run starts: `--follow` waits for it",
        )


def _blocks(log: RunLog, num_lines: int | None, begin: int, end: int | None) -> Iterator[bytes]:
    # What the reader does with a block is no matter of this file: its errors are not raised here.
    descriptor = os.open(log.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with storage_errors(log.path, "read"):
            if num_lines is not None:
                begin = begin_of_tail(descriptor, num_lines, begin, end)
            yield from read_range(descriptor, begin, end)
    finally:
        os.close(descriptor)


def follow_logs(
    logs: Sequence[RunLog],
    out: BinaryIO,
    num_lines: int | None,
    ends: EndWatch | None,
    *,
    begins: Sequence[int] = (),
    is_terminal: bool = False,
    as_json: bool = False,
    tell: Callable[[str], None],
) -> None:
    """Write the ends of logs and all that is added to them, until the runs have ended.

    Parameters
    ----------
    logs : sequence of RunLog
    out : binary file
    num_lines : int or None
        So many lines of what is there already; None for all of it.
    ends : EndWatch or None
        Tells when a run has ended; None for following for ever.
    begins : sequence of int
        For each log a place before which nothing is shown [bytes]; none for the beginning.
    is_terminal : bool
        Whether control characters are to be made harmless.
    as_json : bool, default False
        Each line as an object (`JsonLogWriter`).
    tell : callable
        Takes what is to be told: that a log is waited for, and how a run ended.

    Raises
    ------
    ConfigError
        If there are too many.
    LfadsqError
        If a log, or what tells of its end, cannot be read.
    BrokenPipeError
        If nobody reads any more.
    """
    if len(logs) > _MOST_FOLLOWED:
        raise ConfigError(
            f"{len(logs)} logs are too many to follow at once",
            f"name at most {_MOST_FOLLOWED} runs",
        )
    writers = _writers(logs, out, is_terminal=is_terminal, as_json=as_json)
    with ExitStack() as stack:
        followed = [
            (log, writer, stack.enter_context(LogFollower(log.path, num_lines, begin=begin)))
            for log, writer, begin in zip(logs, writers, begins or [0] * len(logs), strict=True)
        ]
        for log, _, follower in followed:
            if not follower.exists:
                tell(f"{log.name} has no log yet: waiting for it")
        while followed:
            now_s = time.monotonic()
            # Asked before reading: what a run printed before its end is then all read below.
            ended = [ends is not None and ends.has_ended(log, now_s) for log, _, _ in followed]
            for (log, writer, follower), is_over in zip(followed, ended, strict=True):
                for block in follower.news(now_s):
                    writer.write(block)
                if is_over and ends is not None:
                    writer.end()
                    out.flush()
                    tell(f"{log.name}: {ends.how(log)}")
            out.flush()
            followed = [one for one, is_over in zip(followed, ended, strict=True) if not is_over]
            if followed:
                time.sleep(_POLL_S)
