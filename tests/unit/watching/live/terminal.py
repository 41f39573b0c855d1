"""A program in a real terminal (a pty), and what a person would see on its screen."""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[4]
_ESCAPE = re.compile(
    r"\x1b(?:\[(?P<args>[<>=?]?[0-9;]*)[ $]?(?P<verb>[@-~])"
    r"|\][^\x07]*\x07|[PX^_].*?\x1b\\|[^\[\]PX^_])",
    re.DOTALL,
)


class Screen:
    """What a program's writing looks like.

    It knows what textual writes: moving, printing, erasing; everything else changes no letter.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = ""
        self._screens = [self._blank(), self._blank()]
        self._at = [(0, 0), (0, 0)]
        self.is_alternate = False
        self.modes: dict[str, bool] = {}

    def lines(self) -> list[str]:
        """Give what is to be seen, line by line."""
        return ["".join(row).rstrip() for row in self._screens[self.is_alternate]]

    def feed(self, data: bytes) -> None:
        """Take in some bytes; a sequence that is not complete waits for its rest."""
        text = self._pending + self._decoder.decode(data)
        at = 0
        while (begin := text.find("\x1b", at)) >= 0:
            self._print(text[at:begin])
            at = begin
            found = _ESCAPE.match(text, begin)
            if found is None:
                break
            self._obey(found["args"] or "", found["verb"] or "")
            at = found.end()
        else:
            self._print(text[at:])
            at = len(text)
        self._pending = text[at:]

    def _blank(self) -> list[list[str]]:
        return [[" "] * self.columns for _ in range(self.rows)]

    def _print(self, text: str) -> None:
        row, column = self._at[self.is_alternate]
        for sign in text:
            if sign == "\r":
                column = 0
            elif sign == "\n":
                row += 1
                if row == self.rows:
                    row -= 1
                    screen = self._screens[self.is_alternate]
                    screen[:] = [*screen[1:], [" "] * self.columns]
            elif sign >= " ":
                self._screens[self.is_alternate][row][min(column, self.columns - 1)] = sign
                column += 1
        self._at[self.is_alternate] = row, column

    def _obey(self, args: str, verb: str) -> None:
        if verb == "H":
            row, _, column = args.partition(";")
            place = int(row or 1) - 1, int(column or 1) - 1
            self._at[self.is_alternate] = min(place[0], self.rows - 1), place[1]
        elif verb == "J" and args == "2":
            self._screens[self.is_alternate] = self._blank()
        elif verb in "hl" and args.startswith("?"):
            self.modes[args[1:]] = verb == "h"
            if args == "?1049":
                self.is_alternate = verb == "h"
        elif verb == "u" and args.startswith((">", "<")):
            self.modes["keyboard"] = args.startswith(">")


class Terminal:
    """A terminal of 80x24 with a program in it."""

    def __init__(
        self, words: list[str], size: tuple[int, int] = (80, 24), **environment: str
    ) -> None:
        columns, rows = size
        self.raw = b""
        self._screen = Screen(columns, rows)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._theirs = theirs
        self.before = termios.tcgetattr(theirs)
        known = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR",)}
        known |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**known, **environment},
            start_new_session=True,
            # The terminal that controls it, as for a shell: it is what Ctrl-C and SIGHUP go by.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def hang_up(self) -> None:
        """Close the terminal, as a line that breaks does."""
        os.close(self._theirs)
        os.close(self._ours)

    def screen(self) -> list[str]:
        """Give what is to be seen, line by line."""
        return self._screen.lines()

    @property
    def is_alternate(self) -> bool:
        return self._screen.is_alternate

    @property
    def modes(self) -> dict[str, bool]:
        return self._screen.modes

    def text(self) -> str:
        return "\n".join(self.screen())

    def read(self, seconds: float = 0.05) -> int:
        """Take in what comes within a time; give how many bytes that was."""
        until_s, num = time.monotonic() + seconds, 0
        while (left_s := until_s - time.monotonic()) > 0:
            if not select.select([self._ours], [], [], left_s)[0]:
                break
            try:
                data = os.read(self._ours, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break
            if not data:
                break
            num += len(data)
            self.raw += data
            self._screen.feed(data)
        return num

    def wait_for(self, condition: str | Callable[[], object], deadline_s: float = 40.0) -> None:
        """Read until a text is to be seen, or a condition holds."""
        end_s = time.monotonic() + deadline_s
        is_met = (lambda: condition in self.text()) if isinstance(condition, str) else condition
        while not is_met():
            assert time.monotonic() < end_s, f"{condition}:\n{self.text()}"
            self.read()

    def end(self, deadline_s: float = 20.0) -> int:
        """Wait for the program's end, and give its status."""
        self.wait_for(lambda: self.process.poll() is not None, deadline_s)
        self.read(0.2)
        return int(self.process.returncode)

    def attributes(self) -> list[object]:
        return list(termios.tcgetattr(self._theirs))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in (self._ours, self._theirs):
            try:
                os.close(descriptor)
            except OSError:
                continue


def watch_words(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "lfadsq", "watch", str(folder), *options]
