"""Commands in a real terminal, as pictures."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

__all__ = ["animated", "in_terminal", "screenshot_of_app", "svg_of_output"]

_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")


def in_terminal(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    columns: int = 90,
    lines: int = 28,
    timeout_s: float = 60,
) -> str:
    """Run a command in a terminal of its own, and give what it wrote there, colours included.

    Raises
    ------
    subprocess.TimeoutExpired
        If it does not end.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    kept = {name: value for name, value in environment.items() if name not in _TELL_THE_TERMINAL}
    with subprocess.Popen(
        words,
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while True:
                try:
                    chunk = os.read(ours, 65536)
                except OSError:  # the last process in it has ended
                    break
                if not chunk:
                    break
                written += chunk
            process.wait(timeout_s)
        finally:
            os.close(ours)
            if process.poll() is None:
                process.kill()
    return written.decode(errors="replace").replace("\r\n", "\n")


_TELL_THE_TERMINAL = ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TERM", "COLORTERM")


def svg_of_output(typed: str, written: str, *, columns: int = 90) -> str:
    """Draw what was typed and what came, as a terminal shows it."""
    console = Console(record=True, width=columns, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text(f"$ {typed}", style="bold"))
    console.print(Text.from_ansi(written.rstrip() + "\n "), soft_wrap=True)
    return without_fonts(console.export_svg(title="", theme=MONOKAI, unique_id=_id_of(typed)))


def screenshot_of_app(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    columns: int,
    lines: int,
    after_s: int = 5,
) -> str:
    """Run a program that fills the terminal, and give what it shows after some seconds, as SVG.

    Its library (textual) takes the picture and ends it.
    """
    with tempfile.TemporaryDirectory() as place:
        told = {
            "TEXTUAL_SCREENSHOT": str(after_s),
            "TEXTUAL_SCREENSHOT_LOCATION": place,
            "TEXTUAL_SCREENSHOT_FILENAME": "shot.svg",
        }
        written = in_terminal(
            words, folder=folder, environment={**environment, **told}, columns=columns, lines=lines
        )
        shot = Path(place, "shot.svg")
        if not shot.exists():
            raise RuntimeError(f"{' '.join(words)} left no picture: {written[-2000:]}")
        return without_fonts(shot.read_text(encoding="utf-8"))


def _id_of(typed: str) -> str:
    return "terminal-" + re.sub(r"\W+", "-", typed)


def without_fonts(svg: str) -> str:
    """Leave out fonts that would be fetched from elsewhere: the reader's own will do."""
    return _FONT_FACE.sub("", svg)


def animated(frames: Sequence[str], *, frame_s: float) -> str:
    """Show pictures one after the other, over and over, in one SVG.

    Parameters
    ----------
    frames : sequence of str
        SVG documents of one size.
    frame_s : float
        How long each is shown [s].
    """
    view_box = re.search(r'viewBox="([^"]+)"', frames[0])
    assert view_box is not None
    parts = []
    for number, frame in enumerate(frames):
        begin, end = number / len(frames), (number + 1) / len(frames)
        times = f"0;{begin:.4f};{end:.4f}" if number else f"0;{end:.4f}"
        values = "hidden;visible;hidden" if number else "visible;hidden"
        if number == len(frames) - 1:
            times, values = f"0;{begin:.4f}", "hidden;visible"
        seen = "hidden" if number else "visible"
        parts.append(
            f'<g visibility="{seen}"><animate attributeName="visibility" calcMode="discrete" '
            f'keyTimes="{times}" values="{values}" dur="{frame_s * len(frames):g}s" '
            f'repeatCount="indefinite"/>{frame}</g>'
        )
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view_box[1]}">\n{body}\n</svg>\n'
