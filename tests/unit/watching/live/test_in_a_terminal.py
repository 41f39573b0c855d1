"""``lfadsq watch`` in a real terminal: what is seen, what is sent, and how it is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lfadsq.queue.status import TaskState

from .terminal import ROOT, Screen, Terminal, watch_words

_COLOUR = re.compile(rb"\x1b\[[0-9;]*(?<![0-9])(3[0-7]|4[0-7]|9[0-7]|38|48)(;[0-9;]*)?m")


@pytest.fixture
def open_view() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(folder: Path, *options: str, **changes: Any) -> Terminal:
        opened.append(Terminal(watch_words(folder, "--interval", "0.2", *options), **changes))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def assert_clean(terminal: Terminal) -> None:
    """See that a terminal is as it was before."""
    assert terminal.attributes() == terminal.before
    assert not terminal.is_alternate
    left_on = {mode for mode, is_on in terminal.modes.items() if is_on}
    assert left_on <= {"25", "7"}, "only the cursor, and wrapping"
    assert {"25", "7"} <= left_on


def test_what_a_person_sees_and_that_little_is_sent(sweep: Any, open_view: Any) -> None:
    sweep.write_summary("c_gen_dim=64", "c_gen_dim=128", "c_gen_dim=200", "c_gen_dim=10")
    status = sweep.collection.status
    with sweep.collection.live_queue(
        status(sweep.names[0], TaskState.RUNNING, device_name="GPU 0 (A100)"),
        status(sweep.names[1], TaskState.FAILED, cause="out of GPU memory"),
        *(status(name, TaskState.WAITING) for name in sweep.names[2:]),
        host="node7",
    ):
        sweep.say(0, num_epochs=30, epoch_s=1.0, remaining_s=90.0)
        terminal = open_view(sweep.folder, size=(80, 24))
        terminal.wait_for("epoch 30")
        screen = terminal.screen()
        assert screen[0].endswith("queue demo on node7 running")
        assert screen[1].startswith("4 runs: 1 training, 2 waiting, 1 failed; those at work need")
        assert "1 failed: 1 out of GPU memory" in terminal.text()
        assert re.search(r"node7 GPU 0 +- +1\.0/39\.1", terminal.text())
        assert re.search(
            r"^>training  hash01/single\.a +30 █░░░░  25%    310\.50 .* 1m30s",
            terminal.text(),
            re.MULTILINE,
        )
        assert screen[-1].startswith("l:log e:explain")
        assert "q:quit" in screen[-1], "all keys have room"
        terminal.read(0.6)
        assert terminal.read(0.8) == 0, "nothing changes, and nothing is sent"
        sweep.say(0, num_epochs=31, epoch_s=1.0, remaining_s=89.0)
        num = terminal.read(0.8)
        assert "31" in terminal.text()
        assert 0 < num < 1200, "three lines of a screen that has 24"
        terminal.press("q")
        assert terminal.end() == 0
    assert_clean(terminal)


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param("\x03", 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_however_it_ends_the_terminal_is_as_it_was(
    sweep: Any, open_view: Any, how: str | signal.Signals, status: int
) -> None:
    terminal = open_view(sweep.folder, NO_COLOR="1", size=(80, 24))
    terminal.wait_for("4 runs: 4 waiting")
    assert terminal.is_alternate
    if isinstance(how, str):
        terminal.press(how)
    else:
        terminal.process.send_signal(how)
    assert terminal.end() == status
    assert_clean(terminal)
    assert not _COLOUR.search(terminal.raw)


@pytest.mark.slow
def test_without_colour_and_in_ascii_it_says_the_same(sweep: Any, open_view: Any) -> None:
    sweep.collection.record(sweep.names[1], sweep.collection.failed(sweep.names[1]))
    coloured = open_view(sweep.folder, size=(80, 24))
    plain = open_view(sweep.folder, "--ascii", NO_COLOR="1", size=(80, 24))
    for terminal in (coloured, plain):
        terminal.wait_for("1 failed: ")
        terminal.wait_for("q:quit")
    assert coloured.screen() == plain.screen()
    byte_by_byte = Screen(80, 24)
    for byte in coloured.raw:
        byte_by_byte.feed(bytes([byte]))
    assert byte_by_byte.lines() == coloured.screen(), "what we see must not hang on how it comes"
    assert _COLOUR.search(coloured.raw)
    assert not _COLOUR.search(plain.raw)
    assert plain.raw.isascii()
    plain.press("j\x1a")  # and Ctrl-Z
    plain.wait_for(lambda: psutil.Process(plain.process.pid).status() == psutil.STATUS_STOPPED)
    plain.read(0.5)
    assert not plain.is_alternate
    plain.process.send_signal(signal.SIGCONT)
    plain.wait_for(lambda: plain.is_alternate)
    plain.wait_for("q:quit")


CRASHING = """
import sys
from lfadsq.watching.live import board
def broken(*_, **__):
    raise RuntimeError("a fault of ours")
if sys.argv.pop(1) == "widget":
    board.head_lines = broken
else:
    from lfadsq.watching.live.reading import CollectionReader
    CollectionReader.look = broken
from lfadsq.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["widget", "thread"])
def test_a_crash_leaves_the_terminal_clean_and_tells(sweep: Any, where: str) -> None:
    words = [sys.executable, "-c", CRASHING, where, "watch", str(sweep.folder)]
    terminal = Terminal(words)
    try:
        assert terminal.end(40) == 3
        assert_clean(terminal)
        told = terminal.raw.rpartition(b"\x1b[?1049l")[2].decode()
        assert "a fault of ours" in told
        assert "this is a bug in lfadsq" in told
        assert len(told) < 10_000, "a traceback, not all that every variable holds"
    finally:
        terminal.close()


@pytest.mark.slow
def test_a_disk_that_hangs_stops_neither_keys_nor_the_end(sweep: Any) -> None:
    program = CRASHING.replace('raise RuntimeError("a fault of ours")', "time.sleep(3600)")
    words = [sys.executable, "-c", f"import time\n{program}", "thread", "watch", str(sweep.folder)]
    terminal = Terminal(words)
    try:
        terminal.wait_for("looking at its runs ...")
        terminal.press("?")
        terminal.wait_for("turn the order around")
        terminal.press("qq")
        began_s = time.monotonic()
        assert terminal.end() == 0
        assert time.monotonic() - began_s < 10
        assert_clean(terminal)
    finally:
        terminal.close()


@pytest.mark.slow
def test_a_terminal_that_is_gone_ends_it(sweep: Any, open_view: Any) -> None:
    terminal = open_view(sweep.folder, size=(80, 24))
    terminal.wait_for("4 runs")
    terminal.hang_up()
    assert terminal.process.wait(20) == 129


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"stdout": subprocess.PIPE}, "lfadsq status"), ({"TERM": "dumb"}, "TERM")],
)
def test_where_it_cannot_be_shown_it_says_what_to_use(
    sweep: Any, changes: dict[str, Any], words: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": changes.pop("TERM", "xterm")}
    if changes:
        done = subprocess.run(
            watch_words(sweep.folder), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment, check=False, text=True, **changes,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        return
    terminal = Terminal(watch_words(sweep.folder), TERM="dumb")
    try:
        assert terminal.end() == 1
        assert words in terminal.text()
        assert "\x1b" not in terminal.raw.decode()
    finally:
        terminal.close()
